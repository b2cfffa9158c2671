import type { Steps } from '../../../protocol/compile.ts'
import { ErrorCode } from '../../../protocol/errors.ts'
import { Deadline, type Expirable } from '../../core/deadline-queue.ts'
import { readToSend } from '../../log/read/log-reader.ts'
import type { SendableRead } from '../../log/log-types.ts'
import { releasePieces } from '../../log/read/read-buffers.ts'
import type { Log } from '../../log/log.ts'
import type { ReadPiece } from '../../log/read/read-buffers.ts'
import type { AbortedTransactions } from '../../log/segment/transaction-index.ts'
import type { Clock } from '../../ports.ts'
import { heldBytesOf } from '../answer-budget.ts'
import type { AnswerBudget, AnswerWaiter } from '../answer-budget.ts'
import type { Deadlines } from '../deadlines.ts'
import type { FetchTarget } from './fetch-sessions.ts'
import type { RequestGuard } from '../request-guard.ts'
import type { Partition } from '../partition.ts'
import type { Partitions } from '../partitions.ts'
import type { Slices } from '../slices.ts'
import type { FetchWait, FetchWaiter } from '../waits.ts'
import type { Wakes } from './wakes.ts'

/** A broker that follows others, and the epoch under which it is registered (KIP-903). */
export interface FetchingFollower {
  readonly id: number
  readonly epoch: number
  /** NONE: it is that broker, and does not only say so. */
  readonly refusal: ErrorCode
}

export interface FetchOptions {
  readonly targets: readonly FetchTarget[]
  readonly maxBytes: number
  readonly minBytes: number
  readonly maxWaitMs: number
  readonly readCommitted: boolean
  /** Topics have ids and no names (v13). */
  readonly byId: boolean
  /** Null: sent by a consumer. */
  readonly follower: FetchingFollower | null
  readonly answers: AnswerBudget
  readonly guard: RequestGuard
  /** Large stretches may be sent from the file without being read. */
  readonly slices: boolean
}

/** What is told about one partition. */
export interface FetchedPartition {
  readonly target: FetchTarget
  /** Null: nobody knows its id. */
  readonly topic: string | null
  /** Null: refused. */
  readonly partition: Partition | null
  errorCode: number
  highWatermark: number
  lastStableOffset: number
  logStartOffset: number
  /** What may be read lies below. */
  readonly upperOffset: number
  /** Set when the client's last fetched epoch ended elsewhere (KIP-595): the client must truncate first. */
  divergingEpoch: { readonly epoch: number; readonly endOffset: number } | null
  /** Belong to whoever is told: to be sent or released. */
  pieces: readonly ReadPiece[]
  sizeBytes: number
  /** The offset after the last record returned. */
  nextOffset: number
  /** For read_committed: taken before the records are read, since what they belong to may be deleted meanwhile. */
  readonly aborted: AbortedTransactions | null
}

export interface FetchParts {
  readonly partitions: Partitions
  readonly deadlines: Deadlines
  readonly clock: Clock
  readonly slices: Slices
  readonly wakes: Wakes
}

/** A fetch of more partitions is wide: all of its work is done in slices, which others share. */
export const FEW_PARTITIONS = 128
/** Partitions between two looks at the clock. */
const LOOK_MASK = 127

const NO_PIECES: readonly ReadPiece[] = []

/**
 * One Fetch: reads its partitions in order, and when that gives less than `minBytes`, parks until enough was
 * written or `maxWaitMs` passed, then reads once more. An error of any partition answers at once.
 */
export class FetchOperation implements Expirable, FetchWaiter, AnswerWaiter {
  readonly #parts: FetchParts
  readonly #options: FetchOptions
  readonly #done: (results: FetchedPartition[]) => void
  readonly #onRead: (read: SendableRead) => void
  #results: FetchedPartition[] = []
  #nextTarget = 0
  /** When the slice of the loop ends that this fetch works in. */
  #sliceEndsMs = 0
  #totalBytes = 0
  #answerNow = false
  /** What is read again after a wait says nothing new of who fetches. */
  #readsAgain = false
  readonly #deadline = new Deadline(this)
  #parkedAt: FetchWait[] = []
  #nextToPark = 0
  #missingBytes = 0
  #rereadQueued = false
  /** Taken from the budget of answers: by the read under way, and for what was read. */
  #readingBytes = 0
  /** Where the read under way ends at the latest. */
  #upperOffset = 0
  #readFrom: Log | null = null
  #heldBytes = 0
  #cancelled = false
  /** The disk answered inside the call to `read`. */
  #readReturned = false
  #insideRead = false

