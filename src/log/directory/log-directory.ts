import type { Steps } from '../../../protocol/compile.ts'
import { ErrorCode } from '../../../protocol/errors.ts'
import { codeOf, messageOf } from '../../core/is-error.ts'
import { SamsaError } from '../../core/samsa-error.ts'
import type { Lock, World } from '../../ports.ts'
import {
  CLEAN_SHUTDOWN_MARKER,
  CLEANER_CHECKPOINT,
  decodeCleanShutdownMarker,
  decodeMetaProperties,
  decodeOffsetCheckpoint,
  encodeCleanShutdownMarker,
  encodeMetaProperties,
  encodeOffsetCheckpoint,
  GAP_CHECKPOINT,
  HIGH_WATERMARK_CHECKPOINT,
  LOG_START_OFFSET_CHECKPOINT,
  LOG_START_OFFSET_COPY,
  META_PROPERTIES,
  partitionName,
  randomDirectoryId,
  RECOVERY_POINT_CHECKPOINT,
  writeFileDurably,
} from '../files/checkpoints.ts'
import type { MetaProperties, PartitionOffset } from '../files/checkpoints.ts'
import {
  CLEAN_STOP_INVENTORY,
  decodeCleanStop,
  encodeCleanStop,
  markInventory,
  marksInventory,
} from '../files/clean-stop.ts'
import type { LogAtStop } from '../files/clean-stop.ts'
import { diskError, readSmall, removePath, syncDirectory } from '../files/disk-calls.ts'
import { FlushSchedule } from './flush-schedule.ts'
import type { DescribedDirectory, DescribedTopic } from './described-directory.ts'
import type { RecoveryProgress } from '../log-types.ts'
import type { Log } from '../log.ts'
import { SpareBudget } from '../space/spare-budget.ts'

/** In one log line. */
const MAX_NAMED_LOGS = 20
const STARTS_LOST = 'log start checkpoint is lost or damaged: the logs start where they did before'

interface LogStarts {
  readonly starts: Map<string, number>
  readonly copy: ReadonlyMap<string, number>
}

type DirectoryWorld = Pick<World, 'clock' | 'disk' | 'logger' | 'random'>

/** A log as far as the checkpoints of its directory go. */
export interface CheckpointedLog {
  readonly topic: string
  readonly partition: number
  readonly highWatermark: number
  readonly cleanedEndOffset: number
  readonly gapLimit: number
  readonly log: Log
}

/** A partition on its way into a directory. */
export interface FutureReplica {
  readonly topic: string
  readonly partition: number
  readonly sizeBytes: number
  /** Records that the partition has and the copy has not. */
  readonly offsetLag: number
}

export interface UnopenedLog {
  readonly topic: string
  readonly partition: number
  readonly known: KnownOffsets
}

/** What the checkpoints of a directory say of one log. */
export interface KnownOffsets {
  readonly recoveryPoint: number
  readonly logStartOffset: number
  readonly highWatermark: number
  readonly cleanedEndOffset: number
  /** Compaction may have made the gaps that end at or below it; -1: nobody wrote it down. */
  readonly gapLimit: number
  /** What the clean stop before this start left, when there was one and it is known. */
  readonly atStop?: LogAtStop
  /** Where the log started, as far as our own copy of the checkpoint knows. */
  readonly startedAt?: number
}

export interface Opening extends KnownOffsets {
  /** Of a partition that was there when the broker started. */
  readonly found?: { readonly topicId: string | null; readonly progress: RecoveryProgress }
}

export const NEW_LOG: KnownOffsets = {
  recoveryPoint: 0,
  logStartOffset: 0,
  highWatermark: 0,
  cleanedEndOffset: -1,
  gapLimit: -1,
}

/**
 * One of `log.dirs`: its lock, its small files and the logs in it.
 *
 * A directory that failed once is offline until the next start: nothing more is written to it, and its page cache
 * is not trusted (after a failed fsync Linux counts the lost pages as clean).
 */
