import { strict as assert } from 'node:assert'
import { crc32 } from 'node:zlib'
import type { Address, CloseReason, Piece } from '../../src/ports.ts'
import { SimDiskError } from './sim-disk-image.ts'
import { SimFileSlice } from './sim-file.ts'
import type { SimRandom } from './sim-random.ts'
import type { SimOwner, SimScheduler } from './sim-scheduler.ts'

/**
 * Sockets. A connection is two streams of bytes, each in order. The bytes of one write arrive in pieces cut at
 * random places, each piece after a delay of its own; what the receiver does not take stays in a window of bounded
 * size and then with the sender (`unsentBytes`). Connections are reset by chance or by the test, at any byte.
 *
 * A process that dies resets its connections. What its kernel had already taken may still arrive; what waited for
 * the reply stage of the turn was never sent.
 *
 * Each machine has an address. A path from one to another can be cut, in one direction or in both: what is sent along it
 * waits, as it does for retransmissions, and arrives in order when the path is whole again. Nobody is told meanwhile: not of
 * a connection that was reset behind the cut, and not of one that nobody answers.
 *
 * A stretch of a file is read when the kernel takes it, piece by piece, and released when it has it all.
 *
 * The slab that `Receiver.bytes` gets is overwritten after the call: what a broker kept without copying turns to
 * garbage at once.
 */

export interface SimNetworkOptions {
  readonly minDelayMs: number
  readonly maxDelayMs: number
  /** Bytes a kernel holds for a receiver that does not read. */
  readonly windowBytes: number
}

const ORDINARY: SimNetworkOptions = {
  minDelayMs: 0.02,
  maxDelayMs: 2,
  windowBytes: 64 * 1024,
}
/** Bytes that a receiver is given at once. */
export const SLAB_BYTES = 64 * 1024

/** One end of a path. */
export interface SimHost {
  readonly host: string
}

interface SimListener {
  readonly owner: SimOwner
  readonly accept: (end: SimSocket) => void
}

/** All sockets of a world. */
export class SimFabric {
  /** Chance per delivered piece that the connection is reset instead. Tests change it as they go. */
  resetChance = 0
  readonly options: SimNetworkOptions
  readonly scheduler: SimScheduler
  readonly random: SimRandom
  private readonly hosts = new Set<string>()
  /** By address and port. */
  private readonly listeners = new Map<string, SimListener>()
  private readonly sockets = new Set<SimSocket>()
  /** What waits for a path that is cut, by its two ends. */
  private readonly cuts = new Map<string, (() => void)[]>()
  private nextPort = 40_000

  constructor(scheduler: SimScheduler, random: SimRandom, options: Partial<SimNetworkOptions> = {}) {
    this.scheduler = scheduler
    this.random = random
    this.options = { ...ORDINARY, ...options }
  }

  addHost({ host }: SimHost): void {
    this.hosts.add(host)
  }

  knows(host: string): boolean {
    return this.hosts.has(host)
  }

  listen(owner: SimOwner, { host }: SimHost, port: number, accept: (end: SimSocket) => void): number {
    const chosen = port === 0 ? this.nextPort++ : port
    const where = `${host}:${chosen}`
    if (this.listeners.get(where)?.owner.alive === true) throw new SimDiskError('EADDRINUSE', 'listen', where)
    this.listeners.set(where, { owner, accept })
    return chosen
  }

  unlisten(owner: SimOwner, { host }: SimHost, port: number): void {
    const where = `${host}:${port}`
    if (this.listeners.get(where)?.owner === owner) this.listeners.delete(where)
  }

  /** Null when nobody listens there. */
  listenerAt({ host, port }: Address): SimListener | null {
    const listener = this.listeners.get(`${host}:${port}`)
    return listener?.owner.alive === true ? listener : null
  }

  /** Two ends of a connection, of which the listener has not heard yet. */
  pair(from: SimOwner, fromHost: string, to: Address, listener: SimListener): SimPair {
    const local = { host: fromHost, port: this.nextPort++ }
    const near = new SimSocket(this, from, local, to)
    const far = new SimSocket(this, listener.owner, to, local)
    near.peer = far
    far.peer = near
    this.sockets.add(near).add(far)
    return { near, far }
  }

