import { type Socket, connect } from 'node:net'
import { type Exchange, correlationOf } from './exchange.ts'
import type { Endpoint } from './spec.ts'

/** What a lane reports. `lane` has a free place again when `answered` is called. */
export interface LaneOwner {
  answered(lane: Lane, partition: number, sentUs: number, error: number, payloadBytes: number): void
  /** All answers of one read are reported; what was staged meanwhile leaves after this. */
  turnEnded(lane: Lane): void
  failed(error: Error, lane: Lane): void
}

/**
 * One connection with its places in flight. Brokers answer a connection in order, so the places form a ring whose
 * requests lie ready in one buffer: what is staged in one turn is at most two stretches of it, and goes out in one
 * or two writes without a copy. Answers arrive in one buffer that all lanes share.
 */
export class Lane {
  readonly #socket: Socket
  readonly #exchange: Exchange
  readonly #owner: LaneOwner
  readonly #places: number
  readonly #ring: Buffer
  readonly #sentUs: Float64Array
  readonly #partition: Int32Array
  readonly #correlation: Int32Array
  #oldest = 0
  #next = 0
  #inFlight = 0
  #staged = 0
  #lastCorrelation = 0
  #closing = false
  // The answer being read: `#rest` bytes of it are still to come once its head was judged, else -1.
  readonly #head: Buffer
  #headFilled = 0
  #rest = -1
  #error = 0
  #payloadBytes = 0

  constructor(endpoint: Endpoint, exchange: Exchange, places: number, shared: Buffer, owner: LaneOwner) {
    this.#exchange = exchange
    this.#owner = owner
    this.#places = places
    this.#ring = Buffer.allocUnsafe(exchange.requestBytes * places)
    for (let i = 0; i < places; i++) exchange.prepare(this.#ring, i * exchange.requestBytes)
    this.#sentUs = new Float64Array(places)
    this.#partition = new Int32Array(places)
    this.#correlation = new Int32Array(places)
    this.#head = Buffer.allocUnsafe(exchange.headBytes)
    this.#socket = connect({
      host: endpoint.host,
      port: endpoint.port,
      noDelay: true,
      onread: {
        buffer: shared,
        callback: (length: number, buffer: Uint8Array): boolean => {
          this.#received(buffer === shared ? shared : Buffer.from(buffer.buffer), length)
          return true
        },
      },
    })
    this.#socket.on('error', (error) => this.#lost(error))
    this.#socket.on('close', () => {
      this.#lost(new Error('the broker closed a connection'))
    })
  }

  connected(): Promise<void> {
    return new Promise((resolve) => this.#socket.once('connect', resolve))
  }

  get free(): number {
    return this.#places - this.#inFlight
  }

  get inFlight(): number {
    return this.#inFlight
  }

  /** Takes a free place. The request leaves with the next `flush`. */
  stage(partition: number, sentUs: number): void {
    const place = this.#next
    const correlationId = ++this.#lastCorrelation & 0x7fffffff
    this.#correlation[place] = correlationId
    this.#partition[place] = partition
    this.#sentUs[place] = sentUs
    this.#exchange.stamp(this.#ring, place * this.#exchange.requestBytes, correlationId, partition, sentUs)
    this.#next = place + 1 === this.#places ? 0 : place + 1
    this.#inFlight++
    this.#staged++
  }

  flush(): void {
    const staged = this.#staged
    if (staged === 0) return
    this.#staged = 0
    const bytes = this.#exchange.requestBytes
    const first = this.#next - staged
    if (first >= 0) {
      this.#socket.write(this.#ring.subarray(first * bytes, this.#next * bytes))
      return
    }
    this.#socket.cork()
    this.#socket.write(this.#ring.subarray((first + this.#places) * bytes))
    if (this.#next > 0) this.#socket.write(this.#ring.subarray(0, this.#next * bytes))
    this.#socket.uncork()
  }

  /** What was sent and not answered, in its order. */
  unanswered(visit: (partition: number, sentUs: number) => void): void {
    for (let i = 0; i < this.#inFlight; i++) {
      const place = (this.#oldest + i) % this.#places
      visit(this.#partition[place]!, this.#sentUs[place]!)
    }
  }

  #lost(error: Error): void {
    if (this.#closing) return
    this.#closing = true
    this.#owner.failed(error, this)
  }

  close(): void {
    this.#closing = true
    this.#socket.destroy()
  }

  #received(buffer: Buffer, end: number): void {
    const headBytes = this.#exchange.headBytes
    let at = 0
    while (at < end) {
      if (this.#rest >= 0) {
        const skipped = Math.min(this.#rest, end - at)
        at += skipped
        this.#rest -= skipped
        if (this.#rest === 0) this.#answered()
      } else if (this.#headFilled === 0 && end - at >= headBytes && wholeHead(buffer, at, headBytes)) {
        this.#judge(buffer, at, headBytes)
        at += headBytes
      } else {
        at = this.#collectHead(buffer, at, end)
      }
    }
    this.#owner.turnEnded(this)
    this.flush()
  }

  /** The slow way, for a head that is cut by the end of a read or belongs to a short answer. */
  #collectHead(buffer: Buffer, start: number, end: number): number {
    const wanted =
      this.#headFilled < 4 ? 4 : Math.min(this.#exchange.headBytes, 4 + this.#head.readInt32BE(0))
    const taken = Math.min(wanted - this.#headFilled, end - start)
    buffer.copy(this.#head, this.#headFilled, start, start + taken)
    this.#headFilled += taken
    if (this.#headFilled < wanted || this.#headFilled <= 4) return start + taken
    this.#headFilled = 0
    this.#judge(this.#head, 0, wanted)
    return start + taken
  }

  #judge(buffer: Buffer, at: number, length: number): void {
    const frameBytes = 4 + buffer.readInt32BE(at)
    if (frameBytes < 8 || length < 8) throw new Error(`an answer of ${frameBytes} bytes`)
    const expected = this.#correlation[this.#oldest]!
    if (this.#inFlight === 0 || correlationOf(buffer, at) !== expected) {
      throw new Error(`an answer to request ${correlationOf(buffer, at)} instead of ${expected}`)
    }
    this.#error = this.#exchange.error(buffer, at, length)
    this.#payloadBytes = this.#error === 0 ? this.#exchange.payloadBytes(buffer, at) : 0
    this.#rest = frameBytes - length
    if (this.#rest === 0) this.#answered()
  }

  #answered(): void {
    this.#rest = -1
    const place = this.#oldest
    this.#oldest = place + 1 === this.#places ? 0 : place + 1
    this.#inFlight--
    this.#owner.answered(this, this.#partition[place]!, this.#sentUs[place]!, this.#error, this.#payloadBytes)
  }
}

function wholeHead(buffer: Buffer, at: number, headBytes: number): boolean {
  return buffer.readInt32BE(at) + 4 >= headBytes
}
