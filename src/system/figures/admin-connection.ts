import type { Socket } from 'node:net'
import { headEnd, parseHead } from './http-head.ts'
import type { RequestHead } from './http-head.ts'

const MAX_HEAD_BYTES = 8 * 1024
/** From the first byte or none: who asks has the whole request ready. */
const HEAD_DEADLINE_MS = 2_000
/** As long as Prometheus waits. */
const ANSWER_DEADLINE_MS = 10_000
/** Afterwards the client is read from for a moment: closing with bytes unread would take the answer back. */
const LINGER_MS = 1_000
const MAX_LINGER_BYTES = 256 * 1024
/** Who has not sent a request by now, or not taken the answer, is slow. */
const FRESH_MS = 250

export interface Answer {
  readonly status: number
  readonly contentType: string
  readonly body: string | Buffer
}

export type Answering = (request: RequestHead) => Promise<Answer>

const REASONS: Readonly<Record<number, string>> = {
  200: 'OK',
  400: 'Bad Request',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
}

/** One request, one answer, and the connection is closed: whatever follows the request is thrown away. */
export class AdminConnection {
  readonly remoteAddress: string
  readonly #socket: Socket
  readonly #answering: Answering
  /** Since when it is the client's turn; null while it waits for us. */
  #clientsTurnSinceMs: number | null = performance.now()
  #received: Buffer | null = Buffer.alloc(0)
  #discardedBytes = 0
  #answered = false
  #deadline: NodeJS.Timeout

  constructor(socket: Socket, answering: Answering) {
    this.remoteAddress = socket.remoteAddress ?? ''
    this.#socket = socket
    this.#answering = answering
    this.#deadline = this.#after(HEAD_DEADLINE_MS, () => this.#refuse(408))
    socket.on('data', (bytes) => this.#bytes(bytes))
    socket.on('end', () => {
      if (this.#received !== null || this.#answered) socket.destroy()
    })
    socket.on('error', () => {})
    socket.on('close', () => clearTimeout(this.#deadline))
  }

  /** It had its chance: it may make room for others. */
  get isSlow(): boolean {
    return this.#clientsTurnSinceMs !== null && performance.now() - this.#clientsTurnSinceMs > FRESH_MS
  }

  destroy(): void {
    this.#socket.destroy()
  }

  #bytes(bytes: Buffer): void {
    if (this.#received === null) {
      this.#discardedBytes += bytes.length
      if (this.#answered && this.#discardedBytes > MAX_LINGER_BYTES) this.#socket.destroy()
      return
    }
    this.#received = Buffer.concat([this.#received, bytes])
    const end = headEnd(this.#received)
    if (end >= 0 && end <= MAX_HEAD_BYTES) this.#request(this.#received.subarray(0, end))
    else if (this.#received.length > MAX_HEAD_BYTES) this.#refuse(431)
  }

  #request(head: Buffer): void {
    this.#stopReading()
    const request = parseHead(head)
    if (request === null) {
      this.#refuse(400)
      return
    }
    this.#deadline = this.#after(ANSWER_DEADLINE_MS, () => this.#socket.destroy())
    this.#answering(request).then(
      (answer) => this.#answer(answer, request.method !== 'HEAD'),
      () => this.#answer(textAnswer(500, 'the figures could not be collected\n'), true),
    )
  }

  #refuse(status: number): void {
    this.#stopReading()
    this.#answer(textAnswer(status, `${REASONS[status] ?? ''}\n`), true)
  }

  #stopReading(): void {
    clearTimeout(this.#deadline)
    this.#received = null
    this.#clientsTurnSinceMs = null
    this.#socket.pause()
  }

  #answer({ status, contentType, body }: Answer, withBody: boolean): void {
    const socket = this.#socket
    if (socket.destroyed) return
    this.#clientsTurnSinceMs = performance.now()
    const head = [
      `HTTP/1.1 ${status} ${REASONS[status] ?? ''}`,
      `content-type: ${contentType}`,
      `content-length: ${Buffer.byteLength(body)}`,
      'cache-control: no-store',
      'x-content-type-options: nosniff',
      `date: ${new Date().toUTCString()}`,
      'connection: close',
    ]
    socket.write(`${head.join('\r\n')}\r\n\r\n`)
    if (withBody) socket.write(body)
    socket.end(() => {
      clearTimeout(this.#deadline)
      this.#deadline = this.#after(LINGER_MS, () => socket.destroy())
      this.#answered = true
      socket.resume()
    })
  }

  #after(delayMs: number, run: () => void): NodeJS.Timeout {
    return setTimeout(run, delayMs).unref()
  }
}

export function textAnswer(status: number, body: string): Answer {
  return { status, contentType: 'text/plain; charset=utf-8', body }
}
