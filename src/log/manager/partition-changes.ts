import { ErrorCode } from '../../../protocol/errors.ts'
import { SamsaError } from '../../core/samsa-error.ts'
import { NEW_LOG } from '../directory/log-directory.ts'
import type { LogDirectory } from '../directory/log-directory.ts'
import type { ManagedLog } from '../directory/managed-log.ts'
import { partitionName } from '../files/checkpoints.ts'
import { diskError } from '../files/disk-calls.ts'
import { diskProblem, patiently } from '../files/disk-problem.ts'
import type { LogConfig } from '../log-config.ts'
import type { Log } from '../log.ts'
import type { CorruptPartition, ManagedLogs } from './managed-logs.ts'
import type { PartitionRemoval } from './partition-removal.ts'

/** A log that is made waits so often for a descriptor. */
const OPEN_RETRIES = 50

/** Creates and deletes logs while the broker runs, one change of a partition at a time. */
export class PartitionChanges {
  readonly #logs: ManagedLogs
  readonly #removal: PartitionRemoval
  /** Those of `log.dirs` that could not even be opened. */
  readonly #unusable: readonly string[]
  /** Partitions being created or deleted: whoever asks for one meanwhile waits. */
  readonly #changing = new Map<string, Promise<unknown>>()

  constructor(logs: ManagedLogs, removal: PartitionRemoval, unusable: readonly string[]) {
    this.#logs = logs
    this.#removal = removal
    this.#unusable = unusable
  }

  /** See `LogManager.getOrCreate`. */
  async getOrCreate(
    topic: string,
    partition: number,
    topicId: string,
    config: LogConfig,
    isNew: boolean,
  ): Promise<Log> {
    const name = partitionName(topic, partition)
    // Not a call that is awaited: without a change under way this one begins in the turn that asks for it.
    while (this.#changing.has(name)) await this.#changed(name)
    const known = this.#logs.byName.get(name)
    if (known !== undefined && (known.log.topicId === topicId || known.log.topicId === null)) return known.log
    const making = (async () => {
      if (known !== undefined)
        await this.#takeAway(known, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, () =>
          this.#removal.setAside(known, `the topic has the id ${topicId}`),
        )
      return this.#create(topic, partition, topicId, config, isNew)
    })()
    return this.#whileChanging(name, making)
  }

  /** See `LogManager.delete`. */
  async delete(topic: string, partition: number): Promise<void> {
    const name = partitionName(topic, partition)
    while (this.#changing.has(name)) await this.#changed(name)
    const managed = this.#logs.byName.get(name)
    const corrupt = this.#logs.corrupt.get(name)
    if (managed !== undefined) await this.#whileChanging(name, this.#delete(managed))
    else if (corrupt !== undefined)
      await this.#whileChanging(name, this.#deleteCorrupt(topic, partition, corrupt))
  }

  /** Resolves when no change is under way. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#changing.values())
  }

  /** Runs a change of the partition when no other is under way. */
  async exclusively<T>(name: string, change: () => Promise<T>): Promise<T> {
    while (this.#changing.has(name)) await this.#changed(name)
    return this.#whileChanging(name, change())
  }

  /** The partition lies in another directory now: what is here goes. An error ends this one. */
  async movedAway(managed: ManagedLog): Promise<void> {
    const { fileDeleteDelayMs } = managed.log.config
    const rename = (): void => this.#removal.renameAway(managed, fileDeleteDelayMs)
    await this.#takeAway(managed, ErrorCode.NOT_LEADER_OR_FOLLOWER, rename)
  }

  async #changed(name: string): Promise<void> {
    await this.#changing.get(name)?.catch(() => {})
  }

  async #whileChanging<T>(name: string, change: Promise<T>): Promise<T> {
    this.#changing.set(name, change)
    try {
      return await change
    } finally {
      this.#changing.delete(name)
    }
  }

