import type { BrokerConfig } from '../../core/config/broker-config.ts'
import { messageOf } from '../../core/is-error.ts'
import { SamsaError } from '../../core/samsa-error.ts'
import type { MetadataStore, World } from '../../ports.ts'
import { claimBrokerId } from '../changes/claim.ts'
import { checkClusterId } from '../changes/cluster-id.ts'
import type { Registration } from '../changes/registration.ts'
import { LastingStore } from '../layout/lasting-store.ts'
import { createIfMissing, deleteIfThere } from '../layout/store-steps.ts'
import { randomUuid } from '../layout/uuid.ts'
import {
  CLUSTER_DIRECTORIES,
  Damage,
  decodeClusterId,
  encodeClusterId,
  paths,
  PERSISTENT_DIRECTORIES,
  whole,
} from '../layout/znodes.ts'

const FIRST_DELAY_MS = 100
const MAX_DELAY_MS = 5_000

/** A session in which this broker is registered. What was asked in one is never asked again in another. */
export interface RegisteredSession {
  readonly store: MetadataStore
  readonly brokerEpoch: number
}

export interface MembershipParts {
  readonly world: Pick<World, 'clock' | 'random' | 'logger'>
  readonly config: BrokerConfig
  readonly registration: Registration
  readonly openStore: () => Promise<MetadataStore>
  /** Of the log directories; null when they are new. */
  readonly clusterId: string | null
  /** Under which epoch this broker stopped cleanly; -1: it did not, or never ran. */
  readonly cleanShutdownEpoch: number
  /** The broker cannot have its place again, and must end. */
  readonly lost: (error: SamsaError) => void
}

export interface MembershipListener {
  registered(session: RegisteredSession): void
  /** The session is over; another one follows. */
  ended(): void
}

/**
 * This broker's place in the cluster: a node of its own, as long as its session lasts. A session that ends is followed by
 * another one; which epochs this process has held goes along, so that nobody takes it for one that lost its memory
 * (KIP-966). It serves meanwhile: whoever leads goes on until somebody else was elected.
 */
export class Membership {
  readonly clusterId: string
  readonly #parts: MembershipParts
  readonly #lineage: number[]
  readonly #own = new Set<number>()
  #listener: MembershipListener | null = null
  #session: RegisteredSession | null = null
  /** Of the session in use, or of the one in which the broker registers just now. */
  #store: LastingStore | null = null
  #brokerEpoch = -1
  #closed = false

  private constructor(parts: MembershipParts, clusterId: string) {
    this.#parts = parts
    this.clusterId = clusterId
    this.#lineage = parts.cleanShutdownEpoch === -1 ? [] : [parts.cleanShutdownEpoch]
  }

  /** Registers the broker. Rejects with SAMSA_CONFIG or SAMSA_METADATA_STORE when it cannot be a member. */
  static async join(parts: MembershipParts): Promise<Membership> {
    const session = await parts.openStore()
    const store = lastingStore(parts, session)
    try {
      const clusterId = await prepareTree(store, parts)
      const membership = new Membership(parts, clusterId)
      await membership.#register(store, session)
      return membership
    } catch (error) {
      await store.close().catch(() => undefined)
      throw error
    }
  }

  /** Null while the broker has none. */
  get session(): RegisteredSession | null {
    return this.#session
  }

  /** Of the session that it has, or had last. */
  get brokerEpoch(): number {
    return this.#brokerEpoch
  }

  /** This very process is registered, or was, under this epoch. */
  isOwnEpoch(brokerEpoch: number): boolean {
    return this.#own.has(brokerEpoch)
  }

