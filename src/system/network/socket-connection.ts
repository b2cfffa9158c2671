import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import type net from 'node:net'
import { codeOf } from '../../core/is-error.ts'
import type { Address, CloseReason, Connection, OutgoingReceiver, Piece, Receiver } from '../../ports.ts'
import { DescriptorSlice } from '../disk/file-slice.ts'

/** Below this many bytes one copy costs less than the bookkeeping of a vectored write. */
const JOIN_BYTES = 2048
/** How long an ended connection waits for the peer to close its side. */
const END_GRACE_MS = 1000
/** Pieces that have left are dropped from the list in one go when there are this many, and most of it is. */
const FORGET_AFTER = 64
/** Of slices, per connection and turn: the others get their turn. */
const SLICE_BYTES_PER_TURN = 2 << 20
/** Of a slice, when the socket takes no more: written the usual way, its 'drain' says when there is room again. */
const NUDGE_BYTES = 16 * 1024
/** Of a slice whose bytes have left the page cache meanwhile: read at once. */
const READ_BYTES = 64 * 1024

/** The part of Node's socket that its types leave out: the handle, which another Socket object can adopt. */
export interface HandleOwner {
  _handle?: {
    readonly fd?: number
    /** Of everything that was given to the handle, and what of it the kernel has not taken. */
    readonly bytesWritten?: number
    readonly writeQueueSize?: number
  } | null
}

/** Set once the receiver is known. */
export interface ReceiveHook {
  bytes: ((length: number) => boolean) | null
}

export interface AdoptedSocket {
  readonly socket: net.Socket
  /** Null: this socket delivers by 'data' events. */
  readonly receive: ReceiveHook | null
}

/**
 * One socket. What is written in a turn leaves at its end, in one write.
 *
 * Slices of files go from the page cache to the socket by sendfile, past Node's stream: whenever the stream has
 * nothing queued, so that the order of the bytes holds. The kernel does not tell us when a socket that took only a
 * part can take more; it tells libuv, so the next few bytes of the slice go through the stream, and when those have
 * left sendfile goes on.
 */
export class SocketConnection implements Connection {
  #remote: Address
  #local: Address
  readonly #socket: net.Socket
  readonly #receive: ReceiveHook | null
  readonly #queue: (connection: SocketConnection) => void
  #receiver: Receiver | null = null
  #unwritten: (Buffer | DescriptorSlice)[] = []
  /** Pieces before this one have left: an answer may have tens of thousands. */
  #next = 0
  /** Of a slice under way only what is left of it. */
  #unwrittenBytes = 0
  /** How many of the unwritten pieces are slices. */
  #slices = 0
  /** Bytes of slices that went past the stream. */
  #sentOfSlices = 0
  /** The first slice is read from the device. */
  #readingSlice = false
  /** Slices of earlier turns are unwritten. */
  #stalled = false
  #queued = false
  #reading = true
  /** No byte leaves any more: `end` was flushed, the peer is gone, or the socket was destroyed. */
  #finished = false
  #ending = false
  #connecting = false
  #awaitsDrain = false
  #reason: CloseReason = 'ended'

