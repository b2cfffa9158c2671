import { ProducerRoom } from '../../core/transaction/producer-room.ts'
import type { Rememberer } from '../../core/transaction/producer-room.ts'
import type { SamsaError } from '../../core/samsa-error.ts'
import type { World } from '../../ports.ts'
import type { KnownOffsets, LogDirectory, Opening } from '../directory/log-directory.ts'
import { ManagedLog } from '../directory/managed-log.ts'
import { diskError } from '../files/disk-calls.ts'
import { diskProblem } from '../files/disk-problem.ts'
import type { LogConfig } from '../log-config.ts'
import { Log } from '../log.ts'
import { ForgottenProducers } from './forgotten-producers.ts'
import type { LogManagerOptions } from './log-manager-types.ts'

const DEFAULT_MAX_PRODUCERS = 250_000
/** A follower of a compacted log meets gaps all the time: one checkpoint for those of so many offsets. */
const GAPS_AHEAD = 65_536

/** What opening one log needs. */
export interface OpenRequest {
  readonly directory: LogDirectory
  readonly topic: string
  readonly partition: number
  readonly topicId: string | null
  readonly config: LogConfig
  readonly known: Opening
  /** Its files are what a clean stop leaves, whatever the directory says. */
  readonly settled?: boolean
}

/** Why a partition cannot be opened, and where it lies. */
export interface CorruptPartition {
  readonly error: SamsaError
  readonly directories: readonly LogDirectory[]
}

/** The log directories and the logs in them: who is there, and who is offline. */
export class ManagedLogs {
  readonly world: World
  readonly options: LogManagerOptions
  readonly directories: readonly LogDirectory[]
  readonly byName = new Map<string, ManagedLog>()
  readonly byPath = new Map<string, ManagedLog>()
  /** Partitions that checkpoints know and that were found in no directory. */
  readonly missing = new Map<string, KnownOffsets>()
  /** Partitions that cannot be opened: their files make no sense, or lie in two directories. */
  readonly corrupt = new Map<string, CorruptPartition>()
  /** Logs in which acknowledged records may be missing, as recovery found since the start. */
  uncleanCount = 0
  closing = false
  readonly #producerRoom: ProducerRoom

  constructor(world: World, options: LogManagerOptions, directories: readonly LogDirectory[]) {
    this.world = world
    this.options = options
    this.directories = directories
    const forgotten = new ForgottenProducers(world)
    this.#producerRoom = new ProducerRoom(
      options.maxProducers ?? DEFAULT_MAX_PRODUCERS,
      () => this.#rememberers(),
      (log, producers) => forgotten.tell(log, producers),
    )
    world.metrics.gauge(
      'samsa_log_producers',
      'Idempotent producers whose batches are recognised when they come again, summed over the partitions they write to',
      () => [{ value: this.#producerRoom.count() }],
    )
  }

  *#rememberers(): Generator<Rememberer> {
    for (const { name, log } of this.byName.values()) yield { name, producers: log.producers }
  }

  /** Directories that did not fail. */
  online(): LogDirectory[] {
    return this.directories.filter((directory) => directory.failure === null)
  }

  of(directory: LogDirectory): ManagedLog[] {
    return [...this.byName.values()].filter((managed) => managed.directory === directory)
  }

  async open(request: OpenRequest): Promise<Log> {
    const managed = await this.prepare(request)
    if (managed.log.recovery?.unclean === true) this.uncleanCount += 1
    this.enter(managed)
    return managed.log
  }

  /** From here on everybody finds it. */
  enter(managed: ManagedLog): void {
    managed.directory.logs.set(managed.name, managed)
    this.byName.set(managed.name, managed)
    this.byPath.set(managed.log.directory, managed)
  }

