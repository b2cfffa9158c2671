import type {
  Clock,
  CreateMode,
  MetadataStore,
  NodeStat,
  SessionEvent,
  StoredNode,
  Watch,
} from '../../src/ports.ts'
import type { EmbeddedStore } from '../../src/system/store/embedded-store.ts'
import { StoreError } from '../../src/system/store/embedded-store-tree.ts'
import type { SimRandom } from './sim-random.ts'

/**
 * A ZooKeeper ensemble as its clients know it: sessions on one tree, over connections that are slow and break. A broken
 * one loses answers to calls that were carried out, and calls that were not; an expired session is seen as such late by
 * its own client and early by all others. Its protocol is not simulated: one conformance suite holds for it and for real
 * servers.
 */
export class SimZooKeeper {
  readonly clock: Clock
  readonly random: SimRandom
  readonly maxDelayMs: number
  readonly #store: EmbeddedStore
  readonly #sessions = new Set<SimSession>()

  constructor(store: EmbeddedStore, clock: Clock, random: SimRandom, maxDelayMs = 5) {
    this.#store = store
    this.clock = clock
    this.random = random
    this.maxDelayMs = maxDelayMs
  }

  connect(sessionTimeoutMs = 6_000): SimSession {
    const session = new SimSession(this, this.#store.connect(), sessionTimeoutMs)
    this.#sessions.add(session)
    return session
  }

  /** No server can be reached for so long. Time that servers are away does not count for sessions. */
  away(forMs: number): void {
    for (const session of this.#sessions) session.cut(forMs)
  }
}

/** Between two that must not change places: those of one moment are shuffled. */
const APART_MS = 0.01

/** What was asked and not answered. */
interface Request {
  readonly carryOut: () => Promise<unknown>
  readonly done: (result: unknown) => void
  readonly failed: (error: unknown) => void
  arrived: boolean
}

export class SimSession implements MetadataStore {
  readonly sessionTimeoutMs: number
  readonly #ensemble: SimZooKeeper
  readonly #server: MetadataStore
  #listeners: ((event: SessionEvent) => void)[] = []
  #unanswered: Request[] = []
  /** Grows with each connection: what comes from an older one is lost. */
  #connection = 1
  #connected = true
  #expired = false
  #ended = false
  /** Nothing overtakes what was sent before it. */
  #lastArrivalMs = 0
  #lastAnswerMs = 0

  constructor(ensemble: SimZooKeeper, server: MetadataStore, sessionTimeoutMs: number) {
    this.#ensemble = ensemble
    this.#server = server
    this.sessionTimeoutMs = sessionTimeoutMs
  }

  create(path: string, data: Buffer, mode?: CreateMode): Promise<string> {
    const copy = Buffer.from(data)
    return this.#ask(() => this.#server.create(path, copy, mode))
  }

  get(path: string, watch?: Watch): Promise<StoredNode | null> {
    return this.#ask(() => this.#server.get(path, this.#toldInOrder(watch)))
  }

  set(path: string, data: Buffer, version: number): Promise<NodeStat> {
    const copy = Buffer.from(data)
    return this.#ask(() => this.#server.set(path, copy, version))
  }

  delete(path: string, version: number): Promise<void> {
    return this.#ask(() => this.#server.delete(path, version))
  }

  children(path: string, watch?: Watch): Promise<string[] | null> {
    return this.#ask(() => this.#server.children(path, this.#toldInOrder(watch)))
  }

  onSession(listener: (event: SessionEvent) => void): void {
    this.#listeners.push(listener)
  }

  async close(): Promise<void> {
    if (this.#ended) return
    this.#end()
    await this.#server.close()
  }

  /** Breaks the connection; another one is there after so long. */
  cut(forMs: number): void {
    if (this.#ended || this.#expired || !this.#connected) return
    // Of what is on its way some may still arrive.
    const onTheirWay = this.#unanswered.filter(({ arrived }) => !arrived)
    const arriving = onTheirWay.slice(0, this.#ensemble.random.below(onTheirWay.length + 1))
    for (const request of arriving) this.#arrive(request, this.#connection)
    this.#connection += 1
    this.#connected = false
    const lost = this.#unanswered
    this.#unanswered = []
    // Some hear of it before they hear that the connection is gone, and some after.
    const early = this.#ensemble.random.below(lost.length + 1)
    for (const { failed } of lost.slice(0, early)) failed(connectionLoss())
    this.#tell('disconnected')
    for (const { failed } of lost.slice(early)) failed(connectionLoss())
    this.#ensemble.clock.after(forMs, () => {
      if (this.#ended || this.#expired) return
      this.#connected = true
      this.#tell('connected')
    })
  }

  /** The servers end the session now; its client hears of it so much later. */
  async expire(seenAfterMs = 0): Promise<void> {
    if (this.#ended || this.#expired) return
    this.#expired = true
    this.#connection += 1
    await this.#server.close()
    await new Promise<void>((resolve) => this.#ensemble.clock.after(seenAfterMs, resolve))
    if (this.#ended) return
    this.#end()
    this.#tell('expired')
  }

  #end(): void {
    this.#ended = true
    const unanswered = this.#unanswered
    this.#unanswered = []
    for (const { failed } of unanswered) failed(sessionExpired())
  }

  #ask<T>(carryOut: () => Promise<T>): Promise<T> {
    if (this.#ended) return Promise.reject(sessionExpired())
    return new Promise<T>((resolve, reject) => {
      const request: Request = {
        carryOut,
        done: resolve as (result: unknown) => void,
        failed: reject,
        arrived: false,
      }
      const { clock } = this.#ensemble
      if (!this.#connected) {
        clock.after(this.#delay(), () => reject(this.#ended ? sessionExpired() : connectionLoss()))
        return
      }
      this.#unanswered.push(request)
      const connection = this.#connection
      this.#lastArrivalMs = Math.max(this.#lastArrivalMs + APART_MS, clock.monotonicMs() + this.#delay())
      clock.after(this.#lastArrivalMs - clock.monotonicMs(), () => this.#arrive(request, connection))
    })
  }

  #arrive(request: Request, connection: number): void {
    if (connection !== this.#connection || request.arrived) return
    request.arrived = true
    // One that was on its way when the connection broke is answered to nobody.
    const answer = (tell: () => void): void =>
      this.#inOrder(connection, () => {
        const at = this.#unanswered.indexOf(request)
        if (at === -1) return
        this.#unanswered.splice(at, 1)
        tell()
      })
    request.carryOut().then(
      (result) => answer(() => request.done(result)),
      (error: unknown) => answer(() => request.failed(error)),
    )
  }

  /** Answers and news of watches reach the client in the order in which they left. */
  #inOrder(connection: number, tell: () => void): void {
    const { clock } = this.#ensemble
    this.#lastAnswerMs = Math.max(this.#lastAnswerMs + APART_MS, clock.monotonicMs() + this.#delay())
    clock.after(this.#lastAnswerMs - clock.monotonicMs(), () => {
      if (connection === this.#connection && !this.#ended) tell()
    })
  }

  #toldInOrder(watch: Watch | undefined): Watch | undefined {
    if (watch === undefined) return undefined
    const tell = (): void => {
      // What a broken connection did not tell is told by the next one.
      if (this.#connected) this.#inOrder(this.#connection, watch)
      else this.#ensemble.clock.after(this.#ensemble.maxDelayMs, tell)
    }
    return () => {
      if (!this.#ended && !this.#expired) tell()
    }
  }

  #delay(): number {
    return this.#ensemble.random.fraction() * this.#ensemble.maxDelayMs
  }

  #tell(event: SessionEvent): void {
    for (const listener of this.#listeners) listener(event)
  }
}

function connectionLoss(): StoreError {
  return new StoreError('CONNECTION_LOSS', 'the connection was lost')
}

function sessionExpired(): StoreError {
  return new StoreError('SESSION_EXPIRED', 'the session has ended')
}
