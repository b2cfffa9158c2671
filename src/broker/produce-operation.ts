import type { Steps } from '../../protocol/compile.ts'
import { ErrorCode, errorMessage } from '../../protocol/errors.ts'
import type { ProduceRequest } from '../../protocol/messages/00-produce.ts'
import { validateProduceBatch } from '../log/append/validate.ts'
import type { Broker } from './broker.ts'
import type { Expirable } from './deadlines.ts'
import type { RequestGuard } from './request-guard.ts'
import type { Partition } from './partition.ts'
import type { ProducedPartition, RecordError } from './produced-partition.ts'
import type { AppendWaiter } from './waits.ts'

const NO_RECORD_ERRORS: readonly RecordError[] = []

export interface ProduceGuard extends RequestGuard {
  /** It takes more than a moment: what the same client sends after it must not overtake it. */
  holdOthers(): void
}

/** One Produce: appends to every partition it names, then waits until all of them are settled or time is up. */
export class ProduceOperation implements AppendWaiter, Expirable {
  readonly #broker: Broker
  readonly #request: ProduceRequest
  readonly #apiVersion: number
  readonly #refusal: ErrorCode
  readonly #done: (partitions: readonly ProducedPartition[]) => void
  readonly #guard: ProduceGuard
  readonly #partitions: ProducedPartition[] = []
  #unsettled = 0
  /** The partition that begins next. */
  #topicAt = 0
  #partitionAt = 0
  #started = false
  #answered = false

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
        gone: false,
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
    if (this.#refusal !== ErrorCode.NONE) this.#refuse(tag, this.#refusal, null)
    else this.#append(tag, topic, index, records)
  }

  #begun(): void {
    this.#started = true
    if (this.#unsettled === 0) this.#answer()
    else if (this.#request.acks === -1) this.#broker.deadlines.add(this, this.#request.timeoutMs)
  }

  appendSettled(tag: number, errorCode: number): void {
    const result = this.#partitions[tag]!
    if (result.settled) return
    result.settled = true
    if (errorCode !== ErrorCode.NONE) fail(result, errorCode, null)
    this.#unsettled -= 1
    if (this.#unsettled === 0 && this.#started) this.#answer()
  }

  expired(): void {
    for (const result of this.#partitions) {
      if (result.settled) continue
      result.settled = true
      fail(result, ErrorCode.REQUEST_TIMED_OUT, null)
    }
    this.#answer()
  }

  #append(tag: number, topic: string, index: number, records: Buffer | null): void {
    const partition = this.#broker.partitions.get(topic, index)
    if (partition === undefined) this.#refuse(tag, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, null)
    else this.#appendTo(tag, partition, records)
  }

  #appendTo(tag: number, partition: Partition, records: Buffer | null): void {
    const refusal = this.#broker.refusesProduce(partition)
    if (refusal !== ErrorCode.NONE) return this.#refuse(tag, refusal, null)
    const problem = validateProduceBatch(
      records,
      partition.log.config,
      this.#broker.clock.nowMs(),
      this.#apiVersion,
    )
    const result = this.#partitions[tag]!
    if (problem !== null) {
      result.recordErrors = problem.recordErrors
      return this.#refuse(tag, problem.errorCode, problem.message)
    }
    const appended = partition.append(records!)
    if (appended.errorCode !== ErrorCode.NONE)
      return this.#refuse(tag, appended.errorCode, appended.errorMessage)
    result.baseOffset = appended.baseOffset
    result.logAppendTimeMs = appended.logAppendTimeMs
    result.logStartOffset = partition.log.logStartOffset
    if (this.#request.acks === 0) this.appendSettled(tag, ErrorCode.NONE)
    else partition.awaitAppended(appended.lastOffset + 1, this, tag)
  }

  #refuse(tag: number, errorCode: number, message: string | null): void {
    fail(this.#partitions[tag]!, errorCode, message)
    this.appendSettled(tag, ErrorCode.NONE)
  }

  #answer(): void {
    if (this.#answered) return
    this.#answered = true
    this.#broker.deadlines.remove(this)
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
  }
}

function fail(result: ProducedPartition, errorCode: number, message: string | null): void {
  result.errorCode = errorCode
  result.baseOffset = -1
  result.logAppendTimeMs = -1
  result.logStartOffset = -1
  result.errorMessage = message ?? errorMessage(errorCode)
}
