import { EpochCache } from '../../src/core/replication/epoch-cache.ts'
import type { Log } from '../../src/log/log.ts'
import type { FetchWaiter } from '../../src/broker/waits.ts'

/** What a partition uses of its log. */
export class FakeLog {
  writtenEndOffset = 10
  logEndOffset = 10
  logStartOffset = 3
  checkpointedHighWatermark = 0
  firstOpenTransactionOffset = -1
  failed = false
  deletes = true
  readonly epochs = new EpochCache()
  readonly deletedBefore: number[] = []
  readonly cuts: string[] = []
  readonly appendedUnder: number[] = []
  answer = { errorCode: 0, duplicate: false }
  throws: Error | null = null

  /** It stands in for one. */
  get asLog(): Log {
    return this as unknown as Log
  }

  get config() {
    return { cleanupPolicy: { delete: this.deletes, compact: !this.deletes } }
  }

  append(_batch: Buffer, epoch: number) {
    if (this.throws !== null) throw this.throws
    this.appendedUnder.push(epoch)
    return this.answer
  }

  /** As many records as bytes. */
  appendAsFollower(records: Buffer) {
    if (this.throws !== null) throw this.throws
    this.logEndOffset += records.length
    return this.answer
  }

  truncateTo(offset: number): Promise<void> {
    this.cuts.push(`to ${offset}`)
    this.#endAt(offset)
    return Promise.resolve()
  }

  truncateFullyAndStartAt(offset: number): Promise<void> {
    this.cuts.push(`fully, to ${offset}`)
    this.logStartOffset = offset
    this.#endAt(offset)
    return Promise.resolve()
  }

  #endAt(offset: number): void {
    this.logEndOffset = this.writtenEndOffset = offset
  }

  deleteRecordsBefore(offset: number): void {
    this.deletedBefore.push(offset)
    this.logStartOffset = offset
  }
}

/** A long poll that notes what it hears. */
export class Waiter implements FetchWaiter {
  readonly heard: (number | 'changed')[] = []
  partitionAdvanced(bytes: number): void {
    this.heard.push(bytes)
  }
  partitionChanged(): void {
    this.heard.push('changed')
  }
}
