import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../../protocol/errors.ts'
import { buildControlBatch } from '../../../protocol/records/record-builder.ts'
import { makeBatch } from '../../log/log-fixture.ts'
import { seedsFromEnvironment } from '../../simulator/sim-random.ts'
import { ReplicaWorld } from './replica-world.ts'

const SEEDS = seedsFromEnvironment(1, 10)

async function appendMany(world: ReplicaWorld, topic: string, count: number, index = 0): Promise<void> {
  const codes = await Promise.all(
    Array.from({ length: count }, (_, i) => world.append(topic, makeBatch(1 + (i % 3), 10 + i), index)),
  )
  assert.deepEqual(new Set(codes), new Set([ErrorCode.NONE]))
}

/** Without a controller that sees to it: nobody else is waited for. */
async function appendHere(world: ReplicaWorld, id: number, topic: string, count: number): Promise<void> {
  const partition = world.partition(id, topic)
  const before = partition.log.logEndOffset
  for (let i = 0; i < count; i++) assert.equal(partition.append(makeBatch(1, 20 + i)).errorCode, 0)
  await world.until('written', () => partition.log.writtenEndOffset === before + count)
}

test('records reach all replicas, and are acknowledged when they have', async () => {
  for (const seed of SEEDS)
    await ReplicaWorld.run(seed, async (world) => {
      await world.createTopic('t')
      await appendMany(world, 't', 50)
      for (const id of [1, 2, 3]) assert.equal(world.partition(id, 't').log.writtenEndOffset, 99)
      await world.converges('t')
      assert(world.broker(2).said('follows a leader'))
    })
})

test('an acknowledgement takes a write and a round trip for each replica, never a long poll', async () => {
  for (const seed of SEEDS)
    await ReplicaWorld.run(seed, async (world) => {
      // What is idle beside it, and what is busy, on the same connection.
      await world.createTopic('t', 3)
      await appendMany(world, 't', 1, 1)
      await world.converges('t', 1)
      for (let i = 0; i < 20; i++) {
        const beganMs = world.sim.scheduler.nowMs
        await appendMany(world, 't', 1, i % 2)
        const tookMs = world.sim.scheduler.nowMs - beganMs
        assert(tookMs < 100, `${tookMs} ms`)
        if (i % 5 === 0) await world.sim.sleep(700)
      }
    })
})

test('a broker that was away gets all that it missed, and one that comes empty gets all', async () => {
  for (const seed of SEEDS)
    await ReplicaWorld.run(seed, async (world) => {
      await world.createTopic('t', 1, { 'segment.bytes': '2000' })
      await appendMany(world, 't', 20)
      await world.broker(3).kill()
      await world.change('t', 0, { isr: [1, 2] })
      await appendMany(world, 't', 100)
      await world.broker(3).start()
      await world.converges('t')
      await world.until('it is in sync again', () => world.image('t').isr.includes(3))
    })
})

test('a leader that was away cuts what nobody else got', async () => {
  for (const seed of SEEDS)
    await ReplicaWorld.run(seed, async (world) => {
      await world.createTopic('t')
      await appendMany(world, 't', 10)
      await world.converges('t')
      // Nobody hears of what it takes from here on, and then each of them leads for a while (KIP-101, KIP-279).
      for (const leader of [2, 1, 3, 2]) {
        const last = world.image('t').leader
        for (const other of [1, 2, 3].filter((id) => id !== last))
          world.sim.fabric.cut(world.broker(last).machine, world.broker(other).machine)
        await appendHere(world, last, 't', 1 + (seed % 4))
        const elected = world.elect('t', leader, 0, [leader])
        for (const other of [1, 2, 3].filter((id) => id !== last))
          world.sim.fabric.heal(world.broker(last).machine, world.broker(other).machine)
        await elected
        await appendHere(world, leader, 't', 1 + (seed % 3))
      }
      await world.converges('t')
      await world.sim.sleep(1_000)
      assert(world.up.some((id) => world.broker(id).said('the leader has another log from here on')))
    })
})

