import { Codec } from '../../../protocol/compression.ts'
import * as batch from '../../../protocol/records/record-batch.ts'
import { SamsaError } from '../../core/samsa-error.ts'
import type { Counter, World } from '../../ports.ts'
import type { ManagedLog } from '../directory/managed-log.ts'
import { isNoRoom, SegmentGone } from '../files/disk-problem.ts'
import type { AbortedTransaction } from '../log-types.ts'
import type { Log } from '../log.ts'
import { BatchCleaner } from './batch-cleaner.ts'
import { noteKeys } from './cleaner-batch.ts'
import type { CleaningRules } from './cleaner-batch.ts'
import { OffsetMap } from './offset-map.ts'
import { OpaqueBatch } from './opaque-batch.ts'
import { CleaningRoom } from './cleaning-room.ts'
import { Pace } from './pace.ts'
import { firstTimestampMs, groupsOf, planPass } from './plan.ts'
import type { Plan, SegmentGroup } from './plan.ts'
import { PlainRecords } from './plain-records.ts'
import { scanSegment } from './segment-scan.ts'
import { AbortedBatches } from './transactions.ts'

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

/** Batches that cannot be read, as one pass found them. */
interface OpaqueFound {
  offset: number
  why: string
  batches: number
}

type PassRules = CleaningRules & { readonly plain: PlainRecords }

/** A batch that decompresses to more stays as it is. */
const MAX_DECOMPRESSED_BYTES = 16 << 20

/**
 * Compaction: of each key the newest record stays, in its place and with its offset.
 *
 * A pass notes the newest offset of every key in the part that was never cleaned, then rewrites the closed segments
 * from the start of the log, a few at a time into one, dropping what a later record of the same key replaces. Each
 * swap is safe against a crash by itself, so a pass may end anywhere. A part of the log is only taken when the share
 * of it that was never cleaned is large enough, as `min.cleanable.dirty.ratio` and the two lags say.
 * Records of aborted transactions go as well, and the marker of a transaction some time after its last batch.
 *
 * A batch that does not decode is what a client sent: it stays as it is, and so do the tombstones behind it, for it may
 * hold what they delete. Bytes that are not what was written stop the compaction of their log.
 */
export class LogCleaner {
  readonly #world: Pick<World, 'clock' | 'codecs' | 'logger'>
  readonly #maxMapBytes: number
  readonly #pace: Pace
  /** Logs in which bytes are not what was written. They stay as they are until the next start. */
  readonly #uncleanable = new Set<ManagedLog>()
  /** Logs for which there was no room. */
  readonly #room: CleaningRoom
  /** Up to where batches that do not decode were told of. */
  readonly #toldOffsets = new WeakMap<Log, number>()
  readonly #undecodable: Counter

