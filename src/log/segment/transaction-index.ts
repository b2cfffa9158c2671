import { readInt64, writeInt64 } from '../../../protocol/records/record-batch.ts'
import type { AbortedTransaction } from '../log-types.ts'

const ENTRY_BYTES = 34
/** Entries whose lowest first offset is known, so that a search need not look at each. */
const BLOCK_ENTRIES = 256

interface AbortedEntry extends AbortedTransaction {
  readonly lastStableOffset: number
}

/**
 * Aborted transactions in the order of their markers. It only grows: what takes entries out makes another list, so
 * that whoever reads the log meanwhile goes on with all that its bytes may need.
 */
export class AbortedTransactions {
  /** Shared with lists that begin elsewhere in it. */
  readonly #entries: AbortedEntry[]
  /** Of each block of entries, no first offset is lower. */
  readonly #lowest: number[]
  /** Those before are forgotten. */
  readonly #from: number

  private constructor(entries: AbortedEntry[], lowest: number[], from: number) {
    this.#entries = entries
    this.#lowest = lowest
    this.#from = from
  }

  static of(entries: readonly AbortedEntry[]): AbortedTransactions {
    const made = new AbortedTransactions([], [], 0)
    for (const entry of entries) made.add(entry)
    return made
  }

  get count(): number {
    return this.#entries.length - this.#from
  }

  /** Those from index `start` on. */
  slice(start = 0, end = this.count): AbortedEntry[] {
    return this.#entries.slice(this.#from + start, this.#from + end)
  }

  /** The same without the first `count`, which costs little however many are left. */
  without(count: number): AbortedTransactions {
    const from = this.#from + count
    if (from > this.#entries.length / 2) return AbortedTransactions.of(this.#entries.slice(from))
    return new AbortedTransactions(this.#entries, this.#lowest, from)
  }

  add(entry: AbortedEntry): void {
    const block = Math.floor(this.#entries.length / BLOCK_ENTRIES)
    this.#lowest[block] = Math.min(this.#lowest[block] ?? Infinity, entry.firstOffset)
    this.#entries.push(entry)
  }

  /** How many have their marker below `offset`. */
  countBelow(offset: number): number {
    return this.#positionOf(offset) - this.#from
  }

  /** What a reader of [fromOffset, toOffset) has to leave out. */
  within(fromOffset: number, toOffset: number): AbortedTransaction[] {
    const found: AbortedTransaction[] = []
    const entries = this.#entries
    for (let at = this.#positionOf(fromOffset); at < entries.length; at++) {
      while (at % BLOCK_ENTRIES === 0 && (this.#lowest[at / BLOCK_ENTRIES] ?? -1) >= toOffset)
        at += BLOCK_ENTRIES
      const entry = entries[at]
      if (entry === undefined) break
      if (entry.firstOffset < toOffset) found.push(entry)
      // Those whose marker came later began at or above it.
      if (entry.lastStableOffset >= toOffset) break
    }
    return found
  }

  #positionOf(offset: number): number {
    let low = this.#from
    let high = this.#entries.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#entries[middle]!.lastOffset < offset) low = middle + 1
      else high = middle
    }
    return low
  }
}

/**
 * The aborted transactions of one log, from all its `.txnindex` files. Kept in memory as a whole: an entry costs
 * little, there is one per aborted transaction and partition within the retention, and compaction takes out those of
 * which nothing is left.
 */
export class TransactionIndex {
  #all = AbortedTransactions.of([])

  /** As they are now; see `AbortedTransactions`. */
  get all(): AbortedTransactions {
    return this.#all
  }

  get empty(): boolean {
    return this.#all.count === 0
  }

  add(producerId: number, firstOffset: number, lastOffset: number, lastStableOffset: number): void {
    this.#all.add({ producerId, firstOffset, lastOffset, lastStableOffset })
  }

  /** Forgets transactions that ended below `offset`. */
  truncateFromStart(offset: number): void {
    const gone = this.#all.countBelow(offset)
    if (gone > 0) this.#all = this.#all.without(gone)
  }

  /** Forgets transactions whose marker is at or above `offset`. */
  truncateFromEnd(offset: number): void {
    const kept = this.#all.countBelow(offset)
    if (kept < this.#all.count) this.#all = AbortedTransactions.of(this.#all.slice(0, kept))
  }

  /** Forgets transactions of which no batch is left. */
  remove(gone: ReadonlySet<AbortedTransaction>): void {
    if (gone.size > 0)
      this.#all = AbortedTransactions.of(this.#all.slice().filter((entry) => !gone.has(entry)))
  }

  /** The file of the segment [baseOffset, endOffset) without those `gone`; null when it needs none. */
  encode(
    baseOffset: number,
    endOffset: number,
    gone: ReadonlySet<AbortedTransaction> = new Set(),
  ): Buffer | null {
    const entries = this.#all
      .slice(this.#all.countBelow(baseOffset), this.#all.countBelow(endOffset))
      .filter((entry) => !gone.has(entry))
    if (entries.length === 0) return null
    const bytes = Buffer.alloc(entries.length * ENTRY_BYTES)
    entries.forEach((entry, i) => {
      const at = i * ENTRY_BYTES
      writeInt64(bytes, entry.producerId, at + 2)
      writeInt64(bytes, entry.firstOffset, at + 10)
      writeInt64(bytes, entry.lastOffset, at + 18)
      writeInt64(bytes, entry.lastStableOffset, at + 26)
    })
    return bytes
  }

  /**
   * Adds what the file of the segment [baseOffset, endOffset) says. False when that cannot be true; then nothing is
   * added.
   */
  decode(bytes: Buffer, baseOffset: number, endOffset: number): boolean {
    if (bytes.length % ENTRY_BYTES !== 0) return false
    const entries: AbortedEntry[] = []
    let before = baseOffset - 1
    for (let at = 0; at < bytes.length; at += ENTRY_BYTES) {
      const entry = {
        producerId: readInt64(bytes, at + 2),
        firstOffset: readInt64(bytes, at + 10),
        lastOffset: readInt64(bytes, at + 18),
        lastStableOffset: readInt64(bytes, at + 26),
      }
      const { firstOffset, lastOffset } = entry
      // The marker is not the first record of its transaction.
      if (bytes.readInt16BE(at) !== 0 || firstOffset < 0 || firstOffset >= lastOffset) return false
      if (lastOffset <= before || lastOffset >= endOffset) return false
      before = lastOffset
      entries.push(entry)
    }
    for (const entry of entries) this.#all.add(entry)
    return true
  }
}