export class LogDirectory {
  readonly path: string
  /** Logs by `topic-partition`. */
  readonly logs = new Map<string, CheckpointedLog>()
  /** Partitions that lie here and could not be opened, by name: what checkpoints say of them has to stay. */
  readonly unopened = new Map<string, UnopenedLog>()
  /** Copies of partitions that are on their way here, by name. */
  readonly futures = new Map<string, FutureReplica>()
  readonly spares = new SpareBudget()
  readonly flushes: FlushSchedule
  /** Whether the last process stopped cleanly: no log needs a scan. */
  readonly cleanShutdown: boolean
  /** Our own stop left the marker, and an inventory. */
  readonly #hasInventory: boolean
  /** Broker epoch of the clean marker, -1 when there is none. */
  readonly cleanShutdownEpoch: number
  /** Refuses new data until writes come back. */
  hangs = false
  /** So often in a row no write had come back. */
  looksWithoutWrite = 0
  /** Refuses new data until there is room again. */
  lacksSpace = false
  /** Refuses even the little that the broker writes for its own: half of the floor is gone too. */
  lacksAllSpace = false
  /** Logs on their way into `logs`. */
  creating = 0
  /** Another process took it, having found no life in this one: nothing more may be written there. */
  onLost: (error: SamsaError) => void = () => {}
  readonly #world: DirectoryWorld
  readonly #lock: Lock
  /** Content of each checkpoint as it is on the disk, so that an unchanged one is not written again. */
  readonly #checkpointed = new Map<string, Buffer>()
  #meta: MetaProperties | null
  #failure: SamsaError | null = null
  #namesSyncing: Promise<void> | null = null
  #namesQueued: Promise<void> | null = null
  #checkpointing: Promise<void> = Promise.resolve()
  #checkpointQueued: Promise<void> | null = null

  private constructor(world: DirectoryWorld, path: string, lock: Lock) {
    const { disk } = world
    this.#world = world
    this.flushes = new FlushSchedule(world.clock)
    this.path = path
    this.#lock = lock
    const metaPath = `${path}/${META_PROPERTIES}`
    this.#meta = disk.exists(metaPath) ? decodeMetaProperties(disk.readFile(metaPath), metaPath) : null
    const markerPath = `${path}/${CLEAN_SHUTDOWN_MARKER}`
    this.cleanShutdown = disk.exists(markerPath)
    const marker = this.cleanShutdown ? disk.readFile(markerPath) : null
    this.cleanShutdownEpoch = marker === null ? -1 : decodeCleanShutdownMarker(marker)
    this.#hasInventory = marker !== null && marksInventory(marker)
  }

  /**
   * Makes the directory when it is missing, locks it and reads whose it is. Rejects with SAMSA_DATA_DIR_LOCKED,
   * SAMSA_DISK_IO, or SAMSA_CONFIG when `meta.properties` makes no sense.
   */
  static async open(world: DirectoryWorld, path: string): Promise<LogDirectory> {
    let lock: Lock | null = null
    try {
      await makeDurably(world, path)
      let opened: LogDirectory | null = null
      lock = await world.disk.lock(path, {
        waiting: (holder, upToMs) =>
          world.logger.warn(
            { logDir: path, holder, upToMs },
            'log directory is in use still: waiting for its holder',
          ),
        lost: (error) => opened?.onLost(diskError(`log directory ${path} was taken over`, error)),
      })
      opened = new LogDirectory(world, path, lock)
      return opened
    } catch (error) {
      lock?.release()
      if (codeOf(error) === 'EBUSY')
        throw new SamsaError('SAMSA_DATA_DIR_LOCKED', `log.dirs: ${messageOf(error).replace(/^EBUSY: /, '')}`)
      throw diskError(`log.dirs: cannot use ${path}`, error)
    }
  }

  get meta(): MetaProperties | null {
    return this.#meta
  }

  /** Stays with the directory when it is moved, where its `meta.properties` has one (KIP-858). */
  get id(): string {
    return this.#meta?.directoryId ?? `path-${Buffer.from(this.path).toString('base64url')}`
  }

  get partitionCount(): number {
    return this.logs.size + this.futures.size + this.creating
  }

  get failure(): SamsaError | null {
    return this.#failure
  }

