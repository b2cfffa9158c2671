/** What a request to create a topic or partitions comes to, before anything is written. */
import { ErrorCode } from '../../../protocol/errors.ts'
import type { BrokerConfig } from '../../core/config/broker-config.ts'
import { assignReplicas } from '../../core/controller/assignment.ts'
import type { Candidate } from '../../core/controller/assignment.ts'
import { topicConfigProblem, topicDefinition } from '../../core/config/topic-config.ts'
import { refused } from '../layout/outcome.ts'
import type { Outcome } from '../layout/outcome.ts'
import { OFFSETS_TOPIC } from '../layout/topic-names.ts'

export interface NewTopic {
  readonly name: string
  /** -1: the broker's default, or what `assignments` say. */
  readonly numPartitions: number
  /** -1: the broker's default, or what `assignments` say. */
  readonly replicationFactor: number
  readonly assignments: readonly ManualAssignment[]
  /** A null value is refused, as in Kafka. */
  readonly configs: readonly { readonly name: string; readonly value: string | null }[]
}

export interface ManualAssignment {
  readonly partitionIndex: number
  readonly brokerIds: readonly number[]
}

export interface PlanRules {
  /** They may get replicas. */
  readonly brokers: readonly Candidate[]
  /** And who names replicas may name these: one that does not serve now comes back. */
  readonly registered: ReadonlySet<number>
  /** Which of them leads the first partition of a topic. */
  readonly start: number
  readonly defaultPartitions: number
  readonly defaultReplicationFactor: number
  /** Partitions that may still be created in the cluster. */
  readonly partitionsLeft: number
  /** What says so. */
  readonly limitedBy: string
}

/** Replicas by partition index, or why not. */
export type Assignment = readonly (readonly number[])[]

export function isOutcome(value: Assignment | ReadonlyMap<string, string> | Outcome): value is Outcome {
  return 'errorCode' in value
}

/** A topic with the broker's defaults; for an internal topic those that belong to it. */
export function topicWithDefaults(name: string, config: BrokerConfig): NewTopic {
  const planned = { name, numPartitions: -1, replicationFactor: -1, assignments: [], configs: [] }
  if (name !== OFFSETS_TOPIC) return planned
  return {
    ...planned,
    numPartitions: config['offsets.topic.num.partitions'],
    replicationFactor: config['offsets.topic.replication.factor'],
    configs: [
      { name: 'cleanup.policy', value: 'compact' },
      { name: 'compression.type', value: 'producer' },
      { name: 'segment.bytes', value: String(config['offsets.topic.segment.bytes']) },
    ],
  }
}

/** The overrides a new topic gets, or why not. */
export function planConfigs(topic: NewTopic, broker: BrokerConfig): ReadonlyMap<string, string> | Outcome {
  const overrides = new Map<string, string>()
  for (const { name, value } of topic.configs) {
    if (value === null)
      return refused(ErrorCode.INVALID_CONFIG, `Null value not supported for topic configs: ${name}`)
    // The first unknown key is enough: the others could be any number.
    if (topicDefinition(name) === undefined)
      return refused(ErrorCode.INVALID_CONFIG, `Unknown topic config name: ${name}`)
    overrides.set(name, value)
  }
  const problem = topicConfigProblem(overrides, broker)
  return problem === null ? overrides : refused(ErrorCode.INVALID_CONFIG, problem)
}

export function planTopic(topic: NewTopic, rules: PlanRules): Assignment | Outcome {
  const { numPartitions, replicationFactor, assignments } = topic
  if (assignments.length > 0) {
    if (numPartitions !== -1 || replicationFactor !== -1)
      return refused(
        ErrorCode.INVALID_REQUEST,
        'Both numPartitions or replicationFactor and replicasAssignments were set. Both cannot be used at the same time.',
      )
    return planManual(assignments, rules)
  }
  if (numPartitions < -1 || numPartitions === 0)
    return refused(
      ErrorCode.INVALID_PARTITIONS,
      'Number of partitions must be larger than 0, or -1 to use the default value.',
    )
  if (replicationFactor < -1 || replicationFactor === 0)
    return refused(
      ErrorCode.INVALID_REPLICATION_FACTOR,
      'Replication factor must be larger than 0, or -1 to use the default value.',
    )
  const count = numPartitions === -1 ? rules.defaultPartitions : numPartitions
  const replicas = replicationFactor === -1 ? rules.defaultReplicationFactor : replicationFactor
  return planAutomatic(count, replicas, 0, rules)
}