  /** Hears of the session there is at once. */
  listen(listener: MembershipListener): void {
    this.#listener = listener
    if (this.#session !== null) listener.registered(this.#session)
  }

  /** The broker stops: nobody is to count on it any more. */
  async withdraw(): Promise<void> {
    const path = paths.brokerId(this.#parts.config['broker.id'])
    // Without a session the node is gone, too.
    await (this.#session && deleteIfThere(this.#session.store, path).catch(() => undefined))
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#session = null
    await this.#store?.close()
  }

  async #register(store: LastingStore, session: MetadataStore): Promise<void> {
    const { config, registration, world } = this.#parts
    this.#store = store
    const id = config['broker.id']
    const node = await claimBrokerId(store, world, id, registration.encoded(this.#lineage))
    const brokerEpoch = node.stat.createdTransaction
    // However short this session is: the controller may have accepted it by now.
    this.#lineage.push(brokerEpoch)
    let isOver = false
    session.onSession((event) => {
      if (event !== 'expired') return
      isOver = true
      if (this.#session?.brokerEpoch === brokerEpoch) this.#ended()
    })
    // One that expired before somebody listened says so to who asks.
    await store.get(paths.brokerId(id))
    if (isOver || this.#closed) throw new Error('the session ended at once')
    this.#brokerEpoch = brokerEpoch
    this.#own.add(brokerEpoch)
    this.#session = { store, brokerEpoch }
    this.#listener?.registered(this.#session)
  }

  #ended(): void {
    this.#session = null
    this.#listener?.ended()
    if (!this.#closed) void this.#renew()
  }

  async #renew(): Promise<void> {
    const { clock, logger } = this.#parts.world
    const broker = this.#parts.config['broker.id']
    for (let delayMs = FIRST_DELAY_MS; !this.#closed; delayMs = Math.min(MAX_DELAY_MS, delayMs * 2)) {
      try {
        await this.#open()
        logger.info({ broker, epoch: this.#brokerEpoch }, 'registered again in the metadata store')
        return
      } catch (error) {
        if (this.#closed) return
        if (error instanceof SamsaError) return this.#parts.lost(error)
        logger.warn(
          { reason: messageOf(error), againInMs: delayMs },
          'no new session with the metadata store; records go on',
        )
      }
      await new Promise<void>((resolve) => clock.after(delayMs, resolve))
    }
  }

  async #open(): Promise<void> {
    const session = await this.#parts.openStore().catch((error: unknown) => {
      // Why no server is reached does not matter here: the broker goes on, and asks again.
      throw new Error(messageOf(error), { cause: error })
    })
    const store = lastingStore(this.#parts, session)
    try {
      const node = await store.get(paths.clusterId)
      const found = node === null ? null : decodeClusterId(node.data)
      // It is no other cluster's: somebody will repair it.
      if (found instanceof Damage) throw new Error(`${found.path}: ${found.reason}`)
      if (found !== this.clusterId)
        throw new SamsaError(
          'SAMSA_METADATA_STORE',
          `the metadata store changed while this broker had no session with it: it is not that of cluster ${this.clusterId} any more`,
        )
      await this.#register(store, session)
    } catch (error) {
      await store.close().catch(() => undefined)
      throw error
    }
  }
}

/** Outlives lost connections, and ends with the session. */
function lastingStore({ world }: MembershipParts, session: MetadataStore): LastingStore {
  const store = new LastingStore(world.clock, session)
  session.onSession((event) => {
    if (event === 'expired') store.giveUp()
  })
  return store
}

/** Makes what is always there, and tells whose it is. */
async function prepareTree(store: MetadataStore, parts: MembershipParts): Promise<string> {
  const { config, world, clusterId } = parts
  const candidate = clusterId ?? config['cluster.id'] ?? randomUuid(world.random)
  // An empty one would tell all brokers that there are no topics any more: somebody must say what became of it.
  const isNew = (await store.get(paths.clusterId)) === null
  const directories = [...PERSISTENT_DIRECTORIES, ...CLUSTER_DIRECTORIES].filter(
    (path) => isNew || path !== paths.topics,
  )
  await Promise.all(directories.map((path) => createIfMissing(store, path)))
  // A directory of a cluster whose ensemble was emptied must not find itself without topics.
  if (clusterId === null) await createIfMissing(store, paths.clusterId, encodeClusterId(candidate))
  const node = await store.get(paths.clusterId)
  if (node === null)
    throw new SamsaError(
      'SAMSA_METADATA_STORE',
      `zookeeper.connect=${config['zookeeper.connect']}: there is no cluster here yet, and log.dirs=${config['log.dirs'].join(',')}: meta.properties says cluster ${clusterId}`,
    )
  const found = whole(decodeClusterId(node.data))
  checkClusterId(config, clusterId, found)
  return found
}