  constructor(parts: FetchParts, options: FetchOptions, done: (results: FetchedPartition[]) => void) {
    this.#parts = parts
    this.#options = options
    this.#onRead = options.guard.guard((read: SendableRead) => this.#readDone(read))
    this.#done = done
  }

  start(): void {
    this.#answerNow = this.#options.maxWaitMs <= 0 || this.#options.targets.length === 0
    this.#readAll()
  }

  /** Nobody waits for the answer any more. */
  cancel(): void {
    this.#cancelled = true
    this.#options.answers.leave(this)
    this.#unpark()
    this.#release()
  }

  // ------------------------------------------------------------------------------------------------------ long poll

  partitionAdvanced(bytes: number): void {
    this.#missingBytes -= bytes
    if (this.#missingBytes <= 0) this.#queueReread()
  }

  partitionChanged(): void {
    this.#queueReread()
  }

  expired(): void {
    this.#queueReread()
  }

  /** Several partitions of one fetch often advance in the same turn: all of them are read, once. */
  #queueReread(): void {
    if (this.#rereadQueued) return
    this.#rereadQueued = true
    const readAgain = this.#options.guard.guard(() => {
      if (this.#cancelled) return
      this.#unpark()
      this.#release()
      this.#answerNow = true
      this.#readsAgain = true
      this.#readAll()
    })
    this.#parts.wakes.add(readAgain)
  }

