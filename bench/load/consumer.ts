import { type Socket, connect } from 'node:net'
import { nowUs } from './clock.ts'
import type { Endpoint } from './spec.ts'
import { decodeFetchResponse, encodeFetch, fetchLayout, singleRecordValueAt, walkBatches } from './wire.ts'

export interface ConsumerOptions {
  readonly endpoint: Endpoint
  readonly topic: string
  readonly startOffsets: readonly number[]
  readonly valueBytes: number
  /** First four bytes of every value of this run. */
  readonly mark: number
  readonly seen: (intendedUs: number, seenUs: number) => void
  readonly failed: (error: Error) => void
}

/** Reads all partitions of a topic over one connection, one long-polling Fetch after the other. */
export class TailConsumer {
  readonly #options: ConsumerOptions
  readonly #socket: Socket
  readonly #request: Buffer
  readonly #layout: ReturnType<typeof fetchLayout>
  readonly #valueAt: number
  readonly #next: number[]
  #received: Buffer = Buffer.allocUnsafe(1 << 20)
  #filled = 0
  #closing = false

  constructor(options: ConsumerOptions) {
    this.#options = options
    this.#next = [...options.startOffsets]
    this.#valueAt = singleRecordValueAt(options.valueBytes)
    this.#request = encodeFetch(
      options.topic,
      options.startOffsets.map((_, partition) => partition),
      { maxWaitMs: 500, minBytes: 1, maxBytes: 50 << 20, partitionMaxBytes: 1 << 20 },
    )
    this.#layout = fetchLayout(options.topic)
    this.#socket = connect({ host: options.endpoint.host, port: options.endpoint.port, noDelay: true })
    this.#socket.on('data', (chunk: Buffer) => this.#collect(chunk))
    this.#socket.on('error', options.failed)
    this.#socket.on('close', () => {
      if (!this.#closing) options.failed(new Error('the broker closed the connection of the consumer'))
    })
  }

  start(): Promise<void> {
    return new Promise((resolve) => {
      this.#socket.once('connect', () => {
        this.#fetch()
        resolve()
      })
    })
  }

  close(): void {
    this.#closing = true
    this.#socket.destroy()
  }

  #fetch(): void {
    const frame = Buffer.from(this.#request)
    for (const [partition, offset] of this.#next.entries()) {
      const at = this.#layout.firstEntryAt + partition * this.#layout.entryBytes + this.#layout.offsetIn
      frame.writeBigInt64BE(BigInt(offset), at)
    }
    this.#socket.write(frame)
  }

  #collect(chunk: Buffer): void {
    if (this.#filled + chunk.length > this.#received.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.#received.length * 2, this.#filled + chunk.length))
      this.#received.copy(grown, 0, 0, this.#filled)
      this.#received = grown
    }
    chunk.copy(this.#received, this.#filled)
    this.#filled += chunk.length
    if (this.#filled < 4 || this.#filled < 4 + this.#received.readInt32BE(0)) return
    const seenUs = nowUs()
    const frame = this.#received.subarray(0, this.#filled)
    this.#filled = 0
    this.#take(frame, seenUs)
    if (!this.#closing) this.#fetch()
  }

  #take(frame: Buffer, seenUs: number): void {
    const topError = decodeFetchResponse(frame, ({ partition, error, recordsStart, recordsEnd }) => {
      if (error !== 0) this.#options.failed(new Error(`Fetch of partition ${partition}: error ${error}`))
      walkBatches(frame, recordsStart, recordsEnd, (at, baseOffset, nextOffset) => {
        if (baseOffset !== this.#next[partition]) {
          const wanted = String(this.#next[partition])
          throw new Error(`partition ${partition} continued at ${baseOffset} instead of ${wanted}`)
        }
        this.#next[partition] = nextOffset
        if (frame.readUInt32BE(at + this.#valueAt) !== this.#options.mark) return
        this.#options.seen(frame.readDoubleBE(at + this.#valueAt + 4), seenUs)
      })
    })
    if (topError !== 0) this.#options.failed(new Error(`Fetch: error ${topError}`))
  }
}
