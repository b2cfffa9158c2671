import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decoderFor, encoderFor } from '../../protocol/compile.ts'
import { readResponseHeader, writeRequestHeader } from '../../protocol/frame.ts'
import { ApiKey } from '../../protocol/keys.ts'
import { produceRequest, produceResponse } from '../../protocol/messages/00-produce.ts'
import { fetchRequest, fetchResponse } from '../../protocol/messages/01-fetch.ts'
import { apiVersionsRequest, apiVersionsResponse } from '../../protocol/messages/18-api-versions.ts'
import { heartbeatRequest, heartbeatResponse } from '../../protocol/messages/12-heartbeat.ts'
import { Reader } from '../../protocol/reader.ts'
import type { Encodable } from '../../protocol/schema.ts'
import { Writer } from '../../protocol/writer.ts'
import { defineApi } from '../../src/api/handler.ts'
import type { Api, RequestContext } from '../../src/api/handler.ts'
import { AnswerBudget } from '../../src/broker/answer-budget.ts'
import type { Broker } from '../../src/broker/broker.ts'
import { parseBrokerConfig } from '../../src/core/config/broker-config.ts'
import type { PooledBuffer, ReadPiece } from '../../src/log/read/read-buffers.ts'
import type { Connection, Piece } from '../../src/ports.ts'
import { ClientConnection } from '../../src/server/connection.ts'
import { FrameArena } from '../../src/server/frame-arena.ts'
import { MemoryBudget } from '../../src/server/memory-budget.ts'
import { RateLimitedLog } from '../../src/server/rate-limited-log.ts'
import { RequestMetrics } from '../../src/server/request-metrics.ts'
import { connectionLimits } from '../../src/server/server-shared.ts'
import type { ServerShared } from '../../src/server/server-shared.ts'
import { noMetrics } from '../../src/system/figures/no-metrics.ts'
import { silentLogger } from '../../src/system/pino-logger.ts'
import { ManualClock } from '../support/manual-clock.ts'

class FakeConnection implements Connection {
  readonly remote = { host: '127.0.0.1', port: 5000 }
  readonly local = { host: '127.0.0.1', port: 9092 }
  unsentBytes = 0
  written: Buffer[] = []
  pieces: Piece[] = []
  paused = false
  destroyed = false
  ended = false

  write(pieces: readonly Piece[]): void {
    this.pieces.push(...pieces)
    this.written.push(Buffer.concat(pieces.filter((piece) => Buffer.isBuffer(piece))))
  }
  pause(): void {
    this.paused = true
  }
  resume(): void {
    this.paused = false
  }
  end(): void {
    this.ended = true
  }
  destroy(): void {
    this.destroyed = true
  }
}

interface Begun {
  readonly what: string
  readonly respond: () => void
  readonly context: RequestContext
}

/** A connection over fakes; its two APIs record what begins and answer when the test says so. */
class Fixture {
  readonly clock = new ManualClock()
  readonly connection = new FakeConnection()
  readonly begun: Begun[] = []
  /** What fetches are answered with. */
  records: ReadPiece[] = []
  readonly budget: MemoryBudget
  readonly client: ClientConnection
  readonly shared: ServerShared

