import type { ImageRecord } from '../../core/controller/controller-types.ts'
import type { BrokerView, PartitionState } from '../../core/replication/partition-state.ts'
import type { Clock, Counter, Logger, Metrics, Timer } from '../../ports.ts'

/** What a broker that fails does to its partitions comes in one line each. */
const TOGETHER_MS = 100
const MAX_NAMED = 20

type Kind = 'elected' | 'eligible' | 'unclean' | 'leaderless'

const MESSAGES: Readonly<Record<Kind, string>> = {
  elected: 'leaders elected',
  eligible: 'leaders elected from the eligible replicas: nobody in sync was left (KIP-966)',
  unclean: 'leaders elected that may lack acknowledged records',
  leaderless: 'partitions have no leader: nobody serves who is certain to have every acknowledged record',
}

/** Counters are the process's own: a broker may be controller again and again. */
export class ElectionCounters {
  readonly elections: Counter
  readonly eligible: Counter
  readonly unclean: Counter

  constructor(metrics: Metrics) {
    const counter = (name: string, help: string): Counter =>
      metrics.counter(`kafka_controller_controllerstats_${name}_total`, help)
    this.elections = counter('leaderelections', 'Leaders that this broker elected as controller.')
    this.eligible = counter(
      'electionfromeligibleleaderreplicas',
      'Of these, replicas that were eligible and not in sync (KIP-966).',
    )
    this.unclean = counter('uncleanleaderelections', 'Of these, replicas that may lack acknowledged records.')
  }
}

/** Tells of elections and of brokers, as the controller made them known: in the log and in figures. */
export class ClusterEvents {
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #counters: ElectionCounters
  readonly #brokers = new Map<number, BrokerView>()
  readonly #topics = new Map<string, string>()
  readonly #states = new Map<string, PartitionState>()
  readonly #partitions = new Map<Kind, string[]>()
  #timer: Timer | null = null

  constructor(clock: Clock, logger: Logger, counters: ElectionCounters) {
    this.#clock = clock
    this.#logger = logger
    this.#counters = counters
  }

  /** `isNews`: not what a new controller found. */
  published(records: readonly ImageRecord[], isNews: boolean): void {
    for (const record of records) {
      if (record.kind === 'topic') this.#topics.set(record.topicId, record.name)
      else if (record.kind === 'topic-gone') this.#forget(record.topicId)
      else if (record.kind === 'broker') {
        const { broker } = record
        if (isNews) this.#broker(this.#brokers.get(broker.id), broker)
        this.#brokers.set(broker.id, broker)
      } else if (record.kind === 'partition') {
        const key = `${record.topicId}/${record.index}`
        const name = `${this.#topics.get(record.topicId) ?? record.topicId}-${record.index}`
        this.#partition(name, this.#states.get(key), record.state)
        this.#states.set(key, record.state)
      }
    }
  }

  #forget(topicId: string): void {
    this.#topics.delete(topicId)
    for (let index = 0; this.#states.delete(`${topicId}/${index}`); index++);
  }

  #partition(name: string, before: PartitionState | undefined, after: PartitionState): void {
    if (before === undefined || after.leaderEpoch === before.leaderEpoch) return
    const kind = kindOf(before, after)
    if (kind !== 'leaderless') this.#counters.elections.add(1)
    if (kind === 'eligible') this.#counters.eligible.add(1)
    if (kind === 'unclean') this.#counters.unclean.add(1)
    const names = this.#partitions.get(kind)
    if (names === undefined) this.#partitions.set(kind, [name])
    else names.push(name)
    if (this.#timer === null) this.#timer = this.#clock.after(TOGETHER_MS, () => this.#tell())
  }

  #broker(before: BrokerView | undefined, after: BrokerView): void {
    const { id, epoch, fenced, shuttingDown } = after
    const fields = { broker: id, epoch }
    if (before !== undefined && before.epoch === epoch) {
      if (shuttingDown && !before.shuttingDown)
        this.#logger.info(fields, 'a broker stops: others take over what it leads')
      else if (fenced && !before.fenced) this.#logger.warn(fields, 'a broker is gone, and fenced')
      else if (!fenced && before.fenced) this.#logger.info(fields, 'a broker serves')
      return
    }
    this.#logger.info(fields, fenced ? 'a broker was accepted, and catches up' : 'a broker serves')
  }

  #tell(): void {
    this.#timer = null
    for (const [kind, names] of this.#partitions) {
      const fields = { count: names.length, partitions: names.slice(0, MAX_NAMED) }
      if (kind === 'unclean' || kind === 'leaderless') this.#logger.warn(fields, MESSAGES[kind])
      else this.#logger.info(fields, MESSAGES[kind])
    }
    this.#partitions.clear()
  }
}

function kindOf(before: PartitionState, after: PartitionState): Kind {
  if (after.leader === -1) return 'leaderless'
  if (after.leaderRecoveryState === 1) return 'unclean'
  return before.isr.includes(after.leader) ? 'elected' : 'eligible'
}
