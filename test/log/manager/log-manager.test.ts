import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LogManager } from '../../../src/log/manager/log-manager.ts'
import { seedsFromEnvironment } from '../../simulator/sim-random.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import {
  batchOf,
  CLUSTER,
  durable,
  logConfig,
  options,
  OTHER_TOPIC_ID,
  partitionOf,
  readAll,
  startManager,
  TOPIC_ID,
} from './log-manager-fixture.ts'
import { finished } from '../../support/steps.ts'

const two = { logDirs: ['/data/one', '/data/two'] }

async function simulate(
  seed: number,
  body: (sim: SimWorld) => Promise<void>,
  capacityBytes?: number,
): Promise<void> {
  const sim = new SimWorld(seed, capacityBytes === undefined ? {} : { capacityBytes })
  await sim.run(() => body(sim))
}

function now(sim: SimWorld): number {
  return sim.start().world.clock.nowMs()
}

test('a fresh directory is made, claimed and locked; a clean stop leaves the marker', async () => {
  await simulate(1, async (sim) => {
    const process = sim.start()
    const manager = await startManager(process)
    const { disk } = process.world
    assert.match(disk.readFile('/data/one/meta.properties').toString(), /^cluster\.id=cluster-of-the-tests$/m)
    assert.equal(manager.cleanShutdownEpoch, -1)
    await assert.rejects(LogManager.open(sim.start().world, options), { code: 'SAMSA_DATA_DIR_LOCKED' })
    await manager.close(true)
    assert.equal(
      disk.readFile('/data/one/.kafka_cleanshutdown').toString(),
      '{"version":0,"brokerEpoch":5}\n',
    )
    const next = sim.start()
    const again = await LogManager.open(next.world, options)
    assert.equal(again.cleanShutdownEpoch, 5)
    assert.equal(again.clusterId, CLUSTER)
    await again.load(CLUSTER, 6, () => 'deleted')
    assert(!next.world.disk.exists('/data/one/.kafka_cleanshutdown'))
    await again.close(false)
    assert(!next.world.disk.exists('/data/one/.kafka_cleanshutdown'))
  })
})

test('a directory of another node or cluster is refused and unlocked', async () => {
  await simulate(1, async (sim) => {
    const first = await startManager(sim.start(), { logDirs: ['/data/one'] })
    await first.close(true)
    await assert.rejects(LogManager.open(sim.start().world, { ...options, nodeId: 2 }), {
      code: 'SAMSA_CONFIG',
      message: /^broker\.id=2: log directory \/data\/one belongs to broker 1/,
    })
    const second = await LogManager.open(sim.start().world, { ...options, logDirs: ['/data/two'] })
    await second.load('another', 1, () => 'deleted')
    await second.close(true)
    await assert.rejects(LogManager.open(sim.start().world, { ...options, ...two }), {
      code: 'SAMSA_CONFIG',
      message: /different clusters/,
    })
    await (await startManager(sim.start())).close(true)
  })
})

test('partitions are spread over the directories and found again', async () => {
  await simulate(2, async (sim) => {
    const manager = await startManager(sim.start(), two)
    await Promise.all(
      Array.from({ length: 40 }, (_, index) => manager.getOrCreate('many', index, TOPIC_ID, logConfig())),
    )
    const described = finished(manager.describe(null))
    assert.deepEqual(
      described.map(({ topics }) => topics[0]?.partitions.length),
      [20, 20],
    )
    const some = finished(manager.describe(new Map([['many', new Set([3, 99])]])))
    assert.equal(some.flatMap(({ topics }) => topics.flatMap(({ partitions }) => partitions)).length, 1)
    await manager.close(true)
    const seen: string[] = []
    const again = await LogManager.open(sim.start().world, { ...options, ...two })
    await again.load(CLUSTER, 2, (topic, partition, topicId) => {
      seen.push(`${topic}-${partition} ${topicId}`)
      return logConfig()
    })
    assert.equal(seen.length, 40)
    assert(seen.includes(`many-7 ${TOPIC_ID}`))
    assert.equal([...again.logs()].length, 40)
    assert.equal(again.get('many', 7)?.topicId, TOPIC_ID)
  })
})

