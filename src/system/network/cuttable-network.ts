import { Buffer } from 'node:buffer'
import type {
  Address,
  CloseReason,
  Connection,
  Listener,
  Network,
  OutgoingReceiver,
  Piece,
  Receiver,
} from '../../ports.ts'

/**
 * A network that can be taken away from whoever uses it, and given back: while it is cut its connections are gone and none
 * comes to be, in either direction. Ports stay taken, so that they are there again afterwards.
 */
export class CuttableNetwork implements Network {
  readonly hostName: string
  readonly #network: Network
  readonly #open = new Set<Connection>()
  #isCut = false

  constructor(network: Network) {
    this.#network = network
    this.hostName = network.hostName
  }

  cut(): void {
    this.#isCut = true
    for (const connection of this.#open) connection.destroy()
  }

  heal(): void {
    this.#isCut = false
  }

  listen(
    address: Address,
    accept: (connection: Connection) => Receiver | null,
    backlog?: number,
  ): Promise<Listener> {
    const acceptUncut = (connection: Connection): Receiver | null => {
      if (this.#isCut) return null
      const receiver = accept(connection)
      return receiver === null ? null : this.#watched(connection, receiver)
    }
    return this.#network.listen(address, acceptUncut, backlog)
  }

  connect(address: Address, receiver: OutgoingReceiver): Connection {
    if (this.#isCut) return new NoConnection(address, receiver)
    const connection: Connection = this.#network.connect(
      address,
      new Watching(receiver, (reason) => this.#gone(connection, receiver, reason)),
    )
    this.#open.add(connection)
    return connection
  }

  #watched(connection: Connection, receiver: Receiver): Receiver {
    this.#open.add(connection)
    return new Watching(receiver, (reason) => this.#gone(connection, receiver, reason))
  }

  #gone(connection: Connection, receiver: Receiver, reason: CloseReason): void {
    this.#open.delete(connection)
    // Its user did not ask for it.
    receiver.closed(this.#isCut && reason === 'destroyed' ? 'reset' : reason)
  }
}

class Watching implements OutgoingReceiver {
  readonly #receiver: Receiver & Partial<OutgoingReceiver>
  readonly closed: (reason: CloseReason) => void

  constructor(receiver: Receiver & Partial<OutgoingReceiver>, closed: (reason: CloseReason) => void) {
    this.#receiver = receiver
    this.closed = closed
  }

  connected(): void {
    this.#receiver.connected?.()
  }

  bytes(slab: Buffer, start: number, end: number): void {
    this.#receiver.bytes(slab, start, end)
  }

  drained(): void {
    this.#receiver.drained()
  }

  failed(error: unknown): void {
    this.#receiver.failed(error)
  }
}

/** What was asked for while there was no network. */
class NoConnection implements Connection {
  readonly remote: Address
  readonly local: Address = { host: '', port: 0 }
  readonly unsentBytes = 0
  readonly sentBytes = 0
  #reason: CloseReason = 'unreachable'

  constructor(address: Address, receiver: OutgoingReceiver) {
    this.remote = address
    setImmediate(() => {
      try {
        receiver.closed(this.#reason)
      } catch (error) {
        receiver.failed(error)
      }
    })
  }

  write(pieces: readonly Piece[]): void {
    for (const piece of pieces) if (!Buffer.isBuffer(piece)) piece.release()
  }

  pause(): void {}

  resume(): void {}

  end(): void {}

  destroy(): void {
    this.#reason = 'destroyed'
  }

  reset(): void {
    this.destroy()
  }
}
