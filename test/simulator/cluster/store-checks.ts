import { strict as assert } from 'node:assert'
import type { StoredNode } from '../../../src/ports.ts'
import type { TreeHistory } from '../sim-zookeeper-history.ts'
import type { StoredPartitionState } from './sim-cluster.ts'

/** What must hold of all that was ever written to the metadata store. Names as in `replication.md` 5.1. */

const STATE = /^\/brokers\/topics\/([^/]+)\/partitions\/(\d+)\/state$/

export interface StoreTally {
  elections: number
  eligibleElections: number
  isrShrinks: number
  isrExpansions: number
  leaderless: number
}

interface Written {
  readonly transaction: number
  readonly version: number
  readonly state: StoredPartitionState
}

export function checkHistory(history: TreeHistory): StoreTally {
  const tally = { elections: 0, eligibleElections: 0, isrShrinks: 0, isrExpansions: 0, leaderless: 0 }
  for (const path of history.paths()) {
    if (STATE.test(path)) checkPartition(history, path, tally)
    if (path === '/controller_epoch') checkGrows(history, path)
  }
  return tally
}

function json<T>(node: StoredNode): T {
  return JSON.parse(node.data.toString()) as T
}

function checkGrows(history: TreeHistory, path: string): void {
  let before = -1
  for (const { node } of history.versionsOf(path)) {
    if (node === null) continue
    const epoch = Number(node.data.toString())
    assert(epoch >= before, `S2: ${path} goes from ${before} to ${epoch}`)
    before = epoch
  }
}

function checkPartition(history: TreeHistory, path: string, tally: StoreTally): void {
  const [, topic = ''] = STATE.exec(path)!
  let before: Written | null = null
  for (const { node, transaction } of history.versionsOf(path)) {
    if (node === null) {
      before = null
      continue
    }
    const { version } = node.stat
    if (before?.version === version) continue
    const after: Written = { transaction, version, state: json(node) }
    const where = `${path} version ${version}: ${node.data.toString()}`
    assert(before === null ? version === 0 : version === before.version + 1, `S18: ${where}`)
    checkState(after, replicasOf(history, topic, Number(path.split('/').at(-2)), transaction), where)
    checkLeader(history, after, before, where)
    if (before !== null) {
      checkChange(before.state, after.state, where)
      count(before.state, after.state, tally)
    }
    before = after
  }
}

function replicasOf(
  history: TreeHistory,
  topic: string,
  index: number,
  transaction: number,
): readonly number[] {
  const node = history
    .versionsOf(`/brokers/topics/${topic}`)
    .findLast((version) => version.transaction <= transaction)?.node
  assert(node !== null && node !== undefined, `${topic} has a state and no assignment`)
  return json<{ partitions: Record<string, number[]> }>(node).partitions[index] ?? []
}

function checkState({ state }: Written, replicas: readonly number[], where: string): void {
  const { leader, isr, elr, last_known_elr: lastKnownElr, min_isr: minIsr } = state
  const all = [...isr, ...elr, ...lastKnownElr]
  assert.equal(new Set(all).size, all.length, `S6: ${where}`)
  assert(
    all.every((id) => replicas.includes(id)),
    `S6: ${replicas.join()} are the replicas: ${where}`,
  )
  if (isr.length >= minIsr) assert.equal(elr.length + lastKnownElr.length, 0, `S7: ${where}`)
  if (leader !== -1) assert(isr.includes(leader), `S11: ${where}`)
  assert(minIsr >= 1 && minIsr <= replicas.length, where)
}

/** S14: it was elected as the incarnation that was accepted by then. */
function checkLeader(history: TreeHistory, after: Written, before: Written | null, where: string): void {
  const { leader, leader_epoch: epoch, leader_broker_epoch: brokerEpoch } = after.state
  if (leader === -1) return
  if (before?.state.leader === leader && before.state.leader_epoch === epoch) {
    assert.equal(before.state.leader_broker_epoch, brokerEpoch, `S2: two incarnations in one epoch: ${where}`)
    return
  }
  const accepted = history
    .versionsOf(`/brokers/registrations/${leader}`)
    .findLast((version) => version.transaction <= after.transaction)?.node
  assert(accepted !== null && accepted !== undefined, `S12: nobody accepted ${leader}: ${where}`)
  assert.equal(json<{ epoch: number }>(accepted).epoch, brokerEpoch, `S14: ${where}`)
}

function checkChange(before: StoredPartitionState, after: StoredPartitionState, where: string): void {
  const told = `${JSON.stringify(before)} became ${where}`
  assert(after.leader_epoch >= before.leader_epoch, `S2: ${told}`)
  assert(after.controller_epoch >= before.controller_epoch, `S2, S18: ${told}`)
  const isElection =
    after.leader !== before.leader || after.leader_broker_epoch !== before.leader_broker_epoch
  if (isElection) assert(after.leader_epoch > before.leader_epoch, `S2: ${told}`)
  if (after.leader_epoch === before.leader_epoch || after.leader === -1) return
  const isClean = [...before.isr, ...before.elr].includes(after.leader)
  assert(isClean || after.leader_recovery_state === 1, `S15: ${told}`)
}

function count(before: StoredPartitionState, after: StoredPartitionState, tally: StoreTally): void {
  if (after.leader_epoch > before.leader_epoch) {
    if (after.leader === -1) tally.leaderless += 1
    else {
      tally.elections += 1
      if (before.elr.includes(after.leader)) tally.eligibleElections += 1
    }
  }
  if (after.isr.length < before.isr.length) tally.isrShrinks += 1
  if (after.isr.length > before.isr.length) tally.isrExpansions += 1
}
