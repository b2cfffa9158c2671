/** A connection of the fuzz run: several frames at once, and which of them the broker handled. */
import assert from 'node:assert/strict'
import net from 'node:net'
import { ApiKey } from '../../protocol/keys.ts'
import { holdsPoison } from './poison-pattern.ts'

/** How long a batch may stay without its last answer when a request in it may rightly wait. */
const PARKED_AFTER_MS = 100
const HANGS_AFTER_MS = 20_000

const SENTINEL_ID = 0x7fff_fffe

export interface Outcome {
  /** Frames, counted from the first, that were answered or that need no answer. */
  readonly handled: number
  readonly closed: boolean
  /** Neither answered nor closed, and a request was among them that may wait. */
  readonly parked: boolean
}

export interface SendOptions {
  /** How the bytes are written; at once when not given. */
  readonly write?: (bytes: Buffer) => Promise<void> | void
  /** Whether one of the frames may wait; when not given, whether it is of an API that sometimes does. */
  readonly mayPark?: boolean
}

export type CheckAnswer = (request: Buffer, answer: Buffer) => void

/** Requests that rightly wait: for data, for other members, for a leader's assignment. */
export function isParked(frame: Buffer): boolean {
  const key = frame.readInt16BE(4)
  return (
    key === ApiKey.Fetch || key === ApiKey.JoinGroup || key === ApiKey.SyncGroup || key === ApiKey.Produce
  )
}

/** The frame after each batch: its answer says that everything before it is done. */
const sentinel = Buffer.from('0000000a' + '00120000' + SENTINEL_ID.toString(16) + 'ffff', 'hex')

export class FuzzConnection {
  readonly #socket: net.Socket
  readonly #check: CheckAnswer
  #received: Buffer = Buffer.alloc(0)
  #frames: readonly Buffer[] = []
  #handled = 0
  #settle: ((outcome: Outcome) => void) | null = null
  #fail: ((error: unknown) => void) | null = null
  #closed = false

  private constructor(socket: net.Socket, check: CheckAnswer) {
    this.#socket = socket
    this.#check = check
    socket.setNoDelay(true)
    socket.on('error', () => {})
    socket.on('data', (bytes) => this.#data(bytes))
    socket.on('close', () => {
      this.#closed = true
      this.#finish({ closed: true, parked: false })
    })
  }

  static open(port: number, check: CheckAnswer): Promise<FuzzConnection> {
    return new Promise((resolve, reject) => {
      const socket = net.connect({ port, host: '127.0.0.1' })
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.removeListener('error', reject)
        resolve(new FuzzConnection(socket, check))
      })
    })
  }

  write(bytes: Buffer): void {
    if (!this.#closed) this.#socket.write(bytes)
  }

  destroy(): void {
    this.#socket.destroy()
  }

  /** Sends the frames, whose correlation ids it sets, and waits until all of them are handled or none will be. */
  async send(frames: readonly Buffer[], options: SendOptions = {}): Promise<Outcome> {
    const mayPark = options.mayPark ?? frames.some((frame) => isParked(frame))
    const write = options.write ?? ((bytes: Buffer) => this.write(bytes))
    frames.forEach((frame, index) => frame.writeInt32BE(index, 8))
    this.#frames = frames
    this.#handled = 0
    const outcome = new Promise<Outcome>((resolve, reject) => {
      this.#settle = resolve
      this.#fail = reject
    })
    const timer = setTimeout(
      () => {
        if (mayPark) this.#finish({ closed: false, parked: true })
        else this.#fail?.(new Error(`no answer: ${frames[this.#handled]?.toString('hex')}`))
      },
      mayPark ? PARKED_AFTER_MS : HANGS_AFTER_MS,
    )
    if (this.#closed) this.#finish({ closed: true, parked: false })
    else await write(Buffer.concat([...frames, sentinel]))
    try {
      return await outcome
    } finally {
      clearTimeout(timer)
    }
  }

  #finish(how: Omit<Outcome, 'handled'>): void {
    if (how.closed || how.parked) this.#socket.destroy()
    this.#settle?.({ handled: this.#handled, ...how })
    this.#settle = null
  }

  #data(bytes: Buffer): void {
    this.#received = this.#received.length === 0 ? bytes : Buffer.concat([this.#received, bytes])
    try {
      this.#answers()
    } catch (error) {
      this.#socket.destroy()
      this.#fail?.(error)
    }
  }

  #answers(): void {
    let at = 0
    while (this.#received.length - at >= 4) {
      const size = this.#received.readInt32BE(at)
      assert.ok(size >= 4, `an answer of ${size} bytes`)
      if (this.#received.length - at - 4 < size) break
      this.#answer(this.#received.subarray(at + 4, at + 4 + size))
      at += 4 + size
    }
    this.#received = Buffer.from(this.#received.subarray(at))
  }

  #answer(answer: Buffer): void {
    assert.ok(!holdsPoison(answer), `bytes nobody wrote: ${answer.toString('hex')}`)
    const correlationId = answer.readInt32BE(0)
    if (correlationId === SENTINEL_ID) {
      this.#handled = this.#frames.length
      this.#finish({ closed: false, parked: false })
      return
    }
    // Produce with acks=0 has no answer, so ids may be missing, but never out of order.
    assert.ok(
      correlationId >= this.#handled && correlationId < this.#frames.length,
      `answer ${correlationId}`,
    )
    this.#check(this.#frames[correlationId]!, answer)
    this.#handled = correlationId + 1
  }
}
