import { readInt64, writeInt64 } from '../../../protocol/records/record-batch.ts'
import type { AbortedTransaction } from '../log-types.ts'

const ENTRY_BYTES = 34

interface AbortedEntry {
  readonly producerId: number
  readonly firstOffset: number
  /** Of the marker. */
  readonly lastOffset: number
  readonly lastStableOffset: number
}

/**
 * The aborted transactions of one log, from all its `.txnindex` files. Kept in memory as a whole: an entry costs
 * little and there is one per aborted transaction and partition within the retention.
 */
export class TransactionIndex {
  /** In the order of their markers. */
  #entries: AbortedEntry[] = []

  get empty(): boolean {
    return this.#entries.length === 0
  }

  add(producerId: number, firstOffset: number, lastOffset: number, lastStableOffset: number): void {
    this.#entries.push({ producerId, firstOffset, lastOffset, lastStableOffset })
  }

  /** What a reader of [fromOffset, toOffset) has to leave out. */
  within(fromOffset: number, toOffset: number): AbortedTransaction[] {
    return this.#entries
      .filter((entry) => entry.lastOffset >= fromOffset && entry.firstOffset < toOffset)
      .map(({ producerId, firstOffset }) => ({ producerId, firstOffset }))
  }

  /** Forgets transactions that ended below `offset`. */
  truncateFromStart(offset: number): void {
    if (this.#entries.length > 0) this.#entries = this.#entries.filter((entry) => entry.lastOffset >= offset)
  }

  /** Forgets transactions whose marker is at or above `offset`. */
  truncateFromEnd(offset: number): void {
    if (this.#entries.length > 0) this.#entries = this.#entries.filter((entry) => entry.lastOffset < offset)
  }

  /** The file of the segment [baseOffset, endOffset); null when it needs none. */
  encode(baseOffset: number, endOffset: number): Buffer | null {
    const entries = this.#entries.filter(
      (entry) => entry.lastOffset >= baseOffset && entry.lastOffset < endOffset,
    )
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

  /** Adds what a file says. False when the file is damaged; then nothing is added. */
  decode(bytes: Buffer): boolean {
    if (bytes.length % ENTRY_BYTES !== 0) return false
    const entries: AbortedEntry[] = []
    for (let at = 0; at < bytes.length; at += ENTRY_BYTES) {
      if (bytes.readInt16BE(at) !== 0) return false
      entries.push({
        producerId: readInt64(bytes, at + 2),
        firstOffset: readInt64(bytes, at + 10),
        lastOffset: readInt64(bytes, at + 18),
        lastStableOffset: readInt64(bytes, at + 26),
      })
    }
    this.#entries.push(...entries)
    return true
  }
}