  /** Opens a log that nobody finds until it is entered. */
  async prepare(request: OpenRequest): Promise<ManagedLog> {
    const { directory, topic, partition, topicId, config, known } = request
    const managed = new ManagedLog(directory, topic, partition)
    managed.gapLimit = gapLimitOf(known, config)
    const log = await Log.open(this.world, {
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
      gapLimit: managed.gapLimit,
      ...(known.atStop === undefined ? {} : { atStop: known.atStop }),
      ...(known.startedAt === undefined ? {} : { startedAt: known.startedAt }),
      cleanShutdown: request.settled ?? directory.cleanShutdown,
      onWritten: (endOffset) => managed.written(endOffset),
      beforeCut: (offset) => {
        managed.cleanedEndOffset = Math.min(managed.cleanedEndOffset, offset)
        return directory.checkpoint()
      },
      beforeGap: (endOffset) =>
        managed.permitGaps(endOffset > managed.gapLimit ? endOffset + GAPS_AHEAD : endOffset),
      onFailed: (error) => this.directoryFailed(directory, error),
      spares: directory.spares,
      producerRoom: this.#producerRoom,
      ...(this.options.segmentCache === undefined ? {} : { segmentCache: this.options.segmentCache }),
    })
    managed.opened(log)
    managed.cleanedEndOffset = Math.min(known.cleanedEndOffset, log.logEndOffset)
    // It was told: the next start need not say it again.
    managed.gapLimit = Math.max(managed.gapLimit, log.lossesEnd)
    return managed
  }

  /** From here on nobody finds it. */
  forget(managed: ManagedLog): void {
    managed.directory.logs.delete(managed.name)
    if (this.byName.get(managed.name) === managed) this.byName.delete(managed.name)
    this.byPath.delete(managed.log.directory)
  }

  /** The first error of a directory ends it: its logs fail, the others live on. */
  directoryFailed(directory: LogDirectory, error: SamsaError): void {
    if (!directory.fail(error)) return
    this.world.logger.error(
      { logDir: directory.path, error: error.message },
      'log directory failed and is offline',
    )
    for (const managed of this.of(directory)) managed.failed(error)
    if (this.online().length === 0) this.options.onAllDirectoriesFailed(error)
  }

  /** Something was not done in a directory that will be done again: what that says of the directory. */
  failed(directory: LogDirectory, what: string, error: unknown): void {
    const problem = diskProblem(error)
    if (problem === 'invariant') throw error
    if (problem === 'short')
      this.world.logger.warn({ logDir: directory.path, error }, `${what}: no descriptor is left`)
    else this.directoryFailed(directory, diskError(what, error))
  }

  /** Runs maintenance of one log; an error of the disk takes its directory offline. */
  async guard(managed: ManagedLog, run: () => Promise<void>): Promise<void> {
    try {
      await managed.exclusively(async () => {
        if (!managed.leaving) await run()
      })
    } catch (error) {
      if (managed.leaving) return
      this.failed(managed.directory, `maintenance of ${managed.name}`, error)
    }
  }

  /** Resolves to the directories whose checkpoints are on the device as of this call; the others failed, or hang. */
  async checkpointAll(): Promise<ReadonlySet<LogDirectory>> {
    const durable = new Set<LogDirectory>()
    await Promise.all(
      this.online().map(async (directory) => {
        if (!directory.hangs && (await this.checkpoint(directory))) durable.add(directory)
      }),
    )
    return durable
  }

  /** Whether its checkpoints are on the device. */
  async checkpoint(directory: LogDirectory): Promise<boolean> {
    try {
      await directory.checkpoint()
      return directory.failure === null
    } catch (error) {
      this.failed(directory, `cannot write checkpoints in ${directory.path}`, error)
      return false
    }
  }
}

/** Apache Kafka and earlier versions of Samsa compact without a word about how far, until a pass is over. */
function gapLimitOf({ gapLimit, cleanedEndOffset, found }: Opening, { cleanupPolicy }: LogConfig): number {
  if (gapLimit >= 0) return Math.max(gapLimit, cleanedEndOffset)
  return found !== undefined && (cleanupPolicy.compact || cleanedEndOffset >= 0) ? Infinity : 0
}
