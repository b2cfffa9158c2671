import type { Steps } from '../../../protocol/compile.ts'
import { ErrorCode, errorMessage } from '../../../protocol/errors.ts'
import { nearestInt64 } from '../../../protocol/records/record-batch.ts'
import type { RecordsSummary } from '../../../protocol/records/records-summary.ts'
import type { ProduceRequest } from '../../../protocol/messages/00-produce.ts'
import { Deadline, type Expirable } from '../../core/deadline-queue.ts'
import type { BatchProblem, RecordError } from '../../log/append/batch-problem.ts'
import { UnreadBatch, validateProduceBatch } from '../../log/append/validate.ts'
import type { AppendPlace } from './append-line.ts'
import type { Broker } from '../broker.ts'
import type { RequestGuard } from '../request-guard.ts'
import type { Partition } from '../partition.ts'
import type { ProducedPartition } from './produced-partition.ts'
import { changesCodec, readBatch } from './read-batch.ts'
import type { AppendWaiter } from '../waits.ts'

/** Refusals of a batch without a look at the log: Kafka does not say where it starts then. */
const OF_REQUEST: ReadonlySet<number> = new Set<ErrorCode>([
  ErrorCode.UNSUPPORTED_COMPRESSION_TYPE,
  ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
])
const NO_RECORD_ERRORS: readonly RecordError[] = []
const NOTHING_ASKED: ProduceRequest = { transactionalId: null, acks: -1, timeoutMs: 0, topicData: [] }
/** What is left in memory of a request, and of each of its partitions, that waits for replicas alone. */
const WAIT_BYTES = 1_024
const PARTITION_WAIT_BYTES = 256

export interface ProduceGuard extends RequestGuard {
  /** One for all requests of a connection. */
  readonly clientAddress: object
  /** It takes more than a moment: what the same client sends after it must not overtake it. */
  holdOthers(): void
  /** `run` is called when the client is gone before it was answered. */
  whenAbandoned(run: () => void): void
  /** A log holds a batch of it until `letBytesGo`. */
  keepBytes(): void
  letBytesGo(): void
  /** No part of the broker looks at its bytes any more. */
  releaseBytes(): void
  /** It waits for others, and only so many bytes are left of it. */
  parks(keptBytes: number): void
}

/** One Produce: appends to every partition it names, then waits until all of them are settled or time is up. */
export class ProduceOperation implements AppendWaiter, Expirable {
  readonly #broker: Broker
  #request: ProduceRequest
  readonly #apiVersion: number
  readonly #refusal: ErrorCode
  #done: (partitions: readonly ProducedPartition[]) => void
  readonly #guard: ProduceGuard
  readonly #partitions: ProducedPartition[] = []
  readonly #deadline = new Deadline(this)
  #unsettled = 0
  /** The partition that begins next. */
  #topicAt = 0
  #partitionAt = 0
  #started = false
  #answered = false
  /** Batches that are not appended yet: the time that the client gives is for what follows. */
  #inLine = 0
  /** Batches whose records are still looked at, by what gives them up. */
  #unread: Map<object, () => void> | null = null
  /** Of those that are not settled: written here, and not by all replicas. */
  #written = 0
  #mayPark = true

  constructor(
    broker: Broker,
    request: ProduceRequest,
    apiVersion: number,
    refusal: ErrorCode,
    done: (partitions: readonly ProducedPartition[]) => void,
    guard: ProduceGuard,
  ) {
    this.#broker = broker
    this.#request = request
    this.#apiVersion = apiVersion
    this.#refusal = refusal
    this.#done = done
    this.#guard = guard
  }