test('who asks for one partition at the same time gets the same log', async () => {
  await simulate(3, async (sim) => {
    const manager = await startManager(sim.start())
    const logs = await Promise.all([1, 2, 3].map(() => manager.getOrCreate('t', 0, TOPIC_ID, durable)))
    assert.equal(new Set(logs).size, 1)
  })
})

test('the clean marker never comes back once a record was taken', async () => {
  for (const seed of seedsFromEnvironment(1, 100)) {
    await simulate(seed, async (sim) => {
      const first = await startManager(sim.start())
      const { log: made } = await partitionOf(first)
      await new Promise((done) => made.flush(done))
      await first.close(true)
      const process = sim.start()
      const manager = await startManager(process)
      const partition = await partitionOf(manager)
      const appended = sim.random.chance(0.5)
      if (appended) assert.equal(await partition.append(batchOf([['k', 'v']], now(sim))), 0)
      await sim.powerLoss(process)
      const next = sim.start()
      const again = await LogManager.open(next.world, options)
      assert.equal(again.cleanShutdownEpoch, -1)
      await again.load(CLUSTER, 9, () => durable)
      const log = again.get('t', 0)
      assert(log !== undefined)
      assert.deepEqual(await readAll(log), appended ? [[0, 'k', 'v']] : [])
    })
  }
})

test('acknowledged records survive kills, power losses and clean stops in any order', async () => {
  for (const seed of seedsFromEnvironment(1000, 60)) {
    await simulate(seed, async (sim) => {
      const acknowledged = new Map<string, number>()
      const config = logConfig({ flushMessages: 1, segmentBytes: 700, fileDeleteDelayMs: 10 })
      for (let life = 0; life < 4; life++) {
        const process = sim.start()
        const manager = await startManager(process, two, config)
        for (const name of ['a', 'b']) {
          const partition = await partitionOf(manager, name, 0, config)
          const values = new Set(
            (await readAll(partition.log)).map(([offset, , value]) => `${offset}:${value}`),
          )
          for (const [value, offset] of acknowledged)
            if (value.startsWith(name))
              assert(values.has(`${offset}:${value}`), `${value} at ${offset} is lost`)
          void (async () => {
            for (let i = 0; i < 12; i++) {
              const value = `${name}${life}-${i}${'.'.repeat(sim.random.below(200))}`
              const offset = await partition.append(batchOf([['k', value]], process.world.clock.nowMs()))
              if (process.alive && offset >= 0) acknowledged.set(value, offset)
            }
          })()
        }
        await sim.sleep(sim.random.fraction() * 60)
        const end = sim.random.pick(['kill', 'power', 'stop'])
        if (end === 'kill') await sim.kill(process)
        else if (end === 'power') await sim.powerLoss(process)
        else {
          const closing = manager.close(true)
          if (sim.random.chance(0.5)) await closing
          else await sim.sleep(sim.random.fraction() * 20)
          await sim.powerLoss(process)
        }
      }
    })
  }
})

test('a deleted partition is gone at once and after a power loss; its name starts over', async () => {
  for (const seed of seedsFromEnvironment(1, 60)) {
    await simulate(seed, async (sim) => {
      const process = sim.start()
      const manager = await startManager(process, {}, logConfig({ fileDeleteDelayMs: 1000 }))
      const partition = await partitionOf(manager, 't', 0, durable)
      for (let i = 0; i < 5; i++) await partition.append(batchOf([['k', `old-${i}`]], now(sim)))
      partition.log.deleteRecordsBefore(3)
      await manager.checkpointLogStartOffsets()
      await manager.delete('t', 0)
      assert.equal(manager.get('t', 0), undefined)
      const away = process.world.disk.list('/data/one').filter((name) => name.endsWith('-delete'))
      assert.match(away[0] ?? '', /^t-0\.[0-9a-f]{32}-delete$/)
      const fresh = await partitionOf(manager, 't', 0, durable, OTHER_TOPIC_ID)
      assert.equal(fresh.log.logEndOffset, 0)
      for (let i = 0; i < 6; i++) await fresh.append(batchOf([['k', `new-${i}`]], now(sim)))
      await sim.powerLoss(process)
      const next = sim.start()
      const again = await startManager(next)
      await sim.sleep(1000)
      assert.deepEqual(
        next.world.disk.list('/data/one').filter((name) => name.endsWith('-delete')),
        [],
      )
      const log = again.get('t', 0)
      assert(log !== undefined)
      assert.equal(log.topicId, OTHER_TOPIC_ID)
      const found = (await readAll(log)).map(([, , value]) => value)
      assert.deepEqual(found, ['new-0', 'new-1', 'new-2', 'new-3', 'new-4', 'new-5'])
    })
  }
})

