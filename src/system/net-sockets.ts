import { Buffer } from 'node:buffer'
import net from 'node:net'
import type { Address, CloseReason, Connection, Listener, Network, Receiver } from '../ports.ts'
import { DiskFailure, toDiskFailure } from './disk-failure.ts'
import type { Turn } from './turn.ts'

/** One receive buffer for all sockets: the kernel fills it for one socket at a time, and `bytes` parses it in place. */
const SLAB_BYTES = 1 << 20
/** Below this many bytes one copy costs less than the bookkeeping of a vectored write. */
const JOIN_BYTES = 2048
const BACKLOG = 1024
const KEEP_ALIVE_DELAY_MS = 60_000
/** How long an ended connection waits for the peer to close its side. */
const END_GRACE_MS = 1000

/** The part of Node's socket that its types leave out: the handle, which another Socket object can adopt. */
interface HandleOwner {
  _handle?: object | null
}

interface AdoptOptions {
  readonly handle: object
  readonly onread: net.OnReadOpts
  readonly manualStart: boolean
  readonly writableHighWaterMark: number
}

export class NetSockets implements Network {
  readonly #turn: Turn
  readonly #slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
  #unwritten: SocketConnection[] = []
  #spare: SocketConnection[] = []
  readonly #flushBound = (): void => this.#flush()
  readonly #queueBound = (connection: SocketConnection): void => this.#queue(connection)

  constructor(turn: Turn) {
    this.#turn = turn
  }

  listen(address: Address, accept: (connection: Connection) => Receiver | null): Promise<Listener> {
    const server = net.createServer({
      pauseOnConnect: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS,
    })
    server.on('connection', (socket) => this.#accepted(socket, accept))
    return new Promise((resolve, reject) => {
      server.once('error', (error) => reject(toDiskFailure(error)))
      server.listen({ host: address.host, port: address.port, backlog: BACKLOG }, () => {
        server.removeAllListeners('error')
        // Errors of a single accept (too many open files) concern that connection only; the listener lives on.
        server.on('error', () => {})
        const bound = server.address()
        if (bound === null || typeof bound === 'string')
          reject(new DiskFailure('EADDRNOTAVAIL', 'no TCP address'))
        else resolve(new SocketListener(server, { host: bound.address, port: bound.port }))
      })
    })
  }

  #accepted(socket: net.Socket, accept: (connection: Connection) => Receiver | null): void {
    const connection = new SocketConnection(this.#adopt(socket), this.#queueBound)
    const receiver = accept(connection)
    if (receiver === null) connection.refuse()
    else connection.start(receiver, this.#slab)
  }

  /**
   * `onread` can only be asked for when a Socket is made, and the server makes its sockets without, so the handle
   * moves into a Socket of ours. Where there is no handle to move, 'data' events do the same at a higher price.
   */
  #adopt(accepted: net.Socket): AdoptedSocket {
    const owner: HandleOwner & net.Socket = accepted
    const handle = owner._handle
    if (handle === undefined || handle === null) return { socket: accepted, receive: null }
    const receive: ReceiveHook = { bytes: null }
    owner._handle = null
    const options: net.SocketConstructorOpts & AdoptOptions = {
      handle,
      onread: { buffer: this.#slab, callback: (length: number) => receive.bytes?.(length) ?? true },
      // 'drain' then comes after every write that the kernel did not take at once.
      writableHighWaterMark: 1,
      // Reading starts when the receiver is known.
      manualStart: true,
    }
    const socket = new net.Socket(options)
    // Without its handle the first socket only leaves the server's count of connections.
    accepted.on('error', () => {})
    accepted.destroy()
    return { socket, receive }
  }

  #queue(connection: SocketConnection): void {
    if (this.#unwritten.length === 0) this.#turn.at('reply', this.#flushBound)
    this.#unwritten.push(connection)
  }

  #flush(): void {
    const connections = this.#unwritten
    this.#unwritten = this.#spare
    for (const connection of connections) connection.flush()
    connections.length = 0
    this.#spare = connections
  }
}

/** Set once the receiver is known. */
interface ReceiveHook {
  bytes: ((length: number) => boolean) | null
}

interface AdoptedSocket {
  readonly socket: net.Socket
  /** Null: this socket delivers by 'data' events. */
  readonly receive: ReceiveHook | null
}

class SocketListener implements Listener {
  readonly address: Address
  readonly #server: net.Server

