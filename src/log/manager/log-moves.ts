import { ErrorCode } from '../../../protocol/errors.ts'
import { messageOf } from '../../core/is-error.ts'
import { SamsaError } from '../../core/samsa-error.ts'
import type { Counter } from '../../ports.ts'
import type { LogDirectory } from '../directory/log-directory.ts'
import type { LogListener, ManagedLog } from '../directory/managed-log.ts'
import { partitionName } from '../files/checkpoints.ts'
import { diskError, syncDirectory, writeWhole } from '../files/disk-calls.ts'
import { diskProblem, isNoRoom, patiently, RETRY_MS } from '../files/disk-problem.ts'
import { encodeGeneration, GENERATION, readGeneration } from '../files/log-files.ts'
import type { Log } from '../log.ts'
import { FutureLog, SourceUnreadable } from './future-log.ts'
import type { ManagedLogs } from './managed-logs.ts'
import type { PartitionChanges } from './partition-changes.ts'
import type { PartitionRemoval } from './partition-removal.ts'

/** What may be left to copy while appends wait for it. */
const HAND_OVER_BYTES = 2 << 20
/** The longest wait without a look whether the move is still wanted. */
const LOOK_AGAIN_MS = 250
/** Of a name in a directory. */
const MAX_NAME_LENGTH = 255
const FUTURE_SUFFIX_LENGTH = '.-future'.length + 32

interface Move {
  readonly managed: ManagedLog
  readonly target: LogDirectory
  readonly future: FutureLog
  /** Not wanted any more, and its copy renamed away. */
  cancelled: boolean
  /** The copy takes over, and nothing stops that but an error. */
  takingOver: boolean
  /** Where it shall go from there. */
  next: LogDirectory | null
  ended: Promise<void>
}

/**
 * Moves partitions between the log directories (KIP-113): a copy follows the log until little is missing; then appends wait
 * for some milliseconds, the log is settled as for a clean stop, the rest is copied, and the copy gets the partition's name.
 *
 * The name decides. Before it, the copy counts for nothing; from the moment it is durable the copy has a higher number of
 * moves than the original, which loses against it at every start. What goes wrong after that gives the original a number
 * that is higher still, before it takes anything again. Nothing is acknowledged between the two names.
 */
export class LogMoves {
  /** What all moves together may copy; the directory decides nothing else. */
  bytesPerSecond: () => number = () => Infinity
  readonly #logs: ManagedLogs
  readonly #changes: PartitionChanges
  readonly #removal: PartitionRemoval
  readonly #moves = new Map<string, Move>()
  /** One copies into a directory at a time. */
  readonly #queues = new Map<LogDirectory, Promise<void>>()
  /** Found unfinished when the broker started. */
  readonly #unfinished: { readonly name: string; readonly target: LogDirectory }[] = []
  readonly #copiedBytes: Counter
  #nextCopyMs = -Infinity

  constructor(logs: ManagedLogs, changes: PartitionChanges, removal: PartitionRemoval) {
    this.#logs = logs
    this.#changes = changes
    this.#removal = removal
    const { metrics } = logs.world
    this.#copiedBytes = metrics.counter(
      'samsa_log_moved_bytes_total',
      'Bytes copied for partitions that move to another log directory',
    )
    metrics.gauge('samsa_log_moves', 'Partitions on their way to another log directory', () => [
      { value: this.#moves.size },
    ])
  }

  get count(): number {
    return this.#moves.size
  }

  /** A move that was under way when the broker stopped: it begins again with `start`. */
  found(name: string, target: LogDirectory): void {
    this.#unfinished.push({ name, target })
  }