  /** For the user of a test, who is connected at once. Null when nobody listens there. */
  connect(from: SimOwner, fromHost: string, to: Address): SimSocket | null {
    const listener = this.listenerAt(to)
    if (listener === null) return null
    const { near, far } = this.pair(from, fromHost, to, listener)
    const delayMs = this.delayMs()
    near.nothingBefore(this.scheduler.nowMs + delayMs)
    this.scheduler.schedule(delayMs, 'net accept', listener.owner, () => {
      if (far.open) listener.accept(far)
    })
    return near
  }

  /** The process is gone: the other ends learn it. */
  abandon(owner: SimOwner): void {
    for (const [where, listener] of this.listeners) if (listener.owner === owner) this.listeners.delete(where)
    for (const socket of this.sockets) if (socket.owner === owner) socket.orphan()
  }

  forget(socket: SimSocket): void {
    this.sockets.delete(socket)
  }

  /** From now on nothing that `from` sends reaches `to`. */
  cut(from: SimHost, to: SimHost): void {
    const path = pathOf(from.host, to.host)
    if (!this.cuts.has(path)) this.cuts.set(path, [])
  }

  /** The path is whole again: what waited for it goes on its way. */
  heal(from: SimHost, to: SimHost): void {
    const path = pathOf(from.host, to.host)
    const waiting = this.cuts.get(path) ?? []
    this.cuts.delete(path)
    for (const send of waiting) send()
  }

  /** Sends along a path, now or when it is whole again. */
  along(from: string, to: string, send: () => void): void {
    const waiting = this.cuts.get(pathOf(from, to))
    if (waiting === undefined) send()
    else waiting.push(send)
  }

  delayMs(): number {
    const { minDelayMs, maxDelayMs } = this.options
    return minDelayMs + this.random.fraction() * (maxDelayMs - minDelayMs)
  }
}

interface SimPair {
  readonly near: SimSocket
  readonly far: SimSocket
}

function pathOf(from: string, to: string): string {
  return `${from} > ${to}`
}

/** One end of a connection. */
export class SimSocket {
  readonly owner: SimOwner
  readonly local: Address
  readonly remote: Address
  peer: SimSocket | null = null
  onBytes: (bytes: Buffer) => void = () => {}
  onDrained: () => void = () => {}
  onClosed: (reason: CloseReason) => void = () => {}
  private readonly fabric: SimFabric
  private unsent: Outgoing[] = []
  private unsentLength = 0
  /** Moved into the kernel so far. */
  sentLength = 0
  /** Taken by the kernel, not yet given to the receiver at the other end. */
  private inFlight = 0
  private arrived: Buffer[] = []
  private lastArrivalMs = 0
  private paused = false
  private ending = false
  private endSent = false
  private endArrived = false
  private closed = false

  constructor(fabric: SimFabric, owner: SimOwner, local: Address, remote: Address) {
    this.fabric = fabric
    this.owner = owner
    this.local = local
    this.remote = remote
  }

  get unsentBytes(): number {
    return this.unsentLength
  }

  get open(): boolean {
    return !this.closed
  }

  /** Nothing this end sends arrives earlier: it was not accepted yet. */
  nothingBefore(timeMs: number): void {
    this.lastArrivalMs = timeMs
  }

  send(piece: Piece): void {
    if (this.closed || this.ending || piece.length === 0) return dropPiece(piece)
    assert(Buffer.isBuffer(piece) || piece instanceof SimFileSlice)
    this.unsent.push({ piece, sum: Buffer.isBuffer(piece) ? crc32(piece) : 0, sent: 0 })
    this.unsentLength += piece.length
    this.pump()
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    if (!this.paused) return
    this.paused = false
    this.fabric.scheduler.schedule(0, 'net resume', this.owner, () => this.deliver())
  }

  end(): void {
    this.ending = true
    this.pump()
  }

  /** Closes both ends at once; bytes on the way are lost. */
  destroy(reason: CloseReason = 'destroyed'): void {
    if (this.closed) return
    this.close(reason)
    this.resetPeer(() => this.fabric.delayMs())
  }

  /** The owner died. What the kernel had taken may still arrive before the reset. */
  orphan(): void {
    this.dropUnsent()
    this.closed = true
    this.fabric.forget(this)
    const early = this.fabric.random.chance(0.5)
    this.resetPeer(() => (early ? 0 : Math.max(0, this.lastArrivalMs - this.fabric.scheduler.nowMs)))
  }

  private resetPeer(delayMs: () => number): void {
    const { peer, fabric } = this
    if (peer === null) return
    fabric.along(this.local.host, this.remote.host, () =>
      fabric.scheduler.schedule(delayMs(), 'net reset', peer.owner, () => peer.close('reset')),
    )
  }

