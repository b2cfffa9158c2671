import { ErrorCode, errorName } from '../../protocol/errors.ts'
import type { Proposal } from '../core/controller/controller-types.ts'
import type { IsrProposal } from '../core/replication/leader.ts'
import { whyInactive } from '../core/replication/partition-state.ts'
import { GatheredLines } from '../metadata/gathered-lines.ts'
import type { Metadata } from '../metadata/metadata.ts'
import type { Counter, Timer, World } from '../ports.ts'
import type { IsrListener, Partition } from './partition.ts'
import type { Partitions } from './partitions.ts'

/** Between two attempts, while the controller does not do what it is asked for. */
const FIRST_RETRY_MS = 50
const LAST_RETRY_MS = 1_000

interface Asked {
  readonly partition: Partition
  readonly wanted: IsrProposal
  readonly proposal: Proposal
}

/**
 * Asks the controller for the ISRs that the leaders in this broker want, all of a turn at once, and has the leaders look for
 * followers that lag.
 */
export class IsrProposer implements IsrListener {
  readonly #world: Pick<World, 'clock' | 'random' | 'logger'>
  readonly #metadata: Metadata
  readonly #partitions: Partitions
  readonly #shrinks: Counter
  readonly #expands: Counter
  readonly #failures: Counter
  /** They want something that was not asked for yet. */
  readonly #wanting = new Set<Partition>()
  #isScheduled = false
  readonly #retrying = new Set<Partition>()
  #retryTimer: Timer | null = null
  #retryMs = FIRST_RETRY_MS
  #tickTimer: Timer | null = null
  #closed = false
  readonly #lines: GatheredLines

  constructor(
    world: Pick<World, 'clock' | 'random' | 'logger' | 'metrics'>,
    metadata: Metadata,
    partitions: Partitions,
  ) {
    const { metrics } = world
    this.#world = { ...world, logger: world.logger.child({ component: 'isr' }) }
    this.#lines = new GatheredLines(world.clock, this.#world.logger)
    this.#metadata = metadata
    this.#partitions = partitions
    const counter = (name: string, help: string): Counter =>
      metrics.counter(`kafka_server_replicamanager_${name}_total`, help)
    this.#shrinks = counter('isrshrinks', 'In-sync sets that lost a replica, of partitions led here.')
    this.#expands = counter('isrexpands', 'In-sync sets that won a replica, of partitions led here.')
    this.#failures = counter('failedisrupdates', 'In-sync sets that the controller did not accept.')
  }

  close(): void {
    this.#closed = true
    this.#tickTimer?.cancel()
    this.#retryTimer?.cancel()
  }

  // ------------------------------------------------------------------------------------------------------- proposals

  wanted(partition: Partition): void {
    this.#wanting.add(partition)
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.#world.clock.atEndOfTurn('submit', () => this.#propose())
  }

  #propose(): void {
    this.#isScheduled = false
    const { cluster } = this.#metadata
    const asked: Asked[] = []
    for (const partition of this.#wanting) {
      const taken = cluster === null ? null : partition.takeProposal()
      if (taken !== null) asked.push({ partition, ...taken })
    }
    this.#wanting.clear()
    if (cluster === null || asked.length === 0 || this.#closed) return
    cluster.proposeIsrs(asked.map(({ proposal }) => proposal)).then(
      (errorCodes) => this.#answered(asked, errorCodes),
      (error: unknown) => this.#unanswered(asked, error),
    )
  }

