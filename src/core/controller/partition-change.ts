import assert from 'node:assert/strict'
import { isActive, sameMembers, stateProblem } from '../replication/partition-state.ts'
import type { Assignment, BrokerView, PartitionState } from '../replication/partition-state.ts'

/**
 * What an event does to a partition: the one place that moves replicas between ISR, ELR and the last known ELR, and elects
 * leaders (KIP-497, KIP-841, KIP-966).
 *
 * The idea of the ELR: below `minIsr` members of the committed ISR the high watermark stands still. So whoever leaves the
 * ISR from then on holds all that was ever acknowledged with acks=all, for as long as its disk keeps it, and may lead again
 * after all others are gone. A replica that came back from an unclean stop may have lost some of it.
 */

export type PartitionEvent =
  /** The broker's session ended. `unclean`: it came back and may have lost the end of its logs. */
  | { readonly kind: 'fenced'; readonly broker: number; readonly unclean: boolean }
  | { readonly kind: 'unfenced'; readonly broker: number }
  | { readonly kind: 'shutting-down'; readonly broker: number }
  /** For good: an operator said that it will not come back. */
  | { readonly kind: 'unregistered'; readonly broker: number }
  /** Its log is damaged or its directory dead. */
  | { readonly kind: 'replica-damaged'; readonly broker: number }
  /** What the leader asked for, with everything about it checked. */
  | { readonly kind: 'alter-isr'; readonly isr: readonly number[]; readonly recovered: boolean }
  /** A reassignment starts, is complete or cancelled. `minIsr` goes with the number of replicas. */
  | { readonly kind: 'assignment'; readonly assignment: Assignment; readonly minIsr: number }
  | { readonly kind: 'min-isr'; readonly minIsr: number }
  | { readonly kind: 'elect'; readonly how: Election }

/** `unclean`: named by an operator, whatever is lost. */
export type Election = 'preferred' | 'clean' | { readonly designated: number } | { readonly unclean: number }

export interface ChangeContext {
  /** Before the event. */
  readonly assignment: Assignment
  /** After the event. */
  readonly broker: (id: number) => BrokerView | undefined
  /** `eligible.leader.replicas.enable`. Without it the ISR never empties, as it was before KIP-966. */
  readonly eligibleLeaderReplicas: boolean
  /** `unclean.leader.election.enable` of the topic. */
  readonly uncleanElection: boolean
  readonly controllerEpoch: number
}

/** A partition that holds nothing yet: of its replicas each one is as good as the others. */
export function bornWith(minIsr: number, leaderEpoch: number, context: ChangeContext): PartitionState {
  const { replicas } = context.assignment
  const active = replicas.filter((id) => isActive(context.broker(id)))
  const leader = active[0] ?? -1
  return {
    leader,
    leaderEpoch,
    leaderBrokerEpoch: leader === -1 ? -1 : context.broker(leader)!.epoch,
    controllerEpoch: context.controllerEpoch,
    partitionEpoch: 0,
    isr: active,
    elr: leader === -1 && context.eligibleLeaderReplicas ? replicas : [],
    lastKnownElr: [],
    leaderRecoveryState: 0,
    minIsr,
  }
}

/** A change in the making. */
interface Draft {
  readonly before: PartitionState
  readonly context: ChangeContext
  readonly replicas: readonly number[]
  readonly minIsr: number
  isr: readonly number[]
  elr: readonly number[]
  lastKnownElr: readonly number[]
  leader: number
  /** A new term, also when the leader stays. */
  newEpoch: boolean
  recovering: boolean
}

/** Null: nothing changes. */
export function changePartition(
  before: PartitionState,
  event: PartitionEvent,
  context: ChangeContext,
): PartitionState | null {
  const assignment = event.kind === 'assignment' ? event.assignment : context.assignment
  const draft: Draft = {
    before,
    context,
    replicas: assignment.replicas,
    minIsr: event.kind === 'assignment' || event.kind === 'min-isr' ? event.minIsr : before.minIsr,
    isr: before.isr,
    elr: before.elr,
    lastKnownElr: before.lastKnownElr,
    leader: before.leader,
    // Its replicas are to forget what they know of one that is gone; a mere shrink restarts nobody (KAFKA-15021).
    newEpoch: context.assignment.replicas.some((id) => !assignment.replicas.includes(id)),
    recovering: before.leaderRecoveryState === 1,
  }
  applyEvent(draft, event)
  if (!mayStay(draft)) elect(draft)
  return finished(draft)
}

function applyEvent(draft: Draft, event: PartitionEvent): void {
  switch (event.kind) {
    case 'fenced':
      return leave(draft, event.broker, event.unclean)
    case 'shutting-down':
      return leave(draft, event.broker, false)
    case 'replica-damaged':
      return leave(draft, event.broker, true)
    case 'unregistered':
      leave(draft, event.broker, true)
      draft.lastKnownElr = without(draft.lastKnownElr, event.broker)
      return
    case 'alter-isr':
      if (event.recovered) draft.recovering = false
      return settle(draft, event.isr, [])
    case 'assignment':
    case 'min-isr':
      return settle(draft, draft.isr, [])
    case 'elect':
      return electAsAsked(draft, event.how)
    case 'unfenced':
    // A partition without a leader may have one now; of others nothing changes.
  }
}

function leave(draft: Draft, broker: number, unclean: boolean): void {
  const { before, context } = draft
  const left = without(before.isr, broker)
  // Without an ELR the last one in sync is the only one that may ever lead again: it must not be forgotten.
  const keepsLast = !context.eligibleLeaderReplicas && left.length === 0
  settle(draft, keepsLast ? before.isr : left, unclean ? [broker] : [])
}