test('what a checkpoint says of a partition that went at the start is not believed of a later one', async () => {
  for (const seed of seedsFromEnvironment(1, 40)) {
    await simulate(seed, async (sim) => {
      const first = await startManager(sim.start())
      const partition = await partitionOf(first)
      for (let i = 0; i < 5; i++) await partition.append(batchOf([['k', `old-${i}`]], now(sim)))
      partition.log.deleteRecordsBefore(3)
      await first.close(true)
      const process = sim.start()
      const second = await LogManager.open(process.world, options)
      await second.load(CLUSTER, 2, () => 'deleted')
      const fresh = await partitionOf(second, 't', 0, durable, OTHER_TOPIC_ID)
      for (let i = 0; i < 6; i++) await fresh.append(batchOf([['k', `new-${i}`]], now(sim)))
      await sim.powerLoss(process)
      const log = (await startManager(sim.start())).get('t', 0)
      assert(log !== undefined)
      assert.equal(log.logStartOffset, 0)
      assert.equal((await readAll(log)).length, 6)
    })
  }
})

test('a clean start writes nothing that did not change', async () => {
  await simulate(12, async (sim) => {
    const first = await startManager(sim.start())
    for (const topic of ['b', 'a'])
      await (await partitionOf(first, topic)).append(batchOf([['k', 'v']], now(sim)))
    await first.close(true)
    const process = sim.start()
    await startManager(process)
    assert.equal(process.disk.counts['write'] ?? 0, 0)
    assert.equal(process.disk.counts['sync'] ?? 0, 0)
  })
})

test('a partition of another topic id under the name is replaced', async () => {
  await simulate(4, async (sim) => {
    const manager = await startManager(sim.start())
    const old = await partitionOf(manager)
    await old.append(batchOf([['k', 'v']], now(sim)))
    const log = await manager.getOrCreate('t', 0, OTHER_TOPIC_ID, durable)
    assert.equal(log.topicId, OTHER_TOPIC_ID)
    assert.equal(log.logEndOffset, 0)
  })
})

test('the files of a deleted partition go after the delay', async () => {
  await simulate(5, async (sim) => {
    const process = sim.start()
    const manager = await startManager(process)
    await partitionOf(manager, 't', 0, logConfig({ fileDeleteDelayMs: 30_000 }))
    await manager.delete('t', 0)
    await manager.delete('t', 0)
    const left = () => process.world.disk.list('/data/one').filter((name) => name.endsWith('-delete')).length
    await sim.sleep(29_000)
    assert.equal(left(), 1)
    await sim.sleep(2000)
    assert.equal(left(), 0)
  })
})

test('what the caller does not admit is deleted; other directories are left alone', async () => {
  await simulate(6, async (sim) => {
    const process = sim.start()
    const manager = await startManager(process)
    await partitionOf(manager, 'stay')
    await partitionOf(manager, 'go')
    for (const name of ['__cluster_metadata-0', 'lost+found', 'odd-name-01', 'x-1-future'])
      process.world.disk.makeDirectory(`/data/one/${name}`)
    await manager.close(true)
    const next = sim.start()
    const again = await LogManager.open(next.world, options)
    const asked: string[] = []
    await again.load(CLUSTER, 2, (topic) => {
      asked.push(topic)
      return topic === 'stay' ? durable : 'deleted'
    })
    await sim.sleep(100_000)
    assert.deepEqual(asked.sort(), ['go', 'stay'])
    const names = next.world.disk.list('/data/one').filter((name) => !name.includes('checkpoint'))
    assert.deepEqual(names.sort(), [
      '.lock',
      '__cluster_metadata-0',
      'lost+found',
      'meta.properties',
      'odd-name-01',
      'samsa-clean-stop',
      'stay-0',
      'x-1-future',
    ])
  })
})

