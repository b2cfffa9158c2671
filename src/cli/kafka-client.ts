import net from 'node:net'
import { decoderFor, encoderFor } from '../../protocol/compile.ts'
import { readResponseHeader, SIZE_BYTES, writeRequestHeader } from '../../protocol/frame.ts'
import { Reader } from '../../protocol/reader.ts'
import type { Decoded, Encodable, Schema } from '../../protocol/schema.ts'
import { Writer } from '../../protocol/writer.ts'
import type { Address } from '../ports.ts'

/** An answer larger than this is not one of a broker. */
const MAX_RESPONSE_BYTES = 64 << 20

/** One API: what is sent and what comes back. */
export interface Exchange<Request extends Schema, Response extends Schema> {
  readonly apiKey: number
  readonly apiVersion: number
  readonly request: Request
  readonly response: Response
}

/** One connection to a broker, for requests one after the other. */
export class KafkaClient {
  readonly #socket: net.Socket
  #received: Buffer = Buffer.alloc(0)
  #correlationId = 0
  #wake: () => void = () => {}
  #failure: Error | null = null

  private constructor(socket: net.Socket, timeoutMs: number) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk])
      this.#wake()
    })
    socket.on('error', (error) => this.#fail(error))
    socket.on('close', () => this.#fail(new Error('the broker closed the connection')))
    socket.setTimeout(timeoutMs, () => this.#fail(new Error(`no answer within ${timeoutMs} ms`)))
  }

  /** Rejects when nobody listens there, or not within `timeoutMs`, which then also bounds every wait for an answer. */
  static connect(address: Address, timeoutMs: number): Promise<KafkaClient> {
    const socket = net.connect({ host: address.host, port: address.port, noDelay: true })
    return new Promise((resolve, reject) => {
      const giveUp = setTimeout(
        () => socket.destroy(new Error(`no connection within ${timeoutMs} ms`)),
        timeoutMs,
      )
      socket.once('error', (error) => {
        clearTimeout(giveUp)
        reject(error)
      })
      socket.once('connect', () => {
        clearTimeout(giveUp)
        socket.removeAllListeners('error')
        resolve(new KafkaClient(socket, timeoutMs))
      })
    })
  }

  async send<Request extends Schema, Response extends Schema>(
    exchange: Exchange<Request, Response>,
    body: Encodable<Request>,
  ): Promise<Decoded<Response>> {
    const { apiKey, apiVersion } = exchange
    const correlationId = ++this.#correlationId
    const writer = new Writer(256)
    writer.beginFrame()
    writeRequestHeader(writer, { apiKey, apiVersion, correlationId, clientId: 'samsa' })
    encoderFor(exchange.request, apiVersion)(writer, body)
    this.#socket.write(writer.finishBuffer())
    const reader = new Reader(await this.#nextFrame())
    const answered = readResponseHeader(reader, apiKey, apiVersion)
    if (answered !== correlationId) throw new Error(`answer ${answered} to request ${correlationId}`)
    const response = decoderFor(exchange.response, apiVersion)(reader)
    reader.expectEnd()
    return response
  }

  close(): void {
    this.#socket.removeAllListeners()
    this.#socket.on('error', () => {})
    this.#socket.destroy()
  }

  async #nextFrame(): Promise<Buffer> {
    for (;;) {
      if (this.#received.length >= SIZE_BYTES) {
        const size = this.#received.readInt32BE(0)
        if (size < 0 || size > MAX_RESPONSE_BYTES)
          throw new Error(`an answer of ${size} bytes: this is no Kafka broker`)
        const end = SIZE_BYTES + size
        if (this.#received.length >= end) {
          const frame = this.#received.subarray(SIZE_BYTES, end)
          this.#received = this.#received.subarray(end)
          return frame
        }
      }
      if (this.#failure !== null) throw this.#failure
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error
    this.#wake()
  }
}
