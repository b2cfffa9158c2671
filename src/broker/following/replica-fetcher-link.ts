import { messageOf } from '../../core/is-error.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import type { World } from '../../ports.ts'
import { BrokerLink } from '../../wire/broker-link.ts'
import { sayHello } from '../../wire/hello.ts'
import { LinkError } from '../../wire/link-error.ts'

const FIRST_BACKOFF_MS = 50
const MAX_BACKOFF_MS = 1_000
/** Between two lines about a leader that is not reached. */
const TELL_AGAIN_MS = 30_000
/** What is in an answer besides records. */
const MAX_OTHER_BYTES = 16 << 20

const LOST = 'a leader is lost, and asked for again and again'
const NEVER_REACHED =
  'a leader is not reached, and asked for again and again: brokers must reach it where its listeners or advertised.listeners say'

/** The way to a leader: one connection at a time, and another one when it is lost. */
export class ReplicaFetcherLink {
  readonly #world: World
  readonly #metadata: Metadata
  readonly #leader: number
  #link: BrokerLink | null = null
  /** Which the leader was told of on this connection. */
  #brokerEpoch = -1
  #backoffMs = 0
  #isToldLost = false
  #tellAgainMs = 0
  /** It answered once. */
  #isKnown = false
  #isGivenUp = false
  #closed = false

  constructor(world: World, metadata: Metadata, leader: number) {
    this.#world = world
    this.#metadata = metadata
    this.#leader = leader
  }

  /** Milliseconds until `open` is to be called. */
  get waitMs(): number {
    const { random } = this.#world
    // Many brokers lose the same one at once.
    return this.#backoffMs * (0.5 + random.uint32() / 2 ** 33)
  }

  /** A connection on which the leader knows who asks. Rejects with a LinkError. */
  async open(): Promise<BrokerLink> {
    const { clusterId, nodeId, brokerEpoch, config, cluster } = this.#metadata
    if (this.#closed) throw new LinkError('closed', 'the connection was given up')
    const address = cluster?.addressOf(this.#leader) ?? null
    if (address === null) throw new LinkError('unreachable', 'nobody knows its address')
    const maxBytes = Math.max(config['replica.fetch.response.max.bytes'], config['socket.request.max.bytes'])
    const link = new BrokerLink(this.#world, {
      address,
      clientId: `samsa-follower-${nodeId}`,
      requestTimeoutMs: config['replica.socket.timeout.ms'],
      maxResponseBytes: Math.min(maxBytes + MAX_OTHER_BYTES, 2 ** 31 - 1),
    })
    this.#link?.close()
    this.#link = link
    this.#isGivenUp = false
    this.#brokerEpoch = brokerEpoch
    await sayHello(link, { clusterId, brokerId: nodeId, brokerEpoch })
    return link
  }

  /** The registration that the leader was told of is still the one of this broker. */
  get isCurrent(): boolean {
    return this.#brokerEpoch === this.#metadata.brokerEpoch
  }

  /** An answer came. */
  works(): void {
    this.#backoffMs = 0
    this.#isKnown = true
    if (!this.#isToldLost) return
    this.#isToldLost = false
    this.#world.logger.info({ leader: this.#leader }, 'a leader that was lost is followed again')
  }

  /** There is to be another connection, at once. */
  giveUp(): void {
    this.#isGivenUp = true
    this.#link?.close()
  }

  lost(error: unknown): void {
    this.#link?.close()
    this.#link = null
    const isGivenUp = this.#isGivenUp
    this.#isGivenUp = false
    if (isGivenUp) return
    this.#backoffMs = Math.min(MAX_BACKOFF_MS, Math.max(FIRST_BACKOFF_MS, this.#backoffMs * 2))
    if (!this.#closed) this.#tellLost(messageOf(error))
  }

  #tellLost(reason: string): void {
    const { clock, logger } = this.#world
    const nowMs = clock.monotonicMs()
    if (this.#isToldLost && nowMs < this.#tellAgainMs) return
    this.#isToldLost = true
    this.#tellAgainMs = nowMs + TELL_AGAIN_MS
    const leader = this.#leader
    const address = this.#metadata.cluster?.addressOf(leader) ?? null
    const fields = { leader, address: address === null ? null : `${address.host}:${address.port}`, reason }
    logger.warn(fields, this.#isKnown ? LOST : NEVER_REACHED)
  }

  close(): void {
    this.#closed = true
    this.#link?.close()
  }
}