  constructor(
    world: Pick<World, 'clock' | 'codecs' | 'logger' | 'metrics'>,
    options: CleanerOptions,
    minFreeBytes: number,
  ) {
    this.#world = world
    this.#room = new CleaningRoom(world, minFreeBytes)
    this.#maxMapBytes = options.maxMapBytes ?? DEFAULT_MAP_BYTES
    this.#pace = new Pace(world.clock, options.maxBytesPerSecond ?? DEFAULT_BYTES_PER_SECOND)
    this.#undecodable = world.metrics.counter(
      'samsa_log_cleaner_undecodable_batches_total',
      'Batches that do not decode, or to very much: compaction keeps them as they are',
    )
    world.metrics.gauge(
      'kafka_log_logcleanermanager_uncleanable_partitions_count',
      'Logs whose compaction stopped, because stored bytes are not what was written',
      () => [{ value: this.#countUncleanable() }],
    )
  }

  /** One pass, if the log needs one. Rejects with an error of the disk; nothing else may change the log meanwhile. */
  async clean(managed: ManagedLog): Promise<void> {
    if (this.#uncleanable.has(managed) || this.#room.mustWait(managed)) return
    const { cuts } = managed.log
    try {
      await this.#rollOld(managed.log)
      const plan = await planPass(managed, this.#world.clock.nowMs())
      if (plan !== null) await this.#pass(managed, plan)
    } catch (error) {
      // What was looked at is not there any more, or is just being taken away.
      if (managed.log.cuts !== cuts || error instanceof SegmentGone) return
      if (isNoRoom(error)) {
        this.#room.refused(managed, error)
        return
      }
      if (!(error instanceof SamsaError) || error.code !== 'SAMSA_LOG_CORRUPT') throw error
      this.#uncleanable.add(managed)
      this.#world.logger.error({ log: managed.name, error: error.message }, 'log cannot be compacted')
    }
  }

  #countUncleanable(): number {
    for (const managed of this.#uncleanable) if (managed.leaving) this.#uncleanable.delete(managed)
    return this.#uncleanable.size
  }

  /** What waits in the active segment for longer than a lag allows has to leave it, or it is never cleaned. */
  async #rollOld(log: Log): Promise<void> {
    const active = log.segments.at(-1)
    if (active === undefined || active.sizeBytes === 0) return
    const limitMs = Math.min(log.config.segmentMs, log.config.maxCompactionLagMs)
    const firstMs = await firstTimestampMs(active)
    if (firstMs >= 0 && this.#world.clock.nowMs() - firstMs > limitMs) log.roll()
  }

  async #pass(managed: ManagedLog, plan: Plan): Promise<void> {
    const { log } = managed
    const largest = groupsOf(plan, plan.endOffset, log.config.segmentBytes)
    if (!this.#room.isFor(managed, Math.max(...largest.map(({ sizeBytes }) => sizeBytes)))) return
    const aborted = log.abortedTransactions.within(0, plan.endOffset)
    const rules = this.#rules(log)
    const mappedOffset = await this.#noteNewest(managed, plan, rules, aborted)
    if (mappedOffset < 0) return
    await managed.permitGaps(plan.endOffset)
    const sizeBefore = log.sizeBytes
    const opaque: OpaqueFound = { offset: -1, why: '', batches: 0 }
    const told = this.#toldOffsets.get(log) ?? -1
    const cleaner = new BatchCleaner(rules, mappedOffset, aborted, (offset, why) => {
      if (offset <= told) return
      if (opaque.batches++ === 0) Object.assign(opaque, { offset, why })
      this.#toldOffsets.set(log, offset)
    })
    let alive = true
    for (const group of groupsOf(plan, mappedOffset, log.config.segmentBytes)) {
      alive = this.#room.isFor(managed, group.sizeBytes)
      alive &&= await this.#rewrite(managed, plan, group, cleaner, rules.plain)
      if (!alive) break
    }
    this.#tell(managed, opaque)
    if (!alive || log.cuts !== plan.cuts) return
    managed.cleanedEndOffset = mappedOffset
    this.#world.logger.info(
      {
        log: managed.name,
        keys: rules.map.size,
        endOffset: mappedOffset,
        bytesBefore: sizeBefore,
        bytesAfter: log.sizeBytes,
      },
      'log compacted',
    )
  }

  #rules(log: Log): PassRules {
    const producers = new Map(log.producers.describe().map((producer) => [producer.producerId, producer]))
    return {
      map: new OffsetMap(this.#maxMapBytes),
      nowMs: this.#world.clock.nowMs(),
      deleteRetentionMs: log.config.deleteRetentionMs,
      maxDecompressedBytes: MAX_DECOMPRESSED_BYTES,
      plain: new PlainRecords(this.#world.codecs, MAX_DECOMPRESSED_BYTES),
      isNewestOfProducer: (producerId, epoch, lastSequence) => {
        const producer = producers.get(producerId)
        return producer?.producerEpoch === epoch && producer.lastSequence === lastSequence
      },
    }
  }

  #tell(managed: ManagedLog, { offset, why, batches }: OpaqueFound): void {
    if (batches === 0) return
    this.#undecodable.add(batches)
    this.#world.logger.warn(
      { log: managed.name, offset, error: why, batches },
      'compaction keeps batches as they are that do not decode, and the tombstones behind them',
    )
  }

  /** Resolves to the offset up to which all keys are in the map; -1 when the log is leaving. */
  async #noteNewest(
    managed: ManagedLog,
    plan: Plan,
    { map, maxDecompressedBytes, plain }: PassRules,
    aborted: readonly AbortedTransaction[],
  ): Promise<number> {
    const batches = new AbortedBatches(aborted)
    for (const [index, segment] of plan.segments.entries()) {
      if ((plan.segments[index + 1]?.baseOffset ?? plan.endOffset) <= plan.dirtyOffset) continue
      let stoppedAt = -1
      const alive = await scanSegment(
        segment,
        this.#pace,
        leaving(managed, plan),
        (buffer, at) => {
          if (batch.lastOffset(buffer, at) < plan.dirtyOffset) return true
          if (map.full) {
            stoppedAt = batch.baseOffset(buffer, at)
            return false
          }
          // A record that was never committed replaces nothing, and neither does one that nobody can read.
          if (batches.of(buffer, at) === null) noteReadableKeys(buffer, at, map, maxDecompressedBytes, plain)
          return true
        },
        plain,
      )
      if (!alive) return -1
      if (stoppedAt >= 0) return stoppedAt
    }
    return plan.endOffset
  }

  /** Makes one segment of a group of adjacent ones. False when the log is leaving. */
  async #rewrite(
    managed: ManagedLog,
    plan: Plan,
    group: SegmentGroup,
    cleaner: BatchCleaner,
    plain: PlainRecords,
  ): Promise<boolean> {
    const { log } = managed
    const { segments, endOffset } = group
    const replacement = log.beginReplacement(segments[0]!.baseOffset, plan.cuts)
    let changed = segments.length > 1
    let done = false
    try {
      for (const segment of segments) {
        const alive = await scanSegment(
          segment,
          this.#pace,
          () => leaving(managed, plan)() || this.#room.isGone(managed),
          (buffer, at, output) => {
            const cleaned = cleaner.clean(buffer, at)
            if (cleaned === 'all') output.push(buffer.subarray(at, at + batch.batchSizeBytes(buffer, at)))
            else changed = true
            if (Buffer.isBuffer(cleaned)) output.pushLeft(cleaned, codecOf(buffer, at))
            return true
          },
          plain,
          replacement,
        )
        if (!alive) return false
      }
      const ended = cleaner.endedWithoutBatches(endOffset)
      if (!changed && ended.size === 0) return true
      done = await log.replaceSegments(segments, replacement, ended)
      return done
    } finally {
      if (!done) await replacement.abandon()
    }
  }
}

function codecOf(buffer: Buffer, at: number): number {
  return batch.magic(buffer, at) < 2 ? Codec.NONE : batch.codec(buffer, at)
}

/** The log goes away, or is not the one any more that the plan was made for. */
function leaving(managed: ManagedLog, plan: Plan): () => boolean {
  return () => managed.leaving || managed.log.failed || managed.log.cuts !== plan.cuts
}

function noteReadableKeys(
  buffer: Buffer,
  at: number,
  map: OffsetMap,
  maxBytes: number,
  plain: PlainRecords,
): void {
  try {
    noteKeys(buffer, at, map, maxBytes, plain)
  } catch (error) {
    if (!(error instanceof OpaqueBatch)) throw error
  }
}
