import { strict as assert } from 'node:assert'
import type {
  Address,
  CloseReason,
  Connection,
  Listener,
  Network,
  OutgoingReceiver,
  Piece,
  Receiver,
} from '../../src/ports.ts'
import { dropPiece, SLAB_BYTES } from './sim-network.ts'
import type { SimFabric, SimHost, SimSocket } from './sim-network.ts'
import type { SimOwner } from './sim-scheduler.ts'

/** The network port of one process. */
export class SimNetwork implements Network {
  readonly hostName: string
  private readonly fabric: SimFabric
  private readonly owner: SimOwner
  private readonly machine: SimHost
  private readonly slab = Buffer.alloc(SLAB_BYTES * 2)

  constructor(fabric: SimFabric, owner: SimOwner, machine: SimHost) {
    this.fabric = fabric
    this.owner = owner
    this.machine = machine
    this.hostName = machine.host
  }

  listen(address: Address, accept: (connection: Connection) => Receiver | null): Promise<Listener> {
    return new Promise((resolve, reject) => {
      this.fabric.scheduler.schedule(this.fabric.delayMs(), 'net listen', this.owner, () => {
        try {
          const port = this.fabric.listen(this.owner, this.machine, address.port, (socket) =>
            this.accepted(socket, accept),
          )
          resolve({
            address: { host: address.host, port },
            close: () => Promise.resolve(this.fabric.unlisten(this.owner, this.machine, port)),
          })
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)))
        }
      })
    })
  }

  connect(address: Address, receiver: OutgoingReceiver): Connection {
    const connection = new SimConnection(this.fabric, this.owner, address)
    this.dial(address, connection, receiver)
    return connection
  }

  private accepted(socket: SimSocket, accept: (connection: Connection) => Receiver | null): void {
    const connection = new SimConnection(this.fabric, this.owner, socket.remote)
    connection.attach(socket)
    const receiver = accept(connection)
    if (receiver === null) return socket.destroy()
    this.deliverTo(receiver, socket)
  }

  /** One way to the other machine, one way back; either may be cut. */
  private dial(address: Address, connection: SimConnection, receiver: OutgoingReceiver): void {
    const { fabric, owner, machine } = this
    const { scheduler } = fabric
    const give = (reason: CloseReason): void => {
      if (connection.isConnecting) receiver.closed(connection.isDestroyed ? 'destroyed' : reason)
      connection.isConnecting = false
    }
    connection.onDestroyed = () => scheduler.schedule(0, 'net closed', owner, () => give('destroyed'))
    const back = (label: string, run: () => void): void =>
      fabric.along(address.host, machine.host, () => scheduler.schedule(fabric.delayMs(), label, owner, run))
    if (!fabric.knows(address.host)) {
      scheduler.schedule(fabric.delayMs(), 'net unreachable', owner, () => give('unreachable'))
      return
    }
    fabric.along(machine.host, address.host, () =>
      scheduler.schedule(fabric.delayMs(), 'net connect', null, () => {
        const listener = fabric.listenerAt(address)
        if (listener === null) return back('net refused', () => give('refused'))
        const { near, far } = fabric.pair(owner, machine.host, address, listener)
        // Before whatever the listener sends.
        far.travel('net connected', () => this.connected(connection, near, receiver))
        listener.accept(far)
      }),
    )
  }

  private connected(connection: SimConnection, socket: SimSocket, receiver: OutgoingReceiver): void {
    if (!connection.isConnecting || connection.isDestroyed) return socket.destroy()
    connection.isConnecting = false
    if (!socket.open) return receiver.closed('refused')
    this.deliverTo(receiver, socket)
    receiver.connected()
    connection.attach(socket)
  }

  private deliverTo(receiver: Receiver, socket: SimSocket): void {
    socket.onBytes = (bytes) => {
      const start = this.fabric.random.below(this.slab.length - bytes.length)
      bytes.copy(this.slab, start)
      receiver.bytes(this.slab, start, start + bytes.length)
      this.slab.fill(0xdd, start, start + bytes.length)
    }
    socket.onDrained = () => receiver.drained()
    socket.onClosed = (reason) => receiver.closed(reason)
  }
}

class SimConnection implements Connection {
  readonly remote: Address
  isConnecting = true
  isDestroyed = false
  onDestroyed: () => void = () => {}
  private readonly fabric: SimFabric
  private readonly owner: SimOwner
  private socket: SimSocket | null = null
  private queued: Piece[] = []
  private queuedBytes = 0
  private endAfter = false
  private isPaused = false

  constructor(fabric: SimFabric, owner: SimOwner, remote: Address) {
    this.fabric = fabric
    this.owner = owner
    this.remote = remote
  }

  /** The connection is there: what was written for it leaves. */
  attach(socket: SimSocket): void {
    this.isConnecting = false
    this.socket = socket
    if (this.isPaused) socket.pause()
    this.flush()
  }

  get local(): Address {
    return this.socket?.local ?? { host: '', port: 0 }
  }

  get unsentBytes(): number {
    return this.queuedBytes + (this.socket?.unsentBytes ?? 0)
  }

  get sentBytes(): number {
    return this.socket?.sentLength ?? 0
  }

  write(pieces: readonly Piece[]): void {
    assert(!this.endAfter, 'write after end')
    if (this.queued.length === 0) this.fabric.scheduler.atEndOfTurn('reply', this.owner, () => this.flush())
    for (const piece of pieces) {
      this.queued.push(piece)
      this.queuedBytes += piece.length
    }
  }

  pause(): void {
    this.isPaused = true
    this.socket?.pause()
  }

  resume(): void {
    this.isPaused = false
    this.socket?.resume()
  }

  end(): void {
    this.endAfter = true
    if (this.queued.length === 0) this.socket?.end()
  }

  destroy(): void {
    for (const piece of this.queued) dropPiece(piece)
    this.queued = []
    this.queuedBytes = 0
    this.isDestroyed = true
    if (this.socket === null) this.onDestroyed()
    else this.socket.destroy()
  }

  reset(): void {
    this.destroy()
  }

  private flush(): void {
    const { socket } = this
    if (socket === null) return
    const pieces = this.queued
    this.queued = []
    this.queuedBytes = 0
    for (const piece of pieces) socket.send(piece)
    if (this.endAfter) socket.end()
  }
}
