import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Connection, World } from '../../src/ports.ts'
import { seedsFromEnvironment } from './sim-random.ts'
import { SimWorld } from './sim-world.ts'

/** Sends back what it gets, and keeps a count on the disk. */
async function echoServer(world: World): Promise<void> {
  world.disk.makeDirectory('/data')
  const file = world.disk.open('/data/count', 'create')
  let total = 0
  let busy = false
  await world.network.listen({ host: '127.0.0.1', port: 9092 }, (connection) => ({
    bytes(slab, start, end) {
      total += end - start
      const reply = Buffer.from(slab.subarray(start, end))
      if (busy) return connection.write([reply])
      busy = true
      file.write(0, [Buffer.from(String(total))], world.random.uint32() % 2 === 0, () => {
        busy = false
        connection.write([reply])
      })
    },
    drained() {},
    closed() {},
    failed: assert.fail,
  }))
}

async function talk(sim: SimWorld, text: string): Promise<string> {
  const socket = sim.connect(9092)
  assert(socket !== null)
  return new Promise((resolve) => {
    let received = ''
    socket.onBytes = (bytes) => {
      received += bytes.toString('latin1')
      if (received.length === text.length) resolve(received)
    }
    socket.send(Buffer.from(text, 'latin1'))
  })
}

test('the same seed gives the same trace, another one another', async () => {
  const hashes = new Map<number, string>()
  for (const seed of [1, 2, 1, 2]) {
    const sim = new SimWorld(seed)
    await sim.run(async () => {
      const process = sim.start()
      await echoServer(process.world)
      await Promise.all(['one', 'two', 'three'].map((text) => talk(sim, text.repeat(1000))))
      await sim.powerLoss(process)
    })
    const known = hashes.get(seed)
    if (known !== undefined) assert.equal(sim.traceHash, known)
    hashes.set(seed, sim.traceHash)
  }
  assert.notEqual(hashes.get(1), hashes.get(2))
})

test('the end of a turn: append, submit, reply, and earlier stages again before reply', async () => {
  for (const seed of seedsFromEnvironment(1, 10)) {
    const sim = new SimWorld(seed)
    const order: string[] = []
    await sim.run(async () => {
      const { clock } = sim.start().world
      clock.atEndOfTurn('reply', () => order.push('reply'))
      clock.atEndOfTurn('submit', () => {
        order.push('submit')
        clock.atEndOfTurn('append', () => order.push('late append'))
        clock.atEndOfTurn('submit', () => order.push('late submit'))
      })
      clock.atEndOfTurn('append', () => {
        order.push('append')
        void Promise.resolve().then(() =>
          clock.atEndOfTurn('append', () => order.push('append of a promise')),
        )
      })
      await sim.sleep(10)
    })
    assert.deepEqual(order, [
      'append',
      'append of a promise',
      'submit',
      'late append',
      'late submit',
      'reply',
    ])
  }
})

test('promises move on inside the event that settled them', async () => {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    const { clock } = sim.start().world
    const times: number[] = []
    const chain = async (): Promise<void> => {
      for (let i = 0; i < 5; i++) await Promise.resolve()
      times.push(clock.nowMs())
    }
    const startedAt = clock.nowMs()
    clock.after(100, () => void chain())
    clock.after(101, () => times.push(clock.nowMs()))
    await sim.sleep(200)
    assert.deepEqual(times, [startedAt + 100, startedAt + 101])
  })
})

test('timers can be cancelled and die with their process', async () => {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    const process = sim.start()
    let fired = 0
    process.world.clock.after(10, () => fired++)
    process.world.clock.after(20, () => fired++).cancel()
    process.world.clock.after(30, () => fired++)
    await sim.sleep(15)
    await sim.kill(process)
    await sim.sleep(100)
    assert.equal(fired, 1)
  })
})

test('a stuck world is noticed, and the seed is named', async () => {
  const sim = new SimWorld(77)
  await assert.rejects(
    sim.run(() => new Promise(() => {})),
    /no event is left[^]*SAMSA_SEED=77/,
  )
})

test('what a living process throws fails the run', async () => {
  const sim = new SimWorld(1)
  await assert.rejects(
    sim.run(async () => {
      sim.start().world.clock.after(1, () => {
        throw new Error('bug')
      })
      await sim.sleep(10)
    }),
    /bug/,
  )
})

test('bytes arrive in order and in pieces; a reader that pauses holds the sender back', async () => {
  for (const seed of seedsFromEnvironment(1, 20)) {
    const sim = new SimWorld(seed)
    await sim.run(async () => {
      const { network } = sim.start().world
      const sent = sim.random.bytes(300_000)
      let connection: Connection | null = null
      let drained = 0
      await network.listen({ host: '127.0.0.1', port: 9092 }, (accepted) => {
        connection = accepted
        accepted.write([sent.subarray(0, 100_000), sent.subarray(100_000)])
        return { bytes() {}, drained: () => void drained++, closed() {}, failed: assert.fail }
      })
      const socket = sim.connect(9092)
      assert(socket !== null)
      const pieces: Buffer[] = []
      socket.onBytes = (bytes) => void pieces.push(Buffer.from(bytes))
      socket.pause()
      await sim.sleep(1000)
      const held = connection as Connection | null
      assert(held !== null && held.unsentBytes > 0 && drained === 0)
      socket.resume()
      await sim.sleep(1000)
      assert(Buffer.concat(pieces).equals(sent))
      assert(pieces.length > 4)
      assert.equal(held.unsentBytes, 0)
      assert.equal(drained, 1)
    })
  }
})

test('ends, resets and the death of a process reach the other side', async () => {
  const sim = new SimWorld(3)
  await sim.run(async () => {
    const process = sim.start()
    const reasons: string[] = []
    await process.world.network.listen({ host: '127.0.0.1', port: 9092 }, (connection) => ({
      bytes: (slab, start) => (slab[start] === 0x65 ? connection.end() : connection.destroy()),
      drained() {},
      closed: (reason) => void reasons.push(`server ${reason}`),
      failed: assert.fail,
    }))
    const open = (name: string) => {
      const socket = sim.connect(9092)
      assert(socket !== null)
      socket.onClosed = (reason) => void reasons.push(`${name} ${reason}`)
      return socket
    }
    open('ended').send(Buffer.from('e'))
    await sim.sleep(100)
    open('destroyed').send(Buffer.from('d'))
    await sim.sleep(100)
    open('leaving').end()
    await sim.sleep(100)
    const gone = open('gone')
    await sim.sleep(100)
    gone.destroy()
    await sim.sleep(100)
    open('orphaned')
    await sim.sleep(100)
    await sim.kill(process)
    await sim.sleep(100)
    assert.deepEqual(reasons.sort(), [
      'destroyed reset',
      'ended ended',
      'gone destroyed',
      'leaving ended',
      'orphaned reset',
      'server destroyed',
      'server ended',
      'server ended',
      'server reset',
    ])
    assert.equal(sim.connect(9092), null)
  })
})
