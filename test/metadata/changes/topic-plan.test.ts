import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../../protocol/errors.ts'
import {
  checkReplicas,
  isOutcome,
  planAutomatic,
  planConfigs,
  planGrowth,
  planTopic,
} from '../../../src/metadata/changes/topic-plan.ts'
import type { Assignment, PlanRules } from '../../../src/metadata/changes/topic-plan.ts'
import type { Outcome } from '../../../src/metadata/layout/outcome.ts'
import { brokerConfig, newTopic } from '../metadata-harness.ts'

const {
  INVALID_CONFIG,
  INVALID_PARTITIONS,
  INVALID_REPLICATION_FACTOR,
  INVALID_REPLICA_ASSIGNMENT,
  INVALID_REQUEST,
  POLICY_VIOLATION,
} = ErrorCode

/** A plan needs no second broker, so it is made for three. */
const RULES: PlanRules = {
  brokers: [1, 2, 3].map((id) => ({ id, rack: null })),
  registered: new Set([1, 2, 3]),
  start: 0,
  defaultPartitions: 4,
  defaultReplicationFactor: 2,
  partitionsLeft: 10,
  limitedBy: 'a limit',
}

const codeOf = (plan: Assignment | Outcome): Assignment | number => (isOutcome(plan) ? plan.errorCode : plan)
const plan = (partitions: number, replicas: number, manual: Record<number, number[]> = {}, rules = RULES) =>
  codeOf(
    planTopic(
      newTopic('t', partitions, {
        replicationFactor: replicas,
        assignments: Object.entries(manual).map(([index, brokerIds]) => ({
          partitionIndex: Number(index),
          brokerIds,
        })),
      }),
      rules,
    ),
  )

test('replicas are spread over the brokers in turn', () => {
  const spread = [
    [1, 2],
    [2, 3],
    [3, 1],
    [1, 3],
  ]
  assert.deepEqual(plan(4, 2), spread)
  assert.deepEqual(plan(-1, -1), spread, 'the defaults')
  assert.deepEqual(plan(1, 3), [[1, 2, 3]])
  assert.deepEqual(codeOf(planAutomatic(2, 1, 2, RULES)), [[3], [1]])
})

test('numbers that are none', () => {
  for (const partitions of [0, -2]) assert.equal(plan(partitions, 1), INVALID_PARTITIONS)
  for (const replicas of [0, -2, 4]) assert.equal(plan(1, replicas), INVALID_REPLICATION_FACTOR)
  assert.notEqual(plan(10, 1), POLICY_VIOLATION)
  assert.equal(plan(11, 1), POLICY_VIOLATION)
  const none = planAutomatic(1, 1, 0, { ...RULES, partitionsLeft: -3 })
  assert.match(isOutcome(none) ? (none.errorMessage ?? '') : '', /1 more .* a limit; 0 may/)
})

test('replicas that a client chose', () => {
  assert.deepEqual(plan(-1, -1, { 0: [3, 1], 1: [2, 3] }), [
    [3, 1],
    [2, 3],
  ])
  for (const manual of [
    { 1: [1] },
    { 0: [1], 2: [1] },
    { 0: [] },
    { 0: [1], 1: [1, 2] },
    { 0: [1, 1] },
    { 0: [4] },
  ])
    assert.equal(plan(-1, -1, manual), INVALID_REPLICA_ASSIGNMENT, JSON.stringify(manual))
  assert.equal(plan(1, -1, { 0: [1] }), INVALID_REQUEST)
  assert.equal(plan(-1, 1, { 0: [1] }), INVALID_REQUEST)
  const without3 = { ...RULES, brokers: RULES.brokers.filter(({ id }) => id !== 3) }
  const named = [{ partitionIndex: 0, brokerIds: [3, 1] }]
  assert.deepEqual(
    codeOf(planTopic(newTopic('t', -1, { replicationFactor: -1, assignments: named }), without3)),
    [[3, 1]],
    'one that does not serve now comes back',
  )
  const twice = [1, 2].map((id) => ({ partitionIndex: 0, brokerIds: [id] }))
  assert.equal(
    codeOf(planTopic(newTopic('t', -1, { assignments: twice }), RULES)),
    INVALID_REPLICA_ASSIGNMENT,
  )
  assert.deepEqual(codeOf(checkReplicas([], null, RULES)), [])
  assert.equal(codeOf(checkReplicas([[1]], 2, RULES)), INVALID_REPLICA_ASSIGNMENT)
  const many = Array.from({ length: 11 }, () => [1])
  assert.equal(codeOf(checkReplicas(many, null, RULES)), POLICY_VIOLATION)
  assert.deepEqual(codeOf(checkReplicas(many.slice(1), 1, RULES)), many.slice(1))
})

test('a topic grows by what it lacks', () => {
  const current = [
    [1, 2],
    [2, 3],
  ]
  const grow = (count: number, assignments: number[][] | null = null) =>
    codeOf(planGrowth(current, count, assignments, RULES))
  assert.deepEqual(grow(3), [[3, 1]])
  assert.deepEqual(
    grow(
      4,
      [
        [1, 3],
        [2, 1],
      ].map((ids) => [...ids]),
    ),
    [
      [1, 3],
      [2, 1],
    ],
  )
  for (const count of [2, 1, 0, -1]) assert.equal(grow(count), INVALID_PARTITIONS)
  for (const assignments of [
    [],
    [[1]],
    [
      [1, 2],
      [2, 3],
    ],
    [[1, 1]],
    [[1, 4]],
  ])
    assert.equal(grow(3, assignments), INVALID_REPLICA_ASSIGNMENT, JSON.stringify(assignments))
  assert.deepEqual(codeOf(planGrowth([], 1, null, RULES)), [[1]])
  const equal = planGrowth(current, 2, null, RULES)
  const smaller = planGrowth(current, 1, null, RULES)
  assert.match(isOutcome(equal) ? (equal.errorMessage ?? '') : '', /already has 2/)
  assert.match(isOutcome(smaller) ? (smaller.errorMessage ?? '') : '', /1 would not be an increase/)
})

test('overrides of a new topic', () => {
  const configs = (values: Record<string, string | null>) =>
    planConfigs(
      newTopic('t', 1, { configs: Object.entries(values).map(([name, value]) => ({ name, value })) }),
      brokerConfig(),
    )
  assert.deepEqual(
    configs({ 'retention.ms': '5', 'cleanup.policy': 'compact' }),
    new Map([
      ['retention.ms', '5'],
      ['cleanup.policy', 'compact'],
    ]),
  )
  for (const values of [{ 'retention.ms': null }, { 'no.such': '1' }, { 'retention.ms': 'x' }]) {
    const refusal = configs(values)
    assert.equal(isOutcome(refusal) ? refusal.errorCode : 0, INVALID_CONFIG, JSON.stringify(values))
  }
})