  /** Takes the directory offline. False when it was already. */
  fail(error: SamsaError): boolean {
    if (this.#failure !== null) return false
    this.#failure = error
    return true
  }

  async claim(clusterId: string, nodeId: number): Promise<void> {
    const known = this.#meta
    if (known !== null && known.clusterId !== null && known.nodeId !== null) return
    const directoryId = known?.directoryId ?? randomDirectoryId(this.#world.random)
    const content = encodeMetaProperties(clusterId, nodeId, directoryId)
    await writeFileDurably(this.#world.disk, `${this.path}/${META_PROPERTIES}`, content)
    this.#meta = { version: 1, clusterId, nodeId, directoryId }
  }

  /** When it resolves, no power loss brings the marker back: only now may a log take records. */
  async removeCleanMarker(): Promise<void> {
    if (!this.cleanShutdown) return
    await removePath(this.#world.disk, `${this.path}/${CLEAN_SHUTDOWN_MARKER}`)
    await this.syncNames()
  }

  /** After all logs were closed cleanly. */
  async writeCleanMarker(brokerEpoch: number): Promise<void> {
    const { disk } = this.#world
    const logs = [...this.logs].map(([name, { log }]): readonly [string, LogAtStop] => [name, log])
    await writeFileDurably(disk, `${this.path}/${CLEAN_STOP_INVENTORY}`, encodeCleanStop(logs))
    const marker = markInventory(encodeCleanShutdownMarker(brokerEpoch))
    await writeFileDurably(disk, `${this.path}/${CLEAN_SHUTDOWN_MARKER}`, marker)
  }

  #readInventory(): ReadonlyMap<string, LogAtStop> {
    const path = `${this.path}/${CLEAN_STOP_INVENTORY}`
    if (!this.#hasInventory) return new Map()
    const bytes = readSmall(this.#world.disk, path)
    const inventory = bytes === null ? null : decodeCleanStop(bytes)
    if (inventory === null)
      this.#world.logger.warn({ path }, 'what the last stop wrote down is lost: nothing is compared with it')
    return inventory ?? new Map()
  }

  /**
   * Where the logs start. The checkpoint is Kafka's, who may have written it last; without one that can be read our copy
   * counts, and after a clean stop of our own the inventory.
   */
  #readStarts(inventory: ReadonlyMap<string, LogAtStop>): LogStarts {
    const read = this.#readCheckpoint(LOG_START_OFFSET_CHECKPOINT)
    const copy = this.#readCheckpoint(LOG_START_OFFSET_COPY)
    const isRead = (this.#checkpointed.get(LOG_START_OFFSET_CHECKPOINT)?.length ?? 0) > 0
    const starts = isRead ? read : new Map(copy)
    const changed = isRead ? [] : [...copy.keys()]
    for (const [name, { logStartOffset, segments }] of inventory) {
      const isListed = logStartOffset > (segments[0]?.baseOffset ?? 0)
      if ((starts.get(name) ?? -1) !== (isListed ? logStartOffset : -1)) changed.push(name)
      starts.set(name, logStartOffset)
    }
    const path = `${this.path}/${LOG_START_OFFSET_CHECKPOINT}`
    if (changed.length > 0)
      this.#world.logger.warn({ path, logs: changed.slice(0, MAX_NAMED_LOGS) }, STARTS_LOST)
    return { starts, copy }
  }

  /** What all checkpoints say, by `topic-partition`. */
  readCheckpoints(): Map<string, KnownOffsets> {
    const recoveryPoints = this.#readCheckpoint(RECOVERY_POINT_CHECKPOINT)
    const inventory = this.#readInventory()
    const { starts, copy } = this.#readStarts(inventory)
    const highWatermarks = this.#readCheckpoint(HIGH_WATERMARK_CHECKPOINT)
    const cleanedOffsets = this.#readCheckpoint(CLEANER_CHECKPOINT)
    const gapLimits = this.#readCheckpoint(GAP_CHECKPOINT)
    const known = new Map<string, KnownOffsets>()
    const names = [recoveryPoints, starts, highWatermarks, cleanedOffsets, gapLimits].flatMap((map) => [
      ...map.keys(),
    ])
    for (const name of new Set(names)) {
      const atStop = inventory.get(name)
      known.set(name, {
        recoveryPoint: recoveryPoints.get(name) ?? 0,
        logStartOffset: starts.get(name) ?? 0,
        highWatermark: highWatermarks.get(name) ?? 0,
        cleanedEndOffset: cleanedOffsets.get(name) ?? -1,
        gapLimit: gapLimits.get(name) ?? -1,
        startedAt: copy.get(name) ?? 0,
        ...(atStop === undefined ? {} : { atStop }),
      })
    }
    return known
  }

  /** Offsets by `topic-partition`. A checkpoint that cannot be read counts as empty: the scan finds more work. */
  #readCheckpoint(name: string): Map<string, number> {
    const { disk, logger } = this.#world
    const path = `${this.path}/${name}`
    if (!disk.exists(path)) return new Map()
    try {
      const content = disk.readFile(path)
      // Apache Kafka makes its cleaner's checkpoint empty.
      const entries = content.length === 0 ? [] : decodeOffsetCheckpoint(content, path)
      this.#checkpointed.set(name, content)
      return new Map(entries.map(({ topic, partition, offset }) => [partitionName(topic, partition), offset]))
    } catch (error) {
      logger.warn({ path, error }, 'unreadable checkpoint ignored')
      return new Map()
    }
  }

  /** Writes all checkpoints that changed; rejects when they cannot be written, or no longer. Calls made while one is under way share the next. */
  checkpoint(): Promise<void> {
    this.#checkpointQueued ??= this.#checkpointing
      .catch(() => {})
      .then(() => {
        this.#checkpointQueued = null
        this.#checkpointing = this.#writeCheckpoints()
        return this.#checkpointing
      })
    return this.#checkpointQueued
  }

  /** Makes created, renamed and removed names durable. Calls made while one is under way share the next. */
  syncNames(): Promise<void> {
    const sync = (): Promise<void> => {
      this.#namesQueued = null
      this.#namesSyncing = syncDirectory(this.#world.disk, this.path).finally(
        () => (this.#namesSyncing = null),
      )
      return this.#namesSyncing
    }
    // The first of a turn waits for the others of that turn: a sync covers what precedes its submission.
    this.#namesQueued ??= (this.#namesSyncing ?? Promise.resolve()).then(sync, sync)
    return this.#namesQueued
  }

  /** For DescribeLogDirs. `wanted`: partitions by topic, null for all. */
  *describe(wanted: ReadonlyMap<string, ReadonlySet<number>> | null): Steps<DescribedDirectory> {
    if (this.#failure !== null) return describedOffline(this.path)
    const topics = new Map<string, DescribedTopic>()
    for (const replica of [...this.logs.values(), ...this.futures.values()]) {
      const { topic, partition } = replica
      if (wanted !== null && wanted.get(topic)?.has(partition) !== true) continue
      const described = topics.get(topic) ?? { name: topic, partitions: [] }
      topics.set(topic, described)
      const isFutureKey = !('log' in replica)
      described.partitions.push({
        partitionIndex: partition,
        partitionSize: isFutureKey ? replica.sizeBytes : replica.log.sizeBytes,
        offsetLag: isFutureKey ? replica.offsetLag : 0,
        isFutureKey,
      })
      yield
    }
    const usableBytes = this.freeBytes() ?? -1
    const totalBytes = this.#totalBytes()
    return { errorCode: 0, logDir: this.path, topics: [...topics.values()], totalBytes, usableBytes }
  }

  /** Null when nobody can tell. */
  freeBytes(): number | null {
    try {
      return this.#world.disk.freeBytes(this.path)
    } catch {
      return null
    }
  }

  /** -1 when nobody can tell. */
  #totalBytes(): number {
    try {
      return this.#world.disk.totalBytes(this.path)
    } catch {
      return -1
    }
  }

  release(): void {
    this.#lock.release()
  }

  async #writeCheckpoints(): Promise<void> {
    // Whoever takes back a promise by it must not go on.
    if (this.#failure !== null) throw this.#failure
    // Of a log that was never compacted, and is not to be, it would say nothing.
    await this.#writeCheckpoint(
      GAP_CHECKPOINT,
      this.#offsets(({ gapLimit, log }) => {
        const tells = gapLimit > 0 || log.config.cleanupPolicy.compact
        return tells && gapLimit < Infinity ? gapLimit : -1
      }, 'gapLimit'),
    )
    await this.#writeCheckpoint(
      RECOVERY_POINT_CHECKPOINT,
      this.#offsets(({ log }) => log.recoveryPoint, 'recoveryPoint'),
    )
    // As Kafka: only where DeleteRecords moved the start into a segment.
    const starts = this.#offsets(({ log }) => {
      const first = log.segments[0]
      return first !== undefined && log.logStartOffset > first.baseOffset ? log.logStartOffset : -1
    }, 'logStartOffset')
    // Whatever becomes of one: the next checkpoint must not begin while the other is being written.
    const written = await Promise.allSettled([
      this.#writeCheckpoint(LOG_START_OFFSET_CHECKPOINT, starts),
      this.#writeCheckpoint(LOG_START_OFFSET_COPY, starts),
    ])
    for (const result of written) if (result.status === 'rejected') throw result.reason
    await this.#writeCheckpoint(
      HIGH_WATERMARK_CHECKPOINT,
      this.#offsets((managed) => managed.highWatermark, 'highWatermark'),
    )
    await this.#writeCheckpoint(
      CLEANER_CHECKPOINT,
      this.#offsets((managed) => managed.cleanedEndOffset, 'cleanedEndOffset'),
    )
  }

  /** In one order, so that equal content is equal bytes. */
  #offsets(
    offsetOf: (managed: CheckpointedLog) => number,
    known: Exclude<keyof KnownOffsets, 'atStop' | 'startedAt'>,
  ): PartitionOffset[] {
    const opened = [...this.logs.values()].map((managed) => {
      const { topic, partition } = managed
      return { topic, partition, offset: offsetOf(managed) }
    })
    const unopened = [...this.unopened.values()].map((log) => {
      const { topic, partition } = log
      return { topic, partition, offset: log.known[known] || -1 }
    })
    return [...opened, ...unopened]
      .filter(({ offset }) => offset >= 0)
      .toSorted(
        (left, right) =>
          (left.topic < right.topic ? -1 : left.topic > right.topic ? 1 : 0) ||
          left.partition - right.partition,
      )
  }

  async #writeCheckpoint(name: string, entries: PartitionOffset[]): Promise<void> {
    const content = encodeOffsetCheckpoint(entries)
    const known = this.#checkpointed.get(name)
    if (known?.equals(content) === true || (known === undefined && entries.length === 0)) return
    await writeFileDurably(this.#world.disk, `${this.path}/${name}`, content)
    this.#checkpointed.set(name, content)
  }
}

