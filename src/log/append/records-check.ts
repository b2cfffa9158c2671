import { ErrorCode } from '../../../protocol/errors.ts'
import * as batch from '../../../protocol/records/record-batch.ts'
import type { RecordShape } from '../../../protocol/records/record-stream.ts'
import type { RecordsSummary } from '../../../protocol/records/records-summary.ts'
import type { LogConfig } from '../log-config.ts'
import { invalidRecord } from './batch-problem.ts'
import type { BatchProblem, RecordError } from './batch-problem.ts'

/** More would only repeat the same complaint, and the list travels back in the response. */
const MAX_RECORD_ERRORS = 100
const NO_TIMESTAMP = -1
/** Sums of numbers within it are exact. */
const EXACT = 2 ** 52

/** Shows one record after the other. */
export interface Records extends RecordShape {
  next(): boolean
}

/**
 * What Kafka's LogValidator asks of the records of a batch: offsets that are their places, timestamps within the
 * topic's bounds, keys where the topic is compacted. Then puts right what the header says of them.
 */
export class RecordsCheck {
  #records: Buffer = Buffer.alloc(0)
  #config!: LogConfig
  #nowMs = 0
  #isCreateTime = true
  #claimsAppendTime = false
  #baseMs = 0
  /** Timestamps are base plus delta, within 64 bits: these are beyond what a number adds exactly. */
  #isWide = false
  #maxDelta = -Infinity
  #maxWide: bigint | null = null
  #misplaced: string | null = null
  #hasInvalidTimestamp = false
  #errors: RecordError[] | null = null
  #errorCount = 0

  begin(records: Buffer, config: LogConfig, nowMs: number): this {
    this.#records = records
    this.#config = config
    this.#nowMs = nowMs
    this.#isCreateTime = config.messageTimestampType === 'CreateTime'
    this.#claimsAppendTime = !this.#isCreateTime && batch.isLogAppendTime(records, 0)
    this.#baseMs = batch.baseTimestamp(records, 0)
    this.#isWide = Math.abs(this.#baseMs) > EXACT
    this.#maxDelta = -Infinity
    this.#maxWide = null
    this.#misplaced = null
    this.#hasInvalidTimestamp = false
    this.#errors = null
    this.#errorCount = 0
    return this
  }

