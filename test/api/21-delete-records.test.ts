import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../protocol/errors.ts'
import { deleteRecordsRequest, deleteRecordsResponse } from '../../protocol/messages/21-delete-records.ts'
import {
  incrementalAlterConfigsRequest,
  incrementalAlterConfigsResponse,
} from '../../protocol/messages/44-incremental-alter-configs.ts'
import { parseBrokerConfig } from '../../src/core/config/broker-config.ts'
import { startBroker } from '../../src/server/start-broker.ts'
import type { RunningBroker } from '../../src/server/start-broker.ts'
import { openEmbeddedStore } from '../../src/system/store/embedded-store.ts'
import { makeBatch } from '../log/log-fixture.ts'
import { SimClient } from '../simulator/sim-client.ts'
import { SimWorld } from '../simulator/sim-world.ts'
import type { SimProcess } from '../simulator/sim-machine.ts'

const PORT = 9092

function start(process: SimProcess): Promise<RunningBroker> {
  const values = new Map([
    ['listeners', `PLAINTEXT://127.0.0.1:${PORT}`],
    ['log.dirs', '/data/one,/data/two'],
    ['log.flush.interval.messages', '1'],
  ])
  const { config } = parseBrokerConfig([{ source: 'STATIC_BROKER_CONFIG', origin: 'test', values }])
  return startBroker(process.world, config, (path) => openEmbeddedStore(process.world, path))
}

async function deleteRecords(client: SimClient, topic: string, offset: number): Promise<number[][]> {
  const call = { request: deleteRecordsRequest, response: deleteRecordsResponse, version: 2 } as const
  const partitions = [0, 1].map((partitionIndex) => ({ partitionIndex, offset }))
  const { topics } = await client.send(call, { topics: [{ name: topic, partitions }], timeoutMs: 1000 })
  return topics[0]!.partitions.map(({ errorCode, lowWatermark }) => [errorCode, lowWatermark])
}

async function withBroker(
  body: (sim: SimWorld, running: RunningBroker, client: SimClient) => Promise<void>,
): Promise<void> {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    const process = sim.start()
    const running = await start(process)
    await running.createTopics([
      { name: 't', partitions: 2 },
      { name: 'compacted', partitions: 2, config: { 'cleanup.policy': 'compact' } },
    ])
    for (const topic of ['t', 'compacted'])
      for (const index of [0, 1]) {
        const partition = running.broker.partitions.get(topic, index)!
        const { lastOffset } = partition.append(makeBatch(10))
        await new Promise<void>((resolve) =>
          partition.awaitAppended(lastOffset + 1, { appendSettled: () => resolve() }, 0),
        )
      }
    await body(sim, running, SimClient.connect(sim, PORT)!)
    await sim.powerLoss(process)
    sim.faults.clear()
  })
}

test('DeleteRecords: NONE only where the new start is on the device', async () => {
  await withBroker(async (sim, running, client) => {
    assert.deepEqual(await deleteRecords(client, 't', 4), [
      [0, 4],
      [0, 4],
    ])
    const inTwo = [0, 1].map((index) => running.broker.logs.get('t', index)!.directory.includes('/two/'))
    assert(inTwo.includes(true) && inTwo.includes(false))
    sim.faults.add({ operation: 'write', code: 'EIO', path: /^\/data\/two\/log-start-offset-checkpoint/ })
    assert.deepEqual(
      await deleteRecords(client, 't', 7),
      inTwo.map((dead) => (dead ? [ErrorCode.KAFKA_STORAGE_ERROR, -1] : [0, 7])),
    )
  })
})

test('DeleteRecords without a descriptor for the checkpoint is refused, and can be asked again', async () => {
  await withBroker(async (sim, running, client) => {
    const path = /^\/data\/(one|two)\/log-start-offset-checkpoint/
    sim.faults.add({ operation: 'open', code: 'EMFILE', path, count: 2 })
    const refused = [ErrorCode.KAFKA_STORAGE_ERROR, -1]
    assert.deepEqual(await deleteRecords(client, 't', 7), [refused, refused])
    assert.deepEqual(await deleteRecords(client, 't', 7), [
      [0, 7],
      [0, 7],
    ])
    assert(!running.broker.logs.get('t', 0)!.failed)
  })
})

test('DeleteRecords below the log start has nothing to do', async () => {
  await withBroker(async (_sim, running, client) => {
    const both = (errorCode: number, lowWatermark: number) => [
      [errorCode, lowWatermark],
      [errorCode, lowWatermark],
    ]
    assert.deepEqual(await deleteRecords(client, 't', 3), both(0, 3))
    for (const offset of [2, 0, 3]) assert.deepEqual(await deleteRecords(client, 't', offset), both(0, 3))
    assert.equal(running.broker.partitions.get('t', 0)!.log.logStartOffset, 3)
    const outOfRange = both(ErrorCode.OFFSET_OUT_OF_RANGE, -1)
    for (const offset of [11, -2, -5]) assert.deepEqual(await deleteRecords(client, 't', offset), outOfRange)
    assert.deepEqual(await deleteRecords(client, 't', -1), both(0, 10))
  })
})

test('DeleteRecords of an internal topic is refused whatever its cleanup.policy says', async () => {
  await withBroker(async (_sim, running, client) => {
    const { metadata, partitions } = running.broker
    const offsets = '__consumer_offsets'
    assert.equal(await metadata.autoCreateTopic(offsets), ErrorCode.NONE)
    const refused = [ErrorCode.INVALID_TOPIC_EXCEPTION, -1]
    for (const policy of ['compact', 'compact,delete', 'delete']) {
      const configs = [{ name: 'cleanup.policy', configOperation: 0, value: policy }]
      const resources = [{ resourceType: 2, resourceName: offsets, configs }]
      const call = {
        request: incrementalAlterConfigsRequest,
        response: incrementalAlterConfigsResponse,
        version: 1,
      } as const
      const { responses } = await client.send(call, { resources, validateOnly: false })
      assert.equal(responses[0]?.errorCode, 0)
      assert.deepEqual(partitions.get(offsets, 0)!.log.config.cleanupPolicy.delete, policy !== 'compact')
      for (const offset of [-1, 0, 5])
        assert.deepEqual(await deleteRecords(client, offsets, offset), [refused, refused])
    }
  })
})

test('DeleteRecords of a topic with cleanup.policy=compact alone answers POLICY_VIOLATION', async () => {
  await withBroker(async (_sim, _running, client) => {
    const violation = [ErrorCode.POLICY_VIOLATION, -1]
    assert.deepEqual(await deleteRecords(client, 'compacted', 4), [violation, violation])
  })
})