/** DescribeLogDirs of a directory that is offline. */
export function describedOffline(path: string): DescribedDirectory {
  const errorCode = ErrorCode.KAFKA_STORAGE_ERROR
  return { errorCode, logDir: path, topics: [], totalBytes: -1, usableBytes: -1 }
}

/** Creates what is missing of the path, and makes each new name durable in its parent. */
async function makeDurably(world: DirectoryWorld, path: string): Promise<void> {
  const parents: string[] = []
  for (let missing = path; missing.length > 1 && !world.disk.exists(missing);) {
    missing = missing.slice(0, Math.max(1, missing.lastIndexOf('/')))
    parents.push(missing)
  }
  if (parents.length === 0) return
  world.disk.makeDirectory(path)
  await Promise.all(parents.map((parent) => syncDirectory(world.disk, parent)))
}

/** What keeps these directories from serving one node together; null when nothing does. */
export function ownershipProblem(directories: readonly LogDirectory[], nodeId: number): SamsaError | null {
  let first: LogDirectory | null = null
  for (const directory of directories) {
    const { meta } = directory
    if (meta === null) continue
    if (meta.nodeId !== null && meta.nodeId !== nodeId)
      return new SamsaError(
        'SAMSA_CONFIG',
        `broker.id=${nodeId}: log directory ${directory.path} belongs to broker ${meta.nodeId}, as its meta.properties says`,
      )
    if (meta.clusterId === null) continue
    if (first !== null && first.meta?.clusterId !== meta.clusterId)
      return new SamsaError(
        'SAMSA_CONFIG',
        `log.dirs: directories of different clusters: ${first.path} (${first.meta?.clusterId}) and ${directory.path} (${meta.clusterId})`,
      )
    first = directory
  }
  return null
}

/** Topic and partition in the name of a directory; null when it is none of a partition. */
export function parsePartitionName(name: string): { topic: string; partition: number } | null {
  const match = /^([a-zA-Z0-9._-]{1,249})-(0|[1-9]\d{0,9})$/.exec(name)
  return match === null ? null : { topic: match[1] as string, partition: Number(match[2]) }
}
