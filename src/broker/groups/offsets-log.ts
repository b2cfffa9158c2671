import { ErrorCode, errorName } from '../../../protocol/errors.ts'
import { batchSizeBytes, frameProblem, lastOffset } from '../../../protocol/records/record-batch.ts'
import type { LedPartition } from '../../core/group/outbox.ts'
import { SamsaError } from '../../core/samsa-error.ts'
import { defaultLogConfig } from '../../log/log-config.ts'
import type { ReadResult } from '../../log/log-types.ts'
import { OFFSETS_TOPIC } from '../../metadata/layout/topic-names.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import type { CoordinatorLog } from './coordinator-log.ts'
import type { Partition } from '../partition.ts'
import type { Partitions } from '../partitions.ts'

const LOAD_BYTES = 256 * 1024

/** `__consumer_offsets` as the group coordinator sees it, over the partitions of this broker. */
export class OffsetsLog implements CoordinatorLog {
  readonly #metadata: Pick<Metadata, 'topics' | 'autoCreateTopic'>
  readonly #partitions: Partitions
  readonly #refusesRecords: (directory: string) => boolean

  /** `refusesRecords`: whether the volume below a log's directory hangs, or has no room even for offsets. */
  constructor(
    metadata: Pick<Metadata, 'topics' | 'autoCreateTopic'>,
    partitions: Partitions,
    refusesRecords: (directory: string) => boolean,
  ) {
    this.#metadata = metadata
    this.#partitions = partitions
    this.#refusesRecords = refusesRecords
  }

  /** As it is now: any broker may make the topic, with as many as its own configuration says. */
  get partitionCount(): number {
    return this.#metadata.topics.get(OFFSETS_TOPIC)?.partitions.length ?? 0
  }

  async ensureTopic(): Promise<void> {
    if (this.#metadata.topics.has(OFFSETS_TOPIC)) return
    const errorCode = await this.#metadata.autoCreateTopic(OFFSETS_TOPIC)
    if (errorCode !== ErrorCode.NONE)
      throw new SamsaError('SAMSA_METADATA_STORE', `${OFFSETS_TOPIC}: ${errorName(errorCode)}`)
  }

  append({ index, leaderEpoch }: LedPartition, batch: Buffer, done: (errorCode: number) => void): void {
    const partition = this.#partitions.leaderOf(OFFSETS_TOPIC, index, leaderEpoch)
    if (typeof partition === 'number') {
      done(partition)
      return
    }
    // A commit that is refused now can be made again; a write that fails ends the directory.
    if (this.#refusesRecords(partition.log.directory)) {
      done(ErrorCode.KAFKA_STORAGE_ERROR)
      return
    }
    // While the partition changes its directory, what comes waits.
    if (partition.appendLine.isEmpty) append(partition, leaderEpoch, batch, done)
    else partition.appendLine.enter().ready(() => append(partition, leaderEpoch, batch, done))
  }

  maxBatchBytes(index: number): number {
    const config = this.#partitions.get(OFFSETS_TOPIC, index)?.log.config ?? defaultLogConfig
    return Math.min(config.maxMessageBytes, config.segmentBytes)
  }

  async load({ index, leaderEpoch }: LedPartition, onBatch: (batch: Buffer) => void): Promise<void> {
    // Not "no groups" where it cannot be read: who asks would start from the beginning.
    const partition = this.#partitions.leaderOf(OFFSETS_TOPIC, index, leaderEpoch)
    if (typeof partition === 'number') throw unreadable(index, partition)
    // Only the groups write there, and they are not here yet: nothing comes after it.
    const endOffset = partition.log.logEndOffset
    await written(partition, endOffset)
    let offset = partition.log.logStartOffset
    while (offset < endOffset) {
      const errorCode = partition.leaderError(leaderEpoch)
      if (errorCode !== ErrorCode.NONE) throw unreadable(index, errorCode)
      const result = await read(partition, offset, endOffset)
      for (const buffer of result.buffers) eachBatch(index, offset, buffer, onBatch)
      if (result.nextOffset <= offset) return
      offset = result.nextOffset
    }
  }
}

/** `leaderEpoch`: it may have waited while somebody else began to lead. */
function append(
  partition: Partition,
  leaderEpoch: number,
  batch: Buffer,
  done: (errorCode: number) => void,
): void {
  const refusal = partition.leaderError(leaderEpoch) || partition.acksAllError
  if (refusal !== ErrorCode.NONE) {
    done(refusal)
    return
  }
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

/** What came while it followed may still be on its way to the disk. */
function written(partition: Partition, endOffset: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const appendSettled = (_tag: number, errorCode: number): void => {
      if (errorCode === ErrorCode.NONE) resolve()
      else reject(unreadable(partition.index, errorCode))
    }
    partition.awaitWritten(endOffset, { appendSettled }, 0)
  })
}

function read(partition: Partition, offset: number, endOffset: number): Promise<ReadResult> {
  return new Promise((resolve, reject) => {
    partition.log.read(offset, LOAD_BYTES, endOffset, true, (result) => {
      if (result.errorCode === ErrorCode.NONE) resolve(result)
      else reject(unreadable(partition.index, result.errorCode))
    })
  })
}

function unreadable(index: number, errorCode: number): SamsaError {
  return new SamsaError('SAMSA_DISK_IO', `cannot read ${OFFSETS_TOPIC}-${index}: ${errorName(errorCode)}`)
}
