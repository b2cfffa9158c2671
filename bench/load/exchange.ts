import {
  CORRELATION_AT,
  encodeBatch,
  encodeFetch,
  encodeProduce,
  fetchLayout,
  fetchResponseLayout,
  produceLayout,
  sealBatch,
  singleRecordValueAt,
} from './wire.ts'
import type { BatchShape } from './spec.ts'
import type { SeededRandom } from './random.ts'

/**
 * One kind of request with its answer. All requests of an exchange have the same length, so a connection keeps
 * them ready in a ring and only stamps a few numbers into them before they leave.
 */
export interface Exchange {
  readonly requestBytes: number
  /** How much of an answer must be seen to judge it. Shorter answers are judged whole. */
  readonly headBytes: number
  /** Fills [at, at + requestBytes) once, when the connection is made. */
  prepare(ring: Buffer, at: number): void
  /** Before every send. `intendedUs` is for exchanges that carry it. */
  stamp(ring: Buffer, at: number, correlationId: number, partition: number, intendedUs: number): void
  /** Kafka's error code in the answer whose frame begins at `at`, of which `length` bytes can be read. */
  error(answer: Buffer, at: number, length: number): number
  /** Record bytes moved by an exchange without an error. */
  payloadBytes(answer: Buffer, at: number): number
}

/** Different contents for different slots, so that no layer can profit from seeing the same bytes again. */
const TEMPLATES = 16

const CORRELATION_IN_ANSWER = 4
const SHORT_ANSWER = -1

export class ProduceExchange implements Exchange {
  readonly requestBytes: number
  readonly headBytes: number
  readonly #layout: ReturnType<typeof produceLayout>
  readonly #templates: Buffer[] = []
  readonly #batchBytes: number
  #prepared = 0

  constructor(topic: string, acks: number, shape: BatchShape, random: SeededRandom) {
    this.#layout = produceLayout(topic)
    // Requests have one length, and compressed batches as many as there are.
    const templates = shape.compression === undefined ? TEMPLATES : 1
    for (let i = 0; i < templates; i++) {
      this.#templates.push(encodeProduce(topic, acks, encodeBatch(shape, random, Date.now())))
    }
    this.requestBytes = this.#templates[0]!.length
    this.#batchBytes = this.requestBytes - this.#layout.batchAt
    this.headBytes = this.#layout.responseErrorAt + 2
  }

  prepare(ring: Buffer, at: number): void {
    this.#templates[this.#prepared++ % this.#templates.length]!.copy(ring, at)
  }

  stamp(ring: Buffer, at: number, correlationId: number, partition: number): void {
    ring.writeInt32BE(correlationId, at + CORRELATION_AT)
    ring.writeInt32BE(partition, at + this.#layout.partitionAt)
  }

  error(answer: Buffer, at: number, length: number): number {
    return length < this.headBytes ? SHORT_ANSWER : answer.readInt16BE(at + this.#layout.responseErrorAt)
  }

  payloadBytes(): number {
    return this.#batchBytes
  }
}

/** Single-record batches whose value begins with a mark of this run and the intended time of sending. */
export class TimedProduceExchange implements Exchange {
  readonly requestBytes: number
  readonly headBytes: number
  readonly #produce: ProduceExchange
  readonly #batchAt: number
  readonly #valueAt: number
  readonly #mark: number

  constructor(topic: string, acks: number, valueBytes: number, mark: number, random: SeededRandom) {
    this.#produce = new ProduceExchange(topic, acks, { records: 1, valueBytes }, random)
    this.requestBytes = this.#produce.requestBytes
    this.headBytes = this.#produce.headBytes
    this.#batchAt = produceLayout(topic).batchAt
    this.#valueAt = this.#batchAt + singleRecordValueAt(valueBytes)
    this.#mark = mark
  }

  prepare(ring: Buffer, at: number): void {
    this.#produce.prepare(ring, at)
    ring.writeUInt32BE(this.#mark, at + this.#valueAt)
  }

  stamp(ring: Buffer, at: number, correlationId: number, partition: number, intendedUs: number): void {
    this.#produce.stamp(ring, at, correlationId, partition)
    ring.writeDoubleBE(intendedUs, at + this.#valueAt + 4)
    sealBatch(ring, at + this.#batchAt, at + this.requestBytes)
  }

  error(answer: Buffer, at: number, length: number): number {
    return this.#produce.error(answer, at, length)
  }

  payloadBytes(): number {
    return this.#produce.payloadBytes()
  }
}

/** One partition per request, its log walked in strides from the start and round again. */
export class FetchExchange implements Exchange {
  readonly requestBytes: number
  readonly headBytes: number
  readonly #template: Buffer
  readonly #partitionAt: number
  readonly #offsetAt: number
  readonly #answer: ReturnType<typeof fetchResponseLayout>
  readonly #next: Float64Array
  readonly #stride: number
  readonly #offsets: number

  constructor(topic: string, partitions: number, maxBytes: number, stride: number, offsets: number) {
    this.#template = encodeFetch(topic, [0], {
      maxWaitMs: 500,
      minBytes: 1,
      maxBytes,
      partitionMaxBytes: maxBytes,
    })
    this.requestBytes = this.#template.length
    const layout = fetchLayout(topic)
    this.#partitionAt = layout.firstEntryAt
    this.#offsetAt = layout.firstEntryAt + layout.offsetIn
    this.#answer = fetchResponseLayout(topic)
    this.headBytes = this.#answer.recordsLengthAt + 4
    this.#next = new Float64Array(partitions)
    this.#stride = stride
    this.#offsets = offsets
  }

  prepare(ring: Buffer, at: number): void {
    this.#template.copy(ring, at)
  }

  stamp(ring: Buffer, at: number, correlationId: number, partition: number): void {
    ring.writeInt32BE(correlationId, at + CORRELATION_AT)
    ring.writeInt32BE(partition, at + this.#partitionAt)
    let offset = this.#next[partition]!
    if (offset + this.#stride > this.#offsets) offset = 0
    this.#next[partition] = offset + this.#stride
    ring.writeInt32BE(Math.floor(offset / 4294967296), at + this.#offsetAt)
    ring.writeUInt32BE(offset % 4294967296, at + this.#offsetAt + 4)
  }

  error(answer: Buffer, at: number, length: number): number {
    if (length < this.#answer.topErrorAt + 2) return SHORT_ANSWER
    const topError = answer.readInt16BE(at + this.#answer.topErrorAt)
    if (topError !== 0) return topError
    if (length < this.headBytes) return SHORT_ANSWER
    const error = answer.readInt16BE(at + this.#answer.errorAt)
    // An answer without records measures nothing but long polling.
    return error === 0 && this.payloadBytes(answer, at) <= 0 ? SHORT_ANSWER : error
  }

  payloadBytes(answer: Buffer, at: number): number {
    return answer.readInt32BE(at + this.#answer.recordsLengthAt)
  }
}

export function correlationOf(answer: Buffer, at: number): number {
  return answer.readInt32BE(at + CORRELATION_IN_ANSWER)
}
