import type { LogConfig } from '../../../src/log/log-config.ts'
import type { Log } from '../../../src/log/log.ts'
import type { LogListener } from '../../../src/log/directory/managed-log.ts'
import type { LogLedger } from './log-ledger.ts'

/** What a topic is there for. */
export type TopicRole = 'events' | 'keyed' | 'churned' | 'followed'

/** A partition as the metadata knows it: lives on over the lives of the process. */
export interface KnownPartition {
  readonly topic: string
  readonly partition: number
  readonly topicId: string
  readonly role: TopicRole
  readonly ledger: LogLedger
  config: LogConfig
  /** A follower's high watermark as its leader told it; `Infinity`: it is the leader. */
  highWatermark: number
  /** The largest epoch anything was written under. */
  leaderEpoch: number
}

/** A partition of one life of the process: its log, and who waits for it. */
export class LifePartition implements LogListener {
  readonly known: KnownPartition
  log: Log
  /** The topic was deleted. */
  removed = false
  hasFailed = false
  /** In this life: for a while nobody could read it then. */
  startedAnew = false
  #waiting: { readonly endOffset: number; readonly settle: (ok: boolean) => void }[] = []

  constructor(known: KnownPartition, log: Log) {
    this.known = known
    this.log = log
  }

  /** Readers may see what lies below. */
  get highWatermark(): number {
    return Math.min(this.known.highWatermark, this.log.writtenEndOffset)
  }

  get lastStableOffset(): number {
    const firstOpen = this.log.firstOpenTransactionOffset
    return firstOpen < 0 ? this.highWatermark : Math.min(this.highWatermark, firstOpen)
  }

  /** Nobody may expect more of it than errors. */
  get gone(): boolean {
    return this.removed || this.hasFailed || this.log.failed
  }

  written(endOffset: number): void {
    for (const waiting of this.#waiting) if (waiting.endOffset <= endOffset) waiting.settle(true)
    this.#waiting = this.#waiting.filter((waiting) => waiting.endOffset > endOffset)
  }

  /** What waits is written later. */
  stalled(): void {}

  /** Nobody appends to it when it moves. */
  holdAppends(): Promise<() => void> {
    return Promise.resolve(() => {})
  }

  moved(log: Log): void {
    this.log = log
  }

  failed(): void {
    this.hasFailed = true
    this.#giveUp()
  }

  remove(): void {
    this.removed = true
    this.#giveUp()
  }

  /** Resolves to false when it will never be. */
  whenWritten(endOffset: number): Promise<boolean> {
    if (this.log.writtenEndOffset >= endOffset) return Promise.resolve(true)
    if (this.gone) return Promise.resolve(false)
    return new Promise((settle) => this.#waiting.push({ endOffset, settle }))
  }

  #giveUp(): void {
    for (const { settle } of this.#waiting.splice(0)) settle(false)
  }
}
