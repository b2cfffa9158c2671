import { SamsaError } from '../../core/samsa-error.ts'
import type { Timer, World } from '../../ports.ts'
import { partitionName } from '../files/checkpoints.ts'
import { LogCleaner } from '../compaction/cleaner.ts'
import { diskError, readSmall, removePath } from '../files/disk-calls.ts'
import type { LogConfig } from '../log-config.ts'
import { eachAtOnce } from '../files/each-at-once.ts'
import { watchFreeSpace } from '../directory/free-space.ts'
import { describedOffline, NEW_LOG, parsePartitionName } from '../directory/log-directory.ts'
import type { KnownOffsets, LogDirectory, Opening } from '../directory/log-directory.ts'
import { PARTITION_METADATA, parsePartitionMetadata } from '../files/log-files.ts'
import type { DescribedDirectory } from '../directory/described-directory.ts'
import type { Admit, LogManagerOptions } from './log-manager-types.ts'
import { Log } from '../log.ts'
import { ManagedLog, trimReserved } from '../directory/managed-log.ts'
import type { LogListener } from '../directory/managed-log.ts'
import { openDirectories } from '../directory/open-directories.ts'
import type { OpenedDirectories } from '../directory/open-directories.ts'
import { OpeningProgress } from '../recovery/recovery-progress.ts'

const DEFAULT_MIN_FREE_BYTES = 64 * 1024 * 1024
/** Opening a log that needs no scan is a few waits for small files: many at once. */
const CLEAN_OPENS_AT_ONCE = 64
/**
 * One of Kafka's recovery threads waits for the device and computes in turn; here the scans share one thread, and most
 * of them wait: for what they read, and for the device to have it for good.
 */
const SCANS_PER_RECOVERY_THREAD = 32
/** In one log line. */
const MAX_NAMED_LOGS = 20
const MAX_NAME_LENGTH = 255
/** KRaft's own log, which Kafka keeps in the first log directory. */
const CLUSTER_METADATA_TOPIC = '__cluster_metadata'

interface FoundPartition {
  readonly topic: string
  readonly partition: number
  readonly directory: LogDirectory
}

/**
 * Owns the log directories and every log in them: opens, creates, deletes, keeps house and closes.
 *
 * Order of a start: `open` locks the directories and tells whose they are; the caller finds out which cluster this
 * is; `load` opens every log. Maintenance (retention, flush by time, checkpoints, compaction) begins then.
 */
export class LogManager {
  readonly #world: World
  readonly #options: LogManagerOptions
  readonly #directories: LogDirectory[]
  /** Those of `log.dirs` that could not even be opened. */
  readonly #unusable: readonly string[]
  readonly #byName = new Map<string, ManagedLog>()
  readonly #byPath = new Map<string, ManagedLog>()
  /** Partitions being created or deleted: whoever asks for one meanwhile waits. */
  readonly #changing = new Map<string, Promise<unknown>>()
  /** Where each partition was found at the start. */
  readonly #places = new Map<string, string>()
  /** Partitions that checkpoints know and that were found in no directory. */
  readonly #missing = new Map<string, KnownOffsets>()
  /** Partitions whose files make no sense. */
  readonly #corrupt = new Map<string, SamsaError>()
  readonly #cleaner: LogCleaner
  readonly #timers = new Map<string, Timer>()
  readonly #jobs = new Set<Promise<void>>()
  #brokerEpoch = -1
  #uncleanCount = 0
  #closing = false

