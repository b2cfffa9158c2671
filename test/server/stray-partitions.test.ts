import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseBrokerConfig } from '../../src/core/config/broker-config.ts'
import { startBroker } from '../../src/server/start-broker.ts'
import type { RunningBroker } from '../../src/server/start-broker.ts'
import { openEmbeddedStore } from '../../src/system/store/embedded-store.ts'
import { makeBatch } from '../log/log-fixture.ts'
import { SimWorld } from '../simulator/sim-world.ts'
import type { SimProcess } from '../simulator/sim-machine.ts'

const DIRECTORIES = ['/data/one', '/data/two']
const TOPIC = 'orders'

function start(process: SimProcess, directories: readonly string[] = DIRECTORIES): Promise<RunningBroker> {
  const values = new Map([
    ['listeners', 'PLAINTEXT://127.0.0.1:9092'],
    ['log.dirs', directories.join()],
    ['log.flush.interval.messages', '1'],
  ])
  const { config } = parseBrokerConfig([{ source: 'STATIC_BROKER_CONFIG', origin: 'test', values }])
  return startBroker(process.world, config, (path) => openEmbeddedStore(process.world, path))
}

async function append({ broker }: RunningBroker, index: number): Promise<void> {
  const partition = broker.partitions.get(TOPIC, index)!
  const { errorCode, lastOffset } = partition.append(makeBatch())
  assert.equal(errorCode, 0)
  await new Promise<void>((resolve) =>
    partition.awaitAppended(lastOffset + 1, { appendSettled: () => resolve() }, 0),
  )
}

function namesOf(process: SimProcess, pattern: RegExp): string[] {
  return DIRECTORIES.flatMap((path) => process.world.disk.list(path)).filter((name) => pattern.test(name))
}

/** A broker whose second directory died with records in it, and lives on without. */
async function withDeadDirectory(
  sim: SimWorld,
  body: (running: RunningBroker) => Promise<void>,
): Promise<void> {
  const process = sim.start()
  const running = await start(process)
  await running.createTopics([{ name: TOPIC, partitions: 2 }])
  for (const index of [0, 1]) await append(running, index)
  sim.faults.add({ operation: 'write', code: 'EIO', path: /^\/data\/two/ })
  for (const index of [0, 1]) await append(running, index)
  await body(running)
  await running.stop()
  sim.faults.clear()
}

test('a topic is deleted and made again while a directory is dead: repaired, it has strays, and the broker starts', async () => {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    await withDeadDirectory(sim, async (running) => {
      assert.equal((await running.broker.metadata.deleteTopic(TOPIC)).errorCode, 0)
      await running.createTopics([{ name: TOPIC, partitions: 2 }])
      for (const index of [0, 1]) await append(running, index)
    })
    for (let starts = 0; starts < 2; starts++) {
      const process = sim.start()
      const running = await start(process)
      for (const index of [0, 1]) assert.equal(running.broker.logs.get(TOPIC, index)?.logEndOffset, 1)
      const warnings = process.logger.messages('warn').filter((message) => message.includes('stray'))
      assert.equal(warnings.length, starts === 0 ? 1 : 0)
      const strays = namesOf(process, /-stray$/)
      assert.equal(strays.length, 1)
      assert(process.world.disk.readFile(`/data/two/${strays[0]}/00000000000000000000.log`).length > 0)
      await running.stop()
    }
  })
})

test('a topic that was deleted while its directory was dead does not come back', async () => {
  const sim = new SimWorld(2)
  await sim.run(async () => {
    await withDeadDirectory(sim, async (running) => {
      assert.equal((await running.broker.metadata.deleteTopic(TOPIC)).errorCode, 0)
    })
    const process = sim.start()
    const running = await start(process)
    assert(!running.broker.metadata.topics.has(TOPIC))
    assert.equal(namesOf(process, /-stray$/).length, 1)
    await running.stop()
  })
})

test('the metadata is lost: what lies in the directories is taken over, as what Apache Kafka wrote', async () => {
  const sim = new SimWorld(3)
  await sim.run(async () => {
    const process = sim.start()
    const running = await start(process)
    await running.createTopics([{ name: TOPIC, partitions: 2 }])
    for (const index of [0, 1]) await append(running, index)
    await running.stop()
    const { disk } = process.world
    for (const name of disk.list('/data/one').filter((file) => file.startsWith('samsa-metadata')))
      await new Promise((done) => disk.remove(`/data/one/${name}`, done))
    const again = await start(sim.start())
    for (const index of [0, 1]) assert.equal(again.broker.logs.get(TOPIC, index)?.logEndOffset, 1)
    await again.stop()
  })
})

test('a directory is none of log.dirs any more: what lay there is told of, and is whole when it is back', async () => {
  const sim = new SimWorld(4)
  await sim.run(async () => {
    const running = await start(sim.start())
    await running.createTopics([{ name: TOPIC, partitions: 2 }])
    for (const index of [0, 1]) await append(running, index)
    await running.stop()
    const process = sim.start()
    const less = await start(process, ['/data/one'])
    const told = process.logger.lines.filter(({ message }) => message.includes('is none of log.dirs'))
    assert.equal(told.length, 1)
    assert.equal((told[0]!.fields['names'] as readonly string[]).length, 1)
    await less.stop()
    const back = await start(sim.start())
    for (const index of [0, 1]) assert.equal(back.broker.logs.get(TOPIC, index)?.logEndOffset, 1)
    await back.stop()
  })
})
