import type { Steps } from '../../../protocol/compile.ts'
import type { ErrorCode } from '../../../protocol/errors.ts'
import { SamsaError } from '../../core/samsa-error.ts'
import type { World } from '../../ports.ts'
import type { DescribedDirectory } from '../directory/described-directory.ts'
import { describedOffline, NEW_LOG } from '../directory/log-directory.ts'
import type { LogDirectory } from '../directory/log-directory.ts'
import type { LogListener } from '../directory/managed-log.ts'
import { openDirectories } from '../directory/open-directories.ts'
import type { OpenedDirectories } from '../directory/open-directories.ts'
import { partitionName } from '../files/checkpoints.ts'
import { eachAtOnce } from '../files/each-at-once.ts'
import type { LogConfig } from '../log-config.ts'
import { Log } from '../log.ts'
import { Housekeeping } from './housekeeping.ts'
import { CLEAN_OPENS_AT_ONCE, LogsAtStart } from './load-logs.ts'
import type { Admit, LogManagerOptions, OwnerOf } from './log-manager-types.ts'
import { LogMoves } from './log-moves.ts'
import { ManagedLogs } from './managed-logs.ts'
import { PartitionChanges } from './partition-changes.ts'
import { PartitionRemoval } from './partition-removal.ts'

/**
 * Owns the log directories and every log in them: opens, creates, deletes, keeps house and closes.
 *
 * Order of a start: `open` locks the directories and tells whose they are; the caller finds out which cluster this
 * is; `load` opens every log. Maintenance (retention, flush by time, checkpoints, compaction) begins then.
 */
export class LogManager {
  readonly #world: World
  /** Those of `log.dirs` that could not even be opened. */
  readonly #unusable: readonly string[]
  readonly #logs: ManagedLogs
  readonly #removal: PartitionRemoval
  readonly #changes: PartitionChanges
  readonly #moves: LogMoves
  readonly #housekeeping: Housekeeping
  #brokerEpoch = -1

