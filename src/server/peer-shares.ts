import { apisOfPeers } from '../api/table.ts'
import { AnswerBudget } from '../broker/answer-budget.ts'
import { AnswerSizes } from './answer-sizes.ts'
import type { ClientConnection } from './connection.ts'
import { LongRequests } from './long-requests.ts'
import { MemoryBudget } from './memory-budget.ts'
import { Standstill } from './standstill.ts'
import { patienceMs } from './server-shared.ts'
import type { ConnectionLimits, PeersShared, ServerShared } from './server-shared.ts'

/** A request of a broker names all partitions there are, at most; nothing has records. Most are small. */
const MAX_REQUEST_BYTES = 16 << 20
/** Of requests of one broker. */
const REQUESTS_BYTES = 16 << 20
/** Of answers to one broker, at least. */
const MIN_ANSWERS_BYTES = 32 << 20
/** A fetch takes a quarter of what is left: the first one gets all that it may. */
const FETCHES_AT_ONCE = 4

interface Share {
  readonly shared: ServerShared
  readonly standstill: Standstill
}

/**
 * What the connections of each other broker have in common: budgets that nobody else spends, for followers must fetch whatever
 * clients do. They are bounded too: whoever knows the epoch of a broker can say hello in its name, and a broker may go wrong.
 * Each has its own, so that only the one suffers that this happens to.
 */
export class PeerShares implements PeersShared {
  readonly #ofClients: ServerShared
  readonly #connections: () => Iterable<ClientConnection>
  readonly #byBroker = new Map<number, Share>()

  /** `connections`: of all brokers. */
  constructor(ofClients: ServerShared, connections: () => Iterable<ClientConnection>) {
    this.#ofClients = ofClients
    this.#connections = connections
  }

  of(brokerId: number): ServerShared {
    const known = this.#byBroker.get(brokerId)
    if (known !== undefined) return known.shared
    const { broker, clock, limits } = this.#ofClients
    const budget = new MemoryBudget(REQUESTS_BYTES, () => {
      for (const connection of this.#connectionsOf(brokerId)) connection.pauseForBudget()
    })
    const fetchBytes = broker.config['replica.fetch.response.max.bytes']
    const answersBytes = Math.max(MIN_ANSWERS_BYTES, FETCHES_AT_ONCE * fetchBytes)
    const shared: ServerShared = {
      ...commonToAll(this.#ofClients),
      forPeers: null,
      budget,
      apis: apisOfPeers,
      limits: limitsOf(limits),
      answers: new AnswerBudget(answersBytes, clock),
      longRequests: new LongRequests(clock),
      answerSizes: new AnswerSizes(),
    }
    this.#byBroker.set(brokerId, { shared, standstill: new Standstill(budget) })
    return shared
  }

  get requestBytes(): number {
    return this.#sum(({ budget }) => budget.usedBytes)
  }

  get answerBytes(): number {
    return this.#sum(({ answers }) => answers.usedBytes)
  }

  /** Called about once a second. */
  sweep(nowMs: number): void {
    for (const [brokerId, { shared, standstill }] of this.#byBroker) {
      shared.answers.buffers.shrink()
      shared.budget.rotate()
      const connections = [...this.#connectionsOf(brokerId)]
      standstill.look(nowMs, connections)
      const forMs = patienceMs(shared)
      for (const connection of connections) connection.sweep(nowMs, forMs)
    }
  }

  *#connectionsOf(brokerId: number): Iterable<ClientConnection> {
    for (const connection of this.#connections()) if (connection.peer?.brokerId === brokerId) yield connection
  }

  #sum(bytesOf: (shared: ServerShared) => number): number {
    let bytes = 0
    for (const { shared } of this.#byBroker.values()) bytes += bytesOf(shared)
    return bytes
  }
}

/** The getters of a server are not own properties: named one by one. */
function commonToAll(shared: ServerShared) {
  const { gate, broker, clock, logger, refusals, containment, arena, apisOfNewcomers } = shared
  const { reader, writer, requestMetrics, slowReaders } = shared
  return {
    gate,
    broker,
    clock,
    logger,
    refusals,
    containment,
    arena,
    apisOfNewcomers,
    reader,
    writer,
    requestMetrics,
    slowReaders,
  }
}

/** Other brokers are not closed for being silent. */
function limitsOf(limits: ConnectionLimits): ConnectionLimits {
  const maxRequestBytes = Math.min(limits.maxRequestBytes, MAX_REQUEST_BYTES)
  return { ...limits, maxRequestBytes, maxIdleMs: Infinity }
}
