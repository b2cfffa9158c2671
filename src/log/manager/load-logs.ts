import { SamsaError } from '../../core/samsa-error.ts'
import { NEW_LOG, parsePartitionName } from '../directory/log-directory.ts'
import type { KnownOffsets, LogDirectory } from '../directory/log-directory.ts'
import { ManagedLog } from '../directory/managed-log.ts'
import { partitionName } from '../files/checkpoints.ts'
import { diskError, readSmall } from '../files/disk-calls.ts'
import { patiently } from '../files/disk-problem.ts'
import { eachAtOnce } from '../files/each-at-once.ts'
import { PARTITION_METADATA, parsePartitionMetadata } from '../files/log-files.ts'
import { OpeningProgress } from '../recovery/recovery-progress.ts'
import type { Admit } from './log-manager-types.ts'
import type { ManagedLogs, OpenRequest } from './managed-logs.ts'
import type { PartitionRemoval } from './partition-removal.ts'

/** Opening a log that needs no scan is a few waits for small files: many at once. */
export const CLEAN_OPENS_AT_ONCE = 64
/**
 * One of Kafka's recovery threads waits for the device and computes in turn; here the scans share one thread, and most
 * of them wait: for what they read, and for the device to have it for good.
 */
const SCANS_PER_RECOVERY_THREAD = 32
/** Others that are opened at the same time give their descriptors back. */
const OPEN_RETRIES = 50
/** In one log line. */
const MAX_NAMED_LOGS = 20
/** KRaft's own log, which Kafka keeps in the first log directory. */
const CLUSTER_METADATA_TOPIC = '__cluster_metadata'

interface FoundPartition {
  readonly topic: string
  readonly partition: number
  readonly directory: LogDirectory
}

/** Opens what the directories hold when the broker starts. */
export class LogsAtStart {
  readonly #logs: ManagedLogs
  readonly #removal: PartitionRemoval
  readonly #admit: Admit
  /** Where each partition was found. */
  readonly #places = new Map<string, string>()

  constructor(logs: ManagedLogs, removal: PartitionRemoval, admit: Admit) {
    this.#logs = logs
    this.#removal = removal
    this.#admit = admit
  }

  /** Rejects with SAMSA_LOG_CORRUPT when one partition is in two directories. Directories that fail go offline. */
  async load(clusterId: string): Promise<void> {
    const found = this.#findPartitions()
    await Promise.all(
      this.#logs
        .online()
        .map((directory) => this.#loadDirectory(directory, clusterId, found.get(directory) ?? [])),
    )
  }

  /** Partitions by directory, from the names on the disk. */
  #findPartitions(): Map<LogDirectory, FoundPartition[]> {
    const places = this.#places
    const found = new Map<LogDirectory, FoundPartition[]>()
    for (const directory of this.#logs.online()) {
      const partitions: FoundPartition[] = []
      for (const name of this.#logs.world.disk.list(directory.path)) {
        if (name.endsWith('-delete')) this.#removal.removeLater(directory, `${directory.path}/${name}`, 0)
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
  ): Promise<void> {
    const { logger, clock } = this.#logs.world
    const { nodeId, recoveryThreadsPerDirectory } = this.#logs.options
    const progress = new OpeningProgress(clock, logger, directory.path, found.length)
    try {
      // Side by side: a crash from here on costs a scan at the next start and nothing else.
      const prepared = Promise.all([directory.claim(clusterId, nodeId), directory.removeCleanMarker()])
      const checkpoints = directory.readCheckpoints()
      for (const [name, known] of checkpoints)
        if (!this.#places.has(name)) this.#logs.missing.set(name, known)
      const atOnce = directory.cleanShutdown
        ? CLEAN_OPENS_AT_ONCE
        : recoveryThreadsPerDirectory * SCANS_PER_RECOVERY_THREAD
      const stale: ManagedLog[] = []
      const opening = eachAtOnce(found, atOnce, async (partition) => {
        if (!(await this.#openFound(partition, checkpoints, progress)))
          stale.push(new ManagedLog(directory, partition.topic, partition.partition))
        progress.opened()
      })
      await Promise.all([prepared, opening])
      for (const managed of stale) this.#removal.renameAway(managed)
      // After an unclean stop no name in it is known to be durable.
      if (stale.length > 0 || (!directory.cleanShutdown && found.length > 0)) await directory.syncNames()
      // What a checkpoint says of a log that is gone must not be believed of a later one with its name.
      await directory.checkpoint()
      this.#reportRecovery(directory, progress, found.length)
    } catch (error) {
      this.#logs.directoryFailed(directory, diskError(`cannot load log directory ${directory.path}`, error))
    } finally {
      progress.stop()
    }
  }

  /** False: it belongs to no topic any more. */
  async #openFound(
    { directory, topic, partition }: FoundPartition,
    checkpoints: ReadonlyMap<string, KnownOffsets>,
    progress: OpeningProgress,
  ): Promise<boolean> {
    const name = partitionName(topic, partition)
    const topicId = this.#topicIdOf(`${directory.path}/${name}`)
    const config = this.#admit(topic, partition, topicId)
    if (config === null) return false
    const known = { ...(checkpoints.get(name) ?? NEW_LOG), found: { topicId, progress } }
    await this.#open({ directory, topic, partition, topicId: null, config, known })
    return true
  }

  #topicIdOf(directory: string): string | null {
    const text = readSmall(this.#logs.world.disk, `${directory}/${PARTITION_METADATA}`)
    return text === null ? null : parsePartitionMetadata(text.toString('utf8'))
  }

  async #open(request: OpenRequest): Promise<void> {
    try {
      let triesLeft = OPEN_RETRIES
      await patiently(
        this.#logs.world.clock,
        () => triesLeft-- > 0,
        () => this.#logs.open(request),
      )
    } catch (error) {
      if (!(error instanceof SamsaError) || error.code !== 'SAMSA_LOG_CORRUPT') throw error
      const { topic, partition } = request
      this.#logs.world.logger.error(
        { topic, partition, error: error.message },
        'partition is damaged and stays offline',
      )
      this.#logs.corrupt.set(partitionName(topic, partition), error)
    }
  }

  #reportRecovery(directory: LogDirectory, progress: OpeningProgress, partitions: number): void {
    const { logger } = this.#logs.world
    const unclean = this.#logs.of(directory).filter(({ log }) => log.recovery?.unclean === true)
    if (partitions === 0 || (directory.cleanShutdown && unclean.length === 0)) return
    const { scannedBytes, tookMs } = progress
    const fields = { logDir: directory.path, partitions, scannedBytes, tookMs, unclean: unclean.length }
    if (unclean.length === 0) logger.info(fields, 'logs recovered after an unclean stop')
    else
      logger.error(
        { ...fields, logs: unclean.slice(0, MAX_NAMED_LOGS).map(({ name }) => name) },
        'LOGS ARE UNCLEAN: records that were acknowledged may be missing from them',
      )
  }
}
