import { ErrorCode } from '../../../protocol/errors.ts'
import type { IsrProposal } from '../replication/leader.ts'
import { isActive, sameMembers } from '../replication/partition-state.ts'
import type { Assignment, BrokerView, PartitionState } from '../replication/partition-state.ts'

export interface ProposalContext {
  /** The broker that asks. */
  readonly sender: number
  readonly assignment: Assignment
  readonly broker: (id: number) => BrokerView | undefined
}

/**
 * Whether a leader's proposal may be made the state of its partition: an error code. NONE with `isDone`: it is already.
 * The order of the checks is Kafka's, for it decides whether the leader takes its proposal back, waits or asks again.
 */
export function checkProposal(
  state: PartitionState,
  proposal: IsrProposal,
  context: ProposalContext,
): { readonly errorCode: ErrorCode; readonly isDone: boolean } {
  const errorCode = errorOf(state, proposal, context)
  return { errorCode, isDone: errorCode === ErrorCode.NONE && isAsProposed(state, proposal) }
}

function errorOf(state: PartitionState, proposal: IsrProposal, context: ProposalContext): ErrorCode {
  // It knows what this controller does not: there is a newer one.
  const isAhead = proposal.leaderEpoch > state.leaderEpoch || proposal.partitionEpoch > state.partitionEpoch
  if (isAhead) return ErrorCode.NOT_CONTROLLER
  if (proposal.leaderEpoch < state.leaderEpoch) return ErrorCode.FENCED_LEADER_EPOCH
  if (context.sender !== state.leader) return ErrorCode.INVALID_REQUEST
  if (isAsProposed(state, proposal)) return ErrorCode.NONE
  if (proposal.partitionEpoch < state.partitionEpoch) return ErrorCode.INVALID_UPDATE_VERSION
  if (!isPossible(state, proposal, context)) return ErrorCode.INVALID_REQUEST
  return proposal.isr.every((member) => mayBeIn(state, member, context))
    ? ErrorCode.NONE
    : ErrorCode.INELIGIBLE_REPLICA
}

function isAsProposed(state: PartitionState, { isr, recovered }: IsrProposal): boolean {
  if (recovered && state.leaderRecoveryState === 1) return false
  return sameMembers(
    state.isr,
    isr.map(({ id }) => id),
  )
}

function isPossible(
  state: PartitionState,
  { isr, recovered }: IsrProposal,
  context: ProposalContext,
): boolean {
  const ids = new Set(isr.map(({ id }) => id))
  if (ids.size !== isr.length || !ids.has(context.sender)) return false
  if (state.leaderRecoveryState === 1 && (isr.length > 1 || !recovered)) return false
  return isr.every(({ id }) => context.assignment.replicas.includes(id))
}

/** KIP-841, KIP-903: alive, to stay, and the incarnation that fetched. Of a member that stays -1 says nothing. */
function mayBeIn(
  state: PartitionState,
  { id, epoch }: IsrProposal['isr'][number],
  { broker }: ProposalContext,
): boolean {
  const view = broker(id)
  if (!isActive(view)) return false
  return epoch === view.epoch || (epoch === -1 && state.isr.includes(id))
}
