import type { Reader } from '../../protocol/reader.ts'
import type { Writer } from '../../protocol/writer.ts'
import type { Api } from '../api/requests/handler.ts'
import type { AnswerBudget } from '../broker/answer-budget.ts'
import type { Broker } from '../broker/broker.ts'
import type { RateLimitedLog } from '../broker/rate-limited-log.ts'
import type { BrokerConfig } from '../core/config/broker-config.ts'
import type { Address, Clock, Counter, LogFields, Logger } from '../ports.ts'
import type { AnswerSizes } from './answer-sizes.ts'
import type { Containment } from './containment.ts'
import type { FrameArena } from './frame-arena.ts'
import type { LongRequests } from './long-requests.ts'
import type { MemoryBudget } from './memory-budget.ts'
import type { RequestMetrics } from './request-metrics.ts'

/** The configuration of connections, as plain numbers: they are looked at for every request. */
export interface ConnectionLimits {
  readonly maxRequestBytes: number
  /** Requests of one connection that may be in work at once; more stay unread. */
  readonly maxInFlight: number
  /** While a client leaves this many bytes of answers unread, no further request of it begins. */
  readonly maxUnsentBytes: number
  /** Bytes a second at which a client takes its answers at least. */
  readonly minReadRate: number
  /** A request that began to arrive must be complete after this time. */
  readonly requestTimeoutMs: number
  readonly maxIdleMs: number
}

const MAX_IN_FLIGHT = 500

export function connectionLimits(config: BrokerConfig): ConnectionLimits {
  return {
    maxRequestBytes: config['socket.request.max.bytes'],
    maxInFlight: MAX_IN_FLIGHT,
    maxUnsentBytes: config['samsa.response.max.bytes'],
    minReadRate: config['samsa.response.min.rate'],
    requestTimeoutMs: config['samsa.request.timeout.ms'],
    maxIdleMs: config['connections.max.idle.ms'],
  }
}

/**
 * A large request over a slow link takes longer than the timeout, as often as it is repeated. What came of it counts at the
 * pace that answers must be taken at, as long as it keeps no memory from others.
 */
export function requestTimeoutMs({ limits, budget }: ServerShared, receivedBytes: number): number {
  const { requestTimeoutMs, minReadRate } = limits
  if (minReadRate === 0 || 2 * budget.usedBytes > budget.limitBytes) return requestTimeoutMs
  return requestTimeoutMs + (receivedBytes * 1_000) / minReadRate
}

/** A connection, as far as it is counted. */
export interface Counted {
  readonly clientAddress: Address
  readonly listenerName: string
  /** When something came from it last, or left for it. */
  readonly lastActiveMs: number
  /**
   * Closes it at once, without a word. By a reset it looks as if nobody were here: an end before the first answer some
   * clients take for TLS that is missing, and give up (franz-go).
   */
  dismiss(by?: 'reset'): void
}

/** For log lines. */
export function whoIs({
  clientAddress: { host, port },
  listenerName,
}: Pick<Counted, 'clientAddress' | 'listenerName'>): LogFields {
  return { client: `${host}:${port}`, listener: listenerName }
}

/** Decides about connections when their first request tells who they are. */
export interface Gate {
  /** There are other brokers, which say so in their first request. */
  readonly takesPeers: boolean
  /** False: it was closed. */
  asClient(connection: Counted): boolean
  asPeer(connection: Counted, brokerId: number): void
}

/** Names of all partitions there are; nothing with records. */
const MAX_PEER_REQUEST_BYTES = 16 << 20
/** Of requests of all other brokers. Most are small, and the few large ones come one after the other. */
export const PEER_REQUESTS_BYTES = 32 << 20
/** Of answers to all of them, at least. */
const MIN_PEER_ANSWERS_BYTES = 64 << 20
/** Of what followers fetch at once, as much as is had with room for the next. */
const FETCHES_AT_ONCE = 8

/** Other brokers are not closed for being silent, and produce nothing. */
export function peerLimits(limits: ConnectionLimits): ConnectionLimits {
  const maxRequestBytes = Math.min(limits.maxRequestBytes, MAX_PEER_REQUEST_BYTES)
  return { ...limits, maxRequestBytes, maxIdleMs: Infinity }
}

export function peerAnswersBytes(config: BrokerConfig): number {
  return Math.max(MIN_PEER_ANSWERS_BYTES, FETCHES_AT_ONCE * config['replica.fetch.response.max.bytes'])
}

/** What the connections of clients, or those of other brokers, have in common. */
export interface ServerShared {
  readonly gate: Gate
  /** What other brokers have in common: budgets of their own, or clients could starve replication. */
  readonly forPeers: ServerShared | null
  readonly broker: Broker
  readonly clock: Clock
  readonly logger: Logger
  /** For lines that a hostile client can cause at will. */
  readonly refusals: RateLimitedLog
  readonly containment: Containment
  readonly budget: MemoryBudget
  readonly arena: FrameArena
  readonly apis: ReadonlyMap<number, Api>
  /** For first requests that tell of another broker. */
  readonly apisOfNewcomers: ReadonlyMap<number, Api>
  /** Decoding and encoding are synchronous: one of each serves all connections. */
  readonly reader: Reader
  readonly writer: Writer
  readonly requestMetrics: RequestMetrics
  readonly limits: ConnectionLimits
  readonly answers: AnswerBudget
  readonly longRequests: LongRequests
  readonly answerSizes: AnswerSizes
  /** Connections that were closed because their client did not take its answers. */
  readonly slowReaders: Counter
}
