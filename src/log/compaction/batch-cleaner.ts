import * as batch from '../../../protocol/records/record-batch.ts'
import type { AbortedTransaction } from '../log-types.ts'
import { cleanBatch, cleanMarker, dropRecords, isTransactionMarker } from './cleaner-batch.ts'
import type { Cleaned, CleaningRules } from './cleaner-batch.ts'
import { OpaqueBatch } from './opaque-batch.ts'
import { AbortedBatches, TransactionRemains } from './transactions.ts'

/** Says what is left of each batch of one log, shown from the start of the log on. */
export class BatchCleaner {
  readonly #rules: CleaningRules
  readonly #mappedOffset: number
  readonly #aborted: readonly AbortedTransaction[]
  readonly #batches: AbortedBatches
  readonly #remains = new TransactionRemains()
  readonly #opaque: (offset: number, why: string) => void
  #opaqueBefore = false
  /** How many of `#aborted` ended in what was shown. */
  #ended = 0

  /**
   * `mappedOffset`: of keys at and behind it nothing is known yet, the next pass takes care of them. `aborted`: in the
   * order of their markers.
   */
  constructor(
    rules: CleaningRules,
    mappedOffset: number,
    aborted: readonly AbortedTransaction[],
    opaque: (offset: number, why: string) => void,
  ) {
    this.#rules = rules
    this.#mappedOffset = mappedOffset
    this.#aborted = aborted
    this.#batches = new AbortedBatches(aborted)
    this.#opaque = opaque
  }

  clean(buffer: Buffer, at: number): Cleaned {
    try {
      return this.#clean(buffer, at)
    } catch (error) {
      if (!(error instanceof OpaqueBatch)) throw error
      this.#opaqueBefore = true
      this.#opaque(batch.baseOffset(buffer, at), error.message)
      return 'all'
    }
  }

  /**
   * All below `endOffset` was shown: aborted transactions that ended there, since the last call, and of which no batch was
   * left before.
   */
  endedWithoutBatches(endOffset: number): Set<AbortedTransaction> {
    const from = this.#ended
    while ((this.#aborted[this.#ended]?.lastOffset ?? Infinity) < endOffset) this.#ended++
    return this.#remains.withoutBatches(this.#aborted.slice(from, this.#ended))
  }

  #clean(buffer: Buffer, at: number): Cleaned {
    const isKnown = batch.baseOffset(buffer, at) < this.#mappedOffset
    if (batch.magic(buffer, at) >= 2 && batch.isControl(buffer, at)) {
      if (!isTransactionMarker(buffer, at) || this.#remains.marker(buffer, at) || !isKnown) return 'all'
      return cleanMarker(buffer, at, this.#rules)
    }
    const aborted = this.#batches.of(buffer, at)
    this.#remains.data(buffer, at, aborted)
    if (!isKnown) return 'all'
    if (aborted !== null) return dropRecords(buffer, at, this.#rules)
    return cleanBatch(buffer, at, this.#rules, this.#opaqueBefore)
  }
}