test('one partition in two directories is offline, untouched, until one of them is taken away; others serve', async () => {
  await simulate(7, async (sim) => {
    const process = sim.start()
    const manager = await startManager(process, two)
    const partition = await partitionOf(manager)
    for (let i = 0; i < 5; i++) await partition.append(batchOf([['k', `${i}`]], now(sim)))
    partition.log.deleteRecordsBefore(3)
    const other = await partitionOf(manager, 'other')
    await other.append(batchOf([['k', 'v']], now(sim)))
    await manager.close(true)
    const [home, away] = partition.log.directory.startsWith('/data/one')
      ? two.logDirs
      : two.logDirs.toReversed()
    const { disk } = process.world
    disk.makeDirectory(`${away}/t-0`)
    const before = disk.list(`${home}/t-0`)
    for (let start = 0; start < 2; start++) {
      const next = sim.start()
      const again = await startManager(next, two)
      assert.equal(again.get('t', 0), undefined)
      assert.equal(again.get('other', 0)?.logEndOffset, 1)
      await assert.rejects(again.getOrCreate('t', 0, TOPIC_ID, durable), { code: 'SAMSA_LOG_CORRUPT' })
      assert.deepEqual(next.logger.messages('error'), ['partition is in two log directories'])
      await again.close(true)
    }
    assert.deepEqual([disk.list(`${home}/t-0`), disk.list(`${away}/t-0`)], [before, []])
    disk.rename(`${away}/t-0`, `${away}/not-it`)
    const log = (await startManager(sim.start(), two)).get('t', 0)
    assert.deepEqual([log?.logStartOffset, log?.logEndOffset], [3, 5])
  })
})

test('a partition made anew while its directory was none of log.dirs gives way when that is back, if nothing was written to it', async () => {
  for (const isWritten of [false, true])
    await simulate(7, async (sim) => {
      const manager = await startManager(sim.start(), two)
      const partition = await partitionOf(manager)
      for (let i = 0; i < 5; i++) await partition.append(batchOf([['k', `${i}`]], now(sim)))
      const home = two.logDirs.find((path) => partition.log.directory.startsWith(path))!
      await manager.close(true)
      const rest = two.logDirs.filter((path) => path !== home)
      const less = await startManager(sim.start(), { logDirs: rest })
      const anew = await partitionOf(less)
      assert.equal(anew.log.logEndOffset, 0)
      if (isWritten) await anew.append(batchOf([['k', 'other']], now(sim)))
      await less.close(true)
      const process = sim.start()
      const back = await startManager(process, two)
      assert.equal(back.get('t', 0)?.logEndOffset, isWritten ? undefined : 5)
      assert.deepEqual(
        process.logger.messages('error'),
        isWritten ? ['partition is in two log directories'] : [],
      )
      await sim.sleep(1000)
      const places = two.logDirs.filter((path) => process.world.disk.exists(`${path}/t-0`))
      assert.deepEqual(places, isWritten ? two.logDirs : [home])
      await back.close(true)
    })
})

test('a partition that cannot be opened goes with its topic', async () => {
  await simulate(7, async (sim) => {
    const process = sim.start()
    for (const path of two.logDirs) process.world.disk.makeDirectory(`${path}/t-0`)
    const manager = await startManager(process, two)
    await manager.delete('t', 0)
    const log = await manager.getOrCreate('t', 0, OTHER_TOPIC_ID, durable)
    assert.equal(log.topicId, OTHER_TOPIC_ID)
    await sim.sleep(1000)
    const left = two.logDirs
      .flatMap((path) => process.world.disk.list(path))
      .filter((name) => name.startsWith('t-'))
    assert.deepEqual(left, ['t-0'])
  })
})

