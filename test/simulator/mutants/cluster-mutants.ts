import type { Change } from './mutants.ts'

/** A bug in what brokers do together. The campaign sees it, or, as it takes less, the stories of a number. */
export type ClusterMutant = Change & {
  readonly campaign: 'cluster'
  /** As in `replication.md` 5.4. */
  readonly story?: number
  /** The invariant that sees it: the mutant is there to show that it can. */
  readonly by?: string
}

const ALTER = 'src/core/controller/alter-partition.ts'
const CHANGE = 'src/core/controller/partition-change.ts'
const LEADER = 'src/core/replication/leader.ts'
const PARTITION = 'src/broker/partition.ts'
const FOLLOWED = 'src/broker/replica-fetcher-partition.ts'

/** The rules that 2 and 5.3 of `replication.md` name. */
export const CLUSTER_MUTANTS: readonly ClusterMutant[] = [
  // ------------------------------------------------------------------------------------------------- who may join
  {
    name: 'who joins the ISR may be another process than the one that fetched',
    campaign: 'cluster',
    story: 13,
    file: ALTER,
    from: 'return epoch === view.epoch || (epoch === -1 && state.isr.includes(id))',
    to: 'return true',
  },
  {
    name: 'an ISR is changed although the leader did not know of the last change',
    campaign: 'cluster',
    story: 15,
    file: ALTER,
    from: 'if (proposal.partitionEpoch < state.partitionEpoch)',
    to: 'if (false)',
  },
  {
    name: 'who joins the ISR may be fenced',
    campaign: 'cluster',
    story: 41,
    file: ALTER,
    from: 'if (!isActive(view))',
    to: 'if (view === undefined)',
  },
  // ----------------------------------------------------------------------------------------------- high watermark
  {
    name: 'the high watermark waits for the ISR that is agreed on, and not for who may have joined',
    campaign: 'cluster',
    story: 14,
    file: LEADER,
    from: 'if (this.#maximalIsr.has(follower.id))\n            return true',
    to: 'if (this.#committed.isr.includes(follower.id))\n            return true',
  },
  {
    name: 'the high watermark does not wait for who is to leave',
    campaign: 'cluster',
    story: 15,
    by: 'S8',
    file: LEADER,
    from: 'this.#propose(staying, false)',
    to: 'this.#propose(staying, false, (this.#maximalIsr = new Set(staying)))',
  },
  {
    name: 'the high watermark does not wait for one in sync that lags',
    campaign: 'cluster',
    story: 5,
    by: 'S17',
    file: LEADER,
    from: 'if (this.#maximalIsr.has(follower.id))\n            return true',
    to: 'if (this.#maximalIsr.has(follower.id) && !this.#lags(follower))\n            return true',
  },
  {
    name: 'the high watermark moves below the minimum',
    campaign: 'cluster',
    story: 41,
    by: 'S10',
    file: LEADER,
    from: 'if (this.underMinIsr)\n            return',
    to: 'if (false)\n            return',
  },
  {
    name: 'who may have joined counts for the minimum',
    campaign: 'cluster',
    story: 16,
    file: LEADER,
    from: 'return this.#committed.isr.length < this.#committed.minIsr',
    to: 'return this.#maximalIsr.size < this.#committed.minIsr',
  },
  {
    name: 'whatever goes wrong with a proposal, it was not carried out',
    campaign: 'cluster',
    story: 14,
    file: LEADER,
    from: 'if (!NOT_APPLIED.has(errorCode))',
    to: 'if (false)',
  },
  {
    name: 'a proposal that was refused for good is made again',
    campaign: 'cluster',
    story: 13,
    file: LEADER,
    from: 'if (!NOT_APPLIED.has(errorCode))',
    to: 'if (true)',
  },
  {
    name: 'who was refused counts as one that may have joined',
    campaign: 'cluster',
    story: 13,
    by: 'S9',
    file: LEADER,
    from: 'this.#maximalIsr = new Set(this.#committed.isr)',
    to: '',
  },
  {
    name: 'who waits when the ISR falls below the minimum goes on waiting',
    campaign: 'cluster',
    story: 32,
    file: LEADER,
    from: 'this.outbox.fellBelowMinIsr = true',
    to: '',
  },
  {
    name: 'acks=all is accepted below the minimum',
    campaign: 'cluster',
    story: 31,
    file: PARTITION,
    from: 'this.#leader.underMinIsr ? ErrorCode.NOT_ENOUGH_REPLICAS : ErrorCode.NONE',
    to: 'false ? ErrorCode.NOT_ENOUGH_REPLICAS : ErrorCode.NONE',
  },
  {
    name: 'acks=all is answered when the leader has written',
    campaign: 'cluster',
    story: 17,
    file: PARTITION,
    from: 'if (endOffset <= this.#highWatermark)',
    to: 'if (true)',
  },
  {
    name: 'a leader tells an end that may be before what is committed',
    campaign: 'cluster',
    story: 19,
    file: PARTITION,
    from: 'return this.#leader !== null && this.#highWatermark < this.#leader.epochStartOffset',
    to: 'return false',
    firstSeed: 2,
  },
  // ------------------------------------------------------------------------------------------------ ELR, elections
  {
    name: 'the ELR stays beside a full ISR',
    campaign: 'cluster',
    story: 1,
    file: CHANGE,
    from: 'if (draft.isr.length >= minIsr || !context.eligibleLeaderReplicas)',
    to: 'if (!context.eligibleLeaderReplicas)',
  },
  {
    name: 'who may have lost something stays eligible',
    campaign: 'cluster',
    story: 8,
    file: CHANGE,
    from: 'draft.elr = former.filter((id) => !unclean.includes(id))',
    to: 'draft.elr = former',
  },
  {
    name: 'nobody who leaves is eligible',
    campaign: 'cluster',
    story: 1,
    file: CHANGE,
    from: 'draft.elr = former.filter((id) => !unclean.includes(id))',
    to: 'draft.elr = []',
  },
  {
    name: 'who once had all is forgotten',
    campaign: 'cluster',
    story: 28,
    by: 'S16',
    file: CHANGE,
    from: 'draft.lastKnownElr = union(before.lastKnownElr, former)',
    to: 'draft.lastKnownElr = before.lastKnownElr',
  },
  {
    name: 'whoever comes back has what it had',
    campaign: 'cluster',
    story: 8,
    file: 'src/core/controller/controlled-broker.ts',
    from: 'this.acceptedEpoch !== -1 && !live.lineage.includes(this.acceptedEpoch)',
    to: 'false',
  },
  {
    name: 'the last one that was eligible is elected, though it is fenced',
    campaign: 'cluster',
    story: 28,
    file: CHANGE,
    from: ' && active.includes(lastKnownElr[0])',
    to: '',
  },
  {
    name: 'who is elected from the ELR leads beside those who have left',
    campaign: 'cluster',
    story: 1,
    file: CHANGE,
    from: 'const inSync = active.find((id) => draft.isr.includes(id))',
    to: 'const inSync = active.find(() => true)',
  },
  {
    name: 'of several that went the doubtful ones leave last',
    campaign: 'cluster',
    story: 36,
    file: 'src/core/controller/controlled-partition.ts',
    from: 'return [...leaving.filter(isDoubtful), ...leaving.filter((id) => !isDoubtful(id))]',
    to: 'return [...leaving.filter((id) => !isDoubtful(id)), ...leaving.filter(isDoubtful)]',
  },
  {
    name: 'a damaged replica stays eligible',
    campaign: 'cluster',
    story: 47,
    file: 'src/core/controller/controller.ts',
    from: "decide: () => ({ kind: 'replica-damaged', broker: sender })",
    to: 'decide: () => null',
  },
  // ------------------------------------------------------------------------------------------ epochs and followers
  {
    name: 'where a term begins is in no log until a record comes',
    campaign: 'cluster',
    story: 25,
    file: PARTITION,
    from: 'if (isNewTerm)\n            this.#log.epochs.assign(',
    to: 'if (false)\n            this.#log.epochs.assign(',
  },
  {
    name: 'a leader answers whoever asks one of another term',
    campaign: 'cluster',
    story: 17,
    file: PARTITION,
    from: 'if (currentLeaderEpoch !== -1 && currentLeaderEpoch !== leaderEpoch)',
    to: 'if (false)',
  },
  {
    name: 'a follower is cut at its high watermark whenever somebody else leads',
    campaign: 'cluster',
    story: 24,
    by: 'S5',
    file: FOLLOWED,
    from: 'this.#writing = true;\n        if (this.partition.errorCode',
    to: 'if (this.partition.logView.writtenEndOffset === this.partition.logView.logEndOffset) return void this.#cut(this.core.highWatermark);\n        this.#writing = true;\n        if (this.partition.errorCode',
  },
  {
    name: 'a leader does not look where the log of a follower parts from its own',
    campaign: 'cluster',
    story: 23,
    by: 'S4',
    file: 'src/broker/fetch-operation.ts',
    from: 'const divergingEpoch = divergence(partition, target)',
    to: 'const divergingEpoch = null',
  },
  {
    name: 'a follower says how far it has appended, and not how far it has written',
    campaign: 'cluster',
    story: 24,
    file: FOLLOWED,
    from: 'this.#writing = true;\n        this.written()',
    to: "this.#writing = true;\n        this.#become('ready')",
  },
  {
    name: 'a follower leaves out the first of several batches',
    campaign: 'cluster',
    story: 43,
    by: 'S13',
    file: PARTITION,
    from: 'return this.log.appendAsFollower(records)',
    to: 'return this.log.appendAsFollower(records.length > records.readInt32BE(8) + 12 ? records.subarray(records.readInt32BE(8) + 12) : records)',
  },
  // ----------------------------------------------------------------------------------------------------- controllers
  {
    name: 'a proposal of a process that is gone is carried out',
    campaign: 'cluster',
    story: 11,
    file: 'src/core/controller/controller.ts',
    from: 'if (this.#brokers.get(sender)?.view?.epoch !== epoch)\n            return this.#reply(reply, { errorCode: ErrorCode.STALE_BROKER_EPOCH, answers: [] })',
    to: '',
  },
]
