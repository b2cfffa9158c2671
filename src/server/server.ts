import { Reader } from '../../protocol/reader.ts'
import { Writer } from '../../protocol/writer.ts'
import { apis, apisOfNewcomers } from '../api/table.ts'
import { AnswerBudget } from '../broker/answer-budget.ts'
import type { Broker } from '../broker/broker.ts'
import type { BrokerConfig } from '../core/config/broker-config.ts'
import type { ListenerEndpoint } from '../core/config/listeners.ts'
import { codeOf } from '../core/is-error.ts'
import { listenFailure } from '../core/listen-failure.ts'
import type { Address, Clock, CloseReason, Connection, Counter, Listener, Timer, World } from '../ports.ts'
import { AnswerSizes } from './answer-sizes.ts'
import { Census } from './census.ts'
import { ClientConnection } from './connection.ts'
import { Containment } from './containment.ts'
import { FrameArena } from './frame-arena.ts'
import { LongRequests } from './long-requests.ts'
import { MemoryBudget } from './memory-budget.ts'
import { PeerShares } from './peer-shares.ts'
import { Standstill } from './standstill.ts'
import { RateLimitedLog } from '../broker/rate-limited-log.ts'
import { RequestMetrics } from './request-metrics.ts'
import { connectionLimits, patienceMs } from './server-shared.ts'
import type { ConnectionLimits, ServerShared } from './server-shared.ts'

/** How often the deadlines of connections are looked at. */
const SWEEP_INTERVAL_MS = 1_000
/** IPv6 and IPv4 alike where the system has both. */
const EVERY_INTERFACE = '::'
const EVERY_IPV4_INTERFACE = '0.0.0.0'
const NO_IPV6: ReadonlySet<string> = new Set(['EAFNOSUPPORT', 'EADDRNOTAVAIL'])

/** The listeners of a broker and the connections they accepted. */
export class Server implements ServerShared {
  readonly broker: Broker
  readonly clock: Clock
  readonly logger
  readonly refusals: RateLimitedLog
  readonly containment: Containment
  readonly budget: MemoryBudget
  readonly arena = new FrameArena()
  readonly apis = apis
  readonly apisOfNewcomers = apisOfNewcomers
  readonly gate: Census<ClientConnection>
  readonly forPeers: PeerShares
  readonly reader = new Reader(Buffer.alloc(0))
  readonly writer = new Writer()
  readonly requestMetrics: RequestMetrics
  readonly limits: ConnectionLimits
  readonly answers: AnswerBudget
  readonly longRequests: LongRequests
  readonly answerSizes = new AnswerSizes()
  readonly slowReaders: Counter
  readonly #world: World
  readonly #listeners = new Map<string, Listener>()
  readonly #standstill: Standstill
  #sweepTimer: Timer | null = null
  #whenEmpty: (() => void) | null = null

  constructor(world: World, broker: Broker) {
    this.#world = world
    this.broker = broker
    this.clock = world.clock
    this.logger = world.logger
    this.refusals = new RateLimitedLog(world.logger, world.clock)
    this.containment = new Containment(world.logger, world.clock, world.metrics)
    this.gate = new Census({
      logger: world.logger,
      refusals: this.refusals,
      config: () => broker.config,
      isCluster: () => broker.metadata.cluster !== null,
    })
    this.budget = new MemoryBudget(budgetBytes(broker.config['queued.max.request.bytes']), () => {
      for (const connection of this.gate.clients) connection.pauseForBudget()
    })
    this.#standstill = new Standstill(this.budget)
    this.limits = connectionLimits(broker.config)
    this.answers = new AnswerBudget(broker.config['samsa.queued.max.response.bytes'], world.clock)
    this.longRequests = new LongRequests(world.clock)
    this.slowReaders = world.metrics.counter(
      'samsa_server_slow_readers_closed_total',
      'Connections closed because the client did not take its answers.',
    )
    this.requestMetrics = new RequestMetrics(world.metrics)
    this.forPeers = new PeerShares(this, () => this.gate.peers)
    world.metrics.gauge('samsa_server_unread_answer_bytes', 'Bytes of answers in memory.', () => [
      { value: this.answers.usedBytes + this.forPeers.answerBytes },
    ])
    world.metrics.gauge(
      'kafka_server_socketservermetrics_connection_count',
      'Open client connections.',
      () => [{ value: this.gate.clients.size }],
    )
    world.metrics.gauge('kafka_network_memorypoolused', 'Bytes of requests in memory.', () => [
      { value: this.budget.usedBytes + this.forPeers.requestBytes },
    ])
  }

