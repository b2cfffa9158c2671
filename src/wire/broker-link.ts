import { decoderFor, encoderFor } from '../../protocol/compile.ts'
import { readResponseHeader, writeRequestHeader } from '../../protocol/frame.ts'
import { ProtocolError } from '../../protocol/protocol-error.ts'
import { Reader } from '../../protocol/reader.ts'
import type { Decoded, Encodable, MessageSchema } from '../../protocol/schema.ts'
import { Writer } from '../../protocol/writer.ts'
import type { Address, Connection, Timer, World } from '../ports.ts'
import { AnswerFrames } from './answer-frames.ts'
import { LinkError, linkErrorOf } from './link-error.ts'

/** A request and its response in one version. */
export interface Exchange<Request extends MessageSchema, Response extends MessageSchema> {
  readonly request: Request
  readonly response: Response
  readonly version: number
}

export interface LinkOptions {
  readonly address: Address
  readonly clientId: string
  /** For each answer, from the call of `send` on: who is not connected by then is not either. */
  readonly requestTimeoutMs: number
  /** A broker that announces a longer answer is none. */
  readonly maxResponseBytes: number
}

interface Pending {
  readonly deadlineMs: number
  /** Throws a ProtocolError for what is no answer to it. */
  readonly answered: (frame: Buffer) => void
  readonly failed: (error: LinkError) => void
}

/**
 * One outgoing connection to one broker. Requests leave at once, one behind the other; answers come in their order, as
 * Kafka's brokers give them. Nothing is asked twice: when the connection is lost, or one answer does not come in time,
 * all that wait fail, the connection closes, and whoever wants more makes another link.
 */
export class BrokerLink {
  readonly #world: Pick<World, 'clock' | 'network'>
  readonly #options: LinkOptions
  readonly #connection: Connection
  readonly #frames: AnswerFrames
  readonly #pending: Pending[] = []
  /** Of all requests: what each leaves of its slab is room for the next. */
  readonly #writer = new Writer()
  #correlationId = 0
  #timer: Timer | null = null
  #failure: LinkError | null = null

  constructor(world: Pick<World, 'clock' | 'network'>, options: LinkOptions) {
    this.#world = world
    this.#options = options
    this.#frames = new AnswerFrames(options.maxResponseBytes, (frame) => this.#answer(frame))
    this.#connection = world.network.connect(options.address, {
      connected: () => {},
      bytes: (slab, start, end) => this.#received(slab, start, end),
      drained: () => {},
      failed: (error) =>
        this.#fail(new LinkError('nonsense', 'an answer could not be taken', { cause: error })),
      closed: (reason) => this.#fail(linkErrorOf(reason)),
    })
  }

  /** Why nothing can be asked any more; null as long as it can. */
  get failure(): LinkError | null {
    return this.#failure
  }

  /** Rejects with a LinkError. */
  send<Request extends MessageSchema, Response extends MessageSchema>(
    { request, response, version }: Exchange<Request, Response>,
    body: Encodable<Request>,
  ): Promise<Decoded<Response>> {
    if (this.#failure !== null) return Promise.reject(this.#failure)
    const correlationId = (this.#correlationId = (this.#correlationId + 1) & 0x7fff_ffff)
    const writer = this.#writer
    // Of one that could not be encoded.
    writer.discard()
    writer.beginFrame()
    const { clientId, requestTimeoutMs } = this.#options
    writeRequestHeader(writer, { apiKey: request.key, apiVersion: version, correlationId, clientId })
    encoderFor(request, version)(writer, body)
    const frame = writer.finishBuffers()
    const deadlineMs = this.#world.clock.monotonicMs() + requestTimeoutMs
    return new Promise((resolve, reject) => {
      const answered = (frame: Buffer): void => {
        const reader = new Reader(frame)
        const answeredId = readResponseHeader(reader, request.key, version)
        if (answeredId !== correlationId)
          throw new ProtocolError(`answer ${answeredId} to request ${correlationId}`)
        const decoded = decoderFor(response, version)(reader)
        reader.expectEnd()
        resolve(decoded)
      }
      this.#pending.push({ deadlineMs, answered, failed: reject })
      this.#connection.write(frame)
      this.#timer ??= this.#after(requestTimeoutMs)
    })
  }

  /** What waits for an answer fails. */
  close(): void {
    this.#fail(new LinkError('closed', 'the connection was given up'))
  }

  #received(slab: Buffer, start: number, end: number): void {
    if (this.#failure !== null) return
    try {
      this.#frames.receive(slab, start, end)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#fail(new LinkError('nonsense', error.message, { cause: error }))
    }
  }

  #answer(frame: Buffer): void {
    const first = this.#pending[0]
    if (first === undefined) throw new ProtocolError('an answer to nothing that was asked')
    first.answered(frame)
    this.#pending.shift()
  }

  #after(delayMs: number): Timer {
    return this.#world.clock.after(delayMs, () => this.#look())
  }

  /**
   * Answers come in order, so the first one that is late is that of the oldest request. The timer is that of a request that
   * was answered long ago, most often: one for each would be armed and cancelled for nothing.
   */
  #look(): void {
    this.#timer = null
    const first = this.#pending[0]
    if (first === undefined) return
    const leftMs = first.deadlineMs - this.#world.clock.monotonicMs()
    if (leftMs > 0) {
      this.#timer = this.#after(leftMs)
      return
    }
    const { requestTimeoutMs } = this.#options
    this.#fail(new LinkError('timeout', `no answer within ${requestTimeoutMs} ms`))
  }

  #fail(error: LinkError): void {
    if (this.#failure !== null) return
    this.#failure = error
    this.#timer?.cancel()
    this.#timer = null
    this.#connection.destroy()
    for (const { failed } of this.#pending.splice(0)) failed(error)
  }
}
