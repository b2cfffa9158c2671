import * as batch from '../../../protocol/records/record-batch.ts'
import type { AbortedTransaction } from '../log-types.ts'

/**
 * Tells the batches of aborted transactions. By offset alone: it knows the same of a batch whatever it was shown before.
 */
export class AbortedBatches {
  /** Of each producer, in the order of their offsets: one ends before the next begins. */
  readonly #byProducer = new Map<number, AbortedTransaction[]>()

  constructor(aborted: readonly AbortedTransaction[]) {
    for (const transaction of aborted) {
      const known = this.#byProducer.get(transaction.producerId)
      if (known === undefined) this.#byProducer.set(transaction.producerId, [transaction])
      else known.push(transaction)
    }
  }

  /** The aborted transaction that a batch of data belongs to; null: it counts. */
  of(buffer: Buffer, at: number): AbortedTransaction | null {
    if (!isTransactionalData(buffer, at)) return null
    const transactions = this.#byProducer.get(batch.producerId(buffer, at)) ?? []
    const offset = batch.baseOffset(buffer, at)
    let low = 0
    let high = transactions.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (transactions[middle]!.lastOffset < offset) low = middle + 1
      else high = middle
    }
    const found = transactions[low]
    return found !== undefined && found.firstOffset <= offset ? found : null
  }
}

/** Which transactions have batches left, when shown a log from its start. */
export class TransactionRemains {
  /** Producers with data since their last marker. */
  readonly #since = new Set<number>()
  readonly #aborted = new Set<AbortedTransaction>()

  /** A batch of data, which may belong to an aborted transaction. */
  data(buffer: Buffer, at: number, aborted: AbortedTransaction | null): void {
    if (isTransactionalData(buffer, at)) this.#since.add(batch.producerId(buffer, at))
    if (aborted !== null) this.#aborted.add(aborted)
  }

  /** Whether the marker ends a transaction of which a batch is there. */
  marker(buffer: Buffer, at: number): boolean {
    return this.#since.delete(batch.producerId(buffer, at))
  }

  /** Those of `aborted` of which nothing was seen. All of the log below their markers must have been. */
  withoutBatches(aborted: readonly AbortedTransaction[]): Set<AbortedTransaction> {
    return new Set(aborted.filter((transaction) => !this.#aborted.has(transaction)))
  }
}

function isTransactionalData(buffer: Buffer, at: number): boolean {
  return batch.magic(buffer, at) >= 2 && batch.isTransactional(buffer, at) && !batch.isControl(buffer, at)
}