test('a log that is longer than that of the leader is cut, although nobody knows its epochs', async () => {
  for (const seed of SEEDS)
    await ReplicaWorld.run(seed, async (world) => {
      await world.createTopic('t')
      await appendMany(world, 't', 10)
      await world.converges('t')
      const [one, two, three] = world.brokers.map(({ machine }) => machine)
      for (const other of [two!, three!]) world.sim.fabric.cut(one!, other)
      await appendHere(world, 1, 't', 5)
      world.partition(1, 't').log.epochs.clear()
      await world.elect('t', 2)
      for (const other of [two!, three!]) world.sim.fabric.heal(one!, other)
      await world.converges('t', 0, 'records')
      await appendMany(world, 't', 3)
      await world.converges('t', 0, 'records')
    })
})

test('a leader that keeps no sessions is told of everything each time', async () => {
  for (const seed of SEEDS)
    await ReplicaWorld.run(
      seed,
      async (world) => {
        await world.createTopic('t', 3)
        for (let round = 0; round < 10; round++)
          await Promise.all([0, 1, 2].map((index) => appendMany(world, 't', 2, index)))
        for (const index of [0, 1, 2]) await world.converges('t', index)
      },
      { properties: { 'max.incremental.fetch.session.cache.slots': '0' } },
    )
})

test('idle partitions, whose leaders change and append nothing, stay followed', async () => {
  for (const seed of SEEDS)
    await ReplicaWorld.run(seed, async (world) => {
      await world.createTopic('t')
      await appendMany(world, 't', 3)
      for (const leader of [2, 3, 1, 1, 2]) {
        await world.elect('t', leader)
        await world.sim.sleep(1_500)
      }
      await appendMany(world, 't', 3)
      await world.converges('t')
    })
})

test('connections are reset at any byte', async () => {
  for (const seed of SEEDS)
    await ReplicaWorld.run(
      seed,
      async (world) => {
        await world.createTopic('t', 3)
        world.sim.fabric.resetChance = 0.02
        for (let round = 0; round < 10; round++)
          await Promise.all([0, 1, 2].map((index) => appendMany(world, 't', 5, index)))
        world.sim.fabric.resetChance = 0
        for (const index of [0, 1, 2]) await world.converges('t', index)
      },
      { properties: { 'num.replica.fetchers': '2', 'replica.lag.time.max.ms': '60000' } },
    )
})

test('the leader dies and is there again', async () => {
  for (const seed of SEEDS)
    await ReplicaWorld.run(seed, async (world) => {
      await world.createTopic('t')
      await appendMany(world, 't', 30)
      for (const next of [2, 3, 1]) {
        const { leader } = world.image('t')
        await world.broker(leader).kill()
        await world.elect('t', next)
        await appendMany(world, 't', 10)
        await world.broker(leader).start()
        await appendMany(world, 't', 10)
        await world.until('all are in sync', () => world.image('t').isr.length === 3)
      }
      await world.converges('t')
    })
})

test('where the leader starts, followers start', async () => {
  for (const seed of SEEDS)
    await ReplicaWorld.run(seed, async (world) => {
      await world.createTopic('t', 1, { 'segment.bytes': '1000' })
      await appendMany(world, 't', 60)
      const led = world.partition(1, 't')
      assert.equal(led.deleteRecordsBefore(50), ErrorCode.NONE)
      await world.converges('t')
      assert.equal(world.partition(2, 't').log.logStartOffset, 50)

      // All that it has is gone at the leader when it comes back.
      await world.broker(3).kill()
      await world.change('t', 0, { isr: [1, 2] })
      await appendMany(world, 't', 60)
      assert.equal(led.deleteRecordsBefore(200), ErrorCode.NONE)
      await led.log.applyRetention(0)
      await world.broker(3).start()
      await world.converges('t')
      assert.equal(world.partition(3, 't').log.logStartOffset, 200)
    })
})

