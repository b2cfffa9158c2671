import type { RateLimitedLog } from '../broker/rate-limited-log.ts'
import type { BrokerConfig } from '../core/config/broker-config.ts'
import type { Logger } from '../ports.ts'
import { whoIs } from './server-shared.ts'
import type { Counted, Gate } from './server-shared.ts'

/** Of those who have not said who they are, beyond the limits of clients or before these are let in. */
const MAX_NEWCOMERS = 64
/**
 * Of one broker, from one address: a few to the controller and those of its fetchers, and for a while others that it has lost,
 * which is not known here.
 */
const PEERS_BESIDE_FETCHERS = 16
const PEERS_PER_FETCHER = 4
/** Of all brokers, from wherever. */
const MAX_PEERS = 4_000
/** A broker says who it is as soon as it is connected. */
const NEWCOMER_MS = 5_000

/** What it asks of the broker. */
interface Rules {
  readonly logger: Logger
  readonly refusals: RateLimitedLog
  config(): BrokerConfig
  /** There are other brokers. */
  isCluster(): boolean
}

/**
 * Everyone who is connected. Clients are counted, and limited by `max.connections` and `max.connections.per.ip`. Other
 * brokers are not, or clients could keep them away; so where there are some, the limits hold from the first request on,
 * which tells who it is. Of a broker that connects too often that connection goes that was silent for longest. They are counted
 * by address, so that who takes the name of a broker elsewhere does not end those of the broker itself.
 */
export class Census<Connection extends Counted> implements Gate {
  readonly clients = new Set<Connection>()
  /** With the broker, and its address. */
  readonly #peers = new Map<Connection, string>()
  /** Not counted yet, oldest first, and since when. */
  readonly #newcomers = new Map<Connection, number>()
  readonly #clientsByHost = new Map<string, number>()
  readonly #rules: Rules
  /** Clients are let in. */
  isOpen = false

  constructor(rules: Rules) {
    this.#rules = rules
  }

  get takesPeers(): boolean {
    return this.#rules.isCluster()
  }

  get size(): number {
    return this.clients.size + this.#peers.size + this.#newcomers.size
  }

  get peers(): Iterable<Connection> {
    return this.#peers.keys()
  }

  *everyone(): Iterable<Connection> {
    yield* this.clients
    yield* this.peers
    yield* this.#newcomers.keys()
  }

  /** The key of the limit that keeps another client of this host out; null when there is room. */
  reached(host: string): 'max.connections' | 'max.connections.per.ip' | null {
    const config = this.#rules.config()
    const perIp = config.connectionOverrides.get(host) ?? config['max.connections.per.ip']
    if (this.clients.size >= config['max.connections']) return 'max.connections'
    return (this.#clientsByHost.get(host) ?? 0) >= perIp ? 'max.connections.per.ip' : null
  }

  /** Whether somebody from there may connect at all. */
  mayArrive(host: string, listener: string): boolean {
    const limit = this.takesPeers ? null : this.reached(host)
    if (limit !== null) this.#refuse(host, listener, limit)
    return limit === null
  }

  arrived(connection: Connection, nowMs: number): void {
    const { host } = connection.clientAddress
    if (!this.takesPeers || (this.isOpen && this.reached(host) === null)) {
      this.#count(connection)
      return
    }
    const [oldest] = this.#newcomers.keys()
    if (this.#newcomers.size >= MAX_NEWCOMERS) oldest!.dismiss()
    this.#newcomers.set(connection, nowMs)
  }

  asClient(connection: Connection): boolean {
    if (!this.#newcomers.has(connection)) return true
    const { clientAddress, listenerName } = connection
    const limit = this.isOpen ? this.reached(clientAddress.host) : null
    if (this.isOpen && limit === null) {
      this.#newcomers.delete(connection)
      this.#count(connection)
      return true
    }
    if (limit !== null) this.#refuse(clientAddress.host, listenerName, limit)
    else this.#rules.logger.debug(whoIs(connection), 'connection closed: clients are not let in yet')
    connection.dismiss('reset')
    return false
  }

  asPeer(connection: Connection, brokerId: number): void {
    this.left(connection)
    const who = `${brokerId} at ${connection.clientAddress.host}`
    const fetchers = this.#rules.config()['num.replica.fetchers']
    this.#makeRoom(MAX_PEERS, () => true)
    this.#makeRoom(PEERS_BESIDE_FETCHERS + PEERS_PER_FETCHER * fetchers, (other) => other === who)
    this.#peers.set(connection, who)
  }

  /** For one more of those that count. */
  #makeRoom(limit: number, counts: (who: string) => boolean): void {
    let count = 0
    let silent: Connection | null = null
    for (const [peer, who] of this.#peers) {
      if (!counts(who)) continue
      count += 1
      if (silent === null || peer.lastActiveMs < silent.lastActiveMs) silent = peer
    }
    if (silent === null || count < limit) return
    this.#rules.refusals.warn(whoIs(silent), 'connection closed: a broker has too many of them')
    silent.dismiss()
  }

  left(connection: Connection): void {
    this.#newcomers.delete(connection)
    this.#peers.delete(connection)
    if (!this.clients.delete(connection)) return
    const { host } = connection.clientAddress
    const left = (this.#clientsByHost.get(host) ?? 1) - 1
    if (left === 0) this.#clientsByHost.delete(host)
    else this.#clientsByHost.set(host, left)
  }

  /** Called about once a second: who does not say who it is goes. */
  sweep(nowMs: number): void {
    for (const [connection, sinceMs] of this.#newcomers)
      if (nowMs - sinceMs > NEWCOMER_MS) connection.dismiss()
  }

  #count(connection: Connection): void {
    const { host } = connection.clientAddress
    this.clients.add(connection)
    this.#clientsByHost.set(host, (this.#clientsByHost.get(host) ?? 0) + 1)
  }

  #refuse(client: string, listener: string, limit: string): void {
    this.#rules.refusals.warn({ client, listener }, `connection refused: ${limit}`)
  }
}