  /** Moves bytes into the kernel as far as the window allows. */
  private pump(): void {
    const { scheduler, options, random } = this.fabric
    const peer = this.peer
    if (this.closed || peer === null) return
    const hadUnsent = this.unsentLength > 0
    while (this.unsent.length > 0 && this.inFlight < options.windowBytes) {
      const head = this.unsent[0] as Outgoing
      const most = Math.min(head.piece.length - head.sent, options.windowBytes - this.inFlight, SLAB_BYTES)
      const length = random.chance(0.7) ? most : 1 + random.below(most)
      // The sender gave the buffer away: it must stay as it is until the kernel has a copy of all of it.
      const piece = takeBytes(head, length)
      // The file is shorter than what was promised to the receiver: nothing sensible can follow.
      if (piece.length < length) return this.reset()
      const sum = crc32(piece)
      if (head.sent === head.piece.length) {
        if (Buffer.isBuffer(head.piece))
          assert.equal(crc32(head.piece), head.sum, 'bytes changed after they were handed to the network')
        this.unsent.shift()
        dropPiece(head.piece)
      }
      this.unsentLength -= length
      this.sentLength += length
      this.inFlight += length
      this.travel('net bytes', () => peer.arrive(piece, sum))
    }
    if (hadUnsent && this.unsentLength === 0) {
      scheduler.schedule(0, 'net drained', this.owner, () => {
        if (!this.closed && this.unsentLength === 0) this.onDrained()
      })
    }
    if (this.ending && !this.endSent && this.unsentLength === 0) {
      this.endSent = true
      this.travel('net end', () => peer.arriveEnd())
    }
  }

  /** One stream keeps its order: nothing arrives before what was sent earlier. */
  travel(label: string, arrive: () => void): void {
    const { scheduler } = this.fabric
    this.fabric.along(this.local.host, this.remote.host, () => {
      this.lastArrivalMs = Math.max(this.lastArrivalMs, scheduler.nowMs + this.fabric.delayMs())
      scheduler.schedule(this.lastArrivalMs - scheduler.nowMs, label, this.peer?.owner ?? null, arrive)
    })
  }

  private arrive(piece: Buffer, sum: number): void {
    if (this.closed) return
    assert.equal(crc32(piece), sum, 'bytes changed after they were handed to the network')
    this.fabric.scheduler.trace('bytes', sum)
    if (this.fabric.random.chance(this.fabric.resetChance)) return this.reset()
    this.arrived.push(piece)
    this.deliver()
  }

  private reset(): void {
    this.close('reset')
    this.resetPeer(() => this.fabric.delayMs())
  }

  private arriveEnd(): void {
    this.endArrived = true
    this.deliver()
  }

  private deliver(): void {
    while (!this.closed && !this.paused && this.arrived.length > 0) {
      const piece = this.arrived.shift() as Buffer
      this.onBytes(piece)
      const peer = this.peer
      if (peer !== null) {
        peer.inFlight -= piece.length
        if (!peer.closed) this.fabric.scheduler.schedule(0, 'net window', peer.owner, () => peer.pump())
      }
    }
    if (this.closed || this.paused || !this.endArrived || this.arrived.length > 0) return
    // No half-open connections: the other side's end is answered with ours as soon as all is sent.
    this.end()
    if (this.unsentLength === 0) this.close('ended')
    else this.fabric.scheduler.schedule(1, 'net closing', this.owner, () => this.deliver())
  }

  private dropUnsent(): void {
    // The descriptors of a process that is gone are gone too.
    if (this.owner.alive) for (const { piece } of this.unsent) dropPiece(piece)
    this.unsent = []
    this.unsentLength = 0
  }

  private close(reason: CloseReason): void {
    if (this.closed) return
    this.closed = true
    this.dropUnsent()
    this.arrived = []
    this.fabric.forget(this)
    this.fabric.scheduler.schedule(0, 'net closed', this.owner, () => this.onClosed(reason))
  }
}

interface Outgoing {
  readonly piece: Buffer | SimFileSlice
  /** Of a buffer, when it was handed over. */
  readonly sum: number
  sent: number
}

function takeBytes(from: Outgoing, length: number): Buffer {
  const { piece, sent } = from
  from.sent += length
  return Buffer.isBuffer(piece) ? Buffer.from(piece.subarray(sent, sent + length)) : piece.take(sent, length)
}

/** It is sent, or will never be. */
export function dropPiece(piece: Piece): void {
  if (!Buffer.isBuffer(piece)) piece.release()
}