test('transactions are known to all replicas', async () => {
  for (const seed of SEEDS)
    await ReplicaWorld.run(seed, async (world) => {
      await world.createTopic('t')
      const producer = { producerId: 7, producerEpoch: 0 }
      const batch = (baseSequence: number): Buffer =>
        makeBatch(2, 10, { ...producer, baseSequence, transactional: true })
      await world.append('t', batch(0))
      await world.append('t', buildControlBatch('ABORT', 0, producer, 1_000))
      await world.append('t', batch(2))
      await world.append('t', buildControlBatch('COMMIT', 0, producer, 1_000))
      await world.append('t', batch(4))
      await world.converges('t')
      for (const id of [2, 3]) {
        const { log, lastStableOffset } = world.partition(id, 't')
        assert.equal(lastStableOffset, 6)
        assert.deepEqual(
          log.abortedTransactions
            .within(0, 8)
            .map(({ producerId, firstOffset }) => [producerId, firstOffset]),
          [[7, 0]],
        )
      }
      // The next leader knows the producer.
      await world.elect('t', 2)
      assert.equal(await world.append('t', makeBatch(1, 10, { ...producer, baseSequence: 9 })), 45)
      assert.equal(await world.append('t', batch(6)), ErrorCode.NONE)
      await world.converges('t')
    })
})

test('one that is new is fetched at once, whatever the leader is asked for besides', async () => {
  for (const seed of SEEDS)
    await ReplicaWorld.run(
      seed,
      async (world) => {
        await world.createTopic('idle')
        await world.sim.sleep(2_000)
        for (const topic of ['a', 'b', 'c']) {
          await world.createTopic(topic)
          const beganMs = world.sim.scheduler.nowMs
          await appendMany(world, topic, 1)
          const tookMs = world.sim.scheduler.nowMs - beganMs
          assert(tookMs < 100, `${tookMs} ms`)
        }
        await appendMany(world, 'idle', 1)
        assert(!world.broker(2).said('a leader is lost'))
      },
      { properties: { 'replica.fetch.wait.max.ms': '5000', 'replica.socket.timeout.ms': '20000' } },
    )
})

test('a disk that is slow now and then', async () => {
  for (const seed of SEEDS)
    await ReplicaWorld.run(
      seed,
      async (world) => {
        await world.createTopic('t', 3, { 'flush.messages': '1' })
        for (let round = 0; round < 20; round++)
          await Promise.all([0, 1, 2].map((index) => appendMany(world, 't', 3, index)))
        for (const index of [0, 1, 2]) await world.converges('t', index)
      },
      {
        properties: { 'num.replica.fetchers': '2' },
        machine: { disk: { maxDelayMs: 1, slowChance: 0.1, slowMs: 500, slowSyncMs: 500 } },
      },
    )
})

test('one log that is not written for long does not hold up the others', async () => {
  for (const seed of SEEDS)
    await ReplicaWorld.run(
      seed,
      async (world) => {
        await world.createTopic('t', 2)
        for (const index of [0, 1]) await appendMany(world, 't', 2, index)
        const { faults } = world.broker(3).machine
        faults.add({ operation: 'write', code: 'EMFILE', path: /t-0\/.*\.log$/ })
        const waiting = appendMany(world, 't', 1)
        await world.sim.sleep(200)
        for (let i = 0; i < 5; i++) {
          const beganMs = world.sim.scheduler.nowMs
          await appendMany(world, 't', 1, 1)
          const tookMs = world.sim.scheduler.nowMs - beganMs
          assert(tookMs < 60, `${tookMs} ms`)
        }
        assert(world.partition(3, 't').log.writtenEndOffset < world.partition(1, 't').log.writtenEndOffset)
        faults.clear()
        await waiting
        await world.converges('t')
      },
      { properties: { 'replica.lag.time.max.ms': '30000' } },
    )
})

test('a log that fails ends, is reported, and the others are followed on', async () => {
  for (const seed of SEEDS)
    await ReplicaWorld.run(
      seed,
      async (world) => {
        await world.createTopic('t', 4)
        for (const index of [0, 1, 2, 3]) await appendMany(world, 't', 2, index)
        const dead = [0, 1, 2, 3].filter((index) =>
          world.partition(3, 't', index).log.directory.startsWith('/data/one/'),
        )
        assert.equal(dead.length, 2)
        world
          .broker(3)
          .machine.faults.add({ operation: 'write', code: 'EIO', path: /^\/data\/one\/.*\.log$/ })
        await Promise.all([0, 1, 2, 3].map((index) => appendMany(world, 't', 5, index)))
        assert.deepEqual(
          new Set(world.broker(3).damaged),
          new Set(dead.map((index) => `${world.topics.get('t')!.topicId}-${index}`)),
        )
        for (const index of [0, 1, 2, 3])
          assert.deepEqual(world.image('t', index).isr.includes(3), !dead.includes(index))
        const metrics = world.broker(3).parts!.process.metrics
        const [failed] = metrics.samples('kafka_server_replicafetchermanager_failedpartitionscount')
        assert.equal(failed?.value, 2)
      },
      { properties: { 'log.dirs': '/data/one,/data/two', 'replica.lag.time.max.ms': '500' } },
    )
})

