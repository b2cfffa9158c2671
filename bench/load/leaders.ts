import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from './client.ts'
import { nowUs } from './clock.ts'
import type { Endpoint } from './spec.ts'

const NOBODY = -1
/** What Kafka's clients wait before they ask or send again (`retry.backoff.ms`). */
export const RETRY_MS = 100
const ANSWER_MS = 1_000

/** Who leads the partitions of a topic, as the brokers say when they are asked. */
export class Leaders {
  readonly #topic: string
  readonly #partitions: number
  readonly #changed: () => void
  readonly #isWatching: boolean
  #brokers: ReadonlyMap<number, Endpoint> = new Map()
  #leaders: number[] = []
  /** Some of what is known here is wrong. */
  #doubted = new Set<number>()
  #client: Client | null = null
  #asking: Promise<void> | null = null
  #closed = false
  #askedUs = 0

  /** `changed`: leaders became known. `isWatching`: they are asked for all the time. */
  constructor(
    bootstrap: Endpoint,
    topic: string,
    partitions: number,
    changed: () => void,
    isWatching = false,
  ) {
    this.#topic = topic
    this.#partitions = partitions
    this.#changed = changed
    this.#isWatching = isWatching
    this.#brokers = new Map([[NOBODY, bootstrap]])
  }

  get brokers(): ReadonlyMap<number, Endpoint> {
    return this.#brokers
  }

  /** -1: nobody, or nobody knows. */
  of(partition: number): number {
    return this.#leaders[partition] ?? NOBODY
  }

  /** Resolves when every partition has a leader. */
  async known(): Promise<void> {
    this.#ask()
    await this.#asking
  }

  /** It does not lead that partition, or it is gone. */
  doubt(partition: number): void {
    this.#leaders[partition] = NOBODY
    this.#doubted.add(partition)
    this.#ask()
  }

  /** It is gone. */
  lost(broker: number): void {
    for (const [partition, leader] of this.#leaders.entries()) if (leader === broker) this.doubt(partition)
  }

  leadsNothing(broker: number): boolean {
    return !this.#leaders.includes(broker)
  }

  close(): void {
    this.#closed = true
    this.#client?.close()
  }

  #ask(): void {
    this.#asking ??= this.#askUntilKnown().finally(() => {
      this.#asking = null
      if (!this.#closed && (this.#isWatching || this.#doubted.size > 0)) this.#ask()
    })
  }

  async #askUntilKnown(): Promise<void> {
    while (!this.#closed) {
      const sinceMs = (nowUs() - this.#askedUs) / 1_000
      if (sinceMs < RETRY_MS) await sleep(RETRY_MS - sinceMs)
      this.#askedUs = nowUs()
      if (await this.#askOnce()) return
    }
  }

  /** True: every partition has a leader. */
  async #askOnce(): Promise<boolean> {
    for (const endpoint of this.#brokers.values()) {
      if (this.#closed) return false
      try {
        this.#client ??= await Client.connect(endpoint)
        const { brokers, partitions } = await this.#client.metadata(this.#topic, false, ANSWER_MS)
        if (brokers.size > 0) this.#brokers = brokers
        for (let i = 0; i < this.#partitions; i++) this.#leaders[i] = partitions[i]?.leader ?? NOBODY
        this.#doubted.clear()
        this.#changed()
        return this.#leaders.every((leader) => leader !== NOBODY)
      } catch {
        this.#client?.close()
        this.#client = null
      }
    }
    return false
  }
}