  #answered(asked: readonly Asked[], errorCodes: readonly ErrorCode[]): void {
    let failed = 0
    asked.forEach((each, i) => {
      const errorCode = errorCodes[i] ?? ErrorCode.UNKNOWN_SERVER_ERROR
      if (errorCode !== ErrorCode.NONE) failed += 1
      this.#told(each, errorCode)
    })
    this.#failures.add(failed)
    if (failed < asked.length) this.#retryMs = FIRST_RETRY_MS
  }

  #unanswered(asked: readonly Asked[], error: unknown): void {
    this.#world.logger.warn({ error }, 'the controller could not be asked for in-sync sets; tried again')
    this.#failures.add(asked.length)
    for (const each of asked) this.#told(each, ErrorCode.UNKNOWN_SERVER_ERROR)
  }

  #told({ partition, wanted, proposal }: Asked, errorCode: ErrorCode): void {
    if (partition.proposalAnswered(wanted, errorCode)) this.#retryLater(partition)
    if (errorCode === ErrorCode.NONE) return
    const { topic, index } = partition
    this.#world.logger.debug(
      { topic, partition: index, isr: proposal.isr.map(({ id }) => id), error: errorName(errorCode) },
      'the controller did not accept an in-sync set',
    )
  }

  /** Later each time, and never all leaders of a cluster at once. */
  #retryLater(partition: Partition): void {
    this.#retrying.add(partition)
    if (this.#retryTimer !== null || this.#closed) return
    const jitterMs = (this.#retryMs * this.#world.random.uint32()) / 2 ** 33
    this.#retryTimer = this.#world.clock.after(this.#retryMs / 2 + jitterMs, () => {
      this.#retryTimer = null
      this.#retryMs = Math.min(LAST_RETRY_MS, this.#retryMs * 2)
      const retrying = [...this.#retrying]
      this.#retrying.clear()
      for (const each of retrying) this.wanted(each)
    })
  }

  // ----------------------------------------------------------------------------------------------------------- lagging

  /** A partition came or changed its role: where others follow it, they are watched. */
  watch(partition: Partition): void {
    if (this.#tickTimer !== null || this.#closed || !isFollowed(partition)) return
    if (this.#metadata.cluster !== null) this.#tickLater()
  }

  #tickLater(): void {
    const delayMs = this.#metadata.config['replica.lag.time.max.ms'] / 2
    this.#tickTimer = this.#world.clock.after(delayMs, () => this.#tick())
  }

  #tick(): void {
    this.#tickTimer = null
    const nowMs = this.#world.clock.monotonicMs()
    let anyFollowed = false
    for (const partition of this.#partitions.all()) {
      if (!isFollowed(partition)) continue
      anyFollowed = true
      partition.tick(nowMs)
    }
    if (anyFollowed && !this.#closed) this.#tickLater()
  }

  // ------------------------------------------------------------------------------------------------------------ telling

  changed(partition: Partition, before: readonly number[]): void {
    const { isr } = partition.image
    const left = before.filter((id) => !isr.includes(id))
    const joined = isr.filter((id) => !before.includes(id))
    if (left.length > 0) this.#shrinks.add(1)
    if (joined.length > 0) this.#expands.add(1)
    const name = (): string => describe(partition)
    for (const broker of left) {
      const because = this.#whyLeft(partition, broker)
      this.#lines.add('info', 'in-sync sets lost a replica', { broker, because }, name)
    }
    for (const broker of joined) this.#lines.add('info', 'in-sync sets won a replica', { broker }, name)
  }

  #whyLeft(partition: Partition, id: number): string {
    const inactive = whyInactive(this.#metadata.brokers.get(id))
    if (inactive !== null) return inactive
    if (!partition.image.replicas.includes(id)) return 'it is no replica any more'
    if (partition.endOffsetOf(id) !== -1) return 'it lags'
    const { cluster, nodeId } = this.#metadata
    const address = cluster?.addressOf(nodeId) ?? null
    const where = address === null ? '' : ` at ${address.host}:${address.port}`
    return `it never fetched: does it reach this broker${where}, as advertised.listeners says?`
  }
}

function describe(partition: Partition): string {
  const { topic, index, highWatermark, image } = partition
  const elr = image.elr.length === 0 ? '' : `, eligible ${image.elr.join()}`
  return `${topic}-${index}: in sync ${image.isr.join()}${elr}, ${highWatermark} of ${partition.log.logEndOffset}`
}

function isFollowed({ role, image }: Partition): boolean {
  return role === 'leader' && image.replicas.length > 1
}
