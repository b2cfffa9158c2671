import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../protocol/errors.ts'
import { parseBrokerConfig } from '../../src/core/config/broker-config.ts'
import type { RunningBroker } from '../../src/server/start-broker.ts'
import { startBroker } from '../../src/server/start-broker.ts'
import { openEmbeddedStore } from '../../src/system/store/embedded-store.ts'
import { makeBatch } from '../log/log-fixture.ts'
import { SimWorld } from '../simulator/sim-world.ts'
import type { SimProcess } from '../simulator/sim-machine.ts'

const PARTITIONS = 4

function start(process: SimProcess): Promise<RunningBroker> {
  const values = new Map([
    ['listeners', 'PLAINTEXT://127.0.0.1:9092'],
    ['log.dirs', '/data/one,/data/two'],
    ['log.flush.interval.messages', '1'],
  ])
  const { config } = parseBrokerConfig([{ source: 'STATIC_BROKER_CONFIG', origin: 'test', values }])
  return startBroker(process.world, config, (path) => openEmbeddedStore(process.world, path))
}

/** What the client of a produce request would be told. */
function append({ broker }: RunningBroker, topic: string, index: number): Promise<number> {
  const partition = broker.partitions.get(topic, index)
  assert(partition !== undefined, `${topic}-${index} is unknown`)
  return new Promise((resolve) => {
    const { errorCode, lastOffset } = partition.append(makeBatch())
    if (errorCode !== ErrorCode.NONE) resolve(errorCode)
    else partition.awaitAppended(lastOffset + 1, { appendSettled: (_tag, code) => resolve(code) }, 0)
  })
}

test('a broker starts without a log directory that is dead, and with it again', async () => {
  const sim = new SimWorld(3)
  await sim.run(async () => {
    const first = await start(sim.start())
    await first.createTopics([{ name: 't', partitions: PARTITIONS }])
    const places: string[] = []
    for (let index = 0; index < PARTITIONS; index++) {
      assert.equal(await append(first, 't', index), 0)
      places.push(first.broker.partitions.get('t', index)!.log.directory)
    }
    const isDead = (index: number): boolean => places[index]!.startsWith('/data/two/')
    assert.equal(places.filter((_, index) => isDead(index)).length, PARTITIONS / 2)
    await first.stop()

    sim.faults.add({ operation: 'read', code: 'EIO', path: /^\/data\/two\/meta\.properties$/ })
    const second = await start(sim.start())
    for (let index = 0; index < PARTITIONS; index++) {
      assert.equal(await append(second, 't', index), isDead(index) ? ErrorCode.KAFKA_STORAGE_ERROR : 0)
      const expected = isDead(index) ? ErrorCode.KAFKA_STORAGE_ERROR : ErrorCode.NONE
      assert.equal(second.broker.partitions.get('t', index)!.errorCode, expected)
    }
    await second.createTopics([{ name: 'new', partitions: PARTITIONS }])
    for (let index = 0; index < PARTITIONS; index++) assert.equal(await append(second, 'new', index), 0)
    await second.stop()

    // Nothing was made in place of what lies in the directory.
    sim.faults.clear()
    const third = await start(sim.start())
    for (let index = 0; index < PARTITIONS; index++) {
      const { log } = third.broker.partitions.get('t', index)!
      assert.equal(log.directory, places[index])
      assert.equal(log.logEndOffset, isDead(index) ? 1 : 2)
      assert.equal(log.recovery?.unclean ?? false, false)
    }
    await third.stop()
  })
})