  /** When all partitions are served. */
  start(): void {
    for (const { name, target } of this.#unfinished.splice(0)) {
      const managed = this.#logs.byName.get(name)
      if (managed === undefined || managed.directory === target || this.#moves.has(name)) continue
      this.#begin(managed, target)
    }
  }

  /** AlterReplicaLogDirs of one partition: an error code. Repeated it changes nothing; its own directory ends a move. */
  alter(topic: string, partition: number, path: string): ErrorCode {
    const logs = this.#logs
    const name = partitionName(topic, partition)
    if (name.length + FUTURE_SUFFIX_LENGTH > MAX_NAME_LENGTH) return ErrorCode.INVALID_TOPIC_EXCEPTION
    if (!logs.options.logDirs.includes(path)) return ErrorCode.LOG_DIR_NOT_FOUND
    const target = logs.online().find((directory) => directory.path === path)
    const managed = logs.byName.get(name)
    if (target === undefined) return ErrorCode.KAFKA_STORAGE_ERROR
    if (managed === undefined || managed.leaving)
      return managed?.log.failed === true
        ? ErrorCode.KAFKA_STORAGE_ERROR
        : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    if (managed.log.failed) return ErrorCode.KAFKA_STORAGE_ERROR
    const move = this.#moves.get(name)
    if (move?.takingOver === true) {
      move.next = move.target === target ? null : target
      return ErrorCode.NONE
    }
    if (move !== undefined && move.target !== target) this.#cancel(move)
    if (managed.directory === target || move?.target === target) return ErrorCode.NONE
    // As Kafka: the copy may lie in one that is offline.
    if (logs.online().length < logs.options.logDirs.length) return ErrorCode.KAFKA_STORAGE_ERROR
    return this.#begin(managed, target)
  }

  /** Before its topic is deleted: when it resolves, no start goes on with the move. */
  async drop(topic: string, partition: number): Promise<void> {
    const move = this.#moves.get(partitionName(topic, partition))
    if (move === undefined) return
    move.next = null
    if (move.takingOver) return
    this.#cancel(move)
    if (move.target.failure === null) await move.target.syncNames().catch(() => {})
  }

  /** Nothing begins any more; resolves when what is under way has stopped, to be begun again at the next start. */
  async stop(): Promise<void> {
    await Promise.all([...this.#moves.values()].map(({ ended }) => ended))
  }

  #begin(managed: ManagedLog, target: LogDirectory): ErrorCode {
    const { disk, logger, random } = this.#logs.world
    let future: FutureLog
    try {
      future = FutureLog.make(disk, random, target, managed.log)
    } catch (error) {
      this.#logs.failed(target, `cannot make a directory in ${target.path}`, error)
      return ErrorCode.KAFKA_STORAGE_ERROR
    }
    const move: Move = {
      managed,
      target,
      future,
      cancelled: false,
      takingOver: false,
      next: null,
      ended: Promise.resolve(),
    }
    managed.moving = true
    this.#moves.set(managed.name, move)
    target.futures.set(managed.name, future)
    const before = this.#queues.get(target) ?? Promise.resolve()
    move.ended = before.then(() => this.#run(move))
    this.#queues.set(target, move.ended)
    logger.debug(
      { partition: managed.name, from: managed.directory.path, to: target.path },
      'partition moves to another log directory',
    )
    return ErrorCode.NONE
  }

  /** From here on nothing of it is to be seen; what is under way ends when it notices. */
  #cancel(move: Move): void {
    const { future, managed, target } = move
    move.cancelled = true
    this.#forget(move)
    this.#logs.world.logger.debug(
      { partition: managed.name, to: target.path },
      'move of a partition was ended',
    )
    this.#dropCopy(move, future.path)
  }

  #forget(move: Move): void {
    const { future, managed, target } = move
    if (this.#moves.get(managed.name) === move) this.#moves.delete(managed.name)
    if (target.futures.get(managed.name) === future) target.futures.delete(managed.name)
    managed.moving = this.#moves.has(managed.name)
  }

  #dropCopy({ managed, target }: Move, path: string): void {
    const { topic, partition } = managed
    if (target.failure !== null || !this.#logs.world.disk.exists(path)) return
    try {
      this.#removal.dropCopy({ directory: target, topic, partition }, path)
    } catch (error) {
      this.#logs.failed(target, `cannot rename ${path}`, error)
    }
  }

  #goesOn({ cancelled, managed, target }: Move): boolean {
    const gone = cancelled || managed.leaving || managed.log.failed
    return !gone && target.failure === null && !this.#logs.closing
  }

