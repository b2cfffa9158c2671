import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { outgoingConnections, SeenEnd } from '../support/outgoing-connections.ts'
import type { SimMachine } from './sim-machine.ts'
import { seedsFromEnvironment } from './sim-random.ts'
import { SimWorld } from './sim-world.ts'

const PORT = 9092

describe('connections between machines', () => {
  for (const [name, body] of Object.entries(outgoingConnections))
    test(name, async () => {
      for (const seed of seedsFromEnvironment(1, 10)) {
        const sim = new SimWorld(seed)
        const [one, two] = [sim.addMachine(), sim.addMachine()]
        await sim.run(() =>
          body({
            listening: one.start().world.network,
            dialling: two.start().world.network,
            host: one.host,
          }),
        )
      }
    })
})

interface Pair {
  readonly one: SimMachine
  readonly two: SimMachine
  readonly near: SeenEnd
  readonly far: SeenEnd
}

/** `two` is connected to `one`. */
async function connected(sim: SimWorld): Promise<Pair> {
  const [one, two] = [sim.addMachine(), sim.addMachine()]
  const far = new SeenEnd()
  await one.start().world.network.listen({ host: one.host, port: PORT }, (connection) => {
    far.connection = connection
    return far.receiver
  })
  const near = new SeenEnd()
  near.connection = two.start().world.network.connect({ host: one.host, port: PORT }, near.receiver)
  near.connection.write([Buffer.from('a')])
  await far.has(1)
  return { one, two, near, far }
}

test('a cut holds what is sent in its direction only, and healing sends it on in order', async () => {
  for (const seed of seedsFromEnvironment(1, 20)) {
    const sim = new SimWorld(seed)
    await sim.run(async () => {
      const { one, two, near, far } = await connected(sim)
      sim.fabric.cut(two, one)
      near.connection!.write([Buffer.from('b')])
      far.connection!.write([Buffer.from('back')])
      assert.equal(await near.has(4), 'back')
      await sim.sleep(10_000)
      near.connection!.write([Buffer.from('c')])
      await sim.sleep(10)
      assert.equal(far.text, 'a')
      sim.fabric.heal(two, one)
      near.connection!.write([Buffer.from('d')])
      assert.equal(await far.has(4), 'abcd')
    })
  }
})

test('behind a cut nobody learns of a death, or gets an answer to a connect', async () => {
  for (const seed of seedsFromEnvironment(1, 20)) {
    const sim = new SimWorld(seed)
    await sim.run(async () => {
      const { one, two, near } = await connected(sim)
      const third = sim.addMachine().start()
      sim.fabric.cut(one, two)
      const late = new SeenEnd()
      const later = two.start()
      late.connection = later.world.network.connect({ host: one.host, port: PORT + 1 }, late.receiver)
      const other = new SeenEnd()
      other.connection = third.world.network.connect({ host: one.host, port: PORT + 1 }, other.receiver)
      near.connection!.end()
      assert.equal(await other.closed, 'refused')
      await sim.sleep(30_000)
      assert.deepEqual(late.events, [])
      assert.ok(!near.events.includes('reset'))
      sim.fabric.heal(one, two)
      assert.equal(await late.closed, 'refused')
      await near.closed
    })
  }
})

test('the other end of a process that dies is reset', async () => {
  for (const seed of seedsFromEnvironment(1, 20)) {
    const sim = new SimWorld(seed)
    await sim.run(async () => {
      const [one, two] = [sim.addMachine(), sim.addMachine()]
      const dying = one.start()
      await dying.world.network.listen({ host: one.host, port: PORT }, () => new SeenEnd().receiver)
      const near = new SeenEnd()
      near.connection = two.start().world.network.connect({ host: one.host, port: PORT }, near.receiver)
      await sim.sleep(10)
      await one.kill(dying)
      assert.equal(await near.closed, 'reset')
      const again = new SeenEnd()
      again.connection = two.start().world.network.connect({ host: one.host, port: PORT }, again.receiver)
      assert.equal(await again.closed, 'refused')
    })
  }
})

test('the dice of a machine do not depend on how many others there are', async () => {
  const dice = (others: number): number[] => {
    const sim = new SimWorld(7)
    const machine = sim.addMachine()
    for (let i = 0; i < others; i++) sim.addMachine().start()
    const { world } = machine.start()
    return [world.random.uint32(), sim.start().world.random.uint32()]
  }
  assert.deepEqual(dice(0), dice(3))
})
