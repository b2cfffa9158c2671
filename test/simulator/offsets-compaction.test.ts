import assert from 'node:assert/strict'
import { test } from 'node:test'
import { offsetCommitRequest, offsetCommitResponse } from '../../protocol/messages/08-offset-commit.ts'
import { offsetFetchRequest, offsetFetchResponse } from '../../protocol/messages/09-offset-fetch.ts'
import {
  findCoordinatorRequest,
  findCoordinatorResponse,
} from '../../protocol/messages/10-find-coordinator.ts'
import { parseBrokerConfig } from '../../src/core/config/broker-config.ts'
import { startBroker } from '../../src/server/start-broker.ts'
import { openEmbeddedStore } from '../../src/system/store/embedded-store.ts'
import { SimClient } from './sim-client.ts'
import { seedsFromEnvironment } from './sim-random.ts'
import { SimWorld } from './sim-world.ts'
import type { SimProcess } from './sim-machine.ts'

const PORT = 9092
const TOPIC = 'orders'

async function start(process: SimProcess) {
  const values = new Map([
    ['listeners', `PLAINTEXT://127.0.0.1:${PORT}`],
    ['log.dirs', '/data'],
    ['offsets.topic.num.partitions', '1'],
    ['internal.segment.bytes', '16384'],
    ['log.cleaner.backoff.ms', '1000'],
    ['log.segment.delete.delay.ms', '10'],
  ])
  const { config } = parseBrokerConfig([{ source: 'STATIC_BROKER_CONFIG', origin: 'test', values }])
  return startBroker(process.world, config, (path) => openEmbeddedStore(process.world, path))
}

async function ready(sim: SimWorld, groupId: string): Promise<SimClient> {
  const client = SimClient.connect(sim, PORT)
  assert(client !== null)
  for (;;) {
    const call = { request: findCoordinatorRequest, response: findCoordinatorResponse, version: 2 } as const
    const { errorCode } = await client.send(call, { key: groupId, keyType: 0 })
    if (errorCode === 0) return client
    await sim.sleep(10)
  }
}

async function commit(client: SimClient, groupId: string, committedOffset: number): Promise<number> {
  const call = { request: offsetCommitRequest, response: offsetCommitResponse, version: 7 } as const
  const partitions = [0, 1, 2].map((partitionIndex) => ({
    partitionIndex,
    committedOffset,
    committedLeaderEpoch: -1,
    committedMetadata: '',
  }))
  const body = { groupId, generationIdOrMemberEpoch: -1, memberId: '', topics: [{ name: TOPIC, partitions }] }
  const { topics } = await client.send(call, body)
  return topics[0]?.partitions[0]?.errorCode ?? -1
}

async function committed(client: SimClient, groupId: string): Promise<number[]> {
  const call = { request: offsetFetchRequest, response: offsetFetchResponse, version: 5 } as const
  const answer = await client.send(call, { groupId, topics: [{ name: TOPIC, partitionIndexes: [0, 1, 2] }] })
  assert.equal(answer.errorCode, 0)
  return (answer.topics[0]?.partitions ?? []).map(({ committedOffset }) => Number(committedOffset))
}

test('__consumer_offsets stays small however often groups commit, and forgets nothing', async () => {
  const commits = 3000
  for (const seed of seedsFromEnvironment(1, 2)) {
    const sim = new SimWorld(seed)
    await sim.run(async () => {
      const process = sim.start()
      const running = await start(process)
      await running.createTopics([{ name: TOPIC, partitions: 3 }])
      const client = await ready(sim, 'readers')
      assert.equal(await commit(client, 'idle', 7), 0)
      for (let offset = 1; offset <= commits; offset++)
        assert.equal(await commit(client, 'readers', offset), 0)
      const log = running.broker.logs.get('__consumer_offsets', 0)
      assert(log !== undefined)
      assert(log.logEndOffset > commits * 3)
      await sim.sleep(5000)
      // The active segment, what was compacted into one, and little else; everything would be twenty times that.
      assert(log.sizeBytes < 3 * 16384, `${log.sizeBytes} bytes in ${log.segmentCount} segments`)
      await sim.kill(process)
      const next = sim.start()
      await start(next)
      const again = await ready(sim, 'readers')
      assert.deepEqual(await committed(again, 'readers'), [commits, commits, commits])
      assert.deepEqual(await committed(again, 'idle'), [7, 7, 7])
      assert.deepEqual(next.logger.messages('error'), [])
    })
  }
})