  #park(): void {
    this.#missingBytes = this.#options.minBytes - this.#totalBytes
    this.#nextToPark = 0
    this.#parkOn()
  }

  #parkOn(): void {
    while (this.#nextToPark < this.#results.length && !this.#rereadQueued) {
      if ((this.#nextToPark & LOOK_MASK) === LOOK_MASK && this.#mustPause(() => this.#parkOn())) return
      const { partition, highWatermark, upperOffset } = this.#results[this.#nextToPark++]!
      if (partition === null) continue
      const isFollower = this.#options.follower !== null
      this.#parkedAt.push(partition.awaitRecords(this, isFollower))
      // It advanced or went away while others were read or parked at: nobody will tell this waiter again.
      const hasMore = isFollower
        ? partition.log.writtenEndOffset !== upperOffset
        : partition.highWatermark !== highWatermark
      if (hasMore || partition.leaderError(-1) !== ErrorCode.NONE) this.#queueReread()
    }
    this.#release()
    if (!this.#rereadQueued) this.#parts.deadlines.arm(this.#deadline, this.#options.maxWaitMs)
  }

  /** It hears nothing from here on, though a wide one is still among those that wait for a while. */
  #unpark(): void {
    this.#parts.deadlines.cancel(this.#deadline)
    const parkedAt = this.#parkedAt
    this.#parkedAt = []
    if (parkedAt.length <= FEW_PARTITIONS) {
      for (const wait of parkedAt) wait.end()
    } else {
      this.#parts.slices.finish(endInSteps(parkedAt), {
        gone: () => false,
        done: () => {},
        failed: (error) => this.#options.guard.fail(error),
      })
    }
  }

  // -------------------------------------------------------------------------------------------------------- reading

  /** What was read will not be told. */
  #release(): void {
    for (const { pieces } of this.#handOver()) releasePieces(pieces)
  }

  /** From here on what was read belongs to the caller. */
  #handOver(): FetchedPartition[] {
    const results = this.#results
    this.#options.answers.give(this.#heldBytes)
    this.#heldBytes = 0
    this.#results = []
    return results
  }

  answersAvailable(): void {
    this.#options.guard.guard(() => this.#readAll())()
  }

  get #isWide(): boolean {
    return this.#options.targets.length > FEW_PARTITIONS
  }

  #readAll(): void {
    const { answers } = this.#options
    // Thousands of long polls may wake up at once, and each would read.
    if (!answers.admits(false)) {
      answers.wait(this, false)
      return
    }
    if (this.#isWide) this.#parts.slices.run(this.#inSlice(() => this.#readFromFirst()))
    else this.#readFromFirst()
  }

  #readFromFirst(): void {
    this.#results = []
    this.#nextTarget = 0
    this.#totalBytes = 0
    this.#readOn()
  }

  #readOn(): void {
    const { targets } = this.#options
    while (this.#nextTarget < targets.length) {
      if ((this.#nextTarget & LOOK_MASK) === LOOK_MASK && this.#mustPause(() => this.#readOn())) return
      const target = targets[this.#nextTarget++]!
      const result = this.#lookAt(target)
      this.#results.push(result)
      if (result.errorCode !== ErrorCode.NONE || result.divergingEpoch !== null) this.#answerNow = true
      else if (!this.#read(result)) return
    }
    this.#finish()
  }

  /** A wide fetch goes on in a later turn, after others had theirs. */
  #mustPause(goOn: () => void): boolean {
    if (!this.#isWide || this.#parts.clock.monotonicMs() < this.#sliceEndsMs) return false
    this.#parts.slices.later(this.#inSlice(goOn))
    return true
  }

  #inSlice(run: () => void): () => void {
    return this.#options.guard.guard(() => {
      if (this.#cancelled) return
      this.#sliceEndsMs = this.#parts.slices.sliceEndsMs()
      run()
    })
  }

  /** Everything but the records. */
  #lookAt(target: FetchTarget): FetchedPartition {
    const { byId } = this.#options
    const name = byId ? this.#parts.partitions.topicName(target.topicId) : target.topic
    if (name === undefined) return refused(target, null, ErrorCode.UNKNOWN_TOPIC_ID)
    // In a fetch, and nowhere else, any negative epoch says nothing.
    const leaderEpoch = Math.max(-1, target.currentLeaderEpoch)
    const partition = this.#parts.partitions.leaderOf(name, target.partition, leaderEpoch)
    if (typeof partition === 'number') return refused(target, name, partition)
    const { follower } = this.#options
    if (follower !== null && follower.refusal !== ErrorCode.NONE)
      return refused(target, name, follower.refusal)
    const { log } = partition
    const divergingEpoch = divergence(partition, target)
    const { fetchOffset } = target
    // Nobody knows where epoch -1 ended, so it cannot be told how far to truncate.
    const isBeyond = divergingEpoch === null ? fetchOffset > log.logEndOffset : divergingEpoch.epoch === -1
    if (fetchOffset < log.logStartOffset || isBeyond) return this.#outOfRange(target, name, partition)
    // What a log that is another one has written is no progress, and what is appended later must not be missing in it.
    const refusal = divergingEpoch === null ? this.#refusesFollower(partition, target) : ErrorCode.NONE
    if (refusal !== ErrorCode.NONE) return refused(target, name, refusal)
    return {
      target,
      topic: name,
      partition,
      errorCode: ErrorCode.NONE,
      highWatermark: partition.highWatermark,
      lastStableOffset: partition.lastStableOffset,
      logStartOffset: log.logStartOffset,
      upperOffset: this.#upperOffsetOf(partition),
      divergingEpoch,
      pieces: NO_PIECES,
      sizeBytes: 0,
      nextOffset: target.fetchOffset,
      aborted: this.#options.readCommitted && log.hasTransactions ? log.abortedTransactions : null,
    }
  }

  #upperOffsetOf(partition: Partition): number {
    if (this.#options.follower !== null) return partition.log.writtenEndOffset
    return this.#options.readCommitted ? partition.lastStableOffset : partition.highWatermark
  }

  /** A follower learns where the log starts: it may have to begin anew there. */
  #outOfRange(target: FetchTarget, name: string, partition: Partition): FetchedPartition {
    const result = refused(target, name, ErrorCode.OFFSET_OUT_OF_RANGE)
    if (this.#options.follower !== null) result.logStartOffset = partition.log.logStartOffset
    return result
  }

  #refusesFollower(partition: Partition, target: FetchTarget): ErrorCode {
    const { follower } = this.#options
    if (follower === null || this.#readsAgain) return ErrorCode.NONE
    const { fetchOffset, logStartOffset, currentLeaderEpoch } = target
    const errorCode = partition.followerFetched(follower.id, follower.epoch, fetchOffset, logStartOffset)
    // Who says which epoch it knows of may have news of its own; who does not has none.
    const isNoReplica = errorCode === ErrorCode.UNKNOWN_LEADER_EPOCH && currentLeaderEpoch < 0
    return isNoReplica ? ErrorCode.NOT_LEADER_OR_FOLLOWER : errorCode
  }

  /** False: the disk answers later, and reading goes on from there. */
  #read(result: FetchedPartition): boolean {
    const { target, partition, upperOffset } = result
    const minOneBatch = this.#totalBytes === 0
    const { answers } = this.#options
    const left = Math.min(this.#options.maxBytes - this.#totalBytes, answers.fetchBytes)
    const maxBytes = Math.max(0, Math.min(target.partitionMaxBytes, left))
    if (partition === null || target.fetchOffset >= upperOffset || (maxBytes === 0 && !minOneBatch))
      return true
    this.#readingBytes = minOneBatch ? Math.max(maxBytes, partition.log.config.maxMessageBytes) : maxBytes
    answers.take(this.#readingBytes)
    this.#readReturned = false
    this.#insideRead = true
    this.#upperOffset = upperOffset
    this.#readFrom = partition.log
    readToSend(
      partition.log,
      target.fetchOffset,
      maxBytes,
      upperOffset,
      minOneBatch,
      answers.buffers,
      this.#options.slices,
      this.#onRead,
    )
    this.#insideRead = false
    return this.#readReturned
  }

  #readDone(read: SendableRead): void {
    this.#options.answers.give(this.#readingBytes)
    if (this.#cancelled) {
      releasePieces(read.pieces)
      return
    }
    if (read.errorCode !== ErrorCode.NONE && !this.#insideRead && this.#hasMoved()) {
      if (this.#read(this.#results.at(-1)!)) this.#readOn()
      return
    }
    const heldBytes = heldBytesOf(read.pieces)
    this.#options.answers.take(heldBytes)
    this.#heldBytes += heldBytes
    const result = this.#results.at(-1)!
    result.errorCode = read.errorCode
    result.pieces = read.pieces
    result.sizeBytes = read.sizeBytes
    result.nextOffset = read.nextOffset
    this.#totalBytes += read.sizeBytes
    // More is there than one answer may hold or one segment has: waiting would not add to it.
    const more = read.sizeBytes > 0 && read.nextOffset < this.#upperOffset
    if (more || read.errorCode !== ErrorCode.NONE) this.#answerNow = true
    this.#readReturned = true
    if (!this.#insideRead) this.#readOn()
  }

  /** Whether the partition got another log while the disk was asked. */
  #hasMoved(): boolean {
    const { partition } = this.#results.at(-1)!
    return partition !== null && partition.log !== this.#readFrom
  }

  #finish(): void {
    if (this.#answerNow || this.#totalBytes >= Math.min(this.#options.minBytes, this.#options.maxBytes)) {
      this.#done(this.#handOver())
    } else {
      this.#park()
    }
  }
}

function* endInSteps(waits: readonly FetchWait[]): Steps<void> {
  let ended = 0
  for (const wait of waits) {
    wait.end()
    if ((++ended & LOOK_MASK) === 0) yield
  }
}

function refused(target: FetchTarget, topic: string | null, errorCode: number): FetchedPartition {
  return {
    target,
    topic,
    partition: null,
    errorCode,
    highWatermark: -1,
    lastStableOffset: -1,
    logStartOffset: -1,
    upperOffset: -1,
    divergingEpoch: null,
    pieces: NO_PIECES,
    sizeBytes: 0,
    nextOffset: target.fetchOffset,
    aborted: null,
  }
}

/** Null: the client's log agrees with ours. */
function divergence(partition: Partition, target: FetchTarget): FetchedPartition['divergingEpoch'] {
  if (target.lastFetchedEpoch < 0) return null
  const end = partition.log.epochs.endOffsetFor(target.lastFetchedEpoch, partition.log.logEndOffset)
  return end.epoch < target.lastFetchedEpoch || end.endOffset < target.fetchOffset ? end : null
}
