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
import { TreeHistory } from './sim-zookeeper-history.ts'

/**
 * A ZooKeeper ensemble as its clients know it: sessions on one tree, over connections that are slow and break. A broken
 * one loses answers to calls that were carried out, and calls that were not; an expired session is seen as such late by
 * its own client and early by all others; a server shows what was, but never what was before anything that the session
 * has seen. Its protocol is not simulated: one conformance suite holds for it and for real servers.
 */
export class SimZooKeeper {
  readonly clock: Clock
  readonly random: SimRandom
  readonly maxDelayMs: number
  /** How far a server may be behind the others. */
  readonly maxLagMs: number
  readonly history: TreeHistory
  readonly #store: EmbeddedStore
  readonly #sessions = new Set<SimSession>()

  constructor(
    store: EmbeddedStore,
    clock: Clock,
    random: SimRandom,
    { maxDelayMs = 5, maxLagMs = 0 }: { readonly maxDelayMs?: number; readonly maxLagMs?: number } = {},
  ) {
    this.maxLagMs = maxLagMs
    this.history = new TreeHistory(store.connect())
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
  /** In order: timers of a real clock may fire in another one. */
  readonly #arriving: (() => void)[] = []
  readonly #answering: (() => void)[] = []
  /** The last change that this session knows of: no server shows it what was before. */
  #seen = 0
  /** How far the server is behind that has the session now. */
  #lagMs = 0
  readonly #ephemeral = new Set<string>()
  /** All that came before was answered. */
  #answered = Promise.resolve()

  constructor(ensemble: SimZooKeeper, server: MetadataStore, sessionTimeoutMs: number) {
    this.#ensemble = ensemble
    this.#server = server
    this.sessionTimeoutMs = sessionTimeoutMs
    this.#lagMs = ensemble.random.fraction() * ensemble.maxLagMs
  }

  create(path: string, data: Buffer, mode?: CreateMode): Promise<string> {
    const copy = Buffer.from(data)
    const isEphemeral = mode === 'ephemeral' || mode === 'ephemeral-sequential'
    return this.#ask(async () => {
      const created = this.#server.create(path, copy, mode)
      if (mode === undefined || mode === 'persistent' || mode === 'ephemeral')
        this.#changed(path, isEphemeral)
      const made = await created
      if (made !== path) this.#changed(made, isEphemeral)
      if (isEphemeral) this.#ephemeral.add(made)
      return made
    })
  }

  get(path: string, watch?: Watch): Promise<StoredNode | null> {
    return this.#ask(() => {
      const before = this.#lookBack(path, watch)
      if (before === undefined) return this.#server.get(path, this.#toldInOrder(watch))
      const { node = null, owner = null } = before ?? {}
      if (node === null) return Promise.resolve(null)
      return Promise.resolve({ data: node.data, stat: { ...node.stat, ownedByThisSession: owner === this } })
    })
  }

  set(path: string, data: Buffer, version: number): Promise<NodeStat> {
    const copy = Buffer.from(data)
    return this.#ask(() => {
      const set = this.#server.set(path, copy, version)
      this.#changed(path, false)
      return set
    })
  }

  delete(path: string, version: number): Promise<void> {
    return this.#ask(() => {
      const deleted = this.#server.delete(path, version)
      this.#changed(path, false)
      return deleted
    })
  }

  children(path: string, watch?: Watch): Promise<string[] | null> {
    return this.#ask(() => {
      const before = this.#lookBack(path, watch)
      if (before === undefined) return this.#server.children(path, this.#toldInOrder(watch))
      return Promise.resolve(before?.children === undefined ? null : before.children && [...before.children])
    })
  }

  onSession(listener: (event: SessionEvent) => void): void {
    this.#listeners.push(listener)
  }

  async close(): Promise<void> {
    if (this.#ended) return
    this.#end()
    await this.#closeOnServers()
  }

  async #closeOnServers(): Promise<void> {
    const closed = this.#server.close()
    for (const path of this.#ephemeral) this.#changed(path, false)
    await closed
  }

  /** After every call that may change something, also where it was refused: the refusal tells how far its server is. */
  #changed(path: string, isOwn: boolean): void {
    const { history, clock } = this.#ensemble
    // What is no path changes nothing.
    history.changed(path, clock.monotonicMs(), isOwn ? this : null).catch(() => undefined)
    this.#seen = history.transaction
  }

  /** What the server of this session takes this path for; undefined where it is as it is everywhere. */
  #lookBack(path: string, watch: Watch | undefined): ReturnType<TreeHistory['at']> {
    const { history, clock } = this.#ensemble
    this.#seen = Math.max(this.#seen, history.knownAt(clock.monotonicMs() - this.#lagMs))
    const before = history.at(path, this.#seen)
    // That server hears of the change later, and tells of it.
    if (before !== undefined && watch !== undefined)
      clock.after(this.#lagMs, () => this.#toldInOrder(watch)?.())
    return before
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
    // Who lost an answer asks the next server for what all of them know (`sync`).
    this.#seen = this.#ensemble.history.transaction
    this.#lagMs = this.#ensemble.random.fraction() * this.#ensemble.maxLagMs
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
    await this.#closeOnServers()
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
      this.#arriving.push(() => this.#arrive(request, connection))
      clock.after(this.#lastArrivalMs - clock.monotonicMs(), () => this.#arriving.shift()!())
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
    const carriedOut = request.carryOut().then(
      (result) => () => request.done(result),
      (error: unknown) => () => request.failed(error),
    )
    this.#answered = this.#answered.then(async () => answer(await carriedOut))
  }

  /** Answers and news of watches reach the client in the order in which they left. */
  #inOrder(connection: number, tell: () => void, lost: () => void = () => undefined): void {
    const { clock } = this.#ensemble
    this.#lastAnswerMs = Math.max(this.#lastAnswerMs + APART_MS, clock.monotonicMs() + this.#delay())
    this.#answering.push(() => {
      if (this.#ended) return
      if (connection === this.#connection) tell()
      else lost()
    })
    clock.after(this.#lastAnswerMs - clock.monotonicMs(), () => this.#answering.shift()!())
  }

  #toldInOrder(watch: Watch | undefined): Watch | undefined {
    if (watch === undefined) return undefined
    const tell = (): void => {
      // What a broken connection did not tell is told by the next one.
      if (this.#connected) this.#inOrder(this.#connection, watch, tell)
      else if (!this.#ended && !this.#expired) this.#ensemble.clock.after(this.#ensemble.maxDelayMs, tell)
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
