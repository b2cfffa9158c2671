import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { after, before, test } from 'node:test'
import { bothEnded, checkCold, killUnder, lastingShape } from '../../bench/jobs.ts'
import { applyLoad } from '../../bench/load/apply-load.ts'
import type { FetchLoad, FillLoad, ProduceLoad } from '../../bench/load/spec.ts'
import { ROWS } from '../../bench/rows.ts'
import { type NullServer, startNullServerProcess } from '../../bench/targets/null.ts'

let server: NullServer

before(async () => {
  server = await startNullServerProcess()
})

after(() => server.stop())

const batch = { records: 4, valueBytes: 100 }

function produce(): ProduceLoad {
  return {
    kind: 'produce',
    endpoint: server.endpoint,
    brokerPid: server.pid,
    blockStatPath: '',
    topic: 'some-topic',
    partitions: 3,
    connections: 4,
    inFlight: 5,
    seed: 7,
    batch,
    acks: 1,
    pace: { kind: 'closed' },
    warmupMs: 50,
    measureMs: 200,
  }
}

test('a closed loop counts requests, bytes and latencies alike', async () => {
  const result = await applyLoad(produce())
  assert.ok(result.requests > 0)
  assert.equal(result.latency.count, result.requests)
  assert.equal(result.payloadBytes % result.requests, 0)
  assert.ok(result.payloadBytes / result.requests > 4 * 100)
  assert.ok(result.latency.p50 <= result.latency.p99 && result.latency.p99 <= result.latency.p999)
  assert.deepEqual(result.errors, {})
  assert.equal(result.missedSlots, 0)
  assert.ok(result.generatorCpu.user > 0)
})

test('an open loop sends at its own pace, not at the pace of the answers', async () => {
  const pace = { kind: 'open', perSecond: 1_000, arrivals: 'constant' } as const
  const result = await applyLoad({ ...produce(), pace, measureMs: 500 })
  const expected = (result.elapsedMs * pace.perSecond) / 1_000
  // Slots are never skipped: a stalled machine moves them, it does not lose them. A closed loop would send a hundred times as many.
  assert.ok(result.requests > 0 && result.requests < expected * 10, `${result.requests} of ${expected}`)
  assert.ok((result.sendDelay?.count ?? 0) > 0)
})

test('an open loop that finds every place taken sends late, and says so', async () => {
  const pace = { kind: 'open', perSecond: 1e6, arrivals: 'poisson' } as const
  const result = await applyLoad({
    ...produce(),
    connections: 1,
    inFlight: 1,
    pace,
    warmupMs: 300,
    measureMs: 300,
  }).catch((error: unknown) => error)
  // A server cannot take a million requests a second one by one: the queue is there, and its wait is in the latency.
  assert.ok(!(result instanceof Error), String(result))
  assert.ok(typeof result === 'object' && result !== null && 'missedSlots' in result && 'latency' in result)
  assert.ok(Number(result.missedSlots) > 0)
})

test('a fetch load takes what it asked for', async () => {
  const load: FetchLoad = { ...produce(), kind: 'fetch', maxBytes: 300_000, stride: 4, offsets: 64 }
  const result = await applyLoad(load)
  assert.ok(result.requests > 0)
  assert.equal(result.payloadBytes, result.requests * 300_000)
})

test('a fill sends every partition its rounds', async () => {
  const load: FillLoad = {
    ...produce(),
    kind: 'fill',
    create: null,
    partitions: 37,
    rounds: 3,
    deadlineMs: 10_000,
  }
  const result = await applyLoad(load)
  assert.equal(result.requests, 37 * 3)
  assert.equal(result.latency.count, 37 * 3)
})

test('errors in answers are counted by their code and are no requests', async () => {
  const refusing = createServer((socket) => {
    socket.on('error', () => socket.destroy())
    let pending = Buffer.alloc(0)
    socket.on('data', (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk])
      for (;;) {
        if (pending.length < 4 || pending.length < 4 + pending.readInt32BE(0)) return
        // size, correlation id, one topic 'some-topic', one partition 0, NOT_LEADER_OR_FOLLOWER, offsets, throttle time
        const answer = Buffer.alloc(4 + 4 + 4 + 12 + 4 + 4 + 2 + 24 + 4)
        answer.writeInt32BE(answer.length - 4, 0)
        pending.copy(answer, 4, 8, 12)
        answer.writeInt32BE(1, 8)
        answer.writeInt16BE(10, 12)
        answer.write('some-topic', 14)
        answer.writeInt32BE(1, 24)
        answer.writeInt16BE(6, 32)
        pending = pending.subarray(4 + pending.readInt32BE(0))
        socket.write(answer)
      }
    })
  })
  await new Promise<void>((resolve) => refusing.listen(0, '127.0.0.1', resolve))
  const address = refusing.address()
  assert.ok(typeof address === 'object' && address !== null)
  try {
    const result = await applyLoad({ ...produce(), endpoint: { host: '127.0.0.1', port: address.port } })
    assert.equal(result.requests, 0)
    assert.deepEqual(Object.keys(result.errors), ['6'])
  } finally {
    refusing.close()
  }
})

test('a load that nobody takes is refused, not measured', async () => {
  await assert.rejects(applyLoad({ ...produce(), endpoint: { host: '127.0.0.1', port: 1 } }), /ECONNREFUSED/)
})

test('a broker is killed amidst the load, and what follows is not disturbed by it', async () => {
  const victim = await startNullServerProcess()
  const load = applyLoad({ ...produce(), endpoint: victim.endpoint, warmupMs: 0, measureMs: 60_000 })
  const kill = async (): Promise<void> => victim.stop()
  await killUnder(load, { kill })
  await assert.rejects(load, /the broker closed a connection|ECONNRESET|EPIPE/)
  const over = applyLoad({ ...produce(), warmupMs: 0, measureMs: 50 })
  await over
  await assert.rejects(
    killUnder(over, { kill: () => assert.fail('there was no load left') }),
    /the load ended before the broker was killed/,
  )
})

test('cold data lasts until the producers beside its reader have ended', () => {
  const row = ROWS.find((each) => each.kind === 'fetch' && each.cold)
  assert.ok(row?.kind === 'fetch')
  const timing = { warmupMs: 1_000, measureMs: 4_000 }
  const { pace, maxBytes, connections, stopAfterBytes = 0 } = lastingShape(row, timing)
  assert.equal(connections, 1)
  assert.ok(pace.kind === 'open')
  assert.ok(stopAfterBytes / (pace.perSecond * maxBytes) > 5)
})

test('a read that came from memory is not a cold one', async () => {
  const load = await applyLoad(produce())
  const block = { writes: 0, flushes: 0, writtenBytes: 0, readBytes: 0 }
  assert.doesNotThrow(() => checkCold({ ...load, block: null }))
  assert.doesNotThrow(() => checkCold({ ...load, block: { ...block, readBytes: load.payloadBytes } }))
  assert.throws(
    () => checkCold({ ...load, payloadBytes: 2e6, block: { ...block, readBytes: 1e6 } }),
    /not cold: 1 of 2 MB came from the device/,
  )
})

test('of two loads side by side a failed one is reported when the other has ended too', async () => {
  let ended = false
  const slow = new Promise<number>((resolve) =>
    setTimeout(() => {
      ended = true
      resolve(1)
    }, 50),
  )
  await assert.rejects(bothEnded(Promise.reject(new Error('the first')), slow), /the first/)
  assert.ok(ended)
  assert.deepEqual(await bothEnded(slow, Promise.resolve('x')), [1, 'x'])
})
