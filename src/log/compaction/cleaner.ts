import * as batch from '../../../protocol/records/record-batch.ts'
import { readControlRecord } from '../../../protocol/records/record-reader.ts'
import { SamsaError } from '../../core/samsa-error.ts'
import type { World } from '../../ports.ts'
import { cleanBatch, dropRecords, noteKeys, OffsetMap } from './cleaner-batch.ts'
import type { Cleaned, CleaningRules } from './cleaner-batch.ts'
import type { AbortedTransaction } from '../log-types.ts'
import type { Log } from '../log.ts'
import type { ManagedLog } from '../directory/managed-log.ts'
import type { SegmentReplacement } from '../segment/segment-replacement.ts'
import type { Segment } from '../segment/segment.ts'

export interface CleanerOptions {
  /** `log.cleaner.enable`. */
  readonly enabled: boolean
  /** `log.cleaner.backoff.ms`: pause between two rounds. */
  readonly backoffMs: number
  /** Memory for the keys of one pass; more keys take more passes. */
  readonly maxMapBytes?: number
  /** Bytes read per second, so that compaction leaves the device to the clients. */
  readonly maxBytesPerSecond?: number
}

const DEFAULT_MAP_BYTES = 64 * 1024 * 1024
const DEFAULT_BYTES_PER_SECOND = 64 * 1024 * 1024
const CHUNK_BYTES = 256 * 1024
/** Longest stretch without letting requests through. */
const SLICE_MS = 4
const MAX_INT32 = 0x7fff_ffff

/** What one pass over a log looks at. */
interface Plan {
  /** Closed segments below the first that must not be cleaned, oldest first. */
  readonly segments: readonly Segment[]
  /** First offset of which no earlier pass took notice. */
  readonly dirtyOffset: number
  /** Base offset of the first segment not to be cleaned. */
  readonly endOffset: number
}

/**
 * Compaction: of each key the newest record stays, in its place and with its offset.
 *
 * A pass notes the newest offset of every key in the part that was never cleaned, then rewrites the closed segments
 * from the start of the log, a few at a time into one, dropping what a later record of the same key replaces. Each
 * swap is safe against a crash by itself, so a pass may end anywhere. A part of the log is only taken when the share
 * of it that was never cleaned is large enough, as `min.cleanable.dirty.ratio` and the two lags say.
 * Records of aborted transactions go as well; markers stay.
 */
export class LogCleaner {
  readonly #world: Pick<World, 'clock' | 'logger'>
  readonly #maxMapBytes: number
  readonly #bytesPerSecond: number
  /** Logs in which something did not parse. They stay as they are until the next start. */
  readonly #uncleanable = new WeakSet<Log>()
  #sliceEndMs = 0

  constructor(world: Pick<World, 'clock' | 'logger'>, options: CleanerOptions) {
    this.#world = world
    this.#maxMapBytes = options.maxMapBytes ?? DEFAULT_MAP_BYTES
    this.#bytesPerSecond = options.maxBytesPerSecond ?? DEFAULT_BYTES_PER_SECOND
  }

