import { SamsaError } from '../../../src/core/samsa-error.ts'
import type {
  CreateMode,
  MetadataStore,
  NodeStat,
  SessionEvent,
  StoredNode,
  Watch,
} from '../../../src/ports.ts'
import { EmbeddedStore } from '../../../src/system/store/embedded-store.ts'
import type { SimProcess } from '../sim-machine.ts'
import type { SimWorld } from '../sim-world.ts'
import { SimZooKeeper } from '../sim-zookeeper.ts'
import type { SimSession } from '../sim-zookeeper.ts'

/** How long a broker's helper, which has the session, takes to see that the broker is gone. */
const SEEN_DEAD_MS = 5
/** How often one that cannot reach the ensemble looks again. */
const RETRY_MS = 20

interface HeldBy {
  readonly process: SimProcess
  readonly session: SimSession
}

/** The ensemble of a simulated cluster, and which process has which session. It has a machine to itself, which never dies. */
export class ClusterStore {
  readonly ensemble: SimZooKeeper
  readonly sessionTimeoutMs: number
  /** Sees what is in the tree, at once. */
  readonly witness: MetadataStore
  readonly #sim: SimWorld
  readonly #held: HeldBy[] = []
  /** Until when nobody, or a broker, can reach it. */
  #awayUntilMs = 0
  readonly #cutUntilMs = new Map<number, number>()

  private constructor(
    sim: SimWorld,
    ensemble: SimZooKeeper,
    witness: MetadataStore,
    sessionTimeoutMs: number,
  ) {
    this.#sim = sim
    this.ensemble = ensemble
    this.witness = witness
    this.sessionTimeoutMs = sessionTimeoutMs
  }

  static async start(sim: SimWorld, sessionTimeoutMs: number, maxLagMs: number): Promise<ClusterStore> {
    const { world } = sim.start()
    const store = await EmbeddedStore.open(world, '/zookeeper')
    const ensemble = new SimZooKeeper(store, world.clock, sim.random.fork(), { maxDelayMs: 3, maxLagMs })
    return new ClusterStore(sim, ensemble, store.connect(), sessionTimeoutMs)
  }

  /** A session of this process. As production code does, it gives up when no server answers in time. */
  async open(process: SimProcess, brokerId: number): Promise<MetadataStore> {
    const deadlineMs = this.#sim.scheduler.nowMs + this.sessionTimeoutMs
    while (this.#reachableAtMs(brokerId) > this.#sim.scheduler.nowMs) {
      if (this.#sim.scheduler.nowMs > deadlineMs)
        throw new SamsaError('SAMSA_METADATA_STORE', 'no server of ZooKeeper answered in time')
      await this.#sim.sleep(RETRY_MS)
    }
    const session = this.ensemble.connect(this.sessionTimeoutMs)
    this.#held.push({ process, session })
    return new HeldSession(process, session)
  }

  /** The process is gone. Its helper ends the session, or died with it: then the ensemble waits for it in vain. */
  async processDied(process: SimProcess, withHelper: boolean): Promise<void> {
    const sessions = this.#sessionsOf(process)
    await this.#sim.sleep(withHelper ? this.sessionTimeoutMs : SEEN_DEAD_MS)
    for (const session of sessions) await (withHelper ? session.expire() : session.close())
  }

  /** The sessions end, and the living process hears of it so much later. */
  expire(process: SimProcess, seenAfterMs: number): void {
    for (const session of this.#sessionsOf(process)) void session.expire(seenAfterMs)
  }

  /** No server can be reached. That time does not count for sessions. */
  away(forMs: number): void {
    this.#awayUntilMs = Math.max(this.#awayUntilMs, this.#sim.scheduler.nowMs + forMs)
    this.ensemble.away(forMs)
  }

  /** One broker cannot reach it, and after a while has no session any more. */
  cutOff(process: SimProcess, brokerId: number, forMs: number): void {
    this.#cutUntilMs.set(brokerId, this.#sim.scheduler.nowMs + forMs)
    for (const session of this.#sessionsOf(process)) {
      session.cut(forMs)
      const { sessionTimeoutMs } = this
      if (forMs < sessionTimeoutMs) continue
      void this.#sim.sleep(sessionTimeoutMs).then(() => session.expire(forMs - sessionTimeoutMs))
    }
  }

  async json(path: string): Promise<Record<string, unknown> | null> {
    const node = await this.witness.get(path)
    return node === null ? null : (JSON.parse(node.data.toString()) as Record<string, unknown>)
  }

  #reachableAtMs(brokerId: number): number {
    return Math.max(this.#awayUntilMs, this.#cutUntilMs.get(brokerId) ?? 0)
  }

  #sessionsOf(process: SimProcess): SimSession[] {
    return this.#held.filter((held) => held.process === process).map(({ session }) => session)
  }
}

/** A session in the hands of a process: one that is dead asks nothing and hears nothing. */
class HeldSession implements MetadataStore {
  readonly #process: SimProcess
  readonly #session: SimSession

  constructor(process: SimProcess, session: SimSession) {
    this.#process = process
    this.#session = session
  }

  get sessionTimeoutMs(): number {
    return this.#session.sessionTimeoutMs
  }

  create(path: string, data: Buffer, mode?: CreateMode): Promise<string> {
    return this.#alive(() => this.#session.create(path, data, mode))
  }

  get(path: string, watch?: Watch): Promise<StoredNode | null> {
    return this.#alive(() => this.#session.get(path, this.#heard(watch)))
  }

  set(path: string, data: Buffer, version: number): Promise<NodeStat> {
    return this.#alive(() => this.#session.set(path, data, version))
  }

  delete(path: string, version: number): Promise<void> {
    return this.#alive(() => this.#session.delete(path, version))
  }

  children(path: string, watch?: Watch): Promise<string[] | null> {
    return this.#alive(() => this.#session.children(path, this.#heard(watch)))
  }

  onSession(listener: (event: SessionEvent) => void): void {
    this.#session.onSession((event) => {
      if (this.#process.alive) listener(event)
    })
  }

  close(): Promise<void> {
    return this.#alive(() => this.#session.close())
  }

  #heard(watch: Watch | undefined): Watch | undefined {
    if (watch === undefined) return undefined
    return () => {
      if (this.#process.alive) watch()
    }
  }

  #alive<T>(ask: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (!this.#process.alive) return
      ask().then(
        (result) => this.#process.alive && resolve(result),
        (error: unknown) => this.#process.alive && reject(error as Error),
      )
    })
  }
}