  /** Instead of a look at each record. False: it takes that, for some may have to be refused. */
  accept({ minTimestampDelta, maxTimestampDelta, hasKeyless }: RecordsSummary): boolean {
    if (this.#isWide || this.#claimsAppendTime) return false
    if (hasKeyless && this.#config.cleanupPolicy.compact) return false
    if (!this.#isCreateTime) return true
    if (minTimestampDelta < this.#earliestMs - this.#baseMs) return false
    if (maxTimestampDelta > this.#latestMs - this.#baseMs) return false
    this.#maxDelta = maxTimestampDelta
    return true
  }

  /** Looks at all that `records` shows. False: there is no need to look at more. */
  walk(records: Records): boolean {
    const needsKey = this.#config.cleanupPolicy.compact
    const earliestDelta = this.#earliestMs - this.#baseMs
    const latestDelta = this.#latestMs - this.#baseMs
    const looksAtTime = this.#isCreateTime
    const isWide = this.#isWide
    let maxDelta = this.#maxDelta
    while (records.next()) {
      const { index, timestampDelta } = records
      if (records.offsetDelta !== index) {
        this.#misplaced = `record ${index} has offset delta ${records.offsetDelta}, not its place in the batch`
        return false
      }
      if (needsKey && records.keyLength < 0) {
        this.#refuse(index, 'a compacted topic takes no record without a key')
      } else if (!looksAtTime) {
        if (this.#claimsAppendTime) this.#refuseTimestamp(index, APPEND_TIME_CLAIMED)
      } else if (isWide || records.wideDelta !== null) {
        this.#walkWide(records)
      } else {
        if (timestampDelta > maxDelta) maxDelta = timestampDelta
        if (timestampDelta < earliestDelta || timestampDelta > latestDelta)
          this.#checkTimestamp(index, this.#baseMs + timestampDelta)
      }
    }
    this.#maxDelta = maxDelta
    return true
  }

  /** After the last record. `unreadable`: why not all could be read. */
  end(unreadable: string | null): BatchProblem | null {
    const misplaced = this.#misplaced ?? unreadable
    if (misplaced !== null) return invalidRecord(misplaced)
    if (this.#errors !== null) return this.#recordProblem(this.#errors)
    if (this.#isCreateTime) this.#putTimestampsRight()
    else batch.setTimestamps(this.#records, 0, true, this.#nowMs)
    return null
  }

  #recordProblem(recordErrors: readonly RecordError[]): BatchProblem {
    if (this.#hasInvalidTimestamp)
      return {
        errorCode: ErrorCode.INVALID_TIMESTAMP,
        message: 'One or more records have been rejected due to invalid timestamp',
        recordErrors,
      }
    const shown = recordErrors.slice(0, 3).map(({ batchIndex, batchIndexErrorMessage }) => {
      return `RecordError(batchIndex=${batchIndex}, message='${batchIndexErrorMessage}')`
    })
    const message =
      `One or more records have been rejected due to ${this.#errorCount} record errors in total, ` +
      `and only showing the first three errors at most: [${shown.join(', ')}]`
    return { errorCode: ErrorCode.INVALID_RECORD, message, recordErrors }
  }

  get #earliestMs(): number {
    return this.#nowMs - this.#config.messageTimestampBeforeMaxMs
  }

  get #latestMs(): number {
    return this.#nowMs + this.#config.messageTimestampAfterMaxMs
  }

  #walkWide({ index, timestampDelta, wideDelta }: RecordShape): void {
    const base = batch.exactBaseTimestamp(this.#records, 0)
    const timestamp = BigInt.asIntN(64, base + (wideDelta ?? BigInt(timestampDelta)))
    if (this.#maxWide === null || timestamp > this.#maxWide) this.#maxWide = timestamp
    this.#checkTimestamp(index, Number(timestamp))
  }

  get #isListFull(): boolean {
    return this.#errorCount >= MAX_RECORD_ERRORS
  }

  #checkTimestamp(index: number, timestampMs: number): void {
    if (timestampMs === NO_TIMESTAMP) return
    if (timestampMs >= this.#earliestMs && timestampMs <= this.#latestMs) return
    if (this.#isListFull) {
      // To write the sentence takes many times as long as to look at the record.
      this.#hasInvalidTimestamp = true
      this.#errorCount += 1
      return
    }
    this.#refuseTimestamp(
      index,
      `Timestamp ${timestampMs} of message with offset ${index} is out of range. ` +
        `The timestamp should be within [${this.#earliestMs}, ${this.#latestMs}]`,
    )
  }

  #refuseTimestamp(index: number, message: string): void {
    this.#hasInvalidTimestamp = true
    this.#refuse(index, message)
  }

  #refuse(batchIndex: number, batchIndexErrorMessage: string): void {
    this.#errors ??= []
    if (!this.#isListFull) this.#errors.push({ batchIndex, batchIndexErrorMessage })
    this.#errorCount += 1
  }

  /** The header has what the records have, whatever the client wrote there. */
  #putTimestampsRight(): void {
    const narrow = Math.max(NO_TIMESTAMP, this.#baseMs + this.#maxDelta)
    const wide = this.#maxWide
    if (wide === null || (!this.#isWide && wide < narrow))
      batch.setTimestamps(this.#records, 0, false, narrow)
    else batch.setTimestamps(this.#records, 0, false, wide < NO_TIMESTAMP ? NO_TIMESTAMP : wide)
  }
}

const APPEND_TIME_CLAIMED =
  'Invalid timestamp type in message. Producer should not set timestamp type to LogAppendTime.'