  constructor(server: net.Server, address: Address) {
    this.#server = server
    this.address = address
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      // An error means that it was closed before, which is what the caller wants.
      this.#server.close(() => resolve())
    })
  }
}

class SocketConnection implements Connection {
  readonly remote: Address
  readonly local: Address
  readonly #socket: net.Socket
  readonly #receive: ReceiveHook | null
  readonly #queue: (connection: SocketConnection) => void
  #receiver: Receiver | null = null
  #unwritten: Buffer[] = []
  #unwrittenBytes = 0
  #queued = false
  #reading = true
  /** No byte leaves any more: `end` was flushed, the peer is gone, or the socket was destroyed. */
  #finished = false
  #ending = false
  #awaitsDrain = false
  #reason: CloseReason = 'ended'

  constructor(adopted: AdoptedSocket, queue: (connection: SocketConnection) => void) {
    const socket = adopted.socket
    this.#socket = socket
    this.#receive = adopted.receive
    this.#queue = queue
    this.remote = { host: plainHost(socket.remoteAddress), port: socket.remotePort ?? 0 }
    this.local = { host: plainHost(socket.localAddress), port: socket.localPort ?? 0 }
    socket.on('error', () => {
      if (this.#reason !== 'destroyed') this.#reason = 'reset'
      this.#finished = true
    })
    socket.on('end', () => {
      this.#finished = true
      this.#dropUnwritten()
    })
    socket.on('drain', () => this.#drained())
    socket.on('close', () => this.#closed())
  }

  get unsentBytes(): number {
    return this.#unwrittenBytes + (this.#finished ? 0 : this.#socket.writableLength)
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

  /** For a connection nobody wants: gone, and nobody is told. */
  refuse(): void {
    this.#finished = true
    this.#socket.destroy()
  }

  write(buffers: readonly Buffer[]): void {
    if (this.#finished || this.#ending) return
    for (const buffer of buffers) {
      if (buffer.length === 0) continue
      this.#unwritten.push(buffer)
      this.#unwrittenBytes += buffer.length
    }
    if (this.#unwrittenBytes > 0) this.#wantFlush()
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
    if (this.#socket.destroyed) return
    this.#reason = 'destroyed'
    this.#finished = true
    this.#dropUnwritten()
    this.#socket.destroy()
  }

  /** The one write of this turn. */
  flush(): void {
    this.#queued = false
    if (this.#finished) return
    const buffers = this.#unwritten
    const first = buffers[0]
    if (first !== undefined) {
      const bytes = this.#unwrittenBytes
      this.#unwrittenBytes = 0
      if (buffers.length === 1) this.#socket.write(first)
      else if (bytes <= JOIN_BYTES) this.#socket.write(Buffer.concat(buffers, bytes))
      else this.#writeVectored(buffers)
      buffers.length = 0
      if (!this.#ending) this.#taken()
    }
    if (this.#ending) {
      this.#finished = true
      const socket = this.#socket
      // Closing over unread bytes would reset the connection and could cost the peer our last answer, so they are
      // read and dropped until the peer closes too. It does not get for ever to do so.
      socket.end(() => setTimeout(() => socket.destroy(), END_GRACE_MS).unref())
      this.#reading = true
      socket.resume()
    }
  }

  /** After a write: whatever the kernel took at once needs no 'drain' event. */
  #taken(): void {
    if (this.#socket.writableLength > 0) this.#awaitsDrain = true
    else this.#receiver?.drained()
  }

  #writeVectored(buffers: readonly Buffer[]): void {
    this.#socket.cork()
    for (const buffer of buffers) this.#socket.write(buffer)
    this.#socket.uncork()
  }

  #wantFlush(): void {
    if (this.#queued) return
    this.#queued = true
    this.#queue(this)
  }

  #dropUnwritten(): void {
    this.#unwritten = []
    this.#unwrittenBytes = 0
  }

  #drained(): void {
    if (!this.#awaitsDrain || this.#finished) return
    this.#awaitsDrain = false
    if (this.unsentBytes === 0) this.#receiver?.drained()
  }

  #closed(): void {
    this.#finished = true
    this.#dropUnwritten()
    const receiver = this.#receiver
    this.#receiver = null
    receiver?.closed(this.#reason)
  }
}

/** An IPv4 peer of a dual-stack socket shows as `::ffff:a.b.c.d`; clients are told plain addresses. */
function plainHost(host: string | undefined): string {
  if (host === undefined) return ''
  return host.startsWith('::ffff:') ? host.slice(7) : host
}
