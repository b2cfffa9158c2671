import assert from 'node:assert/strict'
import { encoderFor } from '../../protocol/compile.ts'
import { writeRequestHeader } from '../../protocol/frame.ts'
import { ApiKey } from '../../protocol/keys.ts'
import { produceRequest, produceResponse } from '../../protocol/messages/00-produce.ts'
import { fetchRequest, fetchResponse } from '../../protocol/messages/01-fetch.ts'
import { apiVersionsRequest, apiVersionsResponse } from '../../protocol/messages/18-api-versions.ts'
import { heartbeatRequest, heartbeatResponse } from '../../protocol/messages/12-heartbeat.ts'
import { Reader } from '../../protocol/reader.ts'
import type { Encodable } from '../../protocol/schema.ts'
import { Writer } from '../../protocol/writer.ts'
import { defineApi } from '../../src/api/requests/handler.ts'
import type { Api, RequestContext } from '../../src/api/requests/handler.ts'
import { AnswerBudget } from '../../src/broker/answer-budget.ts'
import type { Broker } from '../../src/broker/broker.ts'
import { Slices } from '../../src/broker/slices.ts'
import { parseBrokerConfig } from '../../src/core/config/broker-config.ts'
import type { PooledBuffer, ReadPiece } from '../../src/log/read/read-buffers.ts'
import type { Connection, LogFields, Logger, Metrics, Piece } from '../../src/ports.ts'
import { AnswerSizes } from '../../src/server/answer-sizes.ts'
import { ClientConnection } from '../../src/server/connection.ts'
import { Containment } from '../../src/server/containment.ts'
import { FrameArena } from '../../src/server/frame-arena.ts'
import { LongRequests } from '../../src/server/long-requests.ts'
import { MemoryBudget } from '../../src/server/memory-budget.ts'
import { RateLimitedLog } from '../../src/broker/rate-limited-log.ts'
import { RequestMetrics } from '../../src/server/request-metrics.ts'
import { connectionLimits } from '../../src/server/server-shared.ts'
import type { ConnectionLimits, ServerShared } from '../../src/server/server-shared.ts'
import { noMetrics } from '../../src/system/figures/no-metrics.ts'
import { silentLogger } from '../../src/system/pino-logger.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { StepClock } from '../support/step-clock.ts'

export class FakeConnection implements Connection {
  readonly remote = { host: '127.0.0.1', port: 5000 }
  readonly local = { host: '127.0.0.1', port: 9092 }
  unsentBytes = 0
  sentBytes = 0
  written: Buffer[] = []
  pieces: Piece[] = []
  paused = false
  destroyed = false
  wasReset = false
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
  reset(): void {
    this.wasReset = true
  }
}

export interface Begun {
  readonly what: string
  readonly respond: () => void
  readonly context: RequestContext
}

const parsed = new Map<string, ConnectionLimits>()

/** Thousands of connections of a test have the same. */
function limitsOf(settings: Readonly<Record<string, string>>): ConnectionLimits {
  const key = JSON.stringify(settings)
  const known = parsed.get(key)
  if (known !== undefined) return known
  const values = new Map(Object.entries(settings))
  const limits = connectionLimits(parseBrokerConfig([{ source: 'STATIC_BROKER_CONFIG', values }]).config)
  parsed.set(key, limits)
  return limits
}

const KEPT = { repeats: 'kept', cost: 0 } as const

/** A connection over fakes; its two APIs record what begins and answer when the test says so. */
export class Fixture {
  readonly clock = new ManualClock()
  readonly connection = new FakeConnection()
  readonly begun: Begun[] = []
  slowReaders = 0
  /** What else the handler of a heartbeat does. */
  duringHeartbeat: ((context: RequestContext) => void) | null = null
  failures = 0
  readonly lines: { readonly level: string; readonly fields: LogFields; readonly message: string }[] = []
  /** What fetches are answered with. */
  records: ReadPiece[] = []
  /** Partitions that answers to produce requests tell of. */
  manyAnswered = 0
  readonly budget: MemoryBudget
  readonly client: ClientConnection
  readonly shared: ServerShared

