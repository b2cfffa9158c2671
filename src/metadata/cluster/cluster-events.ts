import type { ImageRecord } from '../../core/controller/controller-types.ts'
import { whyInactive } from '../../core/replication/partition-state.ts'
import type { BrokerView, PartitionState } from '../../core/replication/partition-state.ts'
import type { Clock, Counter, LogFields, Logger, Metrics } from '../../ports.ts'
import { GatheredLines } from '../gathered-lines.ts'

type PartitionRecord = Extract<ImageRecord, { kind: 'partition' }>

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
  readonly #logger: Logger
  readonly #counters: ElectionCounters
  readonly #brokers = new Map<number, BrokerView>()
  readonly #topics = new Map<string, string>()
  readonly #states = new Map<string, PartitionState>()
  readonly #lines: GatheredLines

  constructor(clock: Clock, logger: Logger, counters: ElectionCounters) {
    this.#logger = logger
    this.#lines = new GatheredLines(clock, logger)
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
        this.#partition(record, this.#states.get(key))
        this.#states.set(key, record.state)
      }
    }
  }

  #forget(topicId: string): void {
    this.#topics.delete(topicId)
    for (let index = 0; this.#states.delete(`${topicId}/${index}`); index++);
  }

  #partition(
    { topicId, index, assignment, state }: PartitionRecord,
    before: PartitionState | undefined,
  ): void {
    if (before === undefined || state.leaderEpoch === before.leaderEpoch) return
    const kind = kindOf(before, state)
    if (kind !== 'leaderless') this.#counters.elections.add(1)
    if (kind === 'eligible') this.#counters.eligible.add(1)
    if (kind === 'unclean') this.#counters.unclean.add(1)
    const level = kind === 'unclean' || kind === 'leaderless' ? 'warn' : 'info'
    const isPreferred = state.leader === assignment.replicas[0]
    this.#lines.add(level, MESSAGES[kind], this.#whyElected(before.leader, isPreferred), () => {
      const name = `${this.#topics.get(topicId) ?? topicId}-${index}`
      return state.leader === -1 ? name : `${name}: ${state.leader} in epoch ${state.leaderEpoch}`
    })
  }

  #whyElected(instead: number, isPreferred: boolean): LogFields {
    if (instead === -1) return { because: 'nobody led' }
    const inactive = whyInactive(this.#brokers.get(instead))
    const otherwise = isPreferred ? 'the first replica leads again' : 'it may lack records'
    return { instead, because: inactive ?? otherwise }
  }

  #broker(before: BrokerView | undefined, after: BrokerView): void {
    const { id, epoch, fenced, shuttingDown } = after
    const fields = { broker: id, epoch }
    if (before !== undefined && before.epoch === epoch) {
      if (shuttingDown && !before.shuttingDown)
        this.#logger.info(fields, 'a broker stops: others take over what it leads')
      else if (fenced && before.shuttingDown) this.#logger.info(fields, 'a broker has stopped')
      else if (fenced && !before.fenced) this.#logger.warn(fields, 'a broker is gone, and fenced')
      else if (!fenced && before.fenced) this.#logger.info(fields, 'a broker serves')
      return
    }
    this.#logger.info(fields, fenced ? 'a broker was accepted, and catches up' : 'a broker serves')
  }
}

function kindOf(before: PartitionState, after: PartitionState): Kind {
  if (after.leader === -1) return 'leaderless'
  if (after.leaderRecoveryState === 1) return 'unclean'
  return before.isr.includes(after.leader) ? 'elected' : 'eligible'
}