  constructor(settings: Record<string, string> = {}, budgetBytes = 1_000_000) {
    const { config } = parseBrokerConfig([
      { source: 'STATIC_BROKER_CONFIG', values: new Map(Object.entries(settings)) },
    ])
    const produce = defineApi({
      request: produceRequest,
      response: produceResponse,
      versions: [0, 11],
      pipelined: true,
      handle: (request, context, respond) => {
        const what = `produce ${request.topicData[0]?.name}`
        const answer = request.acks === 0 ? null : { responses: [] }
        this.begun.push({ what, context, respond: () => respond(answer) })
      },
    })
    const heartbeat = defineApi({
      request: heartbeatRequest,
      response: heartbeatResponse,
      versions: [0, 4],
      handle: (request, context, respond) => {
        const what = `heartbeat ${request.groupId}`
        this.begun.push({ what, context, respond: () => respond({ errorCode: 0 }) })
      },
    })
    const apiVersions = defineApi({
      request: apiVersionsRequest,
      response: apiVersionsResponse,
      versions: [0, 4],
      handle: (_request, _context, respond) => respond({ errorCode: 0, apiKeys: [] }),
    })
    const fetch = defineApi({
      request: fetchRequest,
      response: fetchResponse,
      versions: [4, 16],
      handle: (_request, context, respond) => {
        const begun = {
          what: 'fetch',
          context,
          respond: () => respond(answerOf(this.records)),
        }
        this.begun.push(begun)
      },
    })
    const apis = new Map<number, Api>([produce, fetch, heartbeat, apiVersions].map((api) => [api.key, api]))
    this.budget = new MemoryBudget(budgetBytes, () => this.client.pauseForBudget())
    const shared: ServerShared = {
      // The handlers above do not look at it.
      broker: {} as unknown as Broker,
      clock: this.clock,
      logger: silentLogger,
      refusals: new RateLimitedLog(silentLogger, this.clock),
      budget: this.budget,
      arena: new FrameArena(),
      apis,
      reader: new Reader(Buffer.alloc(0)),
      writer: new Writer(),
      requestMetrics: new RequestMetrics(noMetrics),
      limits: connectionLimits(config),
      answers: new AnswerBudget(1_000),
    }
    this.shared = shared
    this.client = new ClientConnection(
      shared,
      this.connection,
      { name: 'PLAINTEXT', advertised: this.connection.local },
      () => {},
    )
  }

  receive(bytes: Buffer, pieceBytes = bytes.length): void {
    // The slab is reused for the next bytes at once: whoever keeps a view of it reads nonsense.
    const slab = Buffer.alloc(pieceBytes + 7)
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      const end = Math.min(at + pieceBytes, bytes.length)
      bytes.copy(slab, 7, at, end)
      this.client.bytes(slab, 7, 7 + end - at)
      slab.fill(0xaa)
    }
    this.clock.endTurn()
  }

  get log(): string[] {
    return this.begun.map(({ what }) => what)
  }

  /** Correlation ids answered so far, in order. */
  get answered(): number[] {
    return this.connection.written.map((frame) => frame.readInt32BE(4))
  }
}

function answerOf(records: ReadPiece[], partitionIndex = 0): Encodable<typeof fetchResponse> {
  const partition = { partitionIndex, errorCode: 0, highWatermark: 9, abortedTransactions: null, records }
  return { errorCode: 0, responses: [{ topic: 't', partitions: [partition] }] }
}

function fetchFrame(correlationId: number): Buffer {
  const writer = new Writer()
  writer.beginFrame()
  writeRequestHeader(writer, { apiKey: ApiKey.Fetch, apiVersion: 11, correlationId, clientId: 'test' })
  const body = { replicaId: -1, maxWaitMs: 1, minBytes: 1, topics: [] }
  encoderFor(fetchRequest, 11)(writer, body)
  return writer.finishBuffer()
}

/** Begins a fetch whose answer has one piece of each kind. */
function beginFetch(): { fixture: Fixture; slice: { releases: number }; pooled: PooledBuffer } {
  const fixture = new Fixture()
  const slice = { length: 1_000_000, releases: 0, release: () => (slice.releases += 1) }
  const pooled = fixture.shared.answers.buffers.take(100_000)!
  fixture.records = [slice, pooled, Buffer.from('batch')]
  fixture.receive(fetchFrame(1))
  assert.deepEqual(fixture.log, ['fetch'])
  fixture.begun[0]!.context.attach(fixture.records)
  return { fixture, slice, pooled }
}

function heartbeat(correlationId: number, groupId: string): Buffer {
  const writer = new Writer()
  writer.beginFrame()
  writeRequestHeader(writer, { apiKey: ApiKey.Heartbeat, apiVersion: 4, correlationId, clientId: 'test' })
  encoderFor(heartbeatRequest, 4)(writer, { groupId, generationId: 1, memberId: 'm' })
  return writer.finishBuffer()
}