  /** One pass, if the log needs one. Rejects with an error of the disk; nothing else may change the log meanwhile. */
  async clean(managed: ManagedLog): Promise<void> {
    const { log } = managed
    if (this.#uncleanable.has(log)) return
    try {
      await this.#rollOld(log)
      const plan = await this.#plan(managed)
      if (plan !== null) await this.#pass(managed, plan)
    } catch (error) {
      if (!(error instanceof SamsaError) || error.code !== 'SAMSA_LOG_CORRUPT') throw error
      this.#uncleanable.add(log)
      this.#world.logger.error({ log: managed.name, error: error.message }, 'log cannot be compacted')
    }
  }

  /** What waits in the active segment for longer than a lag allows has to leave it, or it is never cleaned. */
  async #rollOld(log: Log): Promise<void> {
    const active = log.segments.at(-1)
    if (active === undefined || active.sizeBytes === 0) return
    const limitMs = Math.min(log.config.segmentMs, log.config.maxCompactionLagMs)
    const firstMs = await firstTimestampMs(active)
    if (firstMs >= 0 && this.#world.clock.nowMs() - firstMs > limitMs) log.roll()
  }

  async #plan(managed: ManagedLog): Promise<Plan | null> {
    const { log } = managed
    const { minCompactionLagMs, maxCompactionLagMs, minCleanableDirtyRatio } = log.config
    const nowMs = this.#world.clock.nowMs()
    const all = log.segments
    const stableOffset =
      log.firstOpenTransactionOffset < 0
        ? managed.highWatermark
        : Math.min(managed.highWatermark, log.firstOpenTransactionOffset)
    let count = 0
    while (count < all.length - 1) {
      const segment = all[count] as Segment
      const endOffset = (all[count + 1] as Segment).baseOffset
      const tooYoung = minCompactionLagMs > 0 && segment.largestTimestampMs > nowMs - minCompactionLagMs
      if (endOffset > stableOffset || tooYoung) break
      count += 1
    }
    const first = all[0]
    const next = all[count]
    if (count === 0 || first === undefined || next === undefined) return null
    const known = managed.cleanedEndOffset
    const dirtyOffset = known > log.logEndOffset || known < first.baseOffset ? first.baseOffset : known
    const segments = all.slice(0, count)
    let cleanBytes = 0
    let dirtyBytes = 0
    let oldestDirtyMs = -1
    for (let index = 0; index < count; index++) {
      const segment = all[index] as Segment
      if ((all[index + 1] as Segment).baseOffset <= dirtyOffset) {
        cleanBytes += segment.sizeBytes
        continue
      }
      if (dirtyBytes === 0) oldestDirtyMs = await firstTimestampMs(segment)
      dirtyBytes += segment.sizeBytes
    }
    if (dirtyBytes === 0) return null
    const overdue = oldestDirtyMs >= 0 && nowMs - oldestDirtyMs > maxCompactionLagMs
    if (!overdue && dirtyBytes / (cleanBytes + dirtyBytes) < minCleanableDirtyRatio) return null
    return { segments, dirtyOffset, endOffset: next.baseOffset }
  }

