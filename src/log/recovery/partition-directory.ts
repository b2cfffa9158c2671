import { SamsaError } from '../../core/samsa-error.ts'
import type { Disk, Logger } from '../../ports.ts'
import { removePath, replaceWhole, syncDirectory } from '../files/disk-calls.ts'
import {
  CLEANED_SUFFIX,
  DELETED_SUFFIX,
  encodePartitionMetadata,
  EPOCH_CHECKPOINT,
  INDEX_SUFFIX,
  LOG_SUFFIX,
  offsetOf,
  parsePartitionMetadata,
  PARTITION_METADATA,
  SNAPSHOT_SUFFIX,
  SPARE_SUFFIX,
  SWAP_SUFFIX,
  TIME_INDEX_SUFFIX,
  TRANSACTION_INDEX_SUFFIX,
} from '../files/log-files.ts'
import { finishSwap } from './interrupted-swap.ts'

export interface DirectoryContent {
  /** Ascending. */
  readonly segmentOffsets: number[]
  /** Ascending. */
  readonly snapshotOffsets: number[]
  readonly transactionIndexOffsets: number[]
  readonly hasEpochs: boolean
  readonly topicId: string | null
  /** The directory or something in it was made just now and is not on the device yet. */
  readonly created: boolean
  /** The directory was there. */
  readonly found: boolean
}

/**
 * Opens the directory of a partition: creates it when missing, finishes or undoes what a crash interrupted
 * (deletions, a compaction's swap), and lists what is left.
 */
export async function prepareDirectory(
  disk: Disk,
  directory: string,
  topicId: string | null,
  logger: Logger,
  gapLimit: number,
  foundTopicId?: string | null,
): Promise<DirectoryContent> {
  let created = false
  let found = true
  let names: readonly string[] = []
  if (foundTopicId === undefined && !disk.exists(directory)) {
    disk.makeDirectory(directory)
    created = true
    found = false
  } else {
    names = disk.list(directory)
    if (await finishInterrupted(disk, directory, names, gapLimit, logger)) names = disk.list(directory)
  }
  const known = names.includes(PARTITION_METADATA)
    ? (foundTopicId ?? readTopicId(disk, directory, topicId))
    : null
  if (known === null && topicId !== null) {
    await replaceWhole(
      disk,
      `${directory}/${PARTITION_METADATA}`,
      Buffer.from(encodePartitionMetadata(topicId)),
      false,
    )
    created = true
  }
  const segmentOffsets = offsetsWith(names, LOG_SUFFIX)
  const logs = new Set(segmentOffsets)
  for (const suffix of [INDEX_SUFFIX, TIME_INDEX_SUFFIX, TRANSACTION_INDEX_SUFFIX]) {
    for (const name of names) {
      if (!name.endsWith(suffix) || logs.has(offsetOf(name))) continue
      logger.warn({ file: name }, 'removing an index without its log file')
      await removePath(disk, `${directory}/${name}`)
    }
  }
  return {
    segmentOffsets,
    snapshotOffsets: offsetsWith(names, SNAPSHOT_SUFFIX),
    transactionIndexOffsets: offsetsWith(names, TRANSACTION_INDEX_SUFFIX).filter((offset) =>
      logs.has(offset),
    ),
    hasEpochs: names.includes(EPOCH_CHECKPOINT),
    topicId: known ?? topicId,
    created,
    found,
  }
}

function offsetsWith(names: readonly string[], suffix: string): number[] {
  const offsets: number[] = []
  for (const name of names) {
    const offset = name.endsWith(suffix) && name.length === 20 + suffix.length ? offsetOf(name) : -1
    if (offset >= 0) offsets.push(offset)
  }
  return offsets.sort((a, b) => a - b)
}

function readTopicId(disk: Disk, directory: string, expected: string | null): string | null {
  const path = `${directory}/${PARTITION_METADATA}`
  const found = parsePartitionMetadata(disk.readFile(path).toString('utf8'))
  if (found !== null && expected !== null && found !== expected) {
    throw new SamsaError('SAMSA_LOG_CORRUPT', `${path} belongs to topic id ${found}, not to ${expected}`)
  }
  return found
}

/**
 * Kafka's protocol for replacing segments: new files are made as `.cleaned`, become `.swap` once they are complete,
 * the old ones become `.deleted`, then `.swap` is taken off. So `.cleaned` is worth nothing, and `.swap` is complete
 * unless a `.cleaned` at or below its offset says that the renaming itself was interrupted. Resolves to whether
 * names changed that count.
 */
async function finishInterrupted(
  disk: Disk,
  directory: string,
  names: readonly string[],
  gapLimit: number,
  logger: Logger,
): Promise<boolean> {
  let changed = false
  const drop = async (name: string, why: string): Promise<void> => {
    logger.info({ file: name }, why)
    await removePath(disk, `${directory}/${name}`)
    changed = true
  }
  let firstCleaned = Infinity
  for (const name of names) {
    // Kept for the next segment of a process that is gone: should its name come back, it goes again.
    if (name.endsWith(SPARE_SUFFIX)) await removePath(disk, `${directory}/${name}`)
    else if (name.endsWith(DELETED_SUFFIX)) await drop(name, 'finishing an interrupted deletion')
    else if (name.endsWith('.tmp')) await drop(name, 'removing an unfinished file')
    else if (name.endsWith(CLEANED_SUFFIX)) {
      firstCleaned = Math.min(firstCleaned, Math.max(0, offsetOf(name)))
      await drop(name, 'removing an unfinished compaction')
    }
  }
  const swaps = names.filter((name) => name.endsWith(SWAP_SUFFIX))
  const complete: string[] = []
  for (const name of swaps) {
    if (offsetOf(name) >= firstCleaned) await drop(name, 'removing an unfinished compaction')
    else complete.push(name)
  }
  if (complete.length > 0) {
    await finishSwap(disk, directory, names, complete, gapLimit, logger)
    changed = true
  }
  if (changed) await syncDirectory(disk, directory)
  return changed
}