function tooMany(count: number, rules: PlanRules): Outcome | null {
  if (count <= rules.partitionsLeft) return null
  return refused(
    ErrorCode.POLICY_VIOLATION,
    `${count} more partitions would exceed ${rules.limitedBy}; ${Math.max(0, rules.partitionsLeft)} may still be created.`,
  )
}

/** Replicas of `count` partitions, the first of which has the index `from`: spread over the brokers in turn. */
export function planAutomatic(
  count: number,
  replicas: number,
  from: number,
  rules: PlanRules,
): Assignment | Outcome {
  const { brokers, start } = rules
  if (replicas > brokers.length)
    return refused(
      ErrorCode.INVALID_REPLICATION_FACTOR,
      `Replication factor ${replicas} is larger than the number of brokers, which is ${brokers.length}.`,
    )
  return tooMany(count, rules) ?? assignReplicas(count, replicas, from, start, brokers)
}

function planManual(assignments: readonly ManualAssignment[], rules: PlanRules): Assignment | Outcome {
  const byIndex = new Map(assignments.map(({ partitionIndex, brokerIds }) => [partitionIndex, brokerIds]))
  if (byIndex.size !== assignments.length || assignments.some((_, index) => !byIndex.has(index)))
    return refused(
      ErrorCode.INVALID_REPLICA_ASSIGNMENT,
      'Partitions of an assignment must be numbered from 0 without gaps or repetitions.',
    )
  return checkReplicas(
    assignments.map((_, index) => byIndex.get(index)!),
    null,
    rules,
  )
}

/** Checks replica lists a client chose. `replicationFactor` null: that of the first list. */
export function checkReplicas(
  lists: readonly (readonly number[])[],
  replicationFactor: number | null,
  rules: PlanRules,
): Assignment | Outcome {
  const size = replicationFactor ?? lists[0]?.length ?? 0
  for (const replicas of lists) {
    if (replicas.length === 0 || replicas.length !== size)
      return refused(
        ErrorCode.INVALID_REPLICA_ASSIGNMENT,
        'Every partition must have the same number of replicas, and at least one.',
      )
    if (new Set(replicas).size !== replicas.length)
      return refused(ErrorCode.INVALID_REPLICA_ASSIGNMENT, `Replicas ${replicas.join(',')} repeat a broker.`)
    const unknown = replicas.find((id) => !rules.registered.has(id))
    if (unknown !== undefined)
      return refused(ErrorCode.INVALID_REPLICA_ASSIGNMENT, `Broker ${unknown} is not registered.`)
  }
  return tooMany(lists.length, rules) ?? lists
}

/** Replicas of the partitions a topic gets when it grows to `count`, or why not. `assignments` null: chosen here. */
export function planGrowth(
  current: Assignment,
  count: number,
  assignments: readonly (readonly number[])[] | null,
  rules: PlanRules,
): Assignment | Outcome {
  const added = count - current.length
  if (added <= 0)
    return refused(
      ErrorCode.INVALID_PARTITIONS,
      added === 0
        ? `Topic already has ${count} partition(s).`
        : `The topic currently has ${current.length} partition(s); ${count} would not be an increase.`,
    )
  const replicationFactor = current[0]?.length ?? 1
  if (assignments === null) return planAutomatic(added, replicationFactor, current.length, rules)
  if (assignments.length !== added)
    return refused(
      ErrorCode.INVALID_REPLICA_ASSIGNMENT,
      `Increasing the number of partitions by ${added} but ${assignments.length} assignments provided.`,
    )
  return checkReplicas(assignments, replicationFactor, rules)
}
