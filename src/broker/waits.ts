/** Told when an append is safe under the promise of its partition, or never will be. */
export interface AppendWaiter {
  /** `tag` is what the waiter gave when it began to wait. */
  appendSettled(tag: number, errorCode: number): void
}

interface AppendWait {
  readonly endOffset: number
  readonly waiter: AppendWaiter
  readonly tag: number
}

/** Dead entries at the front are dropped in one go when there are this many. */
const COMPACT_AFTER = 256

/**
 * Appends of one partition that wait for the high watermark, in the order of their offsets.
 *
 * A repeated batch (KIP-98 duplicate) may wait for an offset that an earlier entry already passed; it then settles
 * together with the entry before it, which is later than needed and never too early.
 */
export class AppendWaits {
  #waits: AppendWait[] = []
  #head = 0

  get size(): number {
    return this.#waits.length - this.#head
  }

  add(endOffset: number, waiter: AppendWaiter, tag: number): void {
    this.#waits.push({ endOffset, waiter, tag })
  }

  /** Settles every wait up to `endOffset`. */
  reached(endOffset: number): void {
    while (this.#head < this.#waits.length) {
      const wait = this.#waits[this.#head]!
      if (wait.endOffset > endOffset) break
      this.#head += 1
      wait.waiter.appendSettled(wait.tag, 0)
    }
    if (this.#head === this.#waits.length) {
      this.#waits.length = 0
      this.#head = 0
    } else if (this.#head >= COMPACT_AFTER) {
      this.#waits.splice(0, this.#head)
      this.#head = 0
    }
  }

  fail(errorCode: number): void {
    const failed = this.#waits.slice(this.#head)
    this.#waits = []
    this.#head = 0
    for (const wait of failed) wait.waiter.appendSettled(wait.tag, errorCode)
  }
}

/** A long poll that is parked at partitions. */
export interface FetchWaiter {
  /** More can be read now: `bytes` were written since the last call. Must not add or remove waiters of the partition. */
  partitionAdvanced(bytes: number): void
  /** The partition went away or failed: answer now. */
  partitionChanged(): void
}

/** A waiter at one partition. */
export class FetchWait {
  readonly waiter: FetchWaiter
  readonly #waits: FetchWaits
  /** Its place among the others, -1 when it is none of them any more. */
  index: number

  constructor(waits: FetchWaits, waiter: FetchWaiter, index: number) {
    this.#waits = waits
    this.waiter = waiter
    this.index = index
  }

  end(): void {
    this.#waits.remove(this)
  }
}

/**
 * Long polls of one partition. No Set: whoever comes and goes has its table made anew again and again, and each old
 * table holds the next one, so that once one of them is old nothing that ever waited is young garbage.
 */
export class FetchWaits {
  readonly #waits: FetchWait[] = []

  add(waiter: FetchWaiter): FetchWait {
    const wait = new FetchWait(this, waiter, this.#waits.length)
    this.#waits.push(wait)
    return wait
  }

  remove(wait: FetchWait): void {
    const { index } = wait
    if (index === -1) return
    wait.index = -1
    const last = this.#waits.pop()!
    if (last === wait) return
    last.index = index
    this.#waits[index] = last
  }

  advanced(bytes: number): void {
    for (const { waiter } of this.#waits) waiter.partitionAdvanced(bytes)
  }

  /** Nobody waits any more. */
  changed(): void {
    const waits = this.#waits.splice(0)
    for (const wait of waits) wait.index = -1
    for (const { waiter } of waits) waiter.partitionChanged()
  }
}