  constructor(
    settings: Record<string, string> = {},
    budgetBytes = 1_000_000,
    answerBytes = 1_000,
    arena = new FrameArena(),
  ) {
    const produce = defineApi({
      request: produceRequest,
      response: produceResponse,
      versions: [0, 11],
      pipelined: true,
      arrays: { topicData: { ...KEPT, inside: { partitionData: KEPT } } },
      handle: (request, context, respond) => {
        const what = `produce ${request.topicData[0]?.name}`
        const answer = () => (request.acks === 0 ? null : { responses: produced(this.manyAnswered) })
        this.begun.push({ what, context, respond: () => respond(answer()) })
      },
    })
    const heartbeat = defineApi({
      request: heartbeatRequest,
      response: heartbeatResponse,
      versions: [0, 4],
      arrays: {},
      handle: (request, context, respond) => {
        const what = `heartbeat ${request.groupId}`
        this.begun.push({ what, context, respond: () => respond({ errorCode: 0 }) })
        this.duringHeartbeat?.(context)
      },
    })
    const apiVersions = defineApi({
      request: apiVersionsRequest,
      response: apiVersionsResponse,
      versions: [0, 4],
      arrays: {},
      handle: (_request, _context, respond) => respond({ errorCode: 0, apiKeys: [] }),
    })
    const fetch = defineApi({
      request: fetchRequest,
      response: fetchResponse,
      versions: [4, 16],
      arrays: {
        topics: { ...KEPT, inside: { partitions: KEPT } },
        forgottenTopicsData: { ...KEPT, inside: { partitions: KEPT } },
      },
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
      // The handlers above look at nothing of it.
      broker: { slices: new Slices(new StepClock(1)) } as unknown as Broker,
      clock: this.clock,
      logger: silentLogger,
      refusals: new RateLimitedLog(this.#logger(), this.clock),
      containment: new Containment(this.#logger(), this.clock, this.#metrics()),
      budget: this.budget,
      arena,
      apis,
      apisOfNewcomers: new Map(),
      gate: { takesPeers: false, asClient: () => true, asPeer: () => {} },
      forPeers: null,
      reader: new Reader(Buffer.alloc(0)),
      writer: new Writer(),
      requestMetrics: new RequestMetrics(noMetrics),
      limits: limitsOf(settings),
      answerSizes: new AnswerSizes(),
      slowReaders: { add: (count) => (this.slowReaders += count) },
      answers: new AnswerBudget(answerBytes, this.clock),
      longRequests: new LongRequests(this.clock),
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

  #logger(): Logger {
    const at = (level: string) => (fields: LogFields, message: string) =>
      void this.lines.push({ level, fields, message })
    const logger = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
    return { ...logger, child: () => this.#logger() }
  }

  #metrics(): Metrics {
    return { ...noMetrics, counter: () => ({ add: (count) => void (this.failures += count) }) }
  }

  get log(): string[] {
    return this.begun.map(({ what }) => what)
  }

  /** Correlation ids answered so far, in order. */
  get answered(): number[] {
    return this.connection.written.map((frame) => frame.readInt32BE(4))
  }
}

function produced(partitions: number): Encodable<typeof produceResponse>['responses'] {
  const partitionResponses = Array.from({ length: partitions }, (_, index) => ({
    index,
    errorCode: 0,
    baseOffset: 0,
  }))
  return [{ name: 't', partitionResponses }]
}

function answerOf(records: ReadPiece[], partitionIndex = 0): Encodable<typeof fetchResponse> {
  const partition = { partitionIndex, errorCode: 0, highWatermark: 9, abortedTransactions: null, records }
  return { errorCode: 0, responses: [{ topic: 't', partitions: [partition] }] }
}

export function fetchFrame(correlationId: number): Buffer {
  const writer = new Writer()
  writer.beginFrame()
  writeRequestHeader(writer, { apiKey: ApiKey.Fetch, apiVersion: 11, correlationId, clientId: 'test' })
  const body = { replicaId: -1, maxWaitMs: 1, minBytes: 1, topics: [] }
  encoderFor(fetchRequest, 11)(writer, body)
  return writer.finishBuffer()
}

/** Begins a fetch whose answer has one piece of each kind. */
export function beginFetch(): { fixture: Fixture; slice: { releases: number }; pooled: PooledBuffer } {
  const fixture = new Fixture()
  const slice = { length: 1_000_000, releases: 0, release: () => (slice.releases += 1) }
  const pooled = fixture.shared.answers.buffers.take(100_000)!
  fixture.records = [slice, pooled, Buffer.from('batch')]
  fixture.receive(fetchFrame(1))
  assert.deepEqual(fixture.log, ['fetch'])
  fixture.begun[0]!.context.attach(fixture.records)
  return { fixture, slice, pooled }
}

export function heartbeat(correlationId: number, groupId: string): Buffer {
  const writer = new Writer()
  writer.beginFrame()
  writeRequestHeader(writer, { apiKey: ApiKey.Heartbeat, apiVersion: 4, correlationId, clientId: 'test' })
  encoderFor(heartbeatRequest, 4)(writer, { groupId, generationId: 1, memberId: 'm' })
  return writer.finishBuffer()
}

export function produce(correlationId: number, topic: string, recordBytes = 100, acks = 1): Buffer {
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