test('damaged records are refused, and what is beside them is followed on', async () => {
  for (const seed of SEEDS)
    await ReplicaWorld.run(seed, async (world) => {
      await world.createTopic('t', 2)
      await world.broker(3).kill()
      for (const index of [0, 1]) {
        await world.change('t', index, { isr: [1, 2] })
        await appendMany(world, 't', 20, index)
      }
      const { machine } = world.broker(1)
      const path = `${world.partition(1, 't', 0).log.directory}/00000000000000000000.log`
      machine.image.flipBit(path, 150, 3)
      await world.broker(3).start()
      await appendMany(world, 't', 20, 1)
      await world.converges('t', 1)
      await world.sim.sleep(3_000)
      assert.equal(world.partition(3, 't', 0).log.logEndOffset, 0)
      await world.sim.sleep(60_000)
      const lines = world.broker(3).parts!.process.logger.lines.filter(({ level }) => level === 'warn')
      const [first] = lines
      assert.match(String(first?.fields['partitions']), /^t-0: /)
      assert(lines.every(({ fields }) => fields['count'] === 1))
      assert.equal(lines.length, 3, 'every 30 s')
      await world.change('t', 0, { isr: [1, 2] })
    })
})

test('a follower whose volume is full says so once for all, leaves the in-sync sets, and comes back with room', async () => {
  await ReplicaWorld.run(1, async (world) => {
    await world.createTopic('t', 20)
    const { image } = world.broker(3).machine
    // A quarter of a minute is between two looks at most.
    image.capacityBytes = image.usedBytes() + (32 << 20)
    await world.sim.sleep(20_000)
    await Promise.all(Array.from({ length: 20 }, (_, index) => world.append('t', makeBatch(), index)))
    const { lines } = world.broker(3).parts!.process.logger
    const told = lines.filter(({ message }) => message === 'partitions could not be fetched')
    assert.deepEqual(
      told.map(({ fields }) => fields['count']),
      [20],
    )
    assert(lines.some(({ message }) => message.startsWith('volume is almost full')))
    for (let index = 0; index < 20; index++) assert.deepEqual(world.image('t', index).isr, [1, 2])
    image.capacityBytes *= 4
    await world.until('all are in sync', () =>
      Array.from({ length: 20 }, (_, index) => world.image('t', index)).every(({ isr }) => isr.length === 3),
    )
    await world.converges('t', 19)
  })
})

test('a log that was compacted has the same gaps everywhere', async () => {
  for (const seed of SEEDS)
    await ReplicaWorld.run(
      seed,
      async (world) => {
        await world.createTopic('t', 1, {
          'cleanup.policy': 'compact',
          'segment.bytes': '1000',
          'min.cleanable.dirty.ratio': '0',
        })
        await world.broker(2).kill()
        await world.change('t', 0, { isr: [1] })
        await appendMany(world, 't', 60)
        await world.broker(1).parts!.logs.clean()
        await world.broker(2).start()
        await appendMany(world, 't', 10)
        await world.converges('t', 0, 'records')
        const { log } = world.partition(2, 't')
        assert(log.sizeBytes < 5_000, String(log.sizeBytes))
        // The gaps are no loss when it is there again.
        await world.broker(2).kill()
        await world.change('t', 0, { isr: [1] })
        await world.broker(2).start()
        assert.equal(world.partition(2, 't').log.recovery?.unclean, false)
        await world.converges('t', 0, 'records')
      },
      { brokers: 2 },
    )
})
