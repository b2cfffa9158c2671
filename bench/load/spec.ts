/** What the orchestrator asks of the generator process, and what it gets back. Plain data: it crosses an IPC channel. */

export interface Endpoint {
  readonly host: string
  readonly port: number
}

export interface BatchShape {
  readonly records: number
  readonly valueBytes: number
  /** Of values that are JSON then; `records` and `valueBytes` are those before it. */
  readonly compression?: Compression
}

export type Compression = 'gzip' | 'snappy' | 'lz4' | 'zstd'

/** Sends whenever a place in flight is free. */
export interface ClosedLoop {
  readonly kind: 'closed'
}

/** Sends at the times of a schedule, whatever the broker does; latency counts from the intended time. */
export interface OpenLoop {
  readonly kind: 'open'
  readonly perSecond: number
  readonly arrivals: 'constant' | 'poisson'
}

interface LoadBase {
  readonly endpoint: Endpoint
  readonly topic: string
  readonly partitions: number
  readonly connections: number
  readonly inFlight: number
  /** Process of the broker, for its CPU time. 0 when unknown. */
  readonly brokerPid: number
  /** Path of the `stat` file of the block device under the broker's data, or empty. */
  readonly blockStatPath: string
  readonly seed: number
}

export interface ProduceLoad extends LoadBase {
  readonly kind: 'produce'
  readonly batch: BatchShape
  readonly acks: 1 | -1
  readonly pace: ClosedLoop | OpenLoop
  readonly warmupMs: number
  readonly measureMs: number
  /** Ends the measured time early: a fast broker must not fill the disk. */
  readonly stopAfterBytes?: number
}

export interface FetchLoad extends LoadBase {
  readonly kind: 'fetch'
  readonly pace: ClosedLoop | OpenLoop
  /** Asked per request, of one partition. */
  readonly maxBytes: number
  /** Offsets to advance per request; the log is walked round and round. */
  readonly stride: number
  /** Offsets present in every partition. */
  readonly offsets: number
  readonly warmupMs: number
  readonly measureMs: number
  /** Ends the measured time early: what was read once is no longer cold. */
  readonly stopAfterBytes?: number
}

/**
 * Every partition takes `rounds` batches; what fails is sent again. Ends when all are acknowledged. With `create`
 * the topic is created first, with these configs, and that time counts.
 */
export interface FillLoad extends LoadBase {
  readonly kind: 'fill'
  readonly create: Readonly<Record<string, string>> | null
  readonly batch: BatchShape
  readonly acks: 1 | -1
  readonly rounds: number
  readonly deadlineMs: number
}

/** An open-loop producer and a consumer on one clock; the payload carries the intended time. */
export interface EndToEndLoad extends LoadBase {
  readonly kind: 'e2e'
  readonly valueBytes: number
  readonly acks: 1 | -1
  readonly pace: OpenLoop
  readonly warmupMs: number
  readonly measureMs: number
}

/**
 * Producers of a cluster: each has a connection to every broker, sends to the leaders, and sends again what could not be
 * acknowledged, as Kafka's clients do.
 */
export interface ClusterLoad extends LoadBase {
  readonly kind: 'cluster'
  readonly batch: BatchShape
  readonly acks: 1 | -1
  readonly pace: ClosedLoop | OpenLoop
  readonly warmupMs: number
  readonly measureMs: number
  /** All processes of the cluster. */
  readonly pids: readonly number[]
  /**
   * Producers ask all the time who leads, and leave who leads nothing any more: a broker that stands still closes nothing,
   * and what they see should not depend on how long they would wait for it.
   */
  readonly isWatchful?: boolean
}

/** Sent after a load: its measured time is to end. */
export const END_OF_LOAD = 'end'

export type LoadSpec = ProduceLoad | FetchLoad | FillLoad | EndToEndLoad | ClusterLoad

/** Microseconds. */
export interface LatencySummary {
  readonly count: number
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly max: number
  /** The whole histogram, HdrHistogram V2, compressed, base64. */
  readonly histogram: string
}

export interface LoadResult {
  readonly elapsedMs: number
  /** Answered without an error within the measured time. */
  readonly requests: number
  /** Record batch bytes sent (produce) or received (fetch). */
  readonly payloadBytes: number
  readonly latency: LatencySummary
  /** How late the generator itself was in open loop: time of sending - intended time. */
  readonly sendDelay: LatencySummary | null
  /** Slots of the schedule that found every place in flight taken and had to queue. They are sent and counted all the same. */
  readonly missedSlots: number
  /** Answers with an error, by Kafka's error code. */
  readonly errors: Readonly<Record<string, number>>
  /** Messages produced in the measured time that the consumer never saw (end-to-end only). */
  readonly lost: number
  /** Loads of a cluster only: the longest time in which one of the partitions acknowledged nothing. */
  readonly longestGapMs?: number
  /** Loads of a cluster only: how often one of the partitions acknowledged nothing for half a second; at the same time counts as once. */
  readonly stalls?: number
  /** Loads of a cluster only: what was not acknowledged in the end. */
  readonly failed?: number
  readonly brokerCpu: CpuTime | null
  readonly generatorCpu: CpuTime
  readonly block: BlockIo | null
}

/** Microseconds of CPU within the measured time. */
export interface CpuTime {
  readonly user: number
  readonly system: number
}

/** Of the whole device, other processes included. */
export interface BlockIo {
  readonly writes: number
  readonly flushes: number
  readonly writtenBytes: number
  readonly readBytes: number
}

export type GeneratorReply =
  | { readonly kind: 'measuring' }
  | { readonly kind: 'result'; readonly result: LoadResult }
  | { readonly kind: 'failed'; readonly message: string }
