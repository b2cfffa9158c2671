import { strict as assert } from 'node:assert'
import type { StoredNode } from '../../../src/ports.ts'
import type { TreeHistory, Version } from '../sim-zookeeper-history.ts'
import type { StoredPartitionState } from './sim-cluster.ts'

/** What must hold of all that is ever written to the metadata store. Names as in `replication.md` 5.1. */

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
  /** Since the minimum is what it is, and nothing was lost: as many were in sync. */
  readonly reachedMin: boolean
}

/** Looks at each version of a node when it is written. */
export class StoreChecks {
  readonly tally: StoreTally = {
    elections: 0,
    eligibleElections: 0,
    isrShrinks: 0,
    isrExpansions: 0,
    leaderless: 0,
  }
  readonly #history: TreeHistory
  readonly #before = new Map<string, Written>()
  #controllerEpoch = -1

  constructor(history: TreeHistory) {
    this.#history = history
  }

  stored(path: string, version: Version): void {
    const { node } = version
    if (node === null) this.#before.delete(path)
    else if (STATE.test(path)) this.#checkPartition(path, version.transaction, node)
    else if (path === '/controller_epoch') this.#checkControllerEpoch(Number(node.data.toString()))
  }

  #checkControllerEpoch(epoch: number): void {
    const before = this.#controllerEpoch
    assert(epoch >= before, `S2: the controller epoch goes from ${before} to ${epoch}`)
    this.#controllerEpoch = epoch
  }

  #checkPartition(path: string, transaction: number, node: StoredNode): void {
    const before = this.#before.get(path) ?? null
    const [, topic = '', index] = STATE.exec(path)!
    const { version } = node.stat
    if (before?.version === version) return
    const after = written(before, { version, transaction, state: json(node) })
    this.#before.set(path, after)
    const where = `${path} version ${version}: ${node.data.toString()}`
    assert(before === null ? version === 0 : version === before.version + 1, `S18: ${where}`)
    checkState(after, replicasOf(this.#history, topic, Number(index), transaction), where)
    checkLeader(this.#history, after, before, where)
    if (before === null) return
    checkChange(before.state, after.state, where)
    count(before.state, after.state, this.tally)
  }
}

function json<T>(node: StoredNode): T {
  return JSON.parse(node.data.toString()) as T
}

function written(before: Written | null, after: Omit<Written, 'reachedMin'>): Written {
  const { isr, min_isr: minIsr, leader_recovery_state: recovering } = after.state
  const goesOn = before?.state.min_isr === minIsr && recovering === 0
  return { ...after, reachedMin: isr.length >= minIsr || (goesOn && before.reachedMin) }
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

function checkState({ state, reachedMin }: Written, replicas: readonly number[], where: string): void {
  const { leader, isr, elr, last_known_elr: lastKnownElr, min_isr: minIsr } = state
  const all = [...isr, ...elr, ...lastKnownElr]
  assert.equal(new Set(all).size, all.length, `S6: ${where}`)
  assert(
    all.every((id) => replicas.includes(id)),
    `S6: ${replicas.join()} are the replicas: ${where}`,
  )
  if (isr.length >= minIsr) assert.equal(elr.length + lastKnownElr.length, 0, `S7: ${where}`)
  if (isr.length + elr.length === 0 && reachedMin) assert(lastKnownElr.length >= minIsr, `S16: ${where}`)
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