  start(): void {
    if (this.#isOne) this.#beginNext()
    else if (!this.#beginMany()) return
    this.#begun()
  }

  /** As most are; these need not look at the clock. */
  get #isOne(): boolean {
    const { topicData } = this.#request
    return topicData.length === 1 && topicData[0]!.partitionData.length === 1
  }

  /** False: the rest begins in later turns. */
  #beginMany(): boolean {
    const { clock, slices } = this.#broker
    const endsMs = slices.sliceEndsMs()
    while (this.#beginNext()) {
      if (clock.monotonicMs() < endsMs) continue
      // Very many partitions, or batches of compacted topics, whose records are looked at.
      this.#guard.holdOthers()
      const done = (): void => this.#begun()
      slices.finish(this.#beginRest(), {
        gone: () => false,
        done,
        failed: (error) => this.#guard.fail(error),
      })
      return false
    }
    return true
  }

  *#beginRest(): Steps<void> {
    while (this.#beginNext()) yield
  }

  /** False when all partitions have begun. */
  #beginNext(): boolean {
    const { topicData } = this.#request
    while (this.#partitionAt === topicData[this.#topicAt]?.partitionData.length) {
      this.#topicAt += 1
      this.#partitionAt = 0
    }
    const topic = topicData[this.#topicAt]
    if (topic === undefined) return false
    const { index, records } = topic.partitionData[this.#partitionAt++]!
    this.#begin(topic.name, index, records)
    return true
  }

  #begin(topic: string, index: number, records: Buffer | null): void {
    const tag = this.#partitions.push(unsettled(index)) - 1
    this.#unsettled += 1
    if (this.#refusal === ErrorCode.NONE) this.#append(tag, topic, index, records)
    else
      this.#refuse(
        tag,
        this.#isMissing(topic, index) ? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION : this.#refusal,
        null,
      )
  }

  /** What is not there is told first, as in Kafka. */
  #isMissing(topic: string, index: number): boolean {
    if (this.#refusal !== ErrorCode.INVALID_REQUIRED_ACKS) return false
    return this.#broker.partitions.leaderOf(topic, index) === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
  }

  #begun(): void {
    this.#started = true
    if (this.#unsettled === 0) return this.#answer()
    this.#startClock()
    this.#parkWhenWritten()
  }

  #startClock(): void {
    if (this.#request.acks === -1 && this.#inLine === 0)
      this.#broker.deadlines.arm(this.#deadline, this.#request.timeoutMs)
  }

  /** The log has written the batch, or never will. */
  appendSettled(tag: number, errorCode: number): void {
    const result = this.#partitions[tag]!
    if (!result.letGo) this.#guard.letBytesGo()
    else if (!result.settled) this.#written -= 1
    result.letGo = true
    this.#settle(tag, errorCode)
  }

  /** Replicas may take long, or be away: what waits for them alone must not keep memory from others. */
  appendWritten(tag: number): void {
    const result = this.#partitions[tag]!
    if (result.letGo) return
    result.letGo = true
    this.#guard.letBytesGo()
    if (result.settled) return
    this.#written += 1
    this.#parkWhenWritten()
  }

  /** Nothing but a small wait is left of it, once only replicas are waited for. What an error ended may still be looked at. */
  #parkWhenWritten(): void {
    if (this.#written === 0 || this.#written < this.#unsettled || !this.#mayPark) return
    if (!this.#started || this.#inLine > 0) return
    this.#mayPark = false
    if (this.#partitions.some(({ errorCode }) => errorCode !== ErrorCode.NONE)) return
    const { topicData, timeoutMs } = this.#request
    this.#broker.topicMetrics.produced(this.#request, this.#partitions)
    for (const { partitionData } of topicData) for (const each of partitionData) each.records = null
    this.#request = { ...NOTHING_ASKED, timeoutMs }
    this.#guard.releaseBytes()
    this.#guard.parks(WAIT_BYTES + this.#partitions.length * PARTITION_WAIT_BYTES)
  }

  #settle(tag: number, errorCode: number): void {
    const result = this.#partitions[tag]!
    if (result.settled) return
    result.settled = true
    if (errorCode !== ErrorCode.NONE) fail(result, errorCode, null)
    this.#unsettled -= 1
    if (this.#unsettled === 0 && this.#started) this.#answer()
    else this.#parkWhenWritten()
  }

  expired(): void {
    for (const result of this.#partitions) {
      if (result.settled) continue
      result.settled = true
      fail(result, ErrorCode.REQUEST_TIMED_OUT, null)
    }
    this.#answer()
    this.#request = NOTHING_ASKED
    this.#done = () => {}
  }

  #append(tag: number, topic: string, index: number, records: Buffer | null): void {
    const partition = this.#broker.leaderOfPublished(topic, index)
    if (typeof partition === 'number') this.#refuse(tag, partition, null)
    else this.#appendTo(tag, partition, records)
  }

  #appendTo(tag: number, partition: Partition, records: Buffer | null): void {
    const refusal = this.#broker.refusesProduce(partition, this.#request.acks)
    if (refusal !== ErrorCode.NONE) return this.#refuse(tag, refusal, null)
    const { config } = partition.log
    const found = validateProduceBatch(records, config, this.#broker.clock.nowMs(), this.#apiVersion)
    if (found instanceof UnreadBatch) this.#readThenAppend(tag, partition, found)
    else if (found !== null) this.#refuseBatch(tag, partition, found)
    else this.#appendInLine(tag, partition, records!)
  }

  #readThenAppend(tag: number, partition: Partition, batch: UnreadBatch): void {
    const { codecs } = this.#broker
    if (changesCodec(batch, codecs)) return this.#readInLine(tag, partition, batch)
    if (this.#readBeside(tag, partition, batch)) return
    const summary = codecs.summarizeNow(batch.codec, batch.body, batch.recordCount)
    if (summary !== null && batch.accepts(summary)) this.#appendInLine(tag, partition, batch.records)
    else this.#readInLine(tag, partition, batch)
  }

  /** False when nobody beside the loop has room for it. */
  #readBeside(tag: number, partition: Partition, batch: UnreadBatch): boolean {
    const done = (summary: RecordsSummary | null): void => {
      if (summary !== null && batch.accepts(summary))
        place.ready(() => this.#appendRead(tag, partition, batch.records))
      else this.#readAt(place, tag, partition, batch)
    }
    const { codec, body, recordCount } = batch
    if (!this.#broker.codecs.summarizeBeside(codec, body, recordCount, done)) return false
    const place = this.#enterLine(partition)
    return true
  }

  #readInLine(tag: number, partition: Partition, batch: UnreadBatch): void {
    this.#readAt(this.#enterLine(partition), tag, partition, batch)
  }

  /** What comes after it for the partition waits for it, so that nothing is overtaken. */
  #readAt(place: AppendPlace, tag: number, partition: Partition, batch: UnreadBatch): void {
    const job = {}
    const ended = (outcome: () => BatchProblem | Buffer): void => {
      this.#unread?.delete(job)
      place.ready(() => this.#appendRead(tag, partition, outcome()))
    }
    // Who wants no answer leaves when all is sent, and counts on it.
    if (this.#request.acks !== 0) this.#giveUpWhenAbandoned(job, () => place.ready(() => {}))
    const { codecLine, codecs } = this.#broker
    codecLine
      .run(this.#guard.clientAddress, job, () => readBatch(batch, codecs))
      .then(
        (read) => ended(() => read),
        (error: unknown) => ended(() => batch.undecodable(error)),
      )
  }

  /** Until it is appended or given up its bytes count, whether the client is still there or not. */
  #enterLine(partition: Partition): AppendPlace {
    const place = partition.appendLine.enter()
    this.#inLine += 1
    this.#guard.keepBytes()
    return {
      ready: (append) => {
        const guarded = this.#guard.guard(append)
        place.ready(() => {
          guarded()
          this.#guard.letBytesGo()
        })
      },
    }
  }

  /** When the client is gone, what waits to be read would keep memory from others for nobody. */
  #giveUpWhenAbandoned(job: object, giveUp: () => void): void {
    if (this.#unread === null) {
      const unread = (this.#unread = new Map<object, () => void>())
      this.#guard.whenAbandoned(() => {
        const { codecLine } = this.#broker
        const { clientAddress } = this.#guard
        for (const [each, giveUpEach] of unread) if (codecLine.leave(clientAddress, each)) giveUpEach()
      })
    }
    this.#unread.set(job, giveUp)
  }

  #appendRead(tag: number, partition: Partition, read: BatchProblem | Buffer): void {
    this.#inLine -= 1
    const refusal = this.#broker.refusesProduce(partition, this.#request.acks)
    if (!Buffer.isBuffer(read)) this.#refuseBatch(tag, partition, read)
    else if (refusal !== ErrorCode.NONE) this.#refuse(tag, refusal, null)
    else this.#appendNow(tag, partition, read)
    if (!this.#started || this.#answered) return
    this.#startClock()
    this.#parkWhenWritten()
  }

  #appendInLine(tag: number, partition: Partition, records: Buffer): void {
    const { appendLine } = partition
    if (appendLine.isEmpty) return this.#appendNow(tag, partition, records)
    this.#enterLine(partition).ready(() => this.#appendRead(tag, partition, records))
  }

  #appendNow(tag: number, partition: Partition, records: Buffer): void {
    const result = this.#partitions[tag]!
    const appended = partition.append(records)
    const { logStartOffset } = partition.log
    if (appended.errorCode !== ErrorCode.NONE)
      return this.#refuse(tag, appended.errorCode, appended.errorMessage, logStartOffset)
    result.baseOffset = appended.baseOffset
    // Of a repeated batch it is what the producer wrote.
    result.logAppendTimeMs = nearestInt64(appended.logAppendTimeMs)
    result.logStartOffset = logStartOffset
    this.#guard.keepBytes()
    const { acks } = this.#request
    if (acks === 0) this.#settle(tag, ErrorCode.NONE)
    const endOffset = appended.lastOffset + 1
    if (acks === -1) partition.awaitAppended(endOffset, this, tag)
    else partition.awaitWritten(endOffset, this, tag)
  }

  #refuseBatch(tag: number, partition: Partition, found: BatchProblem): void {
    const { errorCode, message, recordErrors, ofRequest = OF_REQUEST.has(errorCode) } = found
    this.#partitions[tag]!.recordErrors = recordErrors
    this.#refuse(tag, errorCode, message, ofRequest ? -1 : partition.log.logStartOffset)
  }

  #refuse(tag: number, errorCode: number, message: string | null, logStartOffset = -1): void {
    const result = this.#partitions[tag]!
    fail(result, errorCode, message)
    result.logStartOffset = logStartOffset
    this.#settle(tag, ErrorCode.NONE)
  }

  #answer(): void {
    if (this.#answered) return
    this.#answered = true
    this.#broker.deadlines.cancel(this.#deadline)
    this.#broker.topicMetrics.produced(this.#request, this.#partitions)
    this.#done(this.#partitions)
  }
}

function unsettled(index: number): ProducedPartition {
  return {
    index,
    errorCode: ErrorCode.NONE,
    baseOffset: -1,
    logAppendTimeMs: -1,
    logStartOffset: -1,
    recordErrors: NO_RECORD_ERRORS,
    errorMessage: null,
    settled: false,
    letGo: false,
  }
}

function fail(result: ProducedPartition, errorCode: number, message: string | null): void {
  result.errorCode = errorCode
  result.baseOffset = -1
  result.logAppendTimeMs = -1
  result.logStartOffset = -1
  result.errorMessage = message ?? errorMessage(errorCode)
}
