import { setTimeout as sleep } from 'node:timers/promises'
import { Seeded } from '../support/seed.ts'
import { Contents } from './contents.ts'
import { PartitionHistory, type Promised } from './history.ts'
import { BrokenLog, type FoundLog, Producer, type ProducerOptions, readPartition } from './workload.ts'
import { createTopic, TopicLedger } from './topics.ts'

/** Every kind of producer, in a topic that keeps everything and in one whose segments come and go. */
const KINDS = [
  { topic: 'kept', partition: 0, acks: 1, idempotent: false },
  { topic: 'kept', partition: 1, acks: -1, idempotent: true },
  { topic: 'kept', partition: 2, acks: 1, idempotent: true },
  { topic: 'kept', partition: 3, acks: -1, idempotent: false },
  { topic: 'rolling', partition: 0, acks: -1, idempotent: true },
  { topic: 'rolling', partition: 1, acks: 1, idempotent: false },
  { topic: 'rolling', partition: 2, acks: -1, idempotent: true },
] as const

const BYTES_PER_LOAD = 16 << 20
/** A crash among fewer says little. */
const FEWEST_BATCHES = 30
const MOST_WAIT_MS = 5_000

const RETENTION_BYTES = 1 << 20
/** Batches under way may be lost although retention counted on them. */
const KEPT_BYTES = RETENTION_BYTES - 5 * (90 << 10)

/** Makes retention and the deletion of files happen while a test looks. */
export const briskProperties: Readonly<Record<string, string>> = {
  'log.retention.check.interval.ms': '100',
  'log.segment.delete.delay.ms': '50',
  'log.flush.offset.checkpoint.interval.ms': '200',
}

export interface LedgerOptions {
  readonly random: Seeded
  /** Of each producer. Default: as fast as it goes. */
  readonly bytesPerSecond?: number
  /** Of the topic whose segments come and go. */
  readonly segmentBytes?: number
  /** Gets each broken promise. Default: throws. */
  readonly report?: (problems: readonly string[]) => void
}

export interface Sum {
  readonly acked: number
  readonly lost: number
  readonly oldestLostMs: number
}

/** Producers of every kind, and what the broker owes them. */
export class Ledger {
  readonly producers: readonly Producer[]
  readonly #options: LedgerOptions
  readonly #histories = new Map<Producer, PartitionHistory>()
  readonly #producerIds = new Map<number, Producer>()
  readonly #topics = new TopicLedger()

  constructor(options: LedgerOptions) {
    this.#options = options
    const { random, bytesPerSecond } = options
    const contents = new Contents(random.uint32())
    this.producers = KINDS.map(
      (kind, stream) =>
        new Producer({
          ...kind,
          stream,
          contents,
          random: new Seeded(random.uint32()),
          ...(bytesPerSecond === undefined ? {} : { bytesPerSecond }),
        }),
    )
    for (const producer of this.producers) this.#histories.set(producer, new PartitionHistory(producer))
  }

  async createTopics(port: number): Promise<void> {
    const partitions = (topic: string): number => KINDS.filter((kind) => kind.topic === topic).length
    await createTopic(port, 'kept', partitions('kept'))
    await createTopic(port, 'rolling', partitions('rolling'), {
      'internal.segment.bytes': String(this.#options.segmentBytes ?? 200_000),
      'retention.bytes': String(RETENTION_BYTES),
    })
    await this.check(port, { acked: 'all' })
  }

  /** Starts all producers; each of the promises ends with its connection, or after `stop`. */
  run(port: number, stop = (): boolean => false): Promise<void>[] {
    return this.producers.map((producer) => producer.run(port, stop))
  }

  /**
   * Starts all producers and returns with them under way: after a while or when they sent enough, but not before some
   * batches were acknowledged, if the machine manages that in reasonable time. `topics`: meanwhile topics come and go.
   */
  async load(
    port: number,
    ms: number,
    { topics = true, stop = (): boolean => false } = {},
  ): Promise<Promise<void>[]> {
    const sent = (): number => this.producers.reduce((sum, { sentBytes }) => sum + sentBytes, 0)
    const acked = (): number => this.producers.reduce((sum, producer) => sum + producer.acked.length, 0)
    const enough = sent() + BYTES_PER_LOAD
    const fewest = acked() + FEWEST_BATCHES
    const running = this.run(port, stop)
    if (topics) running.push(this.#topics.run(port, stop))
    const until = performance.now() + ms
    const latest = until + MOST_WAIT_MS
    while (performance.now() < (acked() < fewest ? latest : until) && sent() < enough) await sleep(2)
    return running
  }

  /** Reads everything and holds the broker to its promises for what was acknowledged since the last check. */
  async check(port: number, promised: Promised): Promise<Sum> {
    this.#checkProducerIds()
    this.#report(await this.#topics.problems(port))
    let acked = 0
    let lost = 0
    let oldestLostMs = Infinity
    for (const [producer, history] of this.#histories) {
      const { options } = producer
      const kept = options.topic === 'rolling' ? { keptBytes: KEPT_BYTES } : {}
      const verdict = history.check(await this.#read(port, options), { ...promised, ...kept })
      this.#report(verdict.problems)
      this.#report(producer.complaints)
      producer.forget()
      acked += verdict.acked
      lost += verdict.lost
      oldestLostMs = Math.min(oldestLostMs, verdict.oldestLostMs)
    }
    return { acked, lost, oldestLostMs }
  }

  /** Whatever was unanswered is sent once more; then everything of an idempotent producer is there exactly once. */
  async settle(port: number): Promise<void> {
    await Promise.all(this.run(port, () => true))
    await this.check(port, { acked: 'all' })
    for (const { options, nextCounter } of this.producers) {
      if (!options.idempotent) continue
      const { counters } = await this.#read(port, options)
      const first = nextCounter - counters.length
      const wrong = counters.findIndex((counter, i) => counter !== first + i)
      if (wrong >= 0)
        this.#report([`${options.topic}-${options.partition}: record ${first + wrong} is missing or twice`])
    }
  }

  /** A broker that lost what it acknowledged cannot know the producers' sequences any more. */
  renewProducers(): void {
    for (const producer of this.producers) producer.renew()
  }

  async #read(port: number, of: ProducerOptions): Promise<FoundLog> {
    try {
      return await readPartition(port, of)
    } catch (error) {
      if (!(error instanceof BrokenLog)) throw error
      this.#report([`${of.topic}-${of.partition}: ${error.message}`])
      return error.found
    }
  }

  #checkProducerIds(): void {
    for (const producer of this.producers) {
      const { producerId } = producer
      if (producerId < 0) continue
      const other = this.#producerIds.get(producerId)
      if (other !== undefined && other !== producer)
        this.#report([`producer id ${producerId} was given twice`])
      this.#producerIds.set(producerId, producer)
    }
  }

  #report(problems: readonly string[]): void {
    if (problems.length === 0) return
    if (this.#options.report === undefined) throw new Error(problems.join('\n'))
    this.#options.report(problems)
  }
}