test('a stray keeps its records under the name that Kafka gives it, however long the topic is called', async () => {
  await simulate(7, async (sim) => {
    const topic = 'x'.repeat(249)
    const process = sim.start()
    const manager = await startManager(process)
    await (await partitionOf(manager, topic, 12)).append(batchOf([['k', 'v']], now(sim)))
    await manager.close(true)
    for (let start = 0; start < 2; start++) {
      const next = sim.start()
      const again = await LogManager.open(next.world, options)
      await again.load(CLUSTER, 2, () => 'stray')
      assert.equal(next.logger.messages('warn').length, start === 0 ? 1 : 0)
      await sim.sleep(100_000)
      await again.close(true)
    }
    const [stray, ...more] = process.world.disk.list('/data/one').filter((name) => name.startsWith('xx'))
    assert.match(stray ?? '', /^x{200,249}-12\.[0-9a-f]{32}-stray$/)
    assert.deepEqual(more, [])
    assert(stray!.length <= 255)
    assert(process.world.disk.readFile(`/data/one/${stray}/00000000000000000000.log`).length > 0)
  })
})

test('a directory that fails takes its logs along, the others live, the last one ends the broker', async () => {
  await simulate(8, async (sim) => {
    const ended: string[] = []
    const process = sim.start()
    const manager = await startManager(process, {
      ...two,
      onAllDirectoriesFailed: (error) => ended.push(error.code),
    })
    const partitions = []
    for (let index = 0; index < 4; index++) partitions.push(await partitionOf(manager, 't', index))
    const inOne = partitions.filter(({ log }) => log.directory.startsWith('/data/one/'))
    const inTwo = partitions.filter(({ log }) => log.directory.startsWith('/data/two/'))
    assert.deepEqual([inOne.length, inTwo.length], [2, 2])
    sim.faults.add({ operation: 'write', code: 'EIO', path: /^\/data\/one\/t-/, count: 1 })
    assert.equal(await inOne[0]?.append(batchOf([['k', 'v']], now(sim))), -1)
    await sim.sleep(100)
    assert(inOne.every((partition) => partition.hasFailed && partition.log.failed))
    assert(inTwo.every((partition) => !partition.hasFailed))
    assert.equal(await inTwo[0]?.append(batchOf([['k', 'v']], now(sim))), 0)
    assert.deepEqual(
      finished(manager.describe(null)).map(({ errorCode }) => errorCode),
      [56, 0],
    )
    assert.deepEqual(ended, [])
    await assert.rejects(manager.getOrCreate('u', 0, TOPIC_ID, durable), { code: 'SAMSA_DISK_IO' })
    const fresh = await manager.getOrCreate('u', 0, TOPIC_ID, durable, true)
    assert(fresh.directory.startsWith('/data/two/'))
    sim.faults.add({ operation: 'write', code: 'EIO', path: /^\/data\/two\/t-/, count: 1 })
    assert.equal(await inTwo[1]?.append(batchOf([['k', 'v']], now(sim))), -1)
    await sim.sleep(100)
    assert.deepEqual(ended, ['SAMSA_DISK_IO'])
    await manager.close(true)
    for (const path of two.logDirs) assert(!process.world.disk.exists(`${path}/.kafka_cleanshutdown`))
  })
})

test('flush.ms bounds what a power loss takes', async () => {
  for (const seed of seedsFromEnvironment(1, 30)) {
    await simulate(seed, async (sim) => {
      const process = sim.start()
      const manager = await startManager(process)
      const partition = await partitionOf(manager, 't', 0, logConfig({ flushMs: 1000 }))
      await partition.append(batchOf([['k', 'first']], now(sim)))
      assert.equal(partition.log.durableEndOffset, 0)
      await sim.sleep(1500)
      assert.equal(partition.log.durableEndOffset, 1)
      await partition.append(batchOf([['k', 'second']], now(sim)))
      manager.updateConfig('t', 0, logConfig({ flushMs: 100 }))
      await sim.sleep(500)
      assert.equal(partition.log.durableEndOffset, 2)
      await sim.powerLoss(process)
      const log = (await startManager(sim.start())).get('t', 0)
      assert(log !== undefined)
      assert.deepEqual(
        (await readAll(log)).map(([, , value]) => value),
        ['first', 'second'],
      )
    })
  }
})