  constructor(adopted: AdoptedSocket, queue: (connection: SocketConnection) => void) {
    const socket = adopted.socket
    this.#socket = socket
    this.#receive = adopted.receive
    this.#queue = queue
    this.#remote = { host: plainHost(socket.remoteAddress), port: socket.remotePort ?? 0 }
    this.#local = localOf(socket)
    socket.on('error', (error) => {
      if (this.#reason !== 'destroyed') this.#reason = this.#connecting ? whyNotConnected(error) : 'reset'
      this.#finished = true
    })
    socket.on('end', () =>
      this.#guarded(() => {
        this.#finished = true
        this.#dropUnwritten()
      }),
    )
    socket.on('drain', () => this.#guarded(() => this.#drained()))
    socket.on('close', () => this.#guarded(() => this.#closed()))
  }

  get remote(): Address {
    return this.#remote
  }

  get local(): Address {
    return this.#local
  }

  get unsentBytes(): number {
    return this.#unwrittenBytes + (this.#finished ? 0 : this.#socket.writableLength)
  }

  get sentBytes(): number {
    const owner: HandleOwner & net.Socket = this.#socket
    const { bytesWritten, writeQueueSize } = owner._handle ?? {}
    const written =
      bytesWritten === undefined || writeQueueSize === undefined
        ? this.#socket.bytesWritten - this.#socket.writableLength
        : bytesWritten - writeQueueSize
    return this.#sentOfSlices + written
  }

  start(receiver: Receiver, slab: Buffer): void {
    this.#receiver = receiver
    if (this.#receive !== null) {
      this.#receive.bytes = (length) => {
        if (!this.#finished) receiver.bytes(slab, 0, length)
        return this.#reading
      }
    } else {
      this.#socket.on('data', (chunk: Buffer) => {
        if (!this.#finished) receiver.bytes(chunk, 0, chunk.length)
      })
    }
    if (this.#reading) this.#socket.resume()
  }

  /** Asks for the connection. What is written meanwhile waits here. */
  open(address: Address, receiver: OutgoingReceiver, slab: Buffer): void {
    this.#remote = address
    this.#connecting = true
    this.start(receiver, slab)
    this.#socket.once('connect', () =>
      this.#guarded(() => {
        this.#connecting = false
        this.#local = localOf(this.#socket)
        receiver.connected()
        if (this.#anyUnwritten || this.#ending) this.#wantFlush()
      }),
    )
    this.#socket.connect({ host: address.host, port: address.port })
  }

  /** For a connection nobody wants: gone, and nobody is told. */
  refuse(): void {
    this.#finished = true
    this.#socket.destroy()
  }

  write(pieces: readonly Piece[]): void {
    const refused = this.#finished || this.#ending
    for (const piece of pieces) {
      if (Buffer.isBuffer(piece)) {
        if (refused || piece.length === 0) continue
        this.#unwritten.push(piece)
      } else {
        assert(piece instanceof DescriptorSlice)
        if (refused) {
          piece.release()
          continue
        }
        this.#unwritten.push(piece)
        this.#slices++
      }
      this.#unwrittenBytes += piece.length
    }
    if (this.#anyUnwritten) this.#wantFlush()
  }

  pause(): void {
    if (!this.#reading) return
    this.#reading = false
    this.#socket.pause()
  }

  resume(): void {
    if (this.#reading) return
    this.#reading = true
    if (!this.#finished && this.#receiver !== null) this.#socket.resume()
  }

  end(): void {
    if (this.#finished || this.#ending) return
    this.#ending = true
    this.#wantFlush()
  }

  destroy(): void {
    if (this.#abandon()) this.#socket.destroy()
  }

  reset(): void {
    if (this.#abandon()) this.#socket.resetAndDestroy()
  }

  /** False when the socket is gone already. */
  #abandon(): boolean {
    if (this.#socket.destroyed) return false
    this.#reason = 'destroyed'
    this.#finished = true
    this.#dropUnwritten()
    return true
  }

  /** The one write of this turn. */
  flush(): void {
    this.#guarded(() => this.#flush())
  }

  #flush(): void {
    this.#queued = false
    if (this.#finished || this.#readingSlice || this.#connecting) return
    const any = this.#anyUnwritten
    if (this.#slices > 0) this.#send(this.#stalled)
    else this.#writeBuffers()
    this.#stalled = this.#slices > 0
    this.#sent(any)
  }

  /** After a write, when nothing is left to be written. */
  #sent(any: boolean): void {
    if (this.#anyUnwritten || this.#finished) return
    if (!this.#ending) {
      if (any) this.#taken()
      return
    }
    this.#finished = true
    const socket = this.#socket
    // Closing over unread bytes would reset the connection and could cost the peer our last answer, so they are
    // read and dropped until the peer closes too. It does not get for ever to do so.
    socket.end(() => setTimeout(() => socket.destroy(), END_GRACE_MS).unref())
    this.#reading = true
    socket.resume()
  }

  /** Whatever the kernel took at once needs no 'drain' event. */
  #taken(): void {
    if (this.#socket.writableLength > 0) this.#awaitsDrain = true
    else this.#receiver?.drained()
  }

  get #anyUnwritten(): boolean {
    return this.#next < this.#unwritten.length
  }

  /** Hands the buffers before the first slice to the stream. */
  #writeBuffers(): void {
    const buffers = this.#takeBuffers()
    let bytes = 0
    for (const buffer of buffers) bytes += buffer.length
    this.#unwrittenBytes -= bytes
    const first = buffers[0]
    if (first === undefined) return
    if (buffers.length === 1) this.#socket.write(first)
    else if (bytes <= JOIN_BYTES) this.#socket.write(Buffer.concat(buffers, bytes))
    else this.#writeVectored(buffers)
  }

  #takeBuffers(): readonly Buffer[] {
    const pieces = this.#unwritten
    if (this.#slices === 0 && this.#next === 0) {
      this.#unwritten = []
      return pieces as Buffer[]
    }
    const buffers: Buffer[] = []
    for (
      let piece = pieces[this.#next];
      piece !== undefined && isBuffer(piece);
      piece = pieces[++this.#next]
    ) {
      buffers.push(piece)
    }
    this.#forgetWritten()
    return buffers
  }

  /** A reader that never catches up must not keep what it was sent. */
  #forgetWritten(): void {
    if (!this.#anyUnwritten) this.#unwritten = []
    else if (this.#next >= FORGET_AFTER && 2 * this.#next >= this.#unwritten.length)
      this.#unwritten.splice(0, this.#next)
    else return
    this.#next = 0
  }

  #writeVectored(buffers: readonly Buffer[]): void {
    this.#socket.cork()
    for (const buffer of buffers) this.#socket.write(buffer)
    this.#socket.uncork()
  }

  // ---------------------------------------------------------------------------------------------------------- slices

  /**
   * Sends pieces until the socket takes no more. `late`: the turn in which the slices were made is over, and their
   * bytes may have left the page cache; sending them then would stop the loop until the device has them.
   */
  #send(late: boolean): void {
    let share = SLICE_BYTES_PER_TURN
    while (!this.#finished && this.#anyUnwritten) {
      this.#writeBuffers()
      const slice = this.#unwritten[this.#next]
      if (slice === undefined || isBuffer(slice)) return
      if (this.#socket.writableLength > 0) {
        this.#awaitsDrain = true
        return
      }
      if (share <= 0) {
        setImmediate(() =>
          this.#guarded(() => {
            if (this.#slices > 0) this.#goOn()
          }),
        )
        return
      }
      const length = Math.min(slice.left, share)
      if (late && !slice.inMemory(length)) {
        this.#readOn(slice)
        return
      }
      const sent = slice.sendTo(this.#descriptor(), length)
      if (sent < 0) {
        this.#fail()
        return
      }
      share -= sent
      this.#sentOfSlices += sent
      this.#count(slice, sent)
      if (sent < length && !this.#nudge(slice)) return
    }
  }

  /** False: the slice goes on when its bytes were read. */
  #nudge(slice: DescriptorSlice): boolean {
    const bytes = Buffer.allocUnsafe(Math.min(NUDGE_BYTES, slice.left))
    const count = slice.readNow(bytes)
    if (count < 0) {
      this.#readOn(slice)
      return false
    }
    this.#count(slice, count)
    this.#socket.write(bytes.subarray(0, count))
    return true
  }

  #readOn(slice: DescriptorSlice): void {
    this.#readingSlice = true
    const bytes = Buffer.allocUnsafe(Math.min(READ_BYTES, slice.left))
    slice.read(bytes, (count) =>
      this.#guarded(() => {
        this.#readingSlice = false
        if (this.#finished) return
        if (count < 0) {
          this.#fail()
          return
        }
        this.#count(slice, count)
        this.#socket.write(bytes.subarray(0, count))
        this.#goOn()
      }),
    )
  }

  /** After a pause. */
  #goOn(): void {
    if (this.#finished || this.#readingSlice) return
    this.#send(true)
    this.#stalled = this.#slices > 0
    this.#sent(true)
  }

  /** `bytes` of the slice, which is the first unwritten piece, are on their way. */
  #count(slice: DescriptorSlice, bytes: number): void {
    this.#unwrittenBytes -= bytes
    if (slice.left > 0) return
    this.#next++
    this.#slices--
    this.#forgetWritten()
    slice.release()
  }

  #descriptor(): number {
    const owner: HandleOwner & net.Socket = this.#socket
    return owner._handle?.fd ?? -1
  }

  /** The rest of an answer cannot be sent: the peer is gone, or the file was cut. */
  #fail(): void {
    this.#reason = 'reset'
    this.#finished = true
    this.#dropUnwritten()
    this.#socket.destroy()
  }

  /** The ways in from the event loop: what goes wrong ends this connection, and no other. */
  #guarded(run: () => void): void {
    try {
      run()
    } catch (error) {
      const receiver = this.#receiver
      this.#fail()
      receiver?.failed(error)
    }
  }

  #wantFlush(): void {
    if (this.#queued) return
    this.#queued = true
    this.#queue(this)
  }

  #dropUnwritten(): void {
    const pieces = this.#unwritten.slice(this.#next)
    this.#unwritten = []
    this.#next = 0
    this.#unwrittenBytes = 0
    this.#slices = 0
    for (const piece of pieces) if (!isBuffer(piece)) piece.release()
  }

  #drained(): void {
    if (!this.#awaitsDrain || this.#finished || this.#socket.writableLength > 0) return
    this.#awaitsDrain = false
    if (this.#slices > 0) this.#goOn()
    else if (this.unsentBytes === 0) this.#receiver?.drained()
  }

  #closed(): void {
    this.#finished = true
    this.#dropUnwritten()
    const receiver = this.#receiver
    this.#receiver = null
    receiver?.closed(this.#reason)
  }
}

function localOf(socket: net.Socket): Address {
  return { host: plainHost(socket.localAddress), port: socket.localPort ?? 0 }
}

function whyNotConnected(error: Error): CloseReason {
  return codeOf(error) === 'ECONNREFUSED' ? 'refused' : 'unreachable'
}

/** An IPv4 peer of a dual-stack socket shows as `::ffff:a.b.c.d`; clients are told plain addresses. */
function plainHost(host: string | undefined): string {
  if (host === undefined) return ''
  return host.startsWith('::ffff:') ? host.slice(7) : host
}

function isBuffer(piece: Buffer | DescriptorSlice): piece is Buffer {
  return !(piece instanceof DescriptorSlice)
}
