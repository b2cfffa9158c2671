import type { BrokerConfig } from '../../core/config/broker-config.ts'
import { messageOf } from '../../core/is-error.ts'
import { SamsaError } from '../../core/samsa-error.ts'
import type { MetadataStore, World } from '../../ports.ts'
import type { LastingStore } from '../layout/lasting-store.ts'
import { rejoinCluster } from './join-cluster.ts'
import type { Membership } from './join-cluster.ts'
import type { Registration } from './registration.ts'

const FIRST_DELAY_MS = 100
const MAX_DELAY_MS = 5_000

export interface RenewalOptions {
  readonly store: LastingStore
  readonly world: Pick<World, 'clock' | 'random' | 'logger'>
  readonly config: BrokerConfig
  readonly registration: Registration
  readonly open: () => Promise<MetadataStore>
  /** The broker is registered again, under this epoch. */
  readonly renewed: (brokerEpoch: number) => void
  /** Its place is lost: it must not go on. */
  readonly lost: (error: SamsaError) => void
}

/**
 * Follows a session that expired with another one, in which the broker registers again. It serves meanwhile: nobody else
 * may have taken its place, and if somebody did, it ends.
 */
export class SessionRenewal {
  readonly #options: RenewalOptions
  readonly #membership: Membership
  #closed = false
  /** The session in which the broker registers just now. */
  #candidate: MetadataStore | null = null

  constructor(options: RenewalOptions, membership: Membership, session: MetadataStore) {
    this.#options = options
    this.#membership = membership
    this.#follow(session)
  }

  /** When this resolves, nothing of what was under way is registered. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#candidate?.close()
  }

  #follow(session: MetadataStore): void {
    session.onSession((event) => {
      if (event === 'expired' && !this.#closed) void this.#renew()
    })
  }

  async #renew(): Promise<void> {
    const { logger, clock } = this.#options.world
    for (let delayMs = FIRST_DELAY_MS; !this.#closed; delayMs = Math.min(MAX_DELAY_MS, delayMs * 2)) {
      try {
        await this.#open()
        return
      } catch (error) {
        if (this.#closed) return
        if (error instanceof LostPlace) {
          this.#options.store.giveUp(error.reason)
          this.#options.lost(error.reason)
          return
        }
        logger.warn(
          { reason: messageOf(error), againInMs: delayMs },
          'no new session with the metadata store; records go on',
        )
      }
      await new Promise<void>((resolve) => clock.after(delayMs, resolve))
    }
  }

  async #open(): Promise<void> {
    const { store, world, config, registration, open, renewed } = this.#options
    const session = await open()
    let isOver = false
    session.onSession((event) => {
      if (event === 'expired') isOver = true
    })
    this.#candidate = session
    try {
      if (this.#closed) throw new Error('the broker ends')
      const brokerEpoch = await rejoinCluster(session, world, config, registration, this.#membership).catch(
        (error: unknown) => {
          throw error instanceof SamsaError ? new LostPlace(error) : error
        },
      )
      if (isOver || this.#closed) throw new Error('the session ended at once')
      renewed(brokerEpoch)
    } catch (error) {
      await session.close().catch(() => undefined)
      throw error
    } finally {
      this.#candidate = null
    }
    this.#follow(session)
    store.attach(session)
    world.logger.info({ broker: config['broker.id'] }, 'registered again in the metadata store')
  }
}

class LostPlace extends Error {
  readonly reason: SamsaError

  constructor(reason: SamsaError) {
    super(reason.message)
    this.reason = reason
  }
}
