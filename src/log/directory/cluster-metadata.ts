import { decompress } from '../../../protocol/compression.ts'
import { CompressionError } from '../../../protocol/compression-error.ts'
import { ProtocolError } from '../../../protocol/protocol-error.ts'
import * as batch from '../../../protocol/records/record-batch.ts'
import { readControlRecord, RecordReader } from '../../../protocol/records/record-reader.ts'
import { SamsaError } from '../../core/samsa-error.ts'
import type { Disk } from '../../ports.ts'
import { BatchScanner } from '../files/batch-scanner.ts'
import { CLEAN_SHUTDOWN_MARKER, decodeMetaProperties, META_PROPERTIES } from '../files/checkpoints.ts'
import { readSmall } from '../files/disk-calls.ts'
import { LOG_SUFFIX, segmentFile } from '../files/log-files.ts'
import { inspectEnd } from '../recovery/log-end.ts'
import type { EndKind } from '../recovery/log-end.ts'

/** The partition in which Kafka's controllers keep their log. */
export const CLUSTER_METADATA_TOPIC = '__cluster_metadata'
const DIRECTORY = `${CLUSTER_METADATA_TOPIC}-0`
const SNAPSHOT = /^(\d{20})-(\d{10})\.checkpoint$/
const SEGMENT = /^(\d{20})\.log$/
/** Kafka makes one where the log ends, at least whenever it closes it. */
const PRODUCER_SNAPSHOT = /^(\d{20})\.snapshot$/
/** Control records that stand at the ends of a snapshot that is whole. */
const SNAPSHOT_HEADER = 3
const SNAPSHOT_FOOTER = 4
/** Kafka's controllers write batches of 8 MiB at most. */
const MAX_BODY_BYTES = 64 << 20

/** What lies in `__cluster_metadata-0`: Apache Kafka's, read and never written. */
export interface ClusterMetadata {
  readonly path: string
  /** Of the `meta.properties` beside it; null when there is none. */
  readonly clusterId: string | null
  /** The newest first. The offset in the name is that of the first record that the snapshot does not sum up. */
  readonly snapshots: readonly Snapshot[]
  /** Base offsets, in order. */
  readonly segments: readonly number[]
  /** The log was this long once: what ends before is damaged. */
  readonly reachedOffset: number
  /** Whoever had the directory last stopped cleanly, so that nothing is half written. */
  readonly cleanShutdown: boolean
  /** Another one when Apache Kafka wrote there since: names, and the length of the log. */
  readonly state: string
}

interface Snapshot {
  readonly name: string
  readonly endOffset: number
}

/** Takes the records of the log, one after the other. Throws a ProtocolError when one makes no sense. */
export interface RecordSink {
  apply(record: Buffer): void
}

/** Looks into the directories, in this order; null when there is none with a metadata log. Throws an error of the disk. */
export function findClusterMetadata(disk: Disk, directories: readonly string[]): ClusterMetadata | null {
  for (const directory of directories) {
    const path = `${directory}/${DIRECTORY}`
    if (!disk.exists(path)) continue
    const names = disk.list(path).toSorted()
    const snapshots = names.flatMap((name) => {
      const match = SNAPSHOT.exec(name)
      return match === null ? [] : [{ name, endOffset: Number(match[1]) }]
    })
    const segments = names.flatMap((name) => {
      const match = SEGMENT.exec(name)
      return match === null ? [] : [Number(match[1])]
    })
    const reached = names.map((name) => Number(PRODUCER_SNAPSHOT.exec(name)?.[1] ?? 0))
    const last = segments.at(-1)
    const length = last === undefined ? 0 : sizeOf(disk, segmentFile(path, last, LOG_SUFFIX))
    const state = [...snapshots.map(({ name }) => name), ...segments, length].join(' ')
    return {
      path,
      clusterId: clusterIdIn(disk, directory),
      snapshots: snapshots.toReversed(),
      segments,
      reachedOffset: Math.max(0, ...reached),
      cleanShutdown: disk.exists(`${directory}/${CLEAN_SHUTDOWN_MARKER}`),
      state,
    }
  }
  return null
}

function clusterIdIn(disk: Disk, directory: string): string | null {
  const path = `${directory}/${META_PROPERTIES}`
  const bytes = readSmall(disk, path)
  return bytes === null ? null : decodeMetaProperties(bytes, path).clusterId
}

function sizeOf(disk: Disk, path: string): number {
  const file = disk.open(path, 'read')
  try {
    return file.sizeBytes
  } finally {
    file.close()
  }
}

/**
 * Hands all records to a sink: those of the newest snapshot that is whole, then those of the log from there on. `begin`
 * makes a sink for each try. Rejects with SAMSA_LOG_CORRUPT when no snapshot leads to the end of the log, or when that end
 * is missing; what a crash left half written there was never promised to anybody.
 */
export async function readClusterMetadata<Sink extends RecordSink>(
  disk: Disk,
  metadata: ClusterMetadata,
  begin: () => Sink,
): Promise<Sink> {
  const { path, snapshots, segments } = metadata
  if (snapshots.length + segments.length === 0) throw corrupt(path, 'it holds neither a log nor a snapshot')
  const problems: string[] = []
  let reachedOffset = metadata.reachedOffset
  // Without any, where the log begins with the first record there was.
  for (const snapshot of [...snapshots, null]) {
    const sink = begin()
    try {
      if (snapshot !== null) {
        await readSnapshot(disk, `${path}/${snapshot.name}`, sink)
        reachedOffset = Math.max(reachedOffset, snapshot.endOffset)
      }
      const endOffset = await readLog(disk, metadata, snapshot?.endOffset ?? 0, sink)
      if (endOffset < reachedOffset)
        throw corrupt(path, `it ends at offset ${endOffset}, and ended at ${reachedOffset} before`)
      return sink
    } catch (error) {
      if (!isContentProblem(error)) throw error
      problems.push(`${snapshot?.name ?? 'the log alone'}: ${error.message}`)
    }
  }
  throw corrupt(path, problems.join('; '))
}

