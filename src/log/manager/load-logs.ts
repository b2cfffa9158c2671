import { messageOf } from '../../core/is-error.ts'
import { SamsaError } from '../../core/samsa-error.ts'
import { CLUSTER_METADATA_TOPIC } from '../directory/cluster-metadata.ts'
import { NEW_LOG, parsePartitionName } from '../directory/log-directory.ts'
import type { KnownOffsets, LogDirectory } from '../directory/log-directory.ts'
import { partitionName } from '../files/checkpoints.ts'
import { diskError, readSmall } from '../files/disk-calls.ts'
import { isNoFile, patiently } from '../files/disk-problem.ts'
import { eachAtOnce } from '../files/each-at-once.ts'
import {
  isNeverWritten,
  PARTITION_METADATA,
  parsePartitionMetadata,
  readGeneration,
} from '../files/log-files.ts'
import { OpeningProgress } from '../recovery/recovery-progress.ts'
import { partitionOfFuture } from './future-log.ts'
import type { Admit, OwnerOf } from './log-manager-types.ts'
import type { ManagedLogs, OpenRequest } from './managed-logs.ts'
import { partitionOfStray } from './partition-removal.ts'
import type { PartitionPlace, PartitionRemoval } from './partition-removal.ts'

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

/** Opens what the directories hold when the broker starts. */
export class LogsAtStart {
  readonly #logs: ManagedLogs
  readonly #removal: PartitionRemoval
  readonly #admit: Admit
  readonly #ownerOf: OwnerOf
  /** Where each partition was found: in one directory, when all is well. */
  readonly #places = new Map<string, PartitionPlace[]>()
  /** Partitions that had moved to another directory when the process ended. */
  readonly #outdated = new Set<PartitionPlace>()
  /** Copies of partitions that were on their way to another directory, with the names that they have. */
  readonly #copies: { readonly place: PartitionPlace; readonly copy: string }[] = []
  readonly #moving: (name: string, target: LogDirectory) => void

  constructor(
    logs: ManagedLogs,
    removal: PartitionRemoval,
    admit: Admit,
    ownerOf: OwnerOf,
    moving: (name: string, target: LogDirectory) => void,
  ) {
    this.#moving = moving
    this.#logs = logs
    this.#removal = removal
    this.#admit = admit
    this.#ownerOf = ownerOf
  }

  /** Directories that fail go offline. */
  async load(clusterId: string): Promise<void> {
    await this.#reclaimStrays()
    const found = this.#findPartitions()
    for (const places of this.#places.values()) if (places.length > 1) this.#tellApart(places)
    await Promise.all(
      this.#logs
        .online()
        .map((directory) => this.#loadDirectory(directory, clusterId, found.get(directory) ?? [])),
    )
    for (const { place, copy } of this.#copies) this.#dropCopy(place, copy)
  }

  /**
   * What was copied of a partition that was on its way: the move begins again, for nobody knows what of it the device has.
   * Without the partition it stays: it may be all that is left.
   */
  #dropCopy(place: PartitionPlace, copy: string): void {
    const { directory, topic, partition } = place
    if (directory.failure !== null) return
    const name = partitionName(topic, partition)
    const fields = { logDir: directory.path, partition: name, copy }
    const owner = this.#logs.byName.get(name)
    const admitted = (): ReturnType<Admit> =>
      this.#admit(topic, partition, this.#topicIdIn(directory, copy), directory.id)
    if (owner === undefined && this.#inDirectory(directory, admitted) !== 'deleted') {
      this.#logs.world.logger.warn(fields, 'copy of a partition that is not here stays where it is')
      return
    }
    this.#inDirectory(directory, () => this.#removal.dropCopy(place, `${directory.path}/${copy}`))
    if (owner === undefined || owner.directory === directory) return
    this.#logs.world.logger.info(fields, 'move of a partition begins again')
    this.#moving(name, directory)
  }

  /**
   * Apache Kafka sets aside what it does not know: topics that were made here while it was away. Theirs is what lies under
   * such a name with their id, unless the partition is there, or may be.
   */
  async #reclaimStrays(): Promise<void> {
    const logs = this.#logs
    const seen = new Set<string>()
    const twice = new Set<string>()
    const owned: { name: string; stray: string; directory: LogDirectory }[] = []
    for (const directory of logs.online()) {
      for (const found of this.#namesIn(directory)) {
        const place = this.#ownedPlace(directory, found)
        const name = place === null ? found : partitionName(place.topic, place.partition)
        if (place !== null) owned.push({ name, stray: found, directory })
        if (seen.has(name)) twice.add(name)
        seen.add(name)
      }
    }
    if (logs.online().length < logs.options.logDirs.length) return
    for (const { name, stray, directory } of owned) {
      const fields = { logDir: directory.path, stray, partition: name }
      if (twice.has(name)) {
        logs.world.logger.warn(fields, 'partition stays set aside: it is there more than once')
        continue
      }
      try {
        logs.world.disk.rename(`${directory.path}/${stray}`, `${directory.path}/${name}`)
        await directory.syncNames()
        logs.world.logger.warn(fields, 'partition that was set aside is back')
      } catch (error) {
        logs.directoryFailed(directory, diskError(`cannot rename ${directory.path}/${stray}`, error))
      }
    }
  }

  /** An error ends the directory; then the result is null. */
  #inDirectory<T>(directory: LogDirectory, run: () => T): T | null {
    try {
      return run()
    } catch (error) {
      this.#logs.directoryFailed(directory, diskError(`cannot load log directory ${directory.path}`, error))
      return null
    }
  }