  private constructor(world: World, options: LogManagerOptions, opened: OpenedDirectories) {
    this.#world = world
    this.#options = options
    this.#directories = opened.directories
    this.#unusable = opened.unusable
    this.#cleaner = new LogCleaner(world, options.cleaner)
    world.metrics.gauge(
      'kafka_log_logmanager_offlinelogdirectorycount',
      'Log directories that failed',
      () => [{ value: options.logDirs.length - this.#online().length }],
    )
    world.metrics.gauge(
      'samsa_log_unclean_logs',
      'Logs that recovery found damaged or shorter than promised since the start: acknowledged records may be missing',
      () => [{ value: this.uncleanCount }],
    )
  }

  /**
   * Makes and locks the directories. Rejects with SAMSA_DATA_DIR_LOCKED, SAMSA_CONFIG (a directory of another node
   * or cluster) or, when no directory can be used, SAMSA_DISK_IO.
   */
  static async open(world: World, options: LogManagerOptions): Promise<LogManager> {
    return new LogManager(world, options, await openDirectories(world, options.logDirs, options.nodeId))
  }

  /** The cluster the directories belong to; null when they are new. */
  get clusterId(): string | null {
    for (const { meta } of this.#directories)
      if (meta !== null && meta.clusterId !== null) return meta.clusterId
    return null
  }

  /** Broker epoch at which this broker stopped cleanly; -1 when it did not, or never ran. */
  get cleanShutdownEpoch(): number {
    const epochs = this.#directories.map((directory) => directory.cleanShutdownEpoch)
    return Math.min(...epochs)
  }

  /**
   * Opens every partition found. When it resolves, no clean marker can come back and all recovered bytes are
   * durable. Rejects with SAMSA_LOG_CORRUPT when one partition is in two directories, SAMSA_DISK_IO when no
   * directory is left.
   */
  async load(clusterId: string, brokerEpoch: number, admit: Admit): Promise<void> {
    this.#brokerEpoch = brokerEpoch
    const found = this.#findPartitions()
    await Promise.all(
      this.#online().map((directory) =>
        this.#loadDirectory(directory, clusterId, found.get(directory) ?? [], admit),
      ),
    )
    const failure = this.#directories[0]?.failure
    if (this.#online().length === 0)
      throw failure ?? new SamsaError('SAMSA_DISK_IO', 'no log directory is left')
    this.#keepHouse()
  }

  /** Logs in which acknowledged records may be missing, as recovery found since the start. */
  get uncleanCount(): number {
    return this.#uncleanCount
  }

  /** All logs, in no order. */
  *logs(): Generator<Log> {
    for (const { log } of this.#byName.values()) yield log
  }

  get(topic: string, partition: number): Log | undefined {
    return this.#byName.get(partitionName(topic, partition))?.log
  }

  /** Who hears when the log has written, or failed. One listener per log. */
  listen(log: Log, listener: LogListener): void {
    const managed = this.#byPath.get(log.directory)
    if (managed === undefined || managed.log !== log) throw new Error(`${log.directory} is not managed here`)
    managed.listener = listener
    if (log.failed) listener.failed()
  }

  /**
   * The partition's log, created in the online directory with the fewest partitions when there is none. A log of
   * another topic id under the same name is deleted first. With `isNew` the caller knows that the partition has no
   * data anywhere; otherwise nothing is created while a directory is offline, for the log may be in it.
   * Rejects with SAMSA_DISK_IO or SAMSA_LOG_CORRUPT.
   */
  async getOrCreate(
    topic: string,
    partition: number,
    topicId: string,
    config: LogConfig,
    isNew = false,
  ): Promise<Log> {
    const name = partitionName(topic, partition)
    for (let changing = this.#changing.get(name); changing !== undefined; changing = this.#changing.get(name))
      await changing.catch(() => {})
    const known = this.#byName.get(name)
    if (known !== undefined && (known.log.topicId === topicId || known.log.topicId === null)) return known.log
    const making = (async () => {
      if (known !== undefined) await this.#delete(known)
      return this.#create(topic, partition, topicId, config, isNew)
    })()
    return this.#whileChanging(name, making)
  }

  /** In place of a log that `getOrCreate` cannot give, `because`: refuses everything, and is not managed here. */
  offline(topic: string, partition: number, topicId: string, config: LogConfig, because: SamsaError): Log {
    return Log.offline(this.#world, because, {
      directory: `/offline/${partitionName(topic, partition)}`,
      topic,
      partition,
      topicId,
      config,
      ...NEW_LOG,
      cleanShutdown: true,
      onWritten: () => {},
      onFailed: () => {},
    })
  }

  /** Renames the partition away, durably; its files go after `file.delete.delay.ms`. Nothing when there is none. */
  async delete(topic: string, partition: number): Promise<void> {
    const name = partitionName(topic, partition)
    for (let changing = this.#changing.get(name); changing !== undefined; changing = this.#changing.get(name))
      await changing.catch(() => {})
    const managed = this.#byName.get(name)
    if (managed !== undefined) await this.#whileChanging(name, this.#delete(managed))
  }

  updateConfig(topic: string, partition: number, config: LogConfig): void {
    this.#byName.get(partitionName(topic, partition))?.updateConfig(config)
  }

  /**
   * Whether the volume below a log (`log.directory`) is too full to take records; `fewBytes`: such as free room later,
   * or let consumers go on (committed offsets), so that they may use the half of what is left.
   */
  lacksSpace(directory: string, fewBytes = false): boolean {
    const managed = this.#byPath.get(directory)
    if (managed === undefined) return false
    return fewBytes ? managed.directory.lacksAllSpace : managed.directory.lacksSpace
  }

  /** After DeleteRecords: its promise holds over a crash only once this resolved. */
  async checkpointLogStartOffsets(): Promise<void> {
    await Promise.all(this.#online().map((directory) => this.#checkpoint(directory)))
  }

  /** DescribeLogDirs. `wanted`: partitions by topic, null for all. */
  describe(wanted: ReadonlyMap<string, ReadonlySet<number>> | null): DescribedDirectory[] {
    const unusable = this.#unusable.map((path) => describedOffline(path))
    return [...this.#directories.map((directory) => directory.describe(wanted)), ...unusable]
  }

  /** One round of compaction over all compacted logs, now. */
  async clean(): Promise<void> {
    if (!this.#options.cleaner.enabled || this.#closing) return
    for (const managed of this.#byName.values()) {
      if (this.#closing) return
      if (managed.leaving || !managed.log.config.cleanupPolicy.compact) continue
      await this.#guard(managed, () => this.#cleaner.clean(managed))
    }
    await Promise.all(this.#online().map((directory) => this.#checkpoint(directory)))
  }

  /** One round of retention over all logs, now. */
  async applyRetention(): Promise<void> {
    for (const managed of this.#byName.values()) {
      if (this.#closing) return
      if (managed.leaving) continue
      await this.#guard(managed, async () => {
        await managed.log.applyRetention(this.#world.clock.nowMs(), managed.highWatermark)
      })
    }
  }

  /**
   * Ends maintenance and closes every log. `clean`: when it resolves, everything is durable and each directory that
   * did not fail carries the clean marker. Releases the locks either way.
   */
  async close(clean: boolean): Promise<void> {
    if (this.#closing) return
    this.#closing = true
    for (const timer of this.#timers.values()) timer.cancel()
    for (const managed of this.#byName.values()) managed.leaving = true
    await Promise.allSettled([...this.#jobs, ...this.#changing.values()])
    await Promise.all(this.#directories.map((directory) => this.#closeDirectory(directory, clean)))
  }

  #online(): LogDirectory[] {
    return this.#directories.filter((directory) => directory.failure === null)
  }

  #logsOf(directory: LogDirectory): ManagedLog[] {
    return [...this.#byName.values()].filter((managed) => managed.directory === directory)
  }

  /** Partitions by directory, from the names on the disk. */
  #findPartitions(): Map<LogDirectory, FoundPartition[]> {
    const places = this.#places
    const found = new Map<LogDirectory, FoundPartition[]>()
    for (const directory of this.#online()) {
      const partitions: FoundPartition[] = []
      for (const name of this.#world.disk.list(directory.path)) {
        if (name.endsWith('-delete')) this.#removeLater(directory, `${directory.path}/${name}`, 0)
        const parsed = parsePartitionName(name)
        if (parsed === null || parsed.topic === CLUSTER_METADATA_TOPIC) continue
        const other = places.get(name)
        if (other !== undefined)
          throw new SamsaError(
            'SAMSA_LOG_CORRUPT',
            `${name} is in two log directories: ${other} and ${directory.path}`,
          )
        places.set(name, directory.path)
        partitions.push({ ...parsed, directory })
      }
      found.set(directory, partitions)
    }
    return found
  }

  async #loadDirectory(
    directory: LogDirectory,
    clusterId: string,
    found: readonly FoundPartition[],
    admit: Admit,
  ): Promise<void> {
    const { logger, clock } = this.#world
    const progress = new OpeningProgress(clock, logger, directory.path, found.length)
    try {
      // Side by side: a crash from here on costs a scan at the next start and nothing else.
      const prepared = Promise.all([
        directory.claim(clusterId, this.#options.nodeId),
        directory.removeCleanMarker(),
      ])
      const checkpoints = directory.readCheckpoints()
      for (const [name, known] of checkpoints) if (!this.#places.has(name)) this.#missing.set(name, known)
      const atOnce = directory.cleanShutdown
        ? CLEAN_OPENS_AT_ONCE
        : this.#options.recoveryThreadsPerDirectory * SCANS_PER_RECOVERY_THREAD
      const stale: ManagedLog[] = []
      const opening = eachAtOnce(found, atOnce, async ({ topic, partition }) => {
        const name = partitionName(topic, partition)
        const topicId = this.#topicIdOf(`${directory.path}/${name}`)
        const config = admit(topic, partition, topicId)
        if (config === null) stale.push(new ManagedLog(directory, topic, partition))
        else
          await this.#openFound(directory, topic, partition, config, {
            ...(checkpoints.get(name) ?? NEW_LOG),
            found: { topicId, progress },
          })
        progress.opened()
      })
      await Promise.all([prepared, opening])
      for (const managed of stale) this.#renameAway(managed)
      // After an unclean stop no name in it is known to be durable.
      if (stale.length > 0 || (!directory.cleanShutdown && found.length > 0)) await directory.syncNames()
      // What a checkpoint says of a log that is gone must not be believed of a later one with its name.
      await directory.checkpoint()
      this.#reportRecovery(directory, progress, found.length)
    } catch (error) {
      this.#directoryFailed(directory, diskError(`cannot load log directory ${directory.path}`, error))
    } finally {
      progress.stop()
    }
  }

  #reportRecovery(directory: LogDirectory, progress: OpeningProgress, partitions: number): void {
    const unclean = this.#logsOf(directory).filter(({ log }) => log.recovery?.unclean === true)
    if (partitions === 0 || (directory.cleanShutdown && unclean.length === 0)) return
    const { scannedBytes, tookMs } = progress
    const fields = { logDir: directory.path, partitions, scannedBytes, tookMs, unclean: unclean.length }
    if (unclean.length === 0) this.#world.logger.info(fields, 'logs recovered after an unclean stop')
    else
      this.#world.logger.error(
        { ...fields, logs: unclean.slice(0, MAX_NAMED_LOGS).map(({ name }) => name) },
        'LOGS ARE UNCLEAN: records that were acknowledged may be missing from them',
      )
  }

  #topicIdOf(directory: string): string | null {
    const text = readSmall(this.#world.disk, `${directory}/${PARTITION_METADATA}`)
    return text === null ? null : parsePartitionMetadata(text.toString('utf8'))
  }

  async #openFound(
    directory: LogDirectory,
    topic: string,
    partition: number,
    config: LogConfig,
    known: Opening,
  ): Promise<void> {
    try {
      await this.#open(directory, topic, partition, null, config, known)
    } catch (error) {
      if (!(error instanceof SamsaError) || error.code !== 'SAMSA_LOG_CORRUPT') throw error
      this.#world.logger.error(
        { topic, partition, error: error.message },
        'partition is damaged and stays offline',
      )
      this.#corrupt.set(partitionName(topic, partition), error)
    }
  }

  async #open(
    directory: LogDirectory,
    topic: string,
    partition: number,
    topicId: string | null,
    config: LogConfig,
    known: Opening,
  ): Promise<Log> {
    const managed = new ManagedLog(directory, topic, partition)
    const log = await Log.open(this.#world, {
      directory: `${directory.path}/${managed.name}`,
      topic,
      partition,
      topicId,
      config,
      recoveryPoint: known.recoveryPoint,
      logStartOffset: known.logStartOffset,
      highWatermark: known.highWatermark,
      ...(known.found === undefined
        ? {}
        : { foundTopicId: known.found.topicId, progress: known.found.progress, callerSyncsParent: true }),
      cleanShutdown: directory.cleanShutdown,
      onWritten: (endOffset) => managed.written(endOffset),
      onFailed: (error) => this.#directoryFailed(directory, error),
      spares: directory.spares,
      ...(this.#options.segmentCache === undefined ? {} : { segmentCache: this.#options.segmentCache }),
    })
    managed.opened(log)
    managed.cleanedEndOffset = Math.min(known.cleanedEndOffset, log.logEndOffset)
    if (log.recovery?.unclean === true) this.#uncleanCount += 1
    directory.logs.set(managed.name, managed)
    this.#byName.set(managed.name, managed)
    this.#byPath.set(log.directory, managed)
    return log
  }

  async #create(
    topic: string,
    partition: number,
    topicId: string,
    config: LogConfig,
    isNew: boolean,
  ): Promise<Log> {
    const name = partitionName(topic, partition)
    const corrupt = this.#corrupt.get(name)
    if (corrupt !== undefined) throw corrupt
    if (this.#closing) throw new SamsaError('SAMSA_STOPPED', 'the log manager is closed')
    const dead = this.#directories.find((directory) => directory.failure !== null)
    const offline = dead?.path ?? this.#unusable[0]
    if (offline !== undefined && !isNew)
      throw new SamsaError('SAMSA_DISK_IO', `${name} may be in ${offline}, which is offline`, dead?.failure)
    const directory = this.#online().reduce<LogDirectory | null>(
      (least, next) => (least === null || next.partitionCount < least.partitionCount ? next : least),
      null,
    )
    if (directory === null) throw new SamsaError('SAMSA_DISK_IO', 'no log directory is left')
    directory.creating += 1
    try {
      // What was known of a log whose directory is gone is what is missing now.
      const known = isNew ? NEW_LOG : (this.#missing.get(name) ?? NEW_LOG)
      this.#missing.delete(name)
      // Its name becomes durable with the first promise the log makes: a new log has nothing to lose.
      return await this.#open(directory, topic, partition, topicId, config, known)
    } catch (error) {
      const failure = diskError(`cannot create ${name} in ${directory.path}`, error)
      if (failure.code === 'SAMSA_DISK_IO') this.#directoryFailed(directory, failure)
      if (!isNew || this.#online().length === 0 || failure.code !== 'SAMSA_DISK_IO') throw failure
    } finally {
      directory.creating -= 1
    }
    return this.#create(topic, partition, topicId, config, isNew)
  }

  async #delete(managed: ManagedLog): Promise<void> {
    const { directory, log } = managed
    managed.leaving = true
    directory.logs.delete(managed.name)
    this.#byName.delete(managed.name)
    this.#byPath.delete(log.directory)
    if (directory.failure !== null) return
    try {
      await managed.close(false)
      this.#renameAway(managed)
      await directory.syncNames()
      // A later log of that name must not inherit its offsets.
      await directory.checkpoint()
    } catch (error) {
      const failure = diskError(`cannot delete ${managed.name}`, error)
      this.#directoryFailed(directory, failure)
      throw failure
    }
  }

  /** Kafka's name for a directory whose files go later. */
  #renameAway(managed: ManagedLog): void {
    const { directory, name } = managed
    const suffix = `.${this.#world.random.bytes(16).toString('hex')}-delete`
    const away = `${directory.path}/${name.slice(0, MAX_NAME_LENGTH - suffix.length)}${suffix}`
    this.#world.disk.rename(`${directory.path}/${name}`, away)
    const delayMs = this.#closing ? 0 : Math.min(2 ** 31 - 1, this.#deleteDelayMs(managed))
    this.#removeLater(directory, away, delayMs)
  }

  #deleteDelayMs(managed: ManagedLog): number {
    return managed.isOpen ? managed.log.config.fileDeleteDelayMs : 0
  }

  /** What the process does not live to remove goes at the next start. */
  #removeLater(directory: LogDirectory, path: string, delayMs: number): void {
    this.#timers.set(
      path,
      this.#world.clock.after(delayMs, () => {
        this.#timers.delete(path)
        if (directory.failure !== null) return
        removePath(this.#world.disk, path).catch((error: unknown) =>
          this.#world.logger.warn({ path, error }, 'a deleted partition could not be removed'),
        )
      }),
    )
  }

  async #whileChanging<T>(name: string, change: Promise<T>): Promise<T> {
    this.#changing.set(name, change)
    try {
      return await change
    } finally {
      this.#changing.delete(name)
    }
  }

  /** The first error of a directory ends it: its logs fail, the others live on. */
  #directoryFailed(directory: LogDirectory, error: SamsaError): void {
    if (!directory.fail(error)) return
    this.#world.logger.error(
      { logDir: directory.path, error: error.message },
      'log directory failed and is offline',
    )
    for (const managed of this.#logsOf(directory)) managed.failed(error)
    if (this.#online().length === 0) this.#options.onAllDirectoriesFailed(error)
  }

  /** Runs maintenance of one log; an error of the disk takes its directory offline. */
  async #guard(managed: ManagedLog, run: () => Promise<void>): Promise<void> {
    try {
      await managed.exclusively(async () => {
        if (!managed.leaving) await run()
      })
    } catch (error) {
      if (managed.leaving) return
      if (!isDiskError(error)) throw error
      this.#directoryFailed(managed.directory, diskError(`maintenance of ${managed.name}`, error))
    }
  }

