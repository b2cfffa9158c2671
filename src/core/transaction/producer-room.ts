/** The part of all that is forgotten at a time: to find who remembers most takes a look at all logs. */
const SHARE_THAT_MAKES_ROOM = 1_000

/** What one log remembers of producers. */
export interface RememberedProducers {
  readonly size: number
  /** Forgets so many, those not heard of for the longest time first. Returns how many it could forget. */
  forgetOldest(count: number): number
}

/** A log by its name. */
export interface Rememberer {
  readonly name: string
  readonly producers: RememberedProducers
}

/**
 * What all logs of a broker together may remember of producers: there is no end to the ids that clients can invent.
 * When it is full, those logs that remember most forget whom they have not heard of for longest. So whoever floods some
 * partitions makes these forget, and the others go on to recognise what comes again.
 */
export class ProducerRoom {
  readonly #maxProducers: number
  readonly #logs: () => Iterable<Rememberer>
  readonly #onForgotten: (log: string, producers: number) => void
  #counted = 0
  #addedSince = 0

  constructor(
    maxProducers: number,
    logs: () => Iterable<Rememberer>,
    onForgotten: (log: string, producers: number) => void,
  ) {
    this.#maxProducers = maxProducers
    this.#logs = logs
    this.#onForgotten = onForgotten
  }

  /** Producers that all logs remember now. */
  count(): number {
    let count = 0
    for (const { producers } of this.#logs()) count += producers.size
    return count
  }

  /** A log remembers more of them. */
  added(producers: number): void {
    this.#addedSince += producers
    if (this.#counted + this.#addedSince <= this.#maxProducers) return
    // What expired or went with its log meanwhile was not told one by one.
    this.#counted = this.count()
    this.#addedSince = 0
    if (this.#counted > this.#maxProducers) this.#makeRoom()
  }

  #makeRoom(): void {
    const room = Math.ceil(this.#maxProducers / SHARE_THAT_MAKES_ROOM)
    const logs = [...this.#logs()]
    const level = levelWithout(
      this.#counted - this.#maxProducers + room,
      logs.map(({ producers }) => producers.size),
    )
    for (const { name, producers } of logs) {
      if (producers.size <= level) continue
      const forgotten = producers.forgetOldest(producers.size - level)
      if (forgotten > 0) this.#onForgotten(name, forgotten)
      this.#counted -= forgotten
    }
  }
}

/** What the largest may have left, that `excess` less are had in all. */
function levelWithout(excess: number, sizes: readonly number[]): number {
  const descending = sizes.toSorted((a, b) => b - a)
  let total = 0
  for (const [index, size] of descending.entries()) {
    total += size
    const level = Math.floor((total - excess) / (index + 1))
    if (level >= (descending[index + 1] ?? 0)) return level
  }
  return 0
}
