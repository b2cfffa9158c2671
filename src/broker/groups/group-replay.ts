import { decompress } from '../../../protocol/compression.ts'
import { ProtocolError } from '../../../protocol/protocol-error.ts'
import * as batches from '../../../protocol/records/record-batch.ts'
import { readControlRecord, RecordReader } from '../../../protocol/records/record-reader.ts'

/** No batch that Kafka or we write comes near it. */
const MAX_BATCH_BODY_BYTES = 512 * 1024 * 1024

const COMMIT_MARKER = 1
const MAGIC_2 = 2

/** A record of the offsets topic; views of the batch, valid during the call. */
export type EachRecord = (key: Buffer, value: Buffer | null) => void

/** A batch whose bytes are not those that were written. */
export type DamagedBatch = (offset: number, problem: string) => void

interface HeldRecord {
  readonly key: Buffer
  readonly value: Buffer | null
}

/**
 * Takes the records out of the batches of an offsets partition, in the order in which they count: what belongs to
 * a transaction when its commit marker comes, never when it was aborted.
 */
export class GroupReplay {
  readonly #eachRecord: EachRecord
  readonly #damaged: DamagedBatch
  readonly #open = new Map<number, HeldRecord[]>()

  constructor(eachRecord: EachRecord, damaged: DamagedBatch) {
    this.#eachRecord = eachRecord
    this.#damaged = damaged
  }

  /** Transactions without an end. Their offsets do not count. */
  get openTransactions(): number {
    return this.#open.size
  }

  /**
   * A batch that is damaged is told of and left out. Throws a ProtocolError or a CompressionError when one cannot be read
   * although it is as it was written.
   */
  batch(batch: Buffer): void {
    if (batches.magic(batch, 0) !== MAGIC_2) throw new ProtocolError('record batch of an old format')
    const problem = batches.batchProblem(batch, 0, batch.length)
    if (problem !== null) {
      // It may have said that a transaction is aborted, or which one it belongs to: none that is open can be believed.
      this.#open.clear()
      this.#damaged(batches.baseOffset(batch, 0), problem)
      return
    }
    const producerId = batches.producerId(batch, 0)
    if (batches.isControl(batch, 0)) {
      this.#endTransaction(batch, producerId)
      return
    }
    const plain = batch.subarray(batches.BATCH_OVERHEAD)
    const body = decompress(batches.codec(batch, 0), plain, MAX_BATCH_BODY_BYTES)
    const held = batches.isTransactional(batch, 0) ? this.#held(producerId) : null
    const reader = new RecordReader(body, batches.recordCount(batch, 0))
    while (reader.next()) {
      const key = reader.key()
      const value = reader.value()
      if (key === null) continue
      if (held === null) this.#eachRecord(key, value)
      else held.push({ key: Buffer.from(key), value: value === null ? null : Buffer.from(value) })
    }
    if (reader.problem !== null) throw new ProtocolError(reader.problem)
  }

  #held(producerId: number): HeldRecord[] {
    let held = this.#open.get(producerId)
    if (held === undefined) {
      held = []
      this.#open.set(producerId, held)
    }
    return held
  }

  #endTransaction(batch: Buffer, producerId: number): void {
    const control = readControlRecord(batch, batches.BATCH_OVERHEAD, batch.length)
    const held = this.#open.get(producerId)
    this.#open.delete(producerId)
    if (control?.type !== COMMIT_MARKER || held === undefined) return
    for (const { key, value } of held) this.#eachRecord(key, value)
  }
}
