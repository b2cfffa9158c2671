/**
 * What a broker and the process that holds its ZooKeeper session say to each other. Each frame: length of what follows
 * (4), generation of the session (4), length of the head (4), the head as JSON, the data of a node.
 */
import type { CreateMode } from '../../../ports.ts'

export interface SessionSettings {
  /** As the client library wants it: servers with ports, and the chroot. */
  readonly connect: string
  readonly sessionTimeoutMs: number
  /** Name or path of the npm package. */
  readonly module: string
  /** `user:password` of the digest scheme. */
  readonly credentials: string | null
  /** Nodes are made writable for their creator only. */
  readonly secure: boolean
}

export interface Call {
  readonly kind: 'call'
  readonly id: number
  readonly operation: 'create' | 'get' | 'set' | 'delete' | 'children'
  readonly path: string
  readonly version: number
  readonly mode: CreateMode
  readonly watch: boolean
}

export type ToSidecar =
  | { readonly kind: 'open'; readonly settings: SessionSettings }
  | Call
  /** The broker's loop turns. Every other frame says so, too. */
  | { readonly kind: 'beat' }
  | { readonly kind: 'close' }

export interface Stat {
  readonly czxid: number
  readonly version: number
  readonly ephemeral: boolean
  readonly own: boolean
  readonly removed: number
}

export interface Reply {
  readonly kind: 'reply'
  readonly id: number
  /** ZooKeeper's. */
  readonly code: number
  readonly path?: string
  readonly stat?: Stat
  readonly children?: readonly string[]
}

/** Why there can be no session. */
export type Problem =
  /** The package is not there. */
  | 'missing'
  /** It is there without a binary: its install script did not run. */
  | 'unbuilt'
  /** Its binary is of another Node.js. */
  | 'foreign'
  /** It is there and does not work. */
  | 'broken'
  /** No server of the list has an address. */
  | 'unresolved'

/** Why a session ended. */
export type End = 'expired' | 'unauthenticated' | 'silence' | 'closed'

export type FromSidecar =
  | { readonly kind: 'refused'; readonly problem: Problem; readonly detail: string }
  /** At first, and each time when a server has the session again. */
  | { readonly kind: 'connected'; readonly session: string; readonly timeoutMs: number }
  | { readonly kind: 'disconnected' }
  | Reply
  /** The watch of the call with this id. */
  | { readonly kind: 'fired'; readonly id: number }
  | { readonly kind: 'ended'; readonly why: End }

/**
 * What calls are answered with whose connection broke: system error, inconsistency of what was received, connection loss,
 * time out, session moved to another server. Nobody knows whether they were carried out.
 */
const LOST: ReadonlySet<number> = new Set([-1, -2, -3, -4, -7, -118])

export function isLost(code: number): boolean {
  return LOST.has(code)
}

const LENGTH_BYTES = 4
const FIXED_BYTES = 12
const NOTHING = Buffer.alloc(0)
/** A node and its path, or names of very many children. */
const MAX_FRAME_BYTES = 256 * 1024 * 1024

export function encodeFrame(
  generation: number,
  message: ToSidecar | FromSidecar,
  data: Buffer = NOTHING,
): Buffer {
  const head = Buffer.from(JSON.stringify(message))
  const frame = Buffer.allocUnsafe(FIXED_BYTES + head.length + data.length)
  frame.writeUInt32BE(frame.length - LENGTH_BYTES, 0)
  frame.writeUInt32BE(generation, 4)
  frame.writeUInt32BE(head.length, 8)
  head.copy(frame, FIXED_BYTES)
  data.copy(frame, FIXED_BYTES + head.length)
  return frame
}

/** Finds the frames in what a pipe brings, and shows those of its generation. */
export class FrameReader<Message extends ToSidecar | FromSidecar> {
  readonly #generation: number | null
  readonly #show: (message: Message, data: Buffer, generation: number) => void
  #chunks: Buffer[] = []
  #bytes = 0
  #neededBytes = LENGTH_BYTES

  /** `generation`: null for any. */
  constructor(generation: number | null, show: (message: Message, data: Buffer, generation: number) => void) {
    this.#generation = generation
    this.#show = show
  }

  /** Throws a RangeError for what is no frame. */
  read(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
    if (this.#bytes < this.#neededBytes) return
    let rest = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks, this.#bytes)
    for (;;) {
      this.#neededBytes = frameBytes(rest)
      if (rest.length < this.#neededBytes) break
      const frame = rest.subarray(0, this.#neededBytes)
      rest = rest.subarray(this.#neededBytes)
      const generation = frame.readUInt32BE(4)
      if (this.#generation !== null && generation !== this.#generation) continue
      const end = FIXED_BYTES + frame.readUInt32BE(8)
      if (end > frame.length) throw new RangeError('a frame ends before its head')
      const message = JSON.parse(frame.toString('utf8', FIXED_BYTES, end)) as Message
      this.#show(message, frame.subarray(end), generation)
    }
    this.#chunks = rest.length === 0 ? [] : [rest]
    this.#bytes = rest.length
  }
}

/** How many bytes the frame that begins here has, as far as that can be told. */
function frameBytes(bytes: Buffer): number {
  if (bytes.length < LENGTH_BYTES) return LENGTH_BYTES
  const length = LENGTH_BYTES + bytes.readUInt32BE(0)
  if (length < FIXED_BYTES || length > MAX_FRAME_BYTES) throw new RangeError(`a frame of ${length} bytes`)
  return length
}
