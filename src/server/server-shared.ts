import type { Reader } from '../../protocol/reader.ts'
import type { Writer } from '../../protocol/writer.ts'
import type { Api } from '../api/requests/handler.ts'
import type { AnswerBudget, AnswerPressure } from '../broker/answer-budget.ts'
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

/** How long a client may read its answers too slowly: with room for those of others, and while others wait for it. */
const PATIENCE_MS: Readonly<Record<AnswerPressure, number>> = {
  none: 60_000,
  'debtors-wait': 10_000,
  spent: 3_000,
}

/** Who does not read holds requests too. */
export function patienceMs({ answers: { pressure }, budget }: ServerShared): number {
  return PATIENCE_MS[pressure === 'none' && budget.anyRefused ? 'debtors-wait' : pressure]
}

export interface PeersShared {
  of(brokerId: number): ServerShared
}

/** What the connections of clients, or those of one other broker, have in common. */
export interface ServerShared {
  readonly gate: Gate
  /** Other brokers have budgets of their own, or clients could starve replication. Null: this is of a broker. */
  readonly forPeers: PeersShared | null
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
