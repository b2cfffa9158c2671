/** A connection that sends what it likes, and remembers what came back and whether it was closed. */
import assert from 'node:assert/strict'
import net from 'node:net'
import { encoderFor } from '../../protocol/compile.ts'
import { writeRequestHeader } from '../../protocol/frame.ts'
import type { Encodable, MessageSchema } from '../../protocol/schema.ts'
import { Writer } from '../../protocol/writer.ts'
import { holdsPoison } from './poison-pattern.ts'
import { within } from './target.ts'

export class Attacker {
  readonly #socket: net.Socket
  readonly #received: Buffer[] = []
  readonly closed: Promise<void>
  isClosed = false

  private constructor(socket: net.Socket) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('data', (bytes) => this.#received.push(bytes))
    socket.on('error', () => {})
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.isClosed = true
        resolve()
      })
    })
  }

  static connect(port: number, localAddress = '127.0.0.1', host = '127.0.0.1'): Promise<Attacker> {
    return new Promise((resolve, reject) => {
      const socket = net.connect({ port, host, localAddress })
      socket.once('error', reject)
      socket.once('connect', () => resolve(new Attacker(socket)))
    })
  }

  write(bytes: Buffer): void {
    if (!this.isClosed) this.#socket.write(bytes)
  }

  /** Resolves when the bytes are with the kernel, or the connection is gone. */
  flush(bytes: Buffer): Promise<void> {
    if (this.isClosed) return Promise.resolve()
    return new Promise((resolve) => {
      this.#socket.write(bytes, () => resolve())
      this.#socket.once('close', () => resolve())
    })
  }

  /** Stops reading: what the broker sends stays with it and the kernel. */
  stopReading(): void {
    this.#socket.pause()
  }

  startReading(): void {
    this.#socket.resume()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  /** Frames without their sizes, in order. */
  frames(): Buffer[] {
    const all = Buffer.concat(this.#received)
    assert.ok(!holdsPoison(all), 'bytes left the broker that nobody wrote')
    const frames: Buffer[] = []
    let at = 0
    while (all.length - at >= 4 && all.length - at - 4 >= all.readInt32BE(at)) {
      const end = at + 4 + all.readInt32BE(at)
      frames.push(all.subarray(at + 4, end))
      at = end
    }
    return frames
  }

  /** Resolves when the first frame has come as a whole; rejects when the connection closes before. */
  async oneAnswer(withinMs?: number): Promise<void> {
    let head = Buffer.alloc(0)
    let leftBytes = Infinity
    const collected = new Promise<void>((resolve, reject) => {
      this.#socket.on('data', (bytes) => {
        if (leftBytes !== Infinity) leftBytes -= bytes.length
        else {
          head = Buffer.concat([head, bytes])
          if (head.length >= 4) leftBytes = 4 + head.readInt32BE(0) - head.length
        }
        if (leftBytes <= 0) resolve()
      })
      this.#socket.once('close', () => reject(new Error('connection closed instead of an answer')))
    })
    await within(collected, withinMs)
  }

  get receivedBytes(): number {
    return this.#received.reduce((sum, { length }) => sum + length, 0)
  }

  /** Resolves with the first `count` frames; rejects when the connection closes before. */
  async answers(count: number): Promise<Buffer[]> {
    const collected = new Promise<void>((resolve, reject) => {
      const look = (): void => {
        if (this.frames().length >= count) resolve()
      }
      this.#socket.on('data', look)
      this.#socket.once('close', () => reject(new Error('connection closed instead of an answer')))
      look()
    })
    await within(collected)
    return this.frames().slice(0, count)
  }
}

/** A frame with a request header and whatever body. */
export function frameOf(apiKey: number, apiVersion: number, body: Buffer, correlationId = 1): Buffer {
  const writer = new Writer()
  writer.beginFrame()
  writeRequestHeader(writer, { apiKey, apiVersion, correlationId, clientId: 'attacker' })
  writer.raw(body)
  return writer.finishBuffer()
}

/** A frame as a good client would send it. */
export function requestFrame<S extends MessageSchema>(
  schema: S,
  version: number,
  value: Encodable<S>,
  correlationId = 1,
): Buffer {
  const writer = new Writer()
  encoderFor(schema, version)(writer, value)
  return frameOf(schema.key, version, writer.finishBuffer(), correlationId)
}

/** Sends the bytes on a connection of their own: the broker must close it and answer nothing. */
export async function expectClosed(port: number, bytes: Buffer, what: string): Promise<void> {
  const attacker = await Attacker.connect(port)
  attacker.write(bytes)
  try {
    await within(attacker.closed)
  } catch (error) {
    throw new Error(`${what}: not closed, ${attacker.receivedBytes} bytes answered`, { cause: error })
  } finally {
    attacker.destroy()
  }
  assert.equal(attacker.receivedBytes, 0, `${what}: answered`)
}