  private constructor(world: World, options: LogManagerOptions, opened: OpenedDirectories) {
    this.#world = world
    this.#unusable = opened.unusable
    this.#logs = new ManagedLogs(world, options, opened.directories)
    this.#removal = new PartitionRemoval(world)
    this.#changes = new PartitionChanges(this.#logs, this.#removal, opened.unusable)
    this.#moves = new LogMoves(this.#logs, this.#changes, this.#removal)
    this.#housekeeping = new Housekeeping(this.#logs)
    for (const directory of opened.directories)
      directory.onLost = (error) => this.#logs.directoryFailed(directory, error)
    world.metrics.gauge(
      'kafka_log_logmanager_offlinelogdirectorycount',
      'Log directories that failed',
      () => [{ value: options.logDirs.length - this.#logs.online().length }],
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
    for (const { meta } of this.#logs.directories)
      if (meta !== null && meta.clusterId !== null) return meta.clusterId
    return null
  }

  /** Of the log directories that are online, as `admit` is told them. */
  get directoryIds(): string[] {
    return this.#logs.online().map(({ id }) => id)
  }

  /** Of the log directories that are online. */
  get directoryPaths(): string[] {
    return this.#logs.online().map(({ path }) => path)
  }

  /** Of those of `log.dirs` that could not be opened. */
  get unusablePaths(): readonly string[] {
    return this.#unusable
  }

  /**
   * Broker epoch at which this broker stopped cleanly; -1 when it did not, or never ran. All directories must say the same:
   * one that is missing, or was brought back from somewhere, may hold less than others count on (KIP-966).
   */
  get cleanShutdownEpoch(): number {
    const epochs = new Set(this.#logs.directories.map((directory) => directory.cleanShutdownEpoch))
    const [only = -1] = epochs
    return epochs.size === 1 && this.#unusable.length === 0 ? only : -1
  }

  /** The broker has another epoch now, which its clean stop will be known by. */
  registeredAs(brokerEpoch: number): void {
    this.#brokerEpoch = brokerEpoch
  }

  /**
   * Opens every partition found, or takes it away as `admit` says; strays that have an owner come back. When it resolves, no clean marker can come back and
   * all recovered bytes are durable. Rejects with SAMSA_DISK_IO when no directory is left.
   */
  async load(
    clusterId: string,
    brokerEpoch: number,
    admit: Admit,
    ownerOf: OwnerOf = () => null,
  ): Promise<void> {
    this.#brokerEpoch = brokerEpoch
    const moving = (name: string, target: LogDirectory): void => this.#moves.found(name, target)
    await new LogsAtStart(this.#logs, this.#removal, admit, ownerOf, moving).load(clusterId)
    const failure = this.#logs.directories[0]?.failure
    if (this.#logs.online().length === 0)
      throw failure ?? new SamsaError('SAMSA_DISK_IO', 'no log directory is left')
    this.#housekeeping.start()
  }

  /** Logs in which acknowledged records may be missing, as recovery found since the start. */
  get uncleanCount(): number {
    return this.#logs.uncleanCount
  }

  /** All logs, in no order. */
  *logs(): Generator<Log> {
    for (const { log } of this.#logs.byName.values()) yield log
  }

  get(topic: string, partition: number): Log | undefined {
    return this.#logs.byName.get(partitionName(topic, partition))?.log
  }

  /** Who hears when the log has written, or failed. One listener per log. */
  listen(log: Log, listener: LogListener): void {
    const managed = this.#logs.byPath.get(log.directory)
    if (managed === undefined || managed.log !== log) throw new Error(`${log.directory} is not managed here`)
    managed.listener = listener
    if (log.failed) listener.failed()
  }

  /**
   * The partition's log, created in the online directory with the fewest partitions when there is none. A log of
   * another topic id under the same name is set aside first. With `isNew` the caller knows that the partition has no
   * data anywhere; otherwise nothing is created while a directory is offline, for the log may be in it.
   * Rejects with SAMSA_DISK_IO or SAMSA_LOG_CORRUPT.
   */
  getOrCreate(
    topic: string,
    partition: number,
    topicId: string,
    config: LogConfig,
    isNew = false,
  ): Promise<Log> {
    return this.#changes.getOrCreate(topic, partition, topicId, config, isNew)
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
    if (this.#moves.count > 0) await this.#moves.drop(topic, partition)
    await this.#changes.delete(topic, partition)
  }

  /**
   * Moves a partition to the log directory `path` (AlterReplicaLogDirs), in the background; its own directory ends a move.
   * An error code.
   */
  alterDirectory(topic: string, partition: number, path: string): ErrorCode {
    return this.#moves.alter(topic, partition, path)
  }

  /** Goes on with moves that the last stop interrupted. `bytesPerSecond`: what all moves together may copy, at any time. */
  beginMoves(bytesPerSecond: () => number): void {
    this.#moves.bytesPerSecond = bytesPerSecond
    this.#moves.start()
  }

  updateConfig(topic: string, partition: number, config: LogConfig): void {
    this.#logs.byName.get(partitionName(topic, partition))?.updateConfig(config)
  }

  /**
   * Whether the volume below a log (`log.directory`) hangs, or is too full to take records; `fewBytes`: such as free room
   * later, or let consumers go on (committed offsets), so that they may use the half of what is left.
   */
  refusesRecords(directory: string, fewBytes = false): boolean {
    const managed = this.#logs.byPath.get(directory)
    if (managed === undefined) return false
    if (managed.directory.hangs) return true
    return fewBytes ? managed.directory.lacksAllSpace : managed.directory.lacksSpace
  }

  /** Writes down where the logs start. Resolves to what tells of a log whether a crash cannot move its start back. */
  async checkpointLogStartOffsets(): Promise<(log: Log) => boolean> {
    const durable = await this.#logs.checkpointAll()
    return (log) => {
      const managed = this.#logs.byPath.get(log.directory)
      return managed !== undefined && managed.log === log && durable.has(managed.directory)
    }
  }

  /** DescribeLogDirs. `wanted`: partitions by topic, null for all. */
  *describe(wanted: ReadonlyMap<string, ReadonlySet<number>> | null): Steps<DescribedDirectory[]> {
    const described = []
    for (const directory of this.#logs.directories) described.push(yield* directory.describe(wanted))
    for (const path of this.#unusable) described.push(describedOffline(path))
    return described
  }

  /** One round of compaction over all compacted logs, now. */
  clean(): Promise<void> {
    return this.#housekeeping.clean()
  }

  /** One round of retention over all logs, now. */
  applyRetention(): Promise<void> {
    return this.#housekeeping.applyRetention()
  }

  /**
   * Ends maintenance and closes every log. `clean`: when it resolves, everything is durable and each directory that
   * did not fail carries the clean marker. Releases the locks either way.
   */
  /** Resolves to whether every directory that was online then was closed as it should be. */
  async close(clean: boolean): Promise<boolean> {
    const logs = this.#logs
    if (logs.closing) return true
    logs.closing = true
    this.#removal.stop()
    for (const managed of logs.byName.values()) managed.leaving = true
    await Promise.all([this.#housekeeping.stop(), this.#changes.settled(), this.#moves.stop()])
    const closed = await Promise.all(
      logs.directories.map((directory) => this.#closeDirectory(directory, clean)),
    )
    return closed.every((isAsItShouldBe) => isAsItShouldBe)
  }

  async #closeDirectory(directory: LogDirectory, clean: boolean): Promise<boolean> {
    const wasOffline = directory.failure !== null
    try {
      const logs = this.#logs.of(directory)
      await eachAtOnce(logs, CLEAN_OPENS_AT_ONCE, (managed) =>
        managed.close(clean && directory.failure === null),
      )
      if (!clean || directory.failure !== null) return wasOffline || directory.failure === null
      await directory.checkpoint()
      // One that could not be opened was not scanned either.
      const isClean = directory.cleanShutdown || directory.unopened.size === 0
      if (isClean && directory.failure === null && logs.every(({ log }) => !log.failed))
        await directory.writeCleanMarker(this.#brokerEpoch)
      return directory.failure === null
    } catch (error) {
      // No marker: the next start scans.
      this.#world.logger.error({ logDir: directory.path, error }, 'log directory could not be closed cleanly')
      return false
    } finally {
      directory.release()
    }
  }
}
