/** Additions until the producers are counted anew: what went meanwhile is not told one by one. */
const RECOUNT_AFTER = 10_000

/**
 * What all logs of a broker may remember of producers. Every log has a cap of its own, which thousands of logs times
 * thousands of invented ids would make gigabytes of.
 */
export class ProducerRoom {
  readonly #maxProducers: number
  readonly #count: () => number
  #counted = 0
  #addedSince = 0

  /** `count` says how many producers all logs remember. */
  constructor(maxProducers: number, count: () => number) {
    this.#maxProducers = maxProducers
    this.#count = count
  }

  get isFull(): boolean {
    return this.#counted + this.#addedSince >= this.#maxProducers
  }

  added(producers: number): void {
    this.#addedSince += producers
    if (this.#addedSince < RECOUNT_AFTER) return
    this.#counted = this.#count()
    this.#addedSince = 0
  }
}