  async #pass(managed: ManagedLog, plan: Plan): Promise<void> {
    const { log } = managed
    const map = new OffsetMap(this.#maxMapBytes)
    const aborted = await log.abortedTransactions(log.logStartOffset, plan.endOffset)
    const mappedOffset = await this.#noteNewest(managed, plan, map, new AbortedReader(aborted))
    if (mappedOffset < 0) return
    const producers = new Map(log.producers.describe().map((producer) => [producer.producerId, producer]))
    const rules: CleaningRules = {
      map,
      nowMs: this.#world.clock.nowMs(),
      deleteRetentionMs: log.config.deleteRetentionMs,
      isNewestOfProducer: (producerId, epoch, lastSequence) => {
        const producer = producers.get(producerId)
        return producer?.producerEpoch === epoch && producer.lastSequence === lastSequence
      },
    }
    const sizeBefore = log.sizeBytes
    const transactions = new AbortedReader(aborted)
    for (const group of groupsOf(plan, mappedOffset, log.config.segmentBytes))
      if (!(await this.#rewrite(managed, group, rules, transactions, mappedOffset))) return
    managed.cleanedEndOffset = mappedOffset
    this.#world.logger.info(
      {
        log: managed.name,
        keys: map.size,
        endOffset: mappedOffset,
        bytesBefore: sizeBefore,
        bytesAfter: log.sizeBytes,
      },
      'log compacted',
    )
  }

  /** Resolves to the offset up to which all keys are in the map; -1 when the log is leaving. */
  async #noteNewest(
    managed: ManagedLog,
    plan: Plan,
    map: OffsetMap,
    transactions: AbortedReader,
  ): Promise<number> {
    for (const [index, segment] of plan.segments.entries()) {
      if ((plan.segments[index + 1]?.baseOffset ?? plan.endOffset) <= plan.dirtyOffset) continue
      let stoppedAt = -1
      const alive = await this.#scan(managed, segment, (buffer, at) => {
        const isAborted = transactions.isAborted(buffer, at)
        if (batch.lastOffset(buffer, at) < plan.dirtyOffset) return true
        if (map.full) {
          stoppedAt = batch.baseOffset(buffer, at)
          return false
        }
        // A record that was never committed replaces nothing.
        if (!isAborted && !noteKeys(buffer, at, map)) throw damaged(segment, buffer, at)
        return true
      })
      if (!alive) return -1
      if (stoppedAt >= 0) return stoppedAt
    }
    return plan.endOffset
  }

  /** Makes one segment of a group of adjacent ones. False when the log is leaving. */
  async #rewrite(
    managed: ManagedLog,
    group: readonly Segment[],
    rules: CleaningRules,
    transactions: AbortedReader,
    mappedOffset: number,
  ): Promise<boolean> {
    const { log } = managed
    const first = group[0] as Segment
    const replacement = log.beginReplacement(first.baseOffset)
    let changed = group.length > 1
    let done = false
    try {
      for (const segment of group) {
        const alive = await this.#scan(
          managed,
          segment,
          (buffer, at, output) => {
            const size = batch.batchSizeBytes(buffer, at)
            const aborted = transactions.isAborted(buffer, at)
            let cleaned: Cleaned | null = 'all'
            // Of keys behind that offset nothing is known yet: the next pass takes care of them.
            if (batch.baseOffset(buffer, at) < mappedOffset)
              cleaned = aborted ? dropRecords(buffer, at, rules) : cleanBatch(buffer, at, rules)
            if (cleaned === null) throw damaged(segment, buffer, at)
            if (cleaned === 'all') output.push(buffer.subarray(at, at + size))
            else changed = true
            if (cleaned !== 'all' && cleaned !== 'nothing') output.push(cleaned)
            return true
          },
          replacement,
        )
        if (!alive) return false
      }
      if (!changed) return true
      await log.replaceSegments(group, replacement)
      done = true
      return true
    } finally {
      if (!done) await replacement.abandon()
    }
  }

  /**
   * Shows every batch of a segment to `visit` until it returns false, and appends what `visit` puts out. Lets
   * requests through in between, and reads no faster than allowed. False when the log is leaving.
   */
  async #scan(
    managed: ManagedLog,
    segment: Segment,
    visit: (buffer: Buffer, at: number, output: Buffer[]) => boolean,
    into?: SegmentReplacement,
  ): Promise<boolean> {
    const end = segment.sizeBytes
    let buffer = Buffer.allocUnsafe(CHUNK_BYTES)
    let position = 0
    while (position < end) {
      if (!(await this.#yield(managed, Math.min(buffer.length, end - position)))) return false
      const length = await segment.read(position, buffer.subarray(0, Math.min(buffer.length, end - position)))
      const output: Buffer[] = []
      let at = 0
      let more = true
      while (more && length - at >= batch.MAGIC_END) {
        const size = batch.batchSizeBytes(buffer, at)
        if (size > length - at && size <= end - position - at) break
        const problem = batch.batchProblem(buffer, at, length)
        if (problem !== null) throw damaged(segment, buffer, at, problem)
        more = visit(buffer, at, output)
        at += size
      }
      if (into !== undefined && output.length > 0) await append(into, segment, output)
      if (!more) return true
      if (at === 0) {
        const needed = length >= batch.MAGIC_END ? batch.batchSizeBytes(buffer, 0) : 0
        if (needed <= buffer.length) throw damaged(segment, buffer, 0, 'the file ends early')
        buffer = Buffer.allocUnsafe(needed)
      }
      position += at
    }
    return true
  }

  /** Waits as long as `bytes` take at the allowed rate, at least one turn when this slice is used up. */
  async #yield(managed: ManagedLog, bytes: number): Promise<boolean> {
    const { clock } = this.#world
    const nowMs = clock.monotonicMs()
    const delayMs = Math.floor((bytes * 1000) / this.#bytesPerSecond)
    if (delayMs >= 1 || nowMs >= this.#sliceEndMs) {
      await new Promise<void>((resolve) => void clock.after(Math.max(1, delayMs), resolve))
      this.#sliceEndMs = clock.monotonicMs() + SLICE_MS
    }
    return !managed.leaving && !managed.log.failed
  }
}

/** Adjacent segments that fit into one, in order. Those behind `mappedOffset` are left out. */
function groupsOf(plan: Plan, mappedOffset: number, segmentBytes: number): Segment[][] {
  const groups: Segment[][] = []
  let group: Segment[] = []
  let bytes = 0
  for (const [index, segment] of plan.segments.entries()) {
    if (segment.baseOffset >= mappedOffset) break
    const endOffset = plan.segments[index + 1]?.baseOffset ?? plan.endOffset
    const first = group[0]
    const fits =
      first !== undefined &&
      bytes + segment.sizeBytes <= segmentBytes &&
      endOffset - first.baseOffset <= MAX_INT32
    if (fits) {
      group.push(segment)
      bytes += segment.sizeBytes
    } else {
      group = [segment]
      bytes = segment.sizeBytes
      groups.push(group)
    }
  }
  return groups
}

async function append(into: SegmentReplacement, segment: Segment, output: readonly Buffer[]): Promise<void> {
  const bytes = output.length === 1 ? (output[0] as Buffer) : Buffer.concat(output)
  // Positions in a segment are 32 bits. Only batches of a codec that cannot be written here can grow like that.
  if (into.sizeBytes + bytes.length > MAX_INT32)
    throw new SamsaError(
      'SAMSA_LOG_CORRUPT',
      `${segment.path}: too large when its batches are stored uncompressed`,
    )
  await into.append(bytes)
}

/** Timestamp of the first batch; -1 when the segment is empty. */
async function firstTimestampMs(segment: Segment): Promise<number> {
  const header = Buffer.alloc(batch.BATCH_OVERHEAD)
  const length = await segment.read(0, header)
  return length < batch.BATCH_OVERHEAD ? -1 : batch.maxTimestamp(header, 0)
}

function damaged(
  segment: Segment,
  buffer: Buffer,
  at: number,
  problem = 'a batch does not parse',
): SamsaError {
  const offset = batch.baseOffset(buffer, at)
  return new SamsaError('SAMSA_LOG_CORRUPT', `${segment.path}: batch with offset ${offset}: ${problem}`)
}

/** Tells the batches of aborted transactions, when shown all batches in order. */
class AbortedReader {
  readonly #coming: AbortedTransaction[]
  readonly #open = new Set<number>()

  constructor(aborted: readonly AbortedTransaction[]) {
    this.#coming = aborted.toSorted((left, right) => left.firstOffset - right.firstOffset)
  }

  isAborted(buffer: Buffer, at: number): boolean {
    if (batch.magic(buffer, at) < 2 || !batch.isTransactional(buffer, at)) return false
    const lastOffset = batch.lastOffset(buffer, at)
    for (
      let next = this.#coming[0];
      next !== undefined && next.firstOffset <= lastOffset;
      next = this.#coming[0]
    ) {
      this.#open.add(next.producerId)
      this.#coming.shift()
    }
    const producerId = batch.producerId(buffer, at)
    if (!batch.isControl(buffer, at)) return this.#open.has(producerId)
    const end = at + batch.batchSizeBytes(buffer, at)
    if (readControlRecord(buffer, at + batch.BATCH_OVERHEAD, end)?.type === 0) this.#open.delete(producerId)
    return false
  }
}