  async #checkpoint(directory: LogDirectory): Promise<void> {
    try {
      await directory.checkpoint()
    } catch (error) {
      this.#directoryFailed(directory, diskError(`cannot write checkpoints in ${directory.path}`, error))
    }
  }

  #keepHouse(): void {
    this.#every('retention', this.#options.retentionCheckIntervalMs, () => this.applyRetention())
    this.#every('checkpoint', this.#options.checkpointIntervalMs, async () => {
      await this.checkpointLogStartOffsets()
      await trimReserved([...this.#byName.values()], this.#world.clock)
    })
    this.#watchSpace()
    if (this.#options.cleaner.enabled)
      this.#every('clean', this.#options.cleaner.backoffMs, () => this.clean())
  }

  /** Again and again, each time `intervalMs` after the last one ended. */
  #every(name: string, intervalMs: number, run: () => Promise<void>): void {
    if (this.#closing) return
    const timer = this.#world.clock.after(intervalMs, () => {
      // What rejects here is no error of the disk but a broken invariant: it ends the process.
      const job = run().finally(() => {
        this.#jobs.delete(job)
        this.#every(name, intervalMs, run)
      })
      this.#jobs.add(job)
    })
    this.#timers.set(name, timer)
  }

  #watchSpace(): void {
    if (this.#closing) return
    const minFreeBytes = this.#options.minFreeBytes ?? DEFAULT_MIN_FREE_BYTES
    const delays = this.#online().map((directory) =>
      watchFreeSpace(directory, minFreeBytes, this.#world.logger, () => {
        for (const { log } of this.#logsOf(directory)) log.dropSpare()
      }),
    )
    if (delays.length === 0) return
    const timer = this.#world.clock.after(Math.min(...delays), () => this.#watchSpace())
    this.#timers.set('space', timer)
  }

  async #closeDirectory(directory: LogDirectory, clean: boolean): Promise<void> {
    try {
      const logs = this.#logsOf(directory)
      await eachAtOnce(logs, CLEAN_OPENS_AT_ONCE, (managed) =>
        managed.close(clean && directory.failure === null),
      )
      if (!clean || directory.failure !== null) return
      await directory.checkpoint()
      if (directory.failure === null && logs.every(({ log }) => !log.failed))
        await directory.writeCleanMarker(this.#brokerEpoch)
    } catch (error) {
      // No marker: the next start scans.
      this.#world.logger.error({ logDir: directory.path, error }, 'log directory could not be closed cleanly')
    } finally {
      directory.release()
    }
  }
}

function isDiskError(error: unknown): boolean {
  if (error instanceof SamsaError) return error.code === 'SAMSA_DISK_IO'
  return error instanceof Error && 'code' in error && error.code !== 'ERR_ASSERTION'
}