  #ownedPlace(directory: LogDirectory, stray: string): PartitionPlace | null {
    const partition = partitionOfStray(stray)
    if (partition === null) return null
    const topicId = this.#inDirectory(directory, () => this.#topicIdIn(directory, stray))
    const topic = topicId === null ? null : this.#ownerOf(topicId, partition)
    return topic === null ? null : { directory, topic, partition }
  }

  /** Partitions by directory, from the names on the disk. */
  #findPartitions(): Map<LogDirectory, PartitionPlace[]> {
    const found = new Map<LogDirectory, PartitionPlace[]>()
    for (const directory of this.#logs.online()) {
      const partitions: PartitionPlace[] = []
      let strays = 0
      for (const name of this.#namesIn(directory)) {
        if (name.endsWith('-delete')) this.#removal.removeLater(directory, `${directory.path}/${name}`, 0)
        if (name.endsWith('-stray')) strays++
        const future = partitionOfFuture(name)
        if (future !== null) this.#copies.push({ place: { ...future, directory }, copy: name })
        const parsed = parsePartitionName(name)
        if (parsed === null || parsed.topic === CLUSTER_METADATA_TOPIC) continue
        const place = { ...parsed, directory }
        const places = this.#places.get(name)
        if (places === undefined) this.#places.set(name, [place])
        else places.push(place)
        partitions.push(place)
      }
      if (strays > 0)
        this.#logs.world.logger.info(
          { logDir: directory.path, strays },
          'partitions that are set aside as strays take up room',
        )
      found.set(directory, partitions)
    }
    return found
  }

  #namesIn(directory: LogDirectory): readonly string[] {
    try {
      return this.#logs.world.disk.list(directory.path)
    } catch (error) {
      this.#logs.directoryFailed(directory, diskError(`cannot list ${directory.path}`, error))
      return []
    }
  }

  /**
   * One partition in several directories: it moved from one to the other when the process ended, and the number of moves
   * tells which counts; a topic was deleted and made again while one of them was offline, and the older of the two will be
   * set aside; it was made anew while its directory was none of `log.dirs`, and nothing was written there; or somebody
   * copied one, and nobody can tell which it is that counts.
   */
  #tellApart(places: readonly PartitionPlace[]): void {
    const wanted = places.filter((place) => {
      const { directory, topic, partition } = place
      const admit = (): ReturnType<Admit> =>
        this.#admit(topic, partition, this.#topicIdOf(place), directory.id)
      return typeof (this.#inDirectory(directory, admit) ?? 'stray') === 'object'
    })
    if (wanted.length < 2) return
    const generations = wanted.map((place) => this.#generationOf(place))
    const newest = wanted.filter((_, i) => generations[i] === Math.max(...generations))
    const counting = newest.length === 1 ? newest : newest.filter((place) => !this.#isNeverWritten(place))
    if (counting.length === 1) {
      for (const place of wanted) if (place !== counting[0]) this.#outdated.add(place)
      return
    }
    const name = partitionName(places[0]!.topic, places[0]!.partition)
    const paths = wanted.map(({ directory }) => directory.path).join(' and ')
    const error = new SamsaError(
      'SAMSA_LOG_CORRUPT',
      `${name} is in ${paths}: it stays offline until one of them is taken away`,
    )
    this.#logs.world.logger.error(
      { partition: name, error: error.message },
      'partition is in two log directories',
    )
    this.#logs.corrupt.set(name, { error, directories: wanted.map(({ directory }) => directory) })
  }

  #generationOf({ directory, topic, partition }: PartitionPlace): number {
    const path = `${directory.path}/${partitionName(topic, partition)}`
    return this.#inDirectory(directory, () => readGeneration(this.#logs.world.disk, path)) ?? 0
  }

  #isNeverWritten({ directory, topic, partition }: PartitionPlace): boolean {
    const path = `${directory.path}/${partitionName(topic, partition)}`
    return this.#inDirectory(directory, () => isNeverWritten(this.#logs.world.disk, path)) ?? false
  }

  async #loadDirectory(
    directory: LogDirectory,
    clusterId: string,
    found: readonly PartitionPlace[],
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
      const leaving: { place: PartitionPlace; as: 'deleted' | 'stray' }[] = []
      const opening = eachAtOnce(found, atOnce, async (place) => {
        const opened = await this.#openFound(place, checkpoints, progress)
        if (opened !== 'opened') leaving.push({ place, as: opened })
        progress.opened()
      })
      await Promise.all([prepared, opening])
      for (const { place, as } of leaving)
        if (as === 'deleted') this.#removal.renameAway(place, 0)
        else this.#removal.setAside(place, 'it is of no topic that is known')
      // After an unclean stop no name in it is known to be durable.
      if (leaving.length > 0 || (!directory.cleanShutdown && found.length > 0)) await directory.syncNames()
      // What a checkpoint says of a log that is gone must not be believed of a later one with its name.
      await directory.checkpoint()
      this.#reportRecovery(directory, progress, found.length)
    } catch (error) {
      this.#logs.directoryFailed(directory, diskError(`cannot load log directory ${directory.path}`, error))
    } finally {
      progress.stop()
    }
  }

  /** What else it is than opened: of no topic, or of one that is being deleted. */
  async #openFound(
    place: PartitionPlace,
    checkpoints: ReadonlyMap<string, KnownOffsets>,
    progress: OpeningProgress,
  ): Promise<'opened' | 'deleted' | 'stray'> {
    const { directory, topic, partition } = place
    const name = partitionName(topic, partition)
    if (this.#outdated.has(place)) return 'deleted'
    const offsets = checkpoints.get(name) ?? NEW_LOG
    let topicId: string | null
    try {
      topicId = this.#topicIdOf(place)
    } catch (error) {
      this.#stayOffline(place, error)
      directory.unopened.set(name, { topic, partition, known: offsets })
      return 'opened'
    }
    const config = this.#admit(topic, partition, topicId, directory.id)
    if (typeof config === 'string') return config
    const known = { ...offsets, found: { topicId, progress } }
    if (!this.#logs.corrupt.has(name))
      await this.#open({ directory, topic, partition, topicId: null, config, known })
    if (this.#logs.corrupt.has(name)) directory.unopened.set(name, { topic, partition, known: offsets })
    return 'opened'
  }

  #topicIdOf({ directory, topic, partition }: PartitionPlace): string | null {
    return this.#topicIdIn(directory, partitionName(topic, partition))
  }

  #topicIdIn(directory: LogDirectory, name: string): string | null {
    const path = `${directory.path}/${name}/${PARTITION_METADATA}`
    const text = readSmall(this.#logs.world.disk, path)
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
      this.#stayOffline(request, error)
    }
  }

  /** Throws the error when it is none of the partition alone. */
  #stayOffline({ directory, topic, partition }: PartitionPlace, error: unknown): void {
    const damage = isNoFile(error) ? new SamsaError('SAMSA_LOG_CORRUPT', messageOf(error)) : error
    if (!(damage instanceof SamsaError) || damage.code !== 'SAMSA_LOG_CORRUPT') throw error
    this.#logs.world.logger.error(
      { topic, partition, error: damage.message },
      'partition is damaged and stays offline',
    )
    this.#logs.corrupt.set(partitionName(topic, partition), { error: damage, directories: [directory] })
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
