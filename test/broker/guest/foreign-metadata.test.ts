import assert from 'node:assert/strict'
import { removePath, syncDirectory, writeAt } from '../../../src/log/files/disk-calls.ts'
import type { Disk } from '../../../src/ports.ts'
import type { SimBroker } from '../../api/sim-broker.ts'
import { putGolden } from '../../log/directory/cluster-metadata-golden.ts'
import type { SimWorld } from '../../simulator/sim-world.ts'
import {
  DATA,
  inSim,
  leftAfterAWhile,
  namesIn,
  putGuest,
  putPartition,
  startGuest,
  warningsOf,
} from './guest-fixture.ts'

const WHOLE = '0..12 whole'
const ALL_LEFT = {
  'compacted-0': WHOLE,
  'forever-0': WHOLE,
  'forever-1': WHOLE,
  'forever-2': WHOLE,
  'plain-0': WHOLE,
}
const FORMATTED_ANEW = (name: string, bytes: Buffer): Buffer | null =>
  name.endsWith('.log') ? bytes.subarray(0, 0) : bytes

async function putMeta(disk: Disk, logDir: string, clusterId: string): Promise<void> {
  const file = disk.open(`${logDir}/meta.properties`, 'replace')
  await writeAt(file, 0, [Buffer.from(`version=1\ncluster.id=${clusterId}\nnode.id=1\n`)], true)
  file.close()
  await syncDirectory(disk, logDir)
}

async function expectHeld(sim: SimWorld, broker: SimBroker): Promise<void> {
  assert.deepEqual(await leftAfterAWhile(sim, broker), ALL_LEFT)
  assert.equal(namesIn(broker, /-stray$/).length, 0)
}

inSim('metadata of another cluster says nothing about what lies here', async (sim) => {
  await putGuest(sim, 'kafka-4.3', () => null)
  const { disk } = sim.start().world
  await putMeta(disk, DATA, 'ours')
  // It knows other topics, and one of the same name under another id.
  await putGolden(disk, 'kafka-3.3', '/elsewhere')
  await putMeta(disk, '/elsewhere', 'theirs')
  for (const _ of ['first', 'second']) {
    const broker = await startGuest(sim, { 'metadata.log.dir': '/elsewhere' })
    await expectHeld(sim, broker)
    assert.equal(warningsOf(broker, /own metadata cannot be read/).length, 1)
    await broker.stop()
  }
})

inSim('metadata that was formatted anew says nothing about what lies here', async (sim) => {
  await putGuest(sim, 'kafka-4.3', FORMATTED_ANEW)
  const broker = await startGuest(sim)
  await expectHeld(sim, broker)
  assert.equal(warningsOf(broker, /nobody knows the topic's configuration: .*/).length, 3)
  await broker.stop()
})

inSim('what was set aside comes back with the metadata that knows it', async (sim) => {
  const image = await putGuest(sim, 'kafka-4.3')
  const { disk } = sim.start().world
  const idOf = (topic: string): string =>
    [...image.topicsById.values()].find(({ name }) => name === topic)!.topicId
  for (const [name, topicId] of [
    ['forever-1', idOf('forever')],
    ['forever-9', idOf('forever')],
  ] as const) {
    await removePath(disk, `${DATA}/${name}`)
    await putPartition(disk, name, topicId)
    disk.rename(`${DATA}/${name}`, `${DATA}/${name}.${'5'.repeat(32)}-stray`)
    await syncDirectory(disk, DATA)
  }
  const broker = await startGuest(sim)
  assert.equal(broker.running.broker.logs.get('forever', 1)?.logEndOffset, 12)
  assert.deepEqual(namesIn(broker, /-stray$/), [`forever-9.${'5'.repeat(32)}-stray`])
  await broker.stop()
})

inSim('a metadata.log.dir without metadata is told of', async (sim) => {
  await putGuest(sim, 'kafka-4.3')
  const broker = await startGuest(sim, { 'metadata.log.dir': '/elsewere' })
  assert.equal(warningsOf(broker, /metadata\.log\.dir/).length, 1)
  await broker.stop()
})