  get #config(): BrokerConfig {
    return this.broker.config
  }

  /** For a broker that serves at once. */
  async start(): Promise<void> {
    await this.bind()
    this.open()
  }

  /**
   * Opens every listener, for other brokers alone: a broker registers with its ports, and serves when it is accepted. On
   * the first failure closes those that opened and rejects with SAMSA_LISTEN.
   */
  async bind(): Promise<void> {
    for (const endpoint of this.#config.endpoints) {
      try {
        this.#listeners.set(endpoint.name, await this.#listen(endpoint))
      } catch (error) {
        await this.#closeListeners()
        const { name } = endpoint
        throw listenFailure(`listener ${name}`, endpoint, `listeners=${name}://`, error)
      }
    }
    this.#sweep()
  }

  /** Lets clients in. */
  open(): void {
    this.gate.isOpen = true
  }

  async #listen(endpoint: ListenerEndpoint): Promise<Listener> {
    const { host, port } = endpoint
    const { network } = this.#world
    const accept = (connection: Connection): ClientConnection | null => {
      try {
        return this.#accept(connection, endpoint)
      } catch (error) {
        const { host, port } = connection.remote
        this.containment.report(error, { client: `${host}:${port}`, listener: endpoint.name })
        return null
      }
    }
    const backlog = this.#config['socket.listen.backlog.size']
    if (host !== '') return await network.listen({ host, port }, accept, backlog)
    try {
      return await network.listen({ host: EVERY_INTERFACE, port }, accept, backlog)
    } catch (error) {
      if (!NO_IPV6.has(codeOf(error))) throw error
      return await network.listen({ host: EVERY_IPV4_INTERFACE, port }, accept, backlog)
    }
  }

  /** Where each listener really listens (a port of 0 has become a number). */
  get addresses(): ReadonlyMap<string, Address> {
    return new Map([...this.#listeners].map(([name, listener]) => [name, listener.address]))
  }

  /** Stops accepting, lets answers under way leave, and closes what is still open after `drainMs`. */
  async stop(drainMs: number): Promise<void> {
    this.#sweepTimer?.cancel()
    await this.#closeListeners()
    for (const connection of this.gate.everyone()) connection.end()
    if (this.gate.size === 0) return
    await new Promise<void>((resolve) => {
      const timer = this.clock.after(drainMs, () => {
        for (const connection of this.gate.everyone()) connection.abort('broker stops')
        resolve()
      })
      this.#whenEmpty = () => {
        timer.cancel()
        resolve()
      }
      if (this.gate.size === 0) this.#whenEmpty()
    })
  }

  #closed(connection: ClientConnection, reason: CloseReason): void {
    this.gate.left(connection)
    this.logger.debug({ client: connection.clientAddress.host, reason }, 'connection closed')
    if (this.gate.size === 0) this.#whenEmpty?.()
  }

  #accept(connection: Connection, endpoint: ListenerEndpoint): ClientConnection | null {
    if (!this.gate.mayArrive(connection.remote.host, endpoint.name)) return null
    const listener = { name: endpoint.name, advertised: advertisedAddress(endpoint, connection) }
    const client: ClientConnection = new ClientConnection(this, connection, listener, (reason) =>
      this.#closed(client, reason),
    )
    this.gate.arrived(client, this.clock.monotonicMs())
    return client
  }

  #sweep(): void {
    const nowMs = this.clock.monotonicMs()
    this.arena.shrink()
    this.answers.buffers.shrink()
    this.budget.rotate()
    this.#standstill.look(nowMs, this.gate.clients)
    this.gate.sweep(nowMs)
    const forMs = patienceMs(this)
    for (const connection of this.gate.everyone())
      if (connection.peer === null) connection.sweep(nowMs, forMs)
    this.forPeers.sweep(nowMs)
    this.#sweepTimer = this.clock.after(SWEEP_INTERVAL_MS, () => this.#sweep())
  }

  async #closeListeners(): Promise<void> {
    await Promise.all([...this.#listeners.values()].map((listener) => listener.close()))
    this.#listeners.clear()
  }
}

/** Explicit `advertised.listeners` win; otherwise clients are told the address they reached. */
function advertisedAddress(endpoint: ListenerEndpoint, connection: Connection): Address {
  const { advertised } = endpoint
  if (advertised === null) return connection.local
  return advertised.host === '' ? { host: connection.local.host, port: advertised.port } : advertised
}

function budgetBytes(configured: number): number {
  return configured < 0 ? Infinity : configured
}