function produce(correlationId: number, topic: string, recordBytes = 100, acks = 1): Buffer {
  const writer = new Writer()
  writer.beginFrame()
  writeRequestHeader(writer, { apiKey: ApiKey.Produce, apiVersion: 9, correlationId, clientId: null })
  encoderFor(produceRequest, 9)(writer, {
    acks,
    timeoutMs: 1000,
    topicData: [{ name: topic, partitionData: [{ index: 0, records: Buffer.alloc(recordBytes, 1) }] }],
  })
  return writer.finishBuffer()
}

test('frames are found however the bytes are cut', () => {
  const all = Buffer.concat([produce(1, 'a'), produce(2, 'b', 70_000), produce(3, 'c')])
  for (const pieceBytes of [1, 3, 4, 5, 100, 65_536, all.length]) {
    const fixture = new Fixture()
    fixture.receive(all, pieceBytes)
    assert.deepEqual(fixture.log, ['produce a', 'produce b', 'produce c'])
    for (const { respond } of fixture.begun) respond()
    assert.deepEqual(fixture.answered, [1, 2, 3])
    assert.equal(fixture.budget.usedBytes, 0)
  }
})

test('answers leave in the order of the requests', () => {
  const fixture = new Fixture()
  fixture.receive(Buffer.concat([produce(1, 'a'), produce(2, 'b'), produce(3, 'c')]))
  fixture.begun[2]!.respond()
  fixture.begun[1]!.respond()
  assert.deepEqual(fixture.answered, [])
  fixture.begun[0]!.respond()
  assert.deepEqual(fixture.answered, [1, 2, 3])
})

test('only produce requests overlap; all others wait for the answers before them', () => {
  const fixture = new Fixture()
  fixture.receive(Buffer.concat([produce(1, 'a'), heartbeat(2, 'g'), produce(3, 'b'), heartbeat(4, 'h')]))
  assert.deepEqual(fixture.log, ['produce a'])
  assert.ok(!fixture.connection.paused, 'while little is held, the end of the connection must be seen')
  fixture.begun[0]!.respond()
  assert.deepEqual(fixture.log, ['produce a', 'heartbeat g'])
  fixture.begun[1]!.respond()
  fixture.begun[2]!.respond()
  fixture.begun[3]!.respond()
  assert.deepEqual(fixture.answered, [1, 2, 3, 4])
  assert.ok(!fixture.connection.paused)
  assert.equal(fixture.budget.usedBytes, 0)
})

test('a client that sends far ahead is not read any more, and not for ever', () => {
  const fixture = new Fixture()
  const ahead = Buffer.concat(Array.from({ length: 1_000 }, (_, i) => heartbeat(i + 2, 'g')))
  fixture.receive(Buffer.concat([heartbeat(1, 'g'), ahead]))
  assert.ok(fixture.connection.paused, 'bytes that cannot be worked on are not read')
  fixture.clock.advance(601_000)
  fixture.client.sweep(fixture.clock.monotonicMs())
  assert.ok(fixture.connection.destroyed)
  assert.equal(fixture.budget.usedBytes, 0)
})

test('a request whose client has left is told so', () => {
  const fixture = new Fixture()
  fixture.receive(heartbeat(1, 'g'))
  let abandoned = 0
  fixture.begun[0]!.context.whenAbandoned(() => (abandoned += 1))
  fixture.client.closed('reset')
  assert.equal(abandoned, 1)
  fixture.begun[0]!.respond()
  assert.equal(fixture.connection.written.length, 0)
})

test('a half frame behind a held one stays behind it', () => {
  const second = heartbeat(2, 'second')
  const fixture = new Fixture()
  fixture.receive(Buffer.concat([heartbeat(1, 'first'), second.subarray(0, 9)]))
  fixture.receive(Buffer.concat([second.subarray(9), heartbeat(3, 'third')]))
  assert.deepEqual(fixture.log, ['heartbeat first'])
  for (let i = 0; i < 3; i++) fixture.begun[i]!.respond()
  assert.deepEqual(fixture.log, ['heartbeat first', 'heartbeat second', 'heartbeat third'])
  assert.deepEqual(fixture.answered, [1, 2, 3])
})