function corrupt(path: string, problem: string): SamsaError {
  return new SamsaError('SAMSA_LOG_CORRUPT', `${path}: ${problem}`)
}

function isContentProblem(error: unknown): error is Error {
  return (
    error instanceof ProtocolError ||
    error instanceof CompressionError ||
    (error instanceof SamsaError && error.code === 'SAMSA_LOG_CORRUPT')
  )
}

async function readSnapshot(disk: Disk, path: string, sink: RecordSink): Promise<void> {
  const file = disk.open(path, 'read')
  try {
    const control: number[] = []
    let batches = 0
    let footerAt = -1
    const scanner = new BatchScanner(file, 0, file.sizeBytes)
    while (await scanner.fill()) {
      while (scanner.step()) {
        const { buffer, at, sizeBytes } = scanner
        const problem = batch.batchProblem(buffer, at, at + sizeBytes)
        if (problem !== null) throw corrupt(path, problem)
        batches += 1
        if (!batch.isControl(buffer, at)) {
          readRecords(buffer.subarray(at, at + sizeBytes), 0, sink)
          continue
        }
        const type = readControlRecord(buffer, at + batch.BATCH_OVERHEAD, at + sizeBytes)?.type ?? -1
        control.push(type)
        if (type === SNAPSHOT_FOOTER) footerAt = batches
      }
    }
    if (scanner.problem !== null) throw corrupt(path, scanner.problem)
    if (control[0] !== SNAPSHOT_HEADER || footerAt !== batches)
      throw corrupt(path, 'the snapshot is not whole')
  } finally {
    file.close()
  }
}

/** Resolves to the offset at which it ends. */
async function readLog(
  disk: Disk,
  { path, segments, cleanShutdown }: ClusterMetadata,
  startOffset: number,
  sink: RecordSink,
): Promise<number> {
  const first = segments.findLastIndex((baseOffset) => baseOffset <= startOffset)
  if (first === -1) {
    if (segments.length === 0 && startOffset > 0) return startOffset
    throw corrupt(path, `no log from offset ${startOffset} on`)
  }
  let next = segments[first]!
  for (const [index, baseOffset] of segments.entries()) {
    if (index < first) continue
    if (baseOffset !== next) throw corrupt(path, `the log ends at ${next} and goes on at ${baseOffset}`)
    const isLast = index === segments.length - 1
    const behind: readonly EndKind[] = !isLast
      ? []
      : cleanShutdown
        ? ['unused', 'stale']
        : ['unused', 'stale', 'torn']
    next = await readSegment(
      disk,
      segmentFile(path, baseOffset, LOG_SUFFIX),
      baseOffset,
      startOffset,
      behind,
      sink,
    )
  }
  return next
}

/** `behind`: what may stand behind its last batch. Resolves to the offset after its last record. */
async function readSegment(
  disk: Disk,
  path: string,
  baseOffset: number,
  startOffset: number,
  behind: readonly EndKind[],
  sink: RecordSink,
): Promise<number> {
  const file = disk.open(path, 'read')
  try {
    const scanner = new BatchScanner(file, 0, file.sizeBytes)
    let next = baseOffset
    while (await scanner.fill()) {
      while (scanner.step()) {
        const { buffer, at, sizeBytes } = scanner
        const problem = batchProblem(buffer, at, sizeBytes, next)
        if (problem !== null) {
          scanner.reject(problem)
          break
        }
        next = batch.lastOffset(buffer, at) + 1
        if (batch.isControl(buffer, at) || next <= startOffset) continue
        readRecords(buffer.subarray(at, at + sizeBytes), startOffset, sink)
      }
    }
    if (scanner.problem === null) return next
    const kind = await inspectEnd(file, scanner.position, file.sizeBytes, next, baseOffset)
    if (!behind.includes(kind)) throw corrupt(path, `at position ${scanner.position}: ${scanner.problem}`)
    return next
  } finally {
    file.close()
  }
}

function batchProblem(buffer: Buffer, at: number, sizeBytes: number, nextOffset: number): string | null {
  const problem = batch.batchProblem(buffer, at, at + sizeBytes)
  if (problem !== null) return problem
  const base = batch.baseOffset(buffer, at)
  return base === nextOffset ? null : `offset ${base} where ${nextOffset} is due`
}

/** Those from an offset on. */
function readRecords(whole: Buffer, startOffset: number, sink: RecordSink): void {
  const compressed = whole.subarray(batch.BATCH_OVERHEAD)
  const body = decompress(batch.codec(whole, 0), compressed, MAX_BODY_BYTES)
  const reader = new RecordReader(body, batch.recordCount(whole, 0))
  const base = batch.baseOffset(whole, 0)
  while (reader.next()) {
    const value = reader.value()
    if (value !== null && base + reader.offsetDelta >= startOffset) sink.apply(value)
  }
  if (reader.problem !== null) throw new ProtocolError(reader.problem)
}
