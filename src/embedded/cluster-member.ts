import type { BrokerConfig } from '../core/config/broker-config.ts'
import { SamsaError } from '../core/samsa-error.ts'
import type { Logger, MetadataStore } from '../ports.ts'
import { startBroker } from '../server/start-broker.ts'
import type { RunningBroker } from '../server/start-broker.ts'
import { noMetrics } from '../system/figures/no-metrics.ts'
import { keptAlive } from '../system/kept-alive.ts'
import { CuttableNetwork } from '../system/network/cuttable-network.ts'
import type { EmbeddedStore } from '../system/store/embedded-store.ts'
import { StoreError } from '../system/store/embedded-store-tree.ts'
import { engineOptionsOf, startSystemWorld } from '../system/system-world.ts'

export interface MemberParts {
  readonly id: number
  readonly store: EmbeddedStore
  readonly logger: Logger
  /** For a listener on this port; 0 picks one. */
  readonly configAt: (port: number) => BrokerConfig
}

/** From the first try to start it until it ends. */
interface Life {
  readonly running: RunningBroker
  readonly network: CuttableNetwork
  readonly closeWorld: () => void
}

/** One broker of a cluster in this process: it may die, come back, and be cut off from all others meanwhile. */
export class ClusterMember {
  readonly id: number
  readonly #parts: MemberParts
  #life: Life | null = null
  #port = 0
  #addresses: RunningBroker['addresses'] = new Map()
  #session: ReturnType<EmbeddedStore['connect']> | null = null
  #isCutOff = false
  #hasEnded = false
  readonly #whenReachable: (() => void)[] = []
  /** What was asked of it is done one after the other. */
  #work: Promise<unknown> = Promise.resolve()

  constructor(parts: MemberParts) {
    this.id = parts.id
    this.#parts = parts
  }

  /** Of its listeners; the same in each of its lives. */
  get addresses(): RunningBroker['addresses'] {
    return this.#addresses
  }

  /** Null while it is not there, or nobody reaches it. */
  get reachable(): RunningBroker | null {
    return this.#isCutOff ? null : (this.#life?.running ?? null)
  }

  get isCutOff(): boolean {
    return this.#isCutOff
  }

  /** Does nothing to one that runs. Rejects as `startBroker` does; who is cut off would wait for `heal`, which waits its turn. */
  start(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#life !== null) return
      if (this.#isCutOff) throw new SamsaError('SAMSA_REFUSED', `broker ${this.id} is cut off`)
      this.#life = await this.#begin()
    })
  }

  /** Does nothing to one that does not run. */
  stop(): Promise<void> {
    return this.#end(({ running }) => running.stop())
  }

  /** As `kill -9`. */
  kill(): Promise<void> {
    return this.#end(({ network, running }) => {
      network.cut()
      return running.kill()
    })
  }

  /** Nobody reaches it and it reaches nobody; its session with the metadata store is over. */
  isolate(): Promise<void> {
    return this.#inTurn(async () => {
      this.#isCutOff = true
      this.#life?.network.cut()
      await this.#session?.expire()
    })
  }

  heal(): Promise<void> {
    return this.#inTurn(() => {
      this.#isCutOff = false
      this.#life?.network.heal()
      this.#tellWhoWaits()
      return Promise.resolve()
    })
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#work.then(work)
    this.#work = done.catch(() => undefined)
    return done
  }

  async #begin(): Promise<Life> {
    this.#hasEnded = false
    const { store, logger, configAt } = this.#parts
    const config = configAt(this.#port)
    const { world, close } = await startSystemWorld({ logger, metrics: noMetrics }, engineOptionsOf(config))
    const network = new CuttableNetwork(world.network)
    try {
      const open = (): Promise<MetadataStore> => this.#openSession(store)
      const running = await keptAlive(startBroker({ ...world, network }, config, open, true))
      this.#addresses = running.addresses
      this.#port = [...running.addresses.values()][0]!.port
      return { running, network, closeWorld: close }
    } catch (error) {
      close()
      throw error
    }
  }

  #end(how: (life: Life) => Promise<unknown>): Promise<void> {
    return this.#inTurn(async () => {
      const life = this.#life
      if (life === null) return
      this.#life = null
      this.#hasEnded = true
      this.#tellWhoWaits()
      try {
        await keptAlive(how(life))
      } finally {
        life.closeWorld()
      }
    })
  }

  async #openSession(store: EmbeddedStore): Promise<MetadataStore> {
    while (this.#isCutOff && !this.#hasEnded)
      await new Promise<void>((resolve) => this.#whenReachable.push(resolve))
    if (this.#hasEnded) throw new StoreError('CONNECTION_LOSS', 'the broker has ended')
    return (this.#session = store.connect())
  }

  #tellWhoWaits(): void {
    for (const resolve of this.#whenReachable.splice(0)) resolve()
  }
}