  /** An error of a disk ends the move, or the directory; anything else is a broken invariant and ends the process. */
  async #run(move: Move): Promise<void> {
    try {
      // A compaction that is under way ends first.
      await move.managed.exclusively(async () => {})
      while (this.#goesOn(move)) {
        try {
          if (await this.#advance(move)) break
        } catch (error) {
          if (!this.#goesOn(move)) break
          this.#failed(move, error)
        }
        if (this.#goesOn(move)) await this.#pause(RETRY_MS)
      }
    } finally {
      this.#ended(move)
    }
  }

  #ended(move: Move): void {
    const { future, managed, next, target } = move
    this.#forget(move)
    // Deleted meanwhile. When the broker stops, or a directory fails, the next start goes on with it.
    if (managed.leaving && !move.takingOver && !managed.log.failed && !this.#logs.closing && !move.cancelled)
      this.#dropCopy(move, future.path)
    const moved = this.#logs.byName.get(managed.name)
    if (next === null || moved === undefined || moved.directory === next) return
    if (moved.directory === target && next.failure === null && !this.#logs.closing) this.#begin(moved, next)
  }

  /** True when the partition has moved. */
  async #advance(move: Move): Promise<boolean> {
    const mayCopy = (bytes: number): Promise<boolean> => this.#mayCopy(move, bytes)
    do if (!(await move.future.copy(mayCopy))) return false
    while (move.future.bytesBehind > HAND_OVER_BYTES)
    return this.#changes.exclusively(move.managed.name, () => this.#handOver(move))
  }

  /** Waits for its turn at the allowed rate, and while the target has no room. */
  async #mayCopy(move: Move, bytes: number): Promise<boolean> {
    const { clock } = this.#logs.world
    let toldOfSpace = false
    while (this.#goesOn(move)) {
      if (move.target.lacksSpace) {
        if (!toldOfSpace)
          this.#logs.world.logger.warn(
            { partition: move.managed.name, to: move.target.path },
            'move of a partition waits: its volume is almost full',
          )
        toldOfSpace = true
        await this.#pause(LOOK_AGAIN_MS)
        continue
      }
      const nowMs = clock.monotonicMs()
      if (nowMs >= this.#nextCopyMs) {
        const rate = Math.max(1, this.bytesPerSecond())
        this.#nextCopyMs = Math.max(nowMs, this.#nextCopyMs) + (bytes * 1000) / rate
        this.#copiedBytes.add(bytes)
        return true
      }
      await this.#pause(Math.min(LOOK_AGAIN_MS, this.#nextCopyMs - nowMs))
    }
    return false
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.#logs.world.clock.after(delayMs, resolve))
  }

