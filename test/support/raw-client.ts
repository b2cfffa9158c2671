/** A Kafka client of a few lines: one connection, requests by schema, answers in order. */
import net from 'node:net'
import { decoderFor, encoderFor } from '../../protocol/compile.ts'
import { readResponseHeader, writeRequestHeader } from '../../protocol/frame.ts'
import { Reader } from '../../protocol/reader.ts'
import type { Decoded, Encodable, MessageSchema } from '../../protocol/schema.ts'
import { Writer } from '../../protocol/writer.ts'

/** A request and its response in one version. */
export interface Call<Request extends MessageSchema, Response extends MessageSchema> {
  readonly request: Request
  readonly response: Response
  readonly version: number
}

interface Waiting {
  readonly correlationId: number
  readonly decode: (frame: Buffer) => void
  readonly reject: (error: Error) => void
}

export class RawClient {
  readonly #socket: net.Socket
  readonly #waiting: Waiting[] = []
  #received: Buffer = Buffer.alloc(0)
  #correlationId = 0
  #closed: Error | null = null

  private constructor(socket: net.Socket) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('data', (bytes: Buffer) => this.#onData(bytes))
    socket.on('error', () => {})
    socket.on('close', () => this.#onClose())
  }

  static connect(port: number, host = '127.0.0.1'): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = net.connect({ port, host })
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.removeListener('error', reject)
        resolve(new RawClient(socket))
      })
    })
  }

  get closed(): boolean {
    return this.#closed !== null
  }

  /** Rejects when the connection closes before the answer. Requests may overlap. */
  async send<Request extends MessageSchema, Response extends MessageSchema>(
    call: Call<Request, Response>,
    body: Encodable<Request>,
  ): Promise<Decoded<Response>> {
    const { request, response, version } = call
    const reader = await this.exchange(request.key, version, (writer) =>
      encoderFor(request, version)(writer, body),
    )
    const decoded = decoderFor(response, version)(reader)
    reader.expectEnd()
    return decoded
  }

  /** The same for a body of any making: the answer, of which the header was read. */
  exchange(apiKey: number, apiVersion: number, writeBody: (to: Writer) => void): Promise<Reader> {
    const correlationId = this.#correlationId++
    const writer = new Writer()
    writer.beginFrame()
    writeRequestHeader(writer, { apiKey, apiVersion, correlationId, clientId: 'raw' })
    writeBody(writer)
    return new Promise((resolve, reject) => {
      if (this.#closed !== null) {
        reject(this.#closed)
        return
      }
      const decode = (frame: Buffer): void => {
        const reader = new Reader(frame)
        readResponseHeader(reader, apiKey, apiVersion)
        resolve(reader)
      }
      this.#waiting.push({ correlationId, decode, reject })
      this.#socket.write(writer.finishBuffer())
    })
  }

  /** Bytes as they are, for frames that no schema would write. */
  write(bytes: Buffer): void {
    this.#socket.write(bytes)
  }

  /** Resolves when the server has closed the connection. */
  whenClosed(): Promise<void> {
    return this.#closed === null
      ? new Promise((resolve) => this.#socket.once('close', () => resolve()))
      : Promise.resolve()
  }

  close(): void {
    this.#socket.destroy()
  }

  #onData(bytes: Buffer): void {
    this.#received = this.#received.length === 0 ? bytes : Buffer.concat([this.#received, bytes])
    while (this.#received.length >= 4) {
      const end = 4 + this.#received.readInt32BE(0)
      if (this.#received.length < end) return
      const frame = Buffer.from(this.#received.subarray(4, end))
      this.#received = this.#received.subarray(end)
      const next = this.#waiting.shift()
      if (next === undefined) return
      if (frame.readInt32BE(0) === next.correlationId) next.decode(frame)
      else next.reject(new Error('answers are out of order'))
    }
  }

  #onClose(): void {
    this.#closed = new Error('connection closed')
    for (const { reject } of this.#waiting.splice(0)) reject(this.#closed)
  }
}
