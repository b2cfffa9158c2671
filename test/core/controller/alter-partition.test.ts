import assert from 'node:assert/strict'
import { test } from 'node:test'
import { errorName } from '../../../protocol/errors.ts'
import { checkProposal } from '../../../src/core/controller/alter-partition.ts'
import type { IsrProposal } from '../../../src/core/replication/leader.ts'
import type { BrokerView, PartitionState } from '../../../src/core/replication/partition-state.ts'

const state: PartitionState = {
  leader: 1,
  leaderEpoch: 5,
  leaderBrokerEpoch: 101,
  controllerEpoch: 1,
  partitionEpoch: 7,
  isr: [1, 2],
  elr: [],
  lastKnownElr: [],
  leaderRecoveryState: 0,
  minIsr: 1,
}

function check(
  members: readonly (number | readonly [id: number, epoch: number])[],
  part: Partial<IsrProposal> & {
    sender?: number
    state?: Partial<PartitionState>
    view?: Partial<BrokerView>
  } = {},
) {
  const isr = members.map((member) =>
    typeof member === 'number' ? { id: member, epoch: 100 + member } : { id: member[0], epoch: member[1] },
  )
  const { sender = 1, state: changed = {}, view = {}, ...rest } = part
  const { errorCode, isDone } = checkProposal(
    { ...state, ...changed },
    { isr, leaderEpoch: 5, partitionEpoch: 7, recovered: false, ...rest },
    {
      sender,
      assignment: { replicas: [1, 2, 3], adding: [], removing: [] },
      broker: (id) =>
        id > 3
          ? undefined
          : { id, epoch: 100 + id, fenced: false, shuttingDown: false, ...(id === 3 ? view : {}) },
    },
  )
  return [errorName(errorCode), isDone]
}

test('what may be is told from what may not, in the order that the leader relies on', () => {
  assert.deepEqual(check([1, 2, 3]), ['NONE', false])
  assert.deepEqual(check([1]), ['NONE', false])
  assert.deepEqual(check([1, 2, 3], { leaderEpoch: 6 }), ['NOT_CONTROLLER', false])
  assert.deepEqual(check([1, 2, 3], { partitionEpoch: 8 }), ['NOT_CONTROLLER', false])
  assert.deepEqual(check([1, 2, 3], { leaderEpoch: 4, sender: 2 }), ['FENCED_LEADER_EPOCH', false])
  assert.deepEqual(check([1, 2, 3], { sender: 2, partitionEpoch: 6 }), ['INVALID_REQUEST', false])
  assert.deepEqual(check([1, 2, 3], { partitionEpoch: 6 }), ['INVALID_UPDATE_VERSION', false])
  assert.deepEqual(check([1, 2, 4], { partitionEpoch: 6 }), ['INVALID_UPDATE_VERSION', false])
})

test('what is agreed on already is success, however late it is asked for', () => {
  assert.deepEqual(check([2, 1], { partitionEpoch: 3 }), ['NONE', true])
  assert.deepEqual(check([2, 1]), ['NONE', true])
  assert.deepEqual(check([2, 1], { leaderEpoch: 4 }), ['FENCED_LEADER_EPOCH', false])
})

test('an ISR of replicas, with the leader, each of them once', () => {
  for (const isr of [[2, 3], [1, 4], [1, 2, 2], []])
    assert.deepEqual(check(isr), ['INVALID_REQUEST', false], String(isr))
})

test('who joins is alive, to stay, and the incarnation that fetched', () => {
  for (const view of [{ fenced: true }, { shuttingDown: true }, { epoch: 200 }, { epoch: -1 }])
    assert.deepEqual(check([1, 2, 3], { view }), ['INELIGIBLE_REPLICA', false])
  assert.deepEqual(check([1, 2, [3, -1]]), ['INELIGIBLE_REPLICA', false])
  assert.deepEqual(check([1, 2, [3, 102]]), ['INELIGIBLE_REPLICA', false])
  assert.deepEqual(check([1, [2, -1], 3]), ['NONE', false])
  assert.deepEqual(check([1, [2, 99], 3]), ['INELIGIBLE_REPLICA', false])
})

test('a leader that was elected uncleanly says first that it recovered, alone', () => {
  const recovering = { leaderRecoveryState: 1, isr: [1] } as const
  assert.deepEqual(check([1, 2], { state: recovering }), ['INVALID_REQUEST', false])
  assert.deepEqual(check([1, 2], { state: recovering, recovered: true }), ['INVALID_REQUEST', false])
  assert.deepEqual(check([1], { state: recovering, recovered: true }), ['NONE', false])
  assert.deepEqual(check([1], { state: recovering }), ['NONE', true])
  assert.deepEqual(check([1], { state: { isr: [1] }, recovered: true }), ['NONE', true])
})
