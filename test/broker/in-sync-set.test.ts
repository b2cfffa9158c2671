/** In-sync sets of partitions whose replicas are real, on machines that do not hear of each other for a while. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../protocol/errors.ts'
import { makeBatch } from '../log/log-fixture.ts'
import { seedsFromEnvironment } from '../simulator/sim-random.ts'
import { ReplicaWorld } from './following/replica-world.ts'

const SEEDS = seedsFromEnvironment(1, 5)
const LAG_MS = 2_000
const { NONE, NOT_ENOUGH_REPLICAS, NOT_ENOUGH_REPLICAS_AFTER_APPEND } = ErrorCode

function isolate(world: ReplicaWorld, id: number, how: 'cut' | 'heal'): void {
  const { machine } = world.broker(id)
  for (const other of world.brokers) {
    if (other.id === id) continue
    world.sim.fabric[how](machine, other.machine)
    world.sim.fabric[how](other.machine, machine)
  }
}

function isrIs(world: ReplicaWorld, ...isr: number[]): Promise<void> {
  const now = (): number[] => world.image('t').isr.toSorted((a, b) => a - b)
  return world.until(
    () => `the in-sync set is ${isr.join()}, not ${now().join()}`,
    () => now().join() === isr.join(),
  )
}

test('one that is silent costs one wait, and is in again when it has kept pace for a while', async () => {
  for (const seed of SEEDS)
    await ReplicaWorld.run(seed, async (world) => {
      await world.createTopic('t')
      await world.change('t', 0, { minIsr: 2 })
      assert.equal(await world.append('t', makeBatch()), NONE)
      isolate(world, 3, 'cut')
      const beganMs = world.sim.scheduler.nowMs
      assert.equal(await world.append('t', makeBatch()), NONE)
      const tookMs = world.sim.scheduler.nowMs - beganMs
      assert.ok(tookMs > LAG_MS / 2 && tookMs < 2 * LAG_MS, `${tookMs} ms`)
      await isrIs(world, 1, 2)
      for (let i = 0; i < 10; i++) assert.equal(await world.append('t', makeBatch()), NONE)
      assert.ok(world.sim.scheduler.nowMs - beganMs < 2 * LAG_MS)
      isolate(world, 3, 'heal')
      await isrIs(world, 1, 2, 3)
      assert.equal(await world.append('t', makeBatch()), NONE)
      await world.converges('t')
    })
})

test('below the minimum nothing more is acknowledged or seen, until there are enough again', async () => {
  for (const seed of SEEDS)
    await ReplicaWorld.run(seed, async (world) => {
      await world.createTopic('t')
      await world.change('t', 0, { minIsr: 2 })
      assert.equal(await world.append('t', makeBatch()), NONE)
      for (const id of [2, 3]) isolate(world, id, 'cut')
      const waiting = world.append('t', makeBatch())
      await isrIs(world, 1)
      assert.equal(await waiting, NOT_ENOUGH_REPLICAS_AFTER_APPEND)
      const leader = world.partition(1, 't')
      assert.deepEqual([leader.acksAllError, leader.highWatermark], [NOT_ENOUGH_REPLICAS, 1])
      isolate(world, 2, 'heal')
      await isrIs(world, 1, 2)
      await world.until('what waited is seen', () => leader.highWatermark === 2)
      assert.equal(leader.acksAllError, NONE)
      isolate(world, 3, 'heal')
      await isrIs(world, 1, 2, 3)
      await world.converges('t')
    })
})

test('an incarnation that is gone does not join by what it had fetched', async () => {
  for (const seed of SEEDS)
    await ReplicaWorld.run(seed, async (world) => {
      await world.createTopic('t')
      for (let i = 0; i < 5; i++) assert.equal(await world.append('t', makeBatch()), NONE)
      await world.broker(3).kill()
      await world.change('t', 0, { isr: [1, 2] })
      assert.equal(await world.append('t', makeBatch()), NONE)
      await world.broker(3).start()
      await isrIs(world, 1, 2, 3)
      assert.equal(world.partition(3, 't').log.writtenEndOffset, 6)
      await world.converges('t')
    })
})

test('a leader that followers do not reach is told of with its address, now and then, and when it is back', async () => {
  await ReplicaWorld.run(1, async (world) => {
    const lost = (): unknown[] =>
      world
        .broker(2)
        .parts!.process.logger.lines.filter(({ message }) => message.startsWith('a leader'))
        .map(({ message, fields }) => [message.slice(0, 24), fields['address']])
    isolate(world, 1, 'cut')
    await world.createTopic('t')
    const address = world.broker(2).parts!.metadata.cluster!.addressOf(1)!
    const shown = `${address.host}:${address.port}`
    await world.sim.sleep(70_000)
    assert.deepEqual(lost(), Array(3).fill(['a leader is not reached,', shown]))
    isolate(world, 1, 'heal')
    await world.until('it is told', () => world.broker(2).said('a leader that was lost is followed again'))
  })
})
