import { Buffer } from 'node:buffer'
import net from 'node:net'
import os from 'node:os'
import type { Address, Connection, Listener, Network, OutgoingReceiver, Receiver } from '../../ports.ts'
import { DiskFailure, toDiskFailure } from '../disk-failure.ts'
import { SocketConnection } from './socket-connection.ts'
import type { AdoptedSocket, HandleOwner, ReceiveHook } from './socket-connection.ts'
import type { DescriptorPool } from '../disk/descriptor-pool.ts'
import type { Turn } from '../turn.ts'

/** One receive buffer for all sockets: the kernel fills it for one socket at a time, and `bytes` parses it in place. */
const SLAB_BYTES = 1 << 20
const DEFAULT_BACKLOG = 1024
const KEEP_ALIVE_DELAY_MS = 60_000

interface SlabOptions {
  readonly onread: net.OnReadOpts
  readonly writableHighWaterMark: number
}

interface AdoptOptions extends SlabOptions {
  readonly handle: object
  readonly manualStart: boolean
}

export class NetSockets implements Network {
  readonly hostName = os.hostname()
  readonly #turn: Turn
  readonly #descriptors: DescriptorPool | null
  readonly #slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
  #unwritten: SocketConnection[] = []
  #spare: SocketConnection[] = []
  readonly #flushBound = (): void => this.#flush()
  readonly #queueBound = (connection: SocketConnection): void => this.#queue(connection)

  constructor(turn: Turn, descriptors: DescriptorPool | null = null) {
    this.#turn = turn
    this.#descriptors = descriptors
  }

  listen(
    address: Address,
    accept: (connection: Connection) => Receiver | null,
    backlog = DEFAULT_BACKLOG,
  ): Promise<Listener> {
    const server = net.createServer({
      pauseOnConnect: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS,
    })
    server.on('connection', (socket) => this.#accepted(socket, accept))
    return new Promise((resolve, reject) => {
      server.once('error', (error) => reject(toDiskFailure(error)))
      server.listen({ host: address.host, port: address.port, backlog }, () => {
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

  connect(address: Address, receiver: OutgoingReceiver): Connection {
    const receive: ReceiveHook = { bytes: null }
    const options: net.SocketConstructorOpts & SlabOptions = this.#slabOptions(receive)
    const socket = new net.Socket(options)
    socket.setNoDelay(true)
    socket.setKeepAlive(true, KEEP_ALIVE_DELAY_MS)
    this.#descriptors?.countSocket()
    socket.once('close', () => this.#descriptors?.socketClosed())
    const connection = new SocketConnection({ socket, receive }, this.#queueBound)
    connection.open(address, receiver, this.#slab)
    return connection
  }

  #accepted(socket: net.Socket, accept: (connection: Connection) => Receiver | null): void {
    if (this.#descriptors?.socketOpened() === false) {
      socket.destroy()
      return
    }
    const adopted = this.#adopt(socket)
    adopted.socket.once('close', () => this.#descriptors?.socketClosed())
    const connection = new SocketConnection(adopted, this.#queueBound)
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
      ...this.#slabOptions(receive),
      handle,
      // Reading starts when the receiver is known.
      manualStart: true,
    }
    const socket = new net.Socket(options)
    // Without its handle the first socket only leaves the server's count of connections.
    accepted.on('error', () => {})
    accepted.destroy()
    return { socket, receive }
  }

  #slabOptions(receive: ReceiveHook): SlabOptions {
    return {
      onread: { buffer: this.#slab, callback: (length: number) => receive.bytes?.(length) ?? true },
      // 'drain' then comes after every write that the kernel did not take at once.
      writableHighWaterMark: 1,
    }
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