  async #handOver(move: Move): Promise<boolean> {
    const { managed } = move
    const { listener } = managed
    if (listener === null || !this.#goesOn(move)) return false
    // Who waits for a device that does not answer would wait with it.
    if (managed.directory.hangs || move.target.hangs) return false
    const release = await listener.holdAppends()
    try {
      let taken = false
      await managed.exclusively(async () => {
        taken = await this.#takeOver(move, listener)
      })
      if (!taken) return false
      // Before anything is acknowledged: a start that finds the original only must not take it for the partition.
      await this.#changes.movedAway(managed).catch(() => {})
      await this.#checkpoint(move.target)
      this.#logs.world.logger.info(
        { partition: managed.name, from: managed.directory.path, to: move.target.path },
        'partition moved to another log directory',
      )
      return true
    } finally {
      release()
    }
  }

  async #checkpoint(target: LogDirectory): Promise<void> {
    if (target.failure !== null) return
    try {
      await target.checkpoint()
    } catch (error) {
      this.#logs.failed(target, `cannot write checkpoints in ${target.path}`, error)
    }
  }

  /** Nothing is appended, and no maintenance is under way. False: the original goes on. */
  async #takeOver(move: Move, listener: LogListener): Promise<boolean> {
    const { future, managed, target } = move
    const { log } = managed
    const generation = readGeneration(this.#logs.world.disk, log.directory)
    if (!this.#goesOn(move) || !(await log.settle())) return false
    if (!(await future.finish(generation + 1)) || !this.#goesOn(move)) return false
    move.takingOver = true
    let moved: ManagedLog
    try {
      moved = await this.#open(move)
    } catch (error) {
      await this.#takeBack(move, generation + 2, error)
      return false
    }
    // One step for everybody who looks.
    if (log.logStartOffset > moved.log.logStartOffset) moved.log.deleteRecordsBefore(log.logStartOffset)
    if (moved.log.config !== log.config) moved.log.updateConfig(log.config)
    this.#logs.forget(managed)
    target.unopened.delete(managed.name)
    target.futures.delete(managed.name)
    this.#logs.enter(moved)
    moved.listener = listener
    listener.moved(moved.log)
    return true
  }

  /** Gives the copy the partition's name, for good, and opens it. */
  async #open({ future, managed, target }: Move): Promise<ManagedLog> {
    const { clock, disk } = this.#logs.world
    const { name, topic, partition, log, cleanedEndOffset, gapLimit } = managed
    const { logEndOffset, logStartOffset } = log
    const ends = { recoveryPoint: logEndOffset, highWatermark: logEndOffset }
    const known = { ...ends, logStartOffset, cleanedEndOffset, gapLimit }
    const whileOpen = <T>(run: () => Promise<T>): Promise<T> =>
      patiently(clock, () => !this.#logs.closing, run)
    // Where the log starts may stand in the checkpoint only, so that comes before the name.
    const written = { ...known, gapLimit: gapLimit < Infinity ? gapLimit : -1 }
    target.unopened.set(name, { topic, partition, known: written })
    await whileOpen(() => target.checkpoint())
    disk.rename(future.path, `${target.path}/${name}`)
    await whileOpen(() => target.syncNames())
    const { config, topicId } = log
    const request = { directory: target, topic, partition, topicId, config, known, settled: true }
    const moved = await whileOpen(() => this.#logs.prepare(request))
    if (moved.log.logEndOffset === log.logEndOffset) return moved
    await moved.close(false)
    throw new SamsaError(
      'SAMSA_DISK_IO',
      `the copy of ${name} in ${target.path} ends at ${moved.log.logEndOffset} and not at ${log.logEndOffset}`,
    )
  }

  /** The copy has the name, perhaps, and cannot serve: the original must win against it from now on, or serve no more. */
  async #takeBack(move: Move, generation: number, error: unknown): Promise<void> {
    const { future, managed, target } = move
    const { clock } = this.#logs.world
    if (diskProblem(error) === 'invariant' && !(error instanceof SamsaError)) throw error
    try {
      const path = `${managed.log.directory}/${GENERATION}`
      await patiently(
        clock,
        () => true,
        () => this.#writeGeneration(path, generation, managed.log),
      )
    } catch (failure) {
      this.#logs.directoryFailed(
        managed.directory,
        diskError(`cannot take ${managed.name} back from ${target.path}`, failure),
      )
    }
    move.takingOver = false
    target.unopened.delete(managed.name)
    for (const path of [future.path, `${target.path}/${managed.name}`]) this.#dropCopy(move, path)
    move.cancelled = true
    this.#failed(move, error)
  }

  async #writeGeneration(path: string, generation: number, log: Log): Promise<void> {
    await writeWhole(this.#logs.world.disk, path, encodeGeneration(generation), true, 'replace')
    await syncDirectory(this.#logs.world.disk, log.directory)
  }

  #failed(move: Move, error: unknown): void {
    const { future, managed, target } = move
    const fields = { partition: managed.name, to: target.path, error: messageOf(error) }
    if (error instanceof SourceUnreadable) {
      if (diskProblem(error.cause) === 'short') return
      this.#logs.failed(managed.directory, `cannot read ${managed.name}`, error.cause)
    } else if (isNoRoom(error)) {
      // The copy was the first to find out; what else is there lives on.
      this.#logs.world.logger.error(fields, 'partition stays where it is: there is no room for it')
      if (!move.cancelled) this.#dropCopy(move, future.path)
      move.cancelled = true
    } else {
      this.#logs.failed(target, `cannot copy ${managed.name} to ${target.path}`, error)
    }
  }
}
