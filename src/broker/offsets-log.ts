import { ErrorCode, errorName } from '../../protocol/errors.ts'
import { batchSizeBytes, frameProblem, lastOffset } from '../../protocol/records/record-batch.ts'
import { SamsaError } from '../core/samsa-error.ts'
import { defaultLogConfig } from '../log/log-config.ts'
import type { ReadResult } from '../log/log-types.ts'
import { OFFSETS_TOPIC } from '../metadata/layout/topic-names.ts'
import type { CoordinatorLog } from './group-coordinator.ts'
import type { Partition } from './partition.ts'
import type { Partitions } from './partitions.ts'

const LOAD_BYTES = 1024 * 1024

/** `__consumer_offsets` as the group coordinator sees it, over the partitions of this broker. */
export class OffsetsLog implements CoordinatorLog {
  readonly partitionCount: number
  readonly #partitions: Partitions
  readonly #refusesRecords: (directory: string) => boolean
  readonly #ensureTopic: () => Promise<void>

  /** `refusesRecords`: whether the volume below a log's directory hangs, or has no room even for offsets. */
  constructor(
    partitionCount: number,
    partitions: Partitions,
    refusesRecords: (directory: string) => boolean,
    ensureTopic: () => Promise<void>,
  ) {
    this.partitionCount = partitionCount
    this.#partitions = partitions
    this.#refusesRecords = refusesRecords
    this.#ensureTopic = ensureTopic
  }

  async ensureTopic(): Promise<void> {
    if (!this.#partitions.hasTopic(OFFSETS_TOPIC)) await this.#ensureTopic()
  }

  append(index: number, batch: Buffer, done: (errorCode: number) => void): void {
    const partition = this.#partitions.get(OFFSETS_TOPIC, index)
    if (partition === undefined) {
      done(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
      return
    }
    // A commit that is refused now can be made again; a write that fails ends the directory.
    if (this.#refusesRecords(partition.log.directory)) {
      done(ErrorCode.KAFKA_STORAGE_ERROR)
      return
    }
    // While the partition changes its directory, what comes waits.
    if (partition.appendLine.isEmpty) append(partition, batch, done)
    else partition.appendLine.enter().ready(() => append(partition, batch, done))
  }

  maxBatchBytes(index: number): number {
    const config = this.#partitions.get(OFFSETS_TOPIC, index)?.log.config ?? defaultLogConfig
    return Math.min(config.maxMessageBytes, config.segmentBytes)
  }

  async load(index: number, onBatch: (batch: Buffer) => void): Promise<void> {
    const partition = this.#partitions.get(OFFSETS_TOPIC, index)
    if (partition === undefined) return
    // Not "no groups": who asks would start from the beginning.
    if (partition.errorCode !== ErrorCode.NONE) throw unreadable(index, partition.errorCode)
    let offset = partition.log.logStartOffset
    while (offset < partition.highWatermark) {
      const result = await read(partition, offset)
      for (const buffer of result.buffers) eachBatch(index, offset, buffer, onBatch)
      if (result.nextOffset <= offset) return
      offset = result.nextOffset
    }
  }
}

function append(partition: Partition, batch: Buffer, done: (errorCode: number) => void): void {
  const { errorCode, lastOffset } = partition.append(batch)
  if (errorCode !== ErrorCode.NONE) done(errorCode)
  else partition.awaitAppended(lastOffset + 1, { appendSettled: (_tag, settled) => done(settled) }, 0)
}

/** Throws where a batch does not say how long it is: what comes behind it is not found, and must not be missing in silence. */
function eachBatch(index: number, offset: number, buffer: Buffer, onBatch: (batch: Buffer) => void): void {
  let at = 0
  let next = offset
  while (at < buffer.length) {
    const problem = frameProblem(buffer, at, buffer.length)
    if (problem !== null)
      throw new SamsaError(
        'SAMSA_DISK_IO',
        `${OFFSETS_TOPIC}-${index} is damaged at offset ${next}: ${problem}`,
      )
    const batch = buffer.subarray(at, at + batchSizeBytes(buffer, at))
    onBatch(batch)
    next = lastOffset(batch, 0) + 1
    at += batch.length
  }
}

function read(partition: Partition, offset: number): Promise<ReadResult> {
  return new Promise((resolve, reject) => {
    partition.log.read(offset, LOAD_BYTES, partition.highWatermark, true, (result) => {
      if (result.errorCode === ErrorCode.NONE) resolve(result)
      else reject(unreadable(partition.index, result.errorCode))
    })
  })
}

function unreadable(index: number, errorCode: number): SamsaError {
  return new SamsaError('SAMSA_DISK_IO', `cannot read ${OFFSETS_TOPIC}-${index}: ${errorName(errorCode)}`)
}
