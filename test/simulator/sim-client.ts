import { decoderFor, encoderFor } from '../../protocol/compile.ts'
import { readResponseHeader, writeRequestHeader } from '../../protocol/frame.ts'
import { Reader } from '../../protocol/reader.ts'
import type { Decoded, Encodable, MessageSchema } from '../../protocol/schema.ts'
import { Writer } from '../../protocol/writer.ts'
import type { Call } from '../support/raw-client.ts'
import type { SimSocket } from './sim-network.ts'
import type { SimWorld } from './sim-world.ts'

interface Waiting {
  readonly decode: (frame: Buffer) => void
  readonly reject: (error: Error) => void
}

/** A client of the simulated network: raw frames, answers in order. */
export class SimClient {
  readonly #socket: SimSocket
  readonly #waiting = new Map<number, Waiting>()
  #received: Buffer = Buffer.alloc(0)
  #correlationId = 0
  #closed = false

  private constructor(socket: SimSocket) {
    this.#socket = socket
    socket.onBytes = (bytes) => this.#onBytes(bytes)
    socket.onClosed = () => this.#onClosed()
  }

  /** Null when nobody listens. */
  static connect(sim: SimWorld, port: number): SimClient | null {
    const socket = sim.connect(port)
    return socket === null ? null : new SimClient(socket)
  }

  static over(socket: SimSocket): SimClient {
    return new SimClient(socket)
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Rejects when the connection closes before the answer. */
  send<Request extends MessageSchema, Response extends MessageSchema>(
    call: Call<Request, Response>,
    body: Encodable<Request>,
  ): Promise<Decoded<Response>> {
    const { request, response, version } = call
    const correlationId = this.#correlationId++
    const writer = new Writer()
    writer.beginFrame()
    writeRequestHeader(writer, { apiKey: request.key, apiVersion: version, correlationId, clientId: 'sim' })
    encoderFor(request, version)(writer, body)
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(new Error('connection closed'))
      const decode = (frame: Buffer): void => {
        const reader = new Reader(frame)
        readResponseHeader(reader, request.key, version)
        const decoded = decoderFor(response, version)(reader)
        reader.expectEnd()
        resolve(decoded)
      }
      this.#waiting.set(correlationId, { decode, reject })
      this.#socket.send(Buffer.from(writer.finishBuffer()))
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  /** Takes no more bytes until `resume`: what the broker has for this client waits there. */
  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  #onBytes(bytes: Buffer): void {
    this.#received = Buffer.concat([this.#received, bytes])
    while (this.#received.length >= 4) {
      const end = 4 + this.#received.readInt32BE(0)
      if (this.#received.length < end) return
      const frame = Buffer.from(this.#received.subarray(4, end))
      this.#received = this.#received.subarray(end)
      const correlationId = frame.readInt32BE(0)
      const [oldest] = this.#waiting.keys()
      if (oldest !== correlationId) throw new Error(`answer ${correlationId} came when ${oldest} was due`)
      const waiting = this.#waiting.get(correlationId)
      this.#waiting.delete(correlationId)
      waiting?.decode(frame)
    }
  }

  #onClosed(): void {
    this.#closed = true
    for (const { reject } of this.#waiting.values()) reject(new Error('connection closed'))
    this.#waiting.clear()
  }
}
