import type { ErrorCode } from '../../../protocol/errors.ts'
import type { IsrProposal } from '../replication/leader.ts'
import type { Assignment, BrokerView, PartitionState } from '../replication/partition-state.ts'

/** A process that is registered, as its node in `/brokers/ids` says. */
export interface LiveBroker {
  readonly id: number
  /** Of this node: another one each time it registers. */
  readonly epoch: number
  /** Epochs under which this process, or the one that stopped cleanly before it, was registered. Empty: nothing is certain. */
  readonly lineage: readonly number[]
}

/** `/brokers/registrations/N`: the incarnation that the controller has accepted last. */
export interface AcceptedBroker {
  readonly id: number
  readonly epoch: number
  readonly fenced: boolean
  /** Of the controller that last accepted a process of it which may have lost something; -1: none did. */
  readonly doubtEpoch: number
}

export interface TopicRules {
  /** `min.insync.replicas`; null: it cannot be read, and stays as it is. */
  readonly minInsyncReplicas: number | null
  /** `unclean.leader.election.enable`. */
  readonly uncleanElection: boolean
}

export interface TopicPlan {
  readonly name: string
  readonly topicId: string
  readonly assignments: readonly Assignment[]
  readonly rules: TopicRules
}

/**
 * A topic as it is stored. A state of null was not written before a controller died; one that is `damaged` makes no sense, or
 * was taken away: nobody leads such a partition, and nothing is written of it.
 */
export interface StoredTopic extends TopicPlan {
  readonly states: readonly (PartitionState | null | 'damaged')[]
}

/** What a new controller reads, when nobody else writes any more. */
export interface ClusterSnapshot {
  readonly topics: readonly StoredTopic[]
  /** Names of topics whose own nodes make no sense: they are not free, and what brokers have of them stays. */
  readonly damagedTopics: readonly string[]
  /** With the version of each node. */
  readonly accepted: readonly (AcceptedBroker & { readonly version: number })[]
  readonly live: readonly LiveBroker[]
}

export interface Proposal extends IsrProposal {
  readonly topicId: string
  readonly index: number
}

/** What a leader gets for a proposal: the state as it is now, when the code is NONE. */
export interface ProposalAnswer {
  readonly topicId: string
  readonly index: number
  readonly errorCode: ErrorCode
  readonly state: PartitionState | null
}

/** How far the log of a replica goes, as its broker found it. */
export interface LogEnd {
  readonly topicId: string
  readonly index: number
  /** Under which its last batch was written; -1: there is none. */
  readonly lastEpoch: number
  readonly endOffset: number
}

/** What a broker says of its replicas. */
export interface ReplicaReport {
  /** They may lack what they had. */
  readonly damaged: readonly { readonly topicId: string; readonly index: number }[]
  readonly logs: readonly LogEnd[]
}

/** What every broker must know, in order. It holds only what the store has agreed to. */
export type ImageRecord =
  | { readonly kind: 'broker'; readonly broker: BrokerView }
  | { readonly kind: 'topic'; readonly name: string; readonly topicId: string; readonly rules: TopicRules }
  | { readonly kind: 'topic-gone'; readonly topicId: string }
  /** Dynamic values of a broker; -1: of all. */
  | { readonly kind: 'config'; readonly brokerId: number; readonly values: ReadonlyMap<string, string> }
  | {
      readonly kind: 'partition'
      readonly topicId: string
      readonly index: number
      readonly assignment: Assignment
      readonly state: PartitionState
    }
  /** Nobody leads it, whatever was known of it. */
  | {
      readonly kind: 'partition-damaged'
      readonly topicId: string
      readonly index: number
      readonly assignment: Assignment
    }
  /** The same of all of its partitions, of which nothing else is known. */
  | { readonly kind: 'topic-damaged'; readonly name: string }

/** What the controller wants done. `id`: the outcome comes back under it, as `stored`. */
export type ControllerEffect =
  /** A node is set if it has this version; a version of -1 makes it. */
  | {
      readonly kind: 'write-state'
      readonly id: number
      readonly topic: string
      readonly index: number
      readonly state: PartitionState
      readonly version: number
    }
  | {
      readonly kind: 'write-accepted'
      readonly id: number
      readonly broker: AcceptedBroker
      readonly version: number
    }
  | {
      readonly kind: 'create-topic'
      readonly id: number
      readonly plan: TopicPlan
      readonly states: readonly PartitionState[]
    }
  /** `states`: of the partitions from `from` on; `assignments`: of all. */
  | {
      readonly kind: 'grow-topic'
      readonly id: number
      readonly name: string
      readonly topicId: string
      readonly assignments: readonly Assignment[]
      readonly from: number
      readonly states: readonly PartitionState[]
    }
  | { readonly kind: 'delete-topic'; readonly id: number; readonly name: string; readonly topicId: string }
  | { readonly kind: 'publish'; readonly sequence: number; readonly records: readonly ImageRecord[] }
  | { readonly kind: 'reply'; readonly send: () => void }
  /** It is not controller any more, whatever it believes: somebody else wrote. */
  | { readonly kind: 'resign'; readonly reason: string }

/**
 * `version`: of the node that was written. `changed`: it had another version, is there already, or is gone. That, and a write
 * of which nothing is known, ends the term: the next controller reads what there is.
 */
export type StoreOutcome = { readonly version: number } | 'changed'