test('DeleteRecords holds over a crash once the start offsets are checkpointed', async () => {
  for (const seed of seedsFromEnvironment(1, 30)) {
    await simulate(seed, async (sim) => {
      const process = sim.start()
      const manager = await startManager(process)
      const partition = await partitionOf(manager)
      for (let i = 0; i < 5; i++) await partition.append(batchOf([['k', `${i}`]], now(sim)))
      partition.log.deleteRecordsBefore(3)
      await manager.checkpointLogStartOffsets()
      assert.equal(
        process.world.disk.readFile('/data/one/log-start-offset-checkpoint').toString(),
        '0\n1\nt 0 3\n',
      )
      await sim.powerLoss(process)
      const log = (await startManager(sim.start())).get('t', 0)
      assert.equal(log?.logStartOffset, 3)
      assert.equal(log.logEndOffset, 5)
    })
  }
})

test('housekeeping applies retention and writes checkpoints', async () => {
  await simulate(9, async (sim) => {
    const process = sim.start()
    const manager = await startManager(process)
    const config = logConfig({
      flushMessages: 1,
      segmentBytes: 300,
      retentionBytes: 600,
      fileDeleteDelayMs: 1,
    })
    const partition = await partitionOf(manager, 't', 0, config)
    for (let i = 0; i < 20; i++) await partition.append(batchOf([['k', `${i}`.padEnd(80)]], now(sim)))
    await sim.sleep(61_000)
    const { disk } = process.world
    assert.match(
      disk.readFile('/data/one/recovery-point-offset-checkpoint').toString(),
      /^0\n1\nt 0 (1[0-9]|20)\n$/,
    )
    assert.equal(disk.readFile('/data/one/replication-offset-checkpoint').toString(), '0\n1\nt 0 20\n')
    assert.equal(partition.log.logStartOffset, 0)
    const before = partition.log.sizeBytes
    await sim.sleep(300_000)
    assert(partition.log.logStartOffset > 10)
    assert(partition.log.sizeBytes < before / 2)
  })
})

test('a full volume refuses records before it is full, and takes them again', async () => {
  await simulate(
    10,
    async (sim) => {
      const process = sim.start()
      const manager = await startManager(process, { minFreeBytes: 50_000 })
      const { log } = await partitionOf(manager)
      await sim.sleep(1500)
      assert(!manager.refusesRecords(log.directory))
      const ballast = process.world.disk.open('/ballast', 'create')
      await new Promise((done) => ballast.write(0, [Buffer.alloc(80_000)], false, done))
      await sim.sleep(1500)
      assert(manager.refusesRecords(log.directory))
      await new Promise((done) => ballast.truncate(0, done))
      await sim.sleep(1500)
      assert(!manager.refusesRecords(log.directory))
    },
    100_000,
  )
})

test('damaged checkpoints cost a scan, nothing else', async () => {
  await simulate(11, async (sim) => {
    const process = sim.start()
    const manager = await startManager(process)
    const partition = await partitionOf(manager)
    await partition.append(batchOf([['k', 'v']], now(sim)))
    await manager.close(true)
    for (const name of ['recovery-point-offset-checkpoint', 'replication-offset-checkpoint'])
      sim.image.flipBit(`/data/one/${name}`, 0, 6)
    const next = sim.start()
    const log = (await startManager(next)).get('t', 0)
    assert(log !== undefined)
    assert.deepEqual(await readAll(log), [[0, 'k', 'v']])
    assert(next.logger.messages('warn').includes('unreadable checkpoint ignored'))
  })
})