test('acks=0 gets no answer and does not hold up the next', () => {
  const fixture = new Fixture()
  fixture.receive(Buffer.concat([produce(1, 'a', 10, 0), produce(2, 'b')]))
  for (const { respond } of fixture.begun) respond()
  assert.deepEqual(fixture.answered, [2])
  assert.equal(fixture.budget.usedBytes, 0)
})

test('an unknown version of ApiVersions is answered in v0 (KIP-511)', () => {
  const writer = new Writer()
  writer.beginFrame()
  writer.int16(ApiKey.ApiVersions)
  writer.int16(99)
  writer.int32(7)
  writer.int16(-1)
  const fixture = new Fixture()
  fixture.receive(writer.finishBuffer())
  const reader = new Reader(fixture.connection.written[0]!, 4)
  assert.equal(readResponseHeader(reader, ApiKey.ApiVersions, 0), 7)
  const { errorCode, apiKeys } = decoderFor(apiVersionsResponse, 0)(reader)
  assert.equal(errorCode, 35)
  assert.deepEqual(apiKeys, [{ apiKey: 18, minVersion: 0, maxVersion: 4 }])
})

const hostile: Record<string, Buffer> = {
  'a negative size': Buffer.from([0xff, 0xff, 0xff, 0xff]),
  'a size beyond the limit': Buffer.from([0x7f, 0xff, 0xff, 0xff]),
  'a size too small for a header': Buffer.from([0, 0, 0, 2, 0, 0]),
  'an API that is not served': Buffer.from([0, 0, 0, 10, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
  'a version that is not served': Buffer.from([0, 0, 0, 10, 0, 12, 0, 99, 0, 0, 0, 0, 0, 0]),
  'a body that is cut short': Buffer.from([0, 0, 0, 10, 0, 12, 0, 0, 0, 0, 0, 0, 0xff, 0xff]),
  'an HTTP request': Buffer.from('GET / HTTP/1.1\r\nHost: example\r\n\r\n'),
}
for (const [what, bytes] of Object.entries(hostile)) {
  test(`closes the connection on ${what}`, () => {
    for (const pieceBytes of [1, bytes.length]) {
      const fixture = new Fixture()
      fixture.receive(bytes, pieceBytes)
      assert.ok(fixture.connection.destroyed)
      assert.equal(fixture.budget.usedBytes, 0)
    }
  })
}

test('a spent budget stops reading until answers have left', () => {
  const fixture = new Fixture({}, 1_000)
  fixture.receive(produce(1, 'a', 900))
  const other = { budgetAvailable: () => {} }
  fixture.budget.reserve(500, other)
  assert.ok(fixture.connection.paused)
  fixture.receive(produce(2, 'b', 10))
  assert.deepEqual(fixture.log, ['produce a'])
  fixture.begun[0]!.respond()
  assert.ok(!fixture.connection.paused)
  assert.deepEqual(fixture.log, ['produce a', 'produce b'])
})

test('one client begins a bounded number of requests per turn', () => {
  const fixture = new Fixture()
  fixture.receive(Buffer.concat(Array.from({ length: 400 }, (_, i) => produce(i, `t${i}`, 1))))
  assert.equal(fixture.begun.length, 256)
  fixture.clock.advance(1)
  assert.equal(fixture.begun.length, 400)
})

test('deadlines: half a request, an idle client, a client that does not read', () => {
  const half = new Fixture({ 'samsa.request.timeout.ms': '1000' })
  half.receive(produce(1, 'a').subarray(0, 20))
  half.clock.advance(1_500)
  half.client.sweep(half.clock.monotonicMs())
  assert.ok(half.connection.destroyed)

  const idle = new Fixture({ 'connections.max.idle.ms': '1000' })
  idle.clock.advance(1_500)
  idle.client.sweep(idle.clock.monotonicMs())
  assert.ok(idle.connection.ended)

  const deaf = new Fixture()
  deaf.connection.unsentBytes = 5_000
  for (let second = 0; second <= 61; second++) {
    assert.ok(!deaf.connection.destroyed)
    deaf.client.sweep(deaf.clock.monotonicMs())
    deaf.clock.advance(1_000)
  }
  deaf.client.sweep(deaf.clock.monotonicMs())
  assert.ok(deaf.connection.destroyed)
})

test('what a client leaves unread counts against the answers of all', () => {
  const fixture = new Fixture()
  const { answers } = fixture.shared
  fixture.receive(heartbeat(1, 'g'))
  fixture.begun[0]!.respond()
  assert.equal(answers.usedBytes, fixture.connection.written[0]!.length)
  fixture.client.drained()
  assert.equal(answers.usedBytes, 0)
})

test('requests before a bad frame get their answers', () => {
  const fixture = new Fixture()
  const bad = Buffer.from([0, 0, 0, 10, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0, 0])
  fixture.receive(Buffer.concat([produce(1, 'a'), produce(2, 'b'), bad, produce(3, 'c')]))
  assert.deepEqual(fixture.log, ['produce a', 'produce b'])
  assert.ok(!fixture.connection.ended && !fixture.connection.destroyed)
  fixture.begun[1]!.respond()
  fixture.begun[0]!.respond()
  assert.deepEqual(fixture.answered, [1, 2])
  assert.ok(fixture.connection.ended)
})

test('bytes behind the body are ignored, as librdkafka needs it', () => {
  const fixture = new Fixture()
  const longer = Buffer.concat([heartbeat(1, 'g'), Buffer.from([0, 0, 0])])
  longer.writeInt32BE(longer.length - 4, 0)
  fixture.receive(Buffer.concat([longer, heartbeat(2, 'h')]))
  for (let i = 0; i < 2; i++) fixture.begun[i]!.respond()
  assert.deepEqual(fixture.answered, [1, 2])
})

test('the pieces of an answer go to the network; a pooled buffer comes back when all was taken', () => {
  const { fixture, slice, pooled } = beginFetch()
  const { answers } = fixture.shared
  const bytes = pooled.buffer
  fixture.begun[0]!.respond()
  assert.deepEqual(fixture.connection.pieces.slice(1, 4), [slice, bytes, Buffer.from('batch')])
  assert.ok(answers.usedBytes > 128 * 1024 && answers.usedBytes < 256 * 1024, `${answers.usedBytes}`)
  assert.equal(answers.buffers.idleBytes, 0)
  fixture.client.drained()
  assert.equal(answers.buffers.idleBytes, 128 * 1024)
  assert.equal(answers.usedBytes, 0)
  fixture.client.drained()
  fixture.client.closed('ended')
  assert.equal(slice.releases, 0, 'the network releases it')
})

test('a buffer that was perhaps not sent is not used again', () => {
  const { fixture } = beginFetch()
  fixture.begun[0]!.respond()
  fixture.client.closed('reset')
  assert.equal(fixture.shared.answers.buffers.idleBytes, 0)
  assert.equal(fixture.shared.answers.usedBytes, 0)
})

const losses: Readonly<Record<string, (fixture: Fixture) => void>> = {
  'the client leaves before the answer': (fixture) => {
    fixture.client.closed('ended')
    fixture.begun[0]!.respond()
  },
  'the answer fails': (fixture) => fixture.begun[0]!.context.fail(new Error('expected by this test')),
  'the connection is refused': (fixture) => fixture.begun[0]!.context.refuse('expected by this test'),
  'the answer cannot be encoded': (fixture) => {
    fixture.records.push({ length: 2 ** 31, release: () => {} })
    fixture.begun[0]!.respond()
    assert.ok(fixture.connection.destroyed)
  },
}
for (const [what, lose] of Object.entries(losses)) {
  test(`its pieces are released once when ${what}`, () => {
    const { fixture, slice } = beginFetch()
    lose(fixture)
    assert.equal(slice.releases, 1)
    assert.equal(fixture.shared.answers.buffers.idleBytes, 128 * 1024)
    assert.deepEqual(fixture.connection.pieces, [])
    fixture.client.closed('destroyed')
    const late = { length: 5, releases: 0, release: () => (late.releases += 1) }
    fixture.begun[0]!.context.attach([late])
    assert.equal(late.releases, 1, 'nobody waits for it any more')
  })
}