/** From the ISR that is to be follows who is eligible, and who was. */
function settle(draft: Draft, isr: readonly number[], unclean: readonly number[]): void {
  const { before, context, replicas, minIsr } = draft
  // A replica that a reassignment took away must not come back as one that has everything.
  draft.isr = isr.filter((id) => replicas.includes(id))
  if (draft.isr.length >= minIsr || !context.eligibleLeaderReplicas) {
    draft.elr = []
    draft.lastKnownElr = []
    return
  }
  const former = union(before.elr, before.isr).filter(
    (id) => replicas.includes(id) && !draft.isr.includes(id),
  )
  draft.elr = former.filter((id) => !unclean.includes(id))
  draft.lastKnownElr = union(before.lastKnownElr, former).filter(
    (id) => replicas.includes(id) && !draft.isr.includes(id) && !draft.elr.includes(id),
  )
}

/** The leader of before is in the ISR, alive, and the incarnation that was elected. */
function mayStay({ before, context, isr, leader }: Draft): boolean {
  if (leader === -1 || !isr.includes(leader)) return false
  const broker = context.broker(leader)
  if (!isActive(broker)) return false
  return leader !== before.leader || broker.epoch === before.leaderBrokerEpoch
}

/**
 * In the order of the assignment: of the ISR, else of the ELR. Else the last one that was eligible: nobody else ever knew
 * more, so whatever it lost is lost. Else whoever lives if the topic allows it, else nobody.
 */
function elect(draft: Draft): void {
  const { context, replicas } = draft
  const active = replicas.filter((id) => isActive(context.broker(id)))
  const inSync = active.find((id) => draft.isr.includes(id))
  const eligible = active.find((id) => draft.elr.includes(id))
  if (inSync !== undefined) lead(draft, inSync)
  else if (eligible !== undefined) leadFromElr(draft, eligible)
  else if (isLastKnown(draft, active)) leadUncleanly(draft, draft.lastKnownElr[0]!)
  else if (context.uncleanElection && active[0] !== undefined) leadUncleanly(draft, active[0])
  else lead(draft, -1)
}

/** A fenced one must not be taken for one that lives (KAFKA-19522). */
function isLastKnown({ isr, elr, lastKnownElr }: Draft, active: readonly number[]): boolean {
  return isr.length + elr.length === 0 && lastKnownElr.length === 1 && active.includes(lastKnownElr[0]!)
}

function electAsAsked(draft: Draft, how: Election): void {
  if (how === 'clean') return
  const { context, isr, elr, replicas } = draft
  const chosen = how === 'preferred' ? replicas[0] : 'designated' in how ? how.designated : how.unclean
  if (chosen === undefined || !replicas.includes(chosen) || !isActive(context.broker(chosen))) return
  if (isr.includes(chosen)) lead(draft, chosen)
  else if (how === 'preferred') return
  else if (isr.length === 0 && elr.includes(chosen)) leadFromElr(draft, chosen)
  else if ('unclean' in how) leadUncleanly(draft, chosen)
}

function lead(draft: Draft, leader: number): void {
  if (leader === -1 && draft.leader === -1) return
  if (leader !== draft.before.leader || !mayStay(draft)) draft.newEpoch = true
  draft.leader = leader
}

/** Of the others in the ELR nobody knows less than before. */
function leadFromElr(draft: Draft, leader: number): void {
  lead(draft, leader)
  draft.isr = [leader]
  draft.elr = without(draft.elr, leader)
  if (draft.isr.length < draft.minIsr) return
  draft.elr = []
  draft.lastKnownElr = []
}

/** What it does not have is lost, so nobody else is eligible any more: they may have what it does not. */
function leadUncleanly(draft: Draft, leader: number): void {
  lead(draft, leader)
  draft.newEpoch = true
  draft.isr = [leader]
  draft.elr = []
  draft.lastKnownElr = []
  draft.recovering = true
}

function finished(draft: Draft): PartitionState | null {
  const { before, context, leader, isr, elr, lastKnownElr, minIsr } = draft
  const leaderBrokerEpoch = leader === -1 ? -1 : (context.broker(leader)?.epoch ?? -1)
  const leaderRecoveryState = draft.recovering ? 1 : 0
  const isSame =
    !draft.newEpoch &&
    leader === before.leader &&
    minIsr === before.minIsr &&
    leaderRecoveryState === before.leaderRecoveryState &&
    sameMembers(isr, before.isr) &&
    sameMembers(elr, before.elr) &&
    sameMembers(lastKnownElr, before.lastKnownElr)
  if (isSame) return null
  const after: PartitionState = {
    leader,
    leaderEpoch: before.leaderEpoch + (draft.newEpoch ? 1 : 0),
    leaderBrokerEpoch,
    controllerEpoch: context.controllerEpoch,
    partitionEpoch: before.partitionEpoch + 1,
    isr,
    elr,
    lastKnownElr,
    leaderRecoveryState,
    minIsr,
  }
  check(after, draft)
  return after
}

/** What holds after every change, or the cluster must not go on from it. */
function check(after: PartitionState, { context, replicas }: Draft): void {
  const { leader, isr } = after
  assert.equal(stateProblem(after, replicas), null)
  if (leader !== -1) assert(isActive(context.broker(leader)), 'such a leader')
  const mayBeFenced = context.eligibleLeaderReplicas ? 0 : 1
  assert(isr.filter((id) => !isActive(context.broker(id))).length <= mayBeFenced, 'the ISR has who is gone')
}

function without(ids: readonly number[], id: number): readonly number[] {
  return ids.filter((each) => each !== id)
}

function union(left: readonly number[], right: readonly number[]): readonly number[] {
  return [...left, ...right.filter((id) => !left.includes(id))]
}
