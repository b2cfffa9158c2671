import assert from 'node:assert/strict'
import { truncateFile } from '../../../src/log/files/disk-calls.ts'
import type { SimWorld } from '../../simulator/sim-world.ts'
import type { SimBroker } from '../../api/sim-broker.ts'
import { batchesOf } from '../../log/directory/cluster-metadata-golden.ts'
import { DATA, inSim, leftAfterAWhile, putFile, putGuest, startGuest, warningsOf } from './guest-fixture.ts'

const DIRECTORY = `${DATA}/__cluster_metadata-0`
const BATCHES = batchesOf('kafka-4.3')
const [LAST] = BATCHES.slice(-1)
/** Kafka had made its topics by then. */
const LATE = BATCHES.find(({ at }) => at > 2_200)!
const HELD = { 'cleanup.policy': 'delete', 'retention.ms': '-1', 'retention.bytes': '-1' }
const CANNOT_BE_READ = /Kafka's own metadata cannot be read/

/** As Kafka closed it. */
async function closeCleanly(sim: SimWorld): Promise<void> {
  const { disk } = sim.start().world
  await putFile(disk, `${DIRECTORY}/${String(LAST!.endOffset).padStart(20, '0')}.snapshot`, Buffer.alloc(10))
  await putFile(disk, `${DATA}/.kafka_cleanshutdown`, Buffer.from('{"version":0,"brokerEpoch":5}'))
}

function overridesOf({ running }: SimBroker, topic: string): unknown {
  return Object.fromEntries(running.broker.metadata.topics.get(topic)!.config.overrides)
}

for (const [what, damaged] of [
  ['in a batch', (bytes: Buffer) => bytes.subarray(0, LATE.at + 30)],
  ['between two batches', (bytes: Buffer) => bytes.subarray(0, LATE.at)],
  ['into zeros', (bytes: Buffer) => Buffer.concat([bytes.subarray(0, LATE.at), Buffer.alloc(900)])],
] as const)
  inSim(`Kafka's metadata ends ${what}, after a clean stop: nothing is deleted or compacted`, async (sim) => {
    await putGuest(sim, 'kafka-4.3', (name, bytes) => (name.endsWith('.log') ? damaged(bytes) : bytes))
    await closeCleanly(sim)
    for (const stop of ['clean', 'killed'] as const) {
      const broker = await startGuest(sim)
      const left = Object.values(await leftAfterAWhile(sim, broker))
      assert.deepEqual(
        left,
        left.map(() => '0..12 whole'),
      )
      assert.equal(left.length, 5)
      for (const topic of ['compacted', 'forever', 'plain'])
        assert.deepEqual(overridesOf(broker, topic), HELD)
      assert.equal(warningsOf(broker, CANNOT_BE_READ).length, 1)
      await (stop === 'clean' ? broker.stop() : sim.kill(broker.process))
    }
  })

inSim("the end of Kafka's metadata goes after the takeover: what is known holds", async (sim) => {
  await putGuest(sim, 'kafka-4.3')
  await closeCleanly(sim)
  const before = await startGuest(sim)
  assert.deepEqual(warningsOf(before, CANNOT_BE_READ), [])
  const values = [{ name: 'retention.ms', value: '-1' }]
  await before.running.broker.metadata.replaceConfigs({ kind: 'topic', name: 'plain' }, values, false)
  const left = await leftAfterAWhile(sim, before)
  await before.stop()
  const file = sim.start().world.disk.open(`${DIRECTORY}/00000000000000000000.log`, 'update')
  await truncateFile(file, LATE.at)
  file.close()
  const broker = await startGuest(sim)
  assert.deepEqual(overridesOf(broker, 'plain'), { 'retention.ms': '-1' })
  assert.deepEqual(overridesOf(broker, 'forever'), { 'retention.ms': '-1' })
  assert.deepEqual(await leftAfterAWhile(sim, broker), left)
  assert.equal(warningsOf(broker, CANNOT_BE_READ).length, 1)
  await broker.stop()
})