  async #create(
    topic: string,
    partition: number,
    topicId: string,
    config: LogConfig,
    isNew: boolean,
  ): Promise<Log> {
    const logs = this.#logs
    const name = partitionName(topic, partition)
    const directory = this.#placeFor(name, isNew)
    directory.creating += 1
    try {
      // What was known of a log whose directory is gone is what is missing now.
      const known = isNew ? NEW_LOG : (logs.missing.get(name) ?? NEW_LOG)
      logs.missing.delete(name)
      // Its name becomes durable with the first promise the log makes: a new log has nothing to lose.
      const request = { directory, topic, partition, topicId, config, known }
      let triesLeft = OPEN_RETRIES
      return await patiently(
        logs.world.clock,
        () => triesLeft-- > 0,
        () => logs.open(request),
      )
    } catch (error) {
      const failure = diskError(`cannot create ${name} in ${directory.path}`, error)
      const isDead = failure.code === 'SAMSA_DISK_IO' && diskProblem(error) !== 'short'
      if (isDead) logs.directoryFailed(directory, failure)
      if (!isNew || logs.online().length === 0 || !isDead) throw failure
    } finally {
      directory.creating -= 1
    }
    return this.#create(topic, partition, topicId, config, isNew)
  }

  /** The directory with the fewest partitions. Throws when a new log must not be made. */
  #placeFor(name: string, isNew: boolean): LogDirectory {
    const logs = this.#logs
    const corrupt = logs.corrupt.get(name)
    if (corrupt !== undefined) throw corrupt.error
    if (logs.closing) throw new SamsaError('SAMSA_STOPPED', 'the log manager is closed')
    const dead = logs.directories.find((directory) => directory.failure !== null)
    const offline = dead?.path ?? this.#unusable[0]
    if (offline !== undefined && !isNew)
      throw new SamsaError('SAMSA_DISK_IO', `${name} may be in ${offline}, which is offline`, dead?.failure)
    const place = logs
      .online()
      .reduce<LogDirectory | null>(
        (least, next) => (least === null || next.partitionCount < least.partitionCount ? next : least),
        null,
      )
    if (place === null) throw new SamsaError('SAMSA_DISK_IO', 'no log directory is left')
    return place
  }

  #delete(managed: ManagedLog): Promise<void> {
    const { fileDeleteDelayMs } = managed.log.config
    return this.#takeAway(managed, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, () =>
      this.#removal.renameAway(managed, fileDeleteDelayMs),
    )
  }

  async #takeAway(managed: ManagedLog, because: ErrorCode, rename: () => void): Promise<void> {
    const { directory } = managed
    managed.leaving = true
    this.#logs.forget(managed)
    if (directory.failure !== null) return
    try {
      await managed.discard(because)
      rename()
      await this.#persistRemoval(directory)
    } catch (error) {
      this.#removalFailed(directory, managed.name, error)
    }
  }

  /** Of a partition that could not be opened. */
  async #deleteCorrupt(topic: string, partition: number, corrupt: CorruptPartition): Promise<void> {
    const name = partitionName(topic, partition)
    for (const directory of corrupt.directories) {
      if (directory.failure !== null) continue
      try {
        this.#removal.renameAway({ directory, topic, partition }, 0)
        directory.unopened.delete(name)
        await this.#persistRemoval(directory)
      } catch (error) {
        this.#removalFailed(directory, name, error)
      }
    }
    this.#logs.corrupt.delete(name)
  }

  async #persistRemoval(directory: LogDirectory): Promise<void> {
    const mayWait = (): boolean => !this.#logs.closing
    await patiently(this.#logs.world.clock, mayWait, () => directory.syncNames())
    // A later log of that name must not inherit its offsets.
    await patiently(this.#logs.world.clock, mayWait, () => directory.checkpoint())
  }

  #removalFailed(directory: LogDirectory, name: string, error: unknown): never {
    const failure = diskError(`cannot delete ${name}`, error)
    if (diskProblem(error) !== 'short') this.#logs.directoryFailed(directory, failure)
    throw failure
  }
}
