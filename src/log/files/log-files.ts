import type { Disk } from '../../ports.ts'

/** The names in a partition's directory, Kafka's. */

export const LOG_SUFFIX = '.log'
export const INDEX_SUFFIX = '.index'
export const TIME_INDEX_SUFFIX = '.timeindex'
export const TRANSACTION_INDEX_SUFFIX = '.txnindex'
export const SNAPSHOT_SUFFIX = '.snapshot'
/** All files of one segment that are made and go together with its log file. */
export const SEGMENT_SUFFIXES = [
  LOG_SUFFIX,
  INDEX_SUFFIX,
  TIME_INDEX_SUFFIX,
  TRANSACTION_INDEX_SUFFIX,
] as const

export const DELETED_SUFFIX = '.deleted'
export const CLEANED_SUFFIX = '.cleaned'
export const SWAP_SUFFIX = '.swap'
/**
 * A log file that retention deleted, kept to be written over: `<offset>.spare`. All batches in it lie below the
 * offset in its name, so it may become a segment that starts there or later, and of what is found in that segment
 * after a crash the offset alone tells what is stale. Not Kafka's: gone after a clean stop, worth nothing at a start.
 */
export const SPARE_SUFFIX = '.spare'

export const PARTITION_METADATA = 'partition.metadata'
export const EPOCH_CHECKPOINT = 'leader-epoch-checkpoint'
/**
 * How often the partition changed its log directory. Not Kafka's. When a crash leaves a partition in two directories, the
 * one with the higher number took over from the other.
 */
export const GENERATION = 'samsa-generation'
const AS_MADE = [LOG_SUFFIX, INDEX_SUFFIX, TIME_INDEX_SUFFIX]

export function segmentFile(directory: string, baseOffset: number, suffix: string): string {
  return `${directory}/${String(baseOffset).padStart(20, '0')}${suffix}`
}

export function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/'
}

/** Whether a name is `<20 digits>` and one of the suffixes. */
export function isSegmentFile(name: string, suffixes: readonly string[]): boolean {
  return suffixes.some((suffix) => name.length === 20 + suffix.length && name.endsWith(suffix))
}

/** The offset in `<20 digits>.<anything>`, -1 when the name is not of that form. */
export function offsetOf(name: string): number {
  const match = /^(\d{20})\./.exec(name)
  const offset = match === null ? -1 : Number(match[1])
  return Number.isSafeInteger(offset) ? offset : -1
}

/** Parses `partition.metadata`; null when it says no topic id. */
export function parsePartitionMetadata(text: string): string | null {
  return /^topic_id:\s*([A-Za-z0-9_-]{22})\s*$/m.exec(text)?.[1] ?? null
}

/** 0 for a partition that never moved. Throws what the disk throws. */
export function readGeneration(disk: Disk, directory: string): number {
  const path = `${directory}/${GENERATION}`
  if (!disk.exists(path)) return 0
  return Number(/^(\d{1,15})\n$/.exec(disk.readFile(path).toString('latin1'))?.[1] ?? 0)
}

/** Of the directory of a partition: it was made, and there it ended. Throws what the disk throws. */
export function isNeverWritten(disk: Disk, directory: string): boolean {
  const names = disk.list(directory)
  const first = segmentFile(directory, 0, LOG_SUFFIX)
  const isAsMade = (name: string): boolean =>
    name === PARTITION_METADATA ||
    name === EPOCH_CHECKPOINT ||
    (offsetOf(name) === 0 && isSegmentFile(name, AS_MADE))
  if (!names.includes(PARTITION_METADATA) || !disk.exists(first) || !names.every(isAsMade)) return false
  const file = disk.open(first, 'read')
  try {
    return file.sizeBytes === 0
  } finally {
    file.close()
  }
}

export function encodeGeneration(generation: number): Buffer {
  return Buffer.from(`${generation}\n`)
}

export function encodePartitionMetadata(topicId: string): string {
  return `version: 0\ntopic_id: ${topicId}`
}
