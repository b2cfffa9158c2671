/** Told when an append is safe under the promise of its partition, or never will be. */
export interface AppendWaiter {
  /** `tag` is what the waiter gave when it began to wait. */
  appendSettled(tag: number, errorCode: number): void
  /** The log here has written it, and others have not: told before it is settled, and perhaps more than once. */
  appendWritten?(tag: number): void
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
  /** Those before it were told that they are written. */
  #told = 0

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
      this.#head = this.#told = 0
    } else if (this.#head >= COMPACT_AFTER) {
      this.#waits.splice(0, this.#head)
      this.#told = Math.max(0, this.#told - this.#head)
      this.#head = 0
    }
  }

  /** The log here has written everything below `endOffset`; those that wait for more than that are told. */
  written(endOffset: number): void {
    this.#told = Math.max(this.#told, this.#head)
    while (this.#told < this.#waits.length && this.#waits[this.#told]!.endOffset <= endOffset) {
      const { waiter, tag } = this.#waits[this.#told++]!
      waiter.appendWritten?.(tag)
    }
  }

  fail(errorCode: number): void {
    const failed = this.#waits.slice(this.#head)
    this.#waits = []
    this.#head = this.#told = 0
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
