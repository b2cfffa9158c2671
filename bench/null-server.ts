import { type OnReadOpts, type Server, Socket, type SocketConstructorOpts, createServer } from 'node:net'
import { ByteWriter, FETCH, PRODUCE } from './load/wire.ts'

/**
 * A server that does nothing: it finds the frames of Produce 7 and Fetch 11 requests with one topic and one
 * partition, and acknowledges them, a Fetch with as many (meaningless) record bytes as it asks for. What a load
 * generator reaches against it is the generator's own ceiling on this machine.
 */
export function startNullServer(host: string, port: number): Promise<Server> {
  const shared = Buffer.allocUnsafeSlow(1 << 20)
  const server = createServer({ noDelay: true, pauseOnConnect: true }, (accepted) => serve(accepted, shared))
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, 1024, () => resolve(server))
  })
}

/** Node offers `onread` for sockets that connect, not for those that are accepted; their handle can be adopted by one that has it. */
interface HandleOptions extends SocketConstructorOpts {
  readonly handle: unknown
  readonly onread: OnReadOpts
}

function serve(accepted: Socket, shared: Buffer): void {
  const handle = (accepted as unknown as { _handle: unknown })._handle
  const frames = new FrameAnswerer()
  const options: HandleOptions = {
    handle,
    onread: {
      buffer: shared,
      callback: (length: number): boolean => {
        socket.cork()
        frames.take(shared, length, (bytes) => socket.write(bytes))
        socket.uncork()
        return true
      },
    },
  }
  const socket = new Socket(options)
  // A load generator that ends closes its connections without ceremony.
  socket.on('error', () => socket.destroy())
  socket.resume()
}

/** Enough of any request to find its correlation id, partition and wanted bytes. */
const HEAD_BYTES = 160
const CLIENT_ID_AT = 12
const records = Buffer.alloc(8 << 20)

export class FrameAnswerer {
  readonly #head = Buffer.alloc(HEAD_BYTES)
  #headFilled = 0
  #rest = -1
  #answers: Buffer[] = []

  /** Calls `send` with the answers to all requests that end within the given bytes. */
  take(bytes: Buffer, end: number, send: (answer: Buffer) => void): void {
    let at = 0
    while (at < end) {
      if (this.#rest >= 0) {
        const skipped = Math.min(this.#rest, end - at)
        at += skipped
        this.#rest -= skipped
      } else {
        at = this.#collect(bytes, at, end)
      }
      if (this.#rest === 0) {
        this.#rest = -1
        for (const answer of this.#answers) send(answer)
      }
    }
  }

  #collect(bytes: Buffer, start: number, end: number): number {
    const wanted = this.#headFilled < 4 ? 4 : Math.min(HEAD_BYTES, 4 + this.#head.readInt32BE(0))
    const taken = Math.min(wanted - this.#headFilled, end - start)
    bytes.copy(this.#head, this.#headFilled, start, start + taken)
    this.#headFilled += taken
    if (this.#headFilled < wanted || wanted === 4) return start + taken
    this.#headFilled = 0
    this.#answers = answersTo(this.#head)
    this.#rest = 4 + this.#head.readInt32BE(0) - wanted
    return start + taken
  }
}

function answersTo(head: Buffer): Buffer[] {
  const apiKey = head.readInt16BE(4)
  const bodyAt = CLIENT_ID_AT + 2 + head.readInt16BE(CLIENT_ID_AT)
  if (apiKey === PRODUCE.key) return [produceAnswer(head, bodyAt + 2 + 2 + 4 + 4)]
  if (apiKey === FETCH.key) return fetchAnswer(head, bodyAt + 4 * 4 + 1 + 4 + 4 + 4)
  throw new Error(`the null server knows no API ${apiKey}`)
}

const answers = new Map<number, Buffer>()

function produceAnswer(head: Buffer, topicAt: number): Buffer {
  const topicBytes = head.readInt16BE(topicAt)
  const answer = Buffer.from(template(topicBytes, produceTemplate))
  answer.writeInt32BE(head.readInt32BE(8), 4)
  head.copy(answer, 14, topicAt + 2, topicAt + 2 + topicBytes)
  answer.writeInt32BE(head.readInt32BE(topicAt + 2 + topicBytes + 4), 14 + topicBytes + 4)
  return answer
}

function template(topicBytes: number, make: (topicBytes: number) => Buffer): Buffer {
  let made = answers.get(topicBytes)
  if (made === undefined) {
    made = make(topicBytes)
    answers.set(topicBytes, made)
  }
  return made
}

function produceTemplate(topicBytes: number): Buffer {
  const writer = new ByteWriter().int32(0).int32(0).int32(1).string('t'.repeat(topicBytes)).int32(1)
  const answer = writer.int32(0).int16(0).int64(0).int64(-1).int64(0).int32(0).done()
  answer.writeInt32BE(answer.length - 4, 0)
  return answer
}

function fetchAnswer(head: Buffer, topicAt: number): Buffer[] {
  const topicBytes = head.readInt16BE(topicAt)
  const entryAt = topicAt + 2 + topicBytes + 4
  const length = Math.min(records.length, head.readInt32BE(entryAt + 24))
  const topic = head.toString('latin1', topicAt + 2, topicAt + 2 + topicBytes)
  const writer = new ByteWriter().int32(0).int32(head.readInt32BE(8)).int32(0).int16(0).int32(0)
  writer.int32(1).string(topic).int32(1).int32(head.readInt32BE(entryAt))
  const answer = writer.int16(0).int64(0).int64(0).int64(0).int32(-1).int32(-1).int32(length).done()
  answer.writeInt32BE(answer.length - 4 + length, 0)
  return [answer, records.subarray(0, length)]
}
