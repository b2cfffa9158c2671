import type { GroupOwner } from './group-owner.ts'
import type { Waiter } from './outbox.ts'

/** Settings of the coordinator, Kafka's keys in camel case, and our own caps against hostile clients. */
export interface GroupConfig {
  readonly groupMinSessionTimeoutMs: number
  readonly groupMaxSessionTimeoutMs: number
  readonly groupInitialRebalanceDelayMs: number
  readonly groupMaxSize: number
  readonly offsetMetadataMaxBytes: number
  readonly offsetsRetentionMs: number
  /** Member ids handed out and not used yet (KIP-394), per group. */
  readonly maxPendingMembers: number
  /** Ways of assigning that one member offers. */
  readonly maxMemberProtocols: number
  /** Protocol names and metadata of one member, together. */
  readonly maxMemberMetadataBytes: number
  /** Groups of one kind, of all partitions together: of those with members, and of those with offsets only. */
  readonly maxGroups: number
  /** Estimated memory of the groups of one kind, with their members and offsets. */
  readonly maxStateBytes: number
  /** What the log of a partition takes in one batch at present: max.message.bytes of the offsets topic. */
  readonly appendableBytes: (partition: number) => number
  /** Bytes of keys and values in one batch of tombstones. */
  readonly maxBatchBytes: number
}

/** How long a member that joins for the first time may stay parked: it has no id yet and cannot heartbeat. */
export const NEW_MEMBER_JOIN_TIMEOUT_MS = 300_000

export const NO_GENERATION = -1
export const NO_MEMBER_ID = ''

/** A way of assigning that a member offers, in the order of its preference. */
export interface Protocol {
  readonly name: string
  readonly metadata: Buffer
}

export interface JoinRequest {
  readonly groupId: string
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly clientId: string
  /** As Kafka shows it: "/" and the address. */
  readonly clientHost: string
  readonly clientPort: number
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
  readonly protocolType: string
  readonly protocols: readonly Protocol[]
  readonly reason: string | null
  /** Fresh, unique: becomes part of the member id if this member needs one. */
  readonly uniqueId: string
  /** v4+: a new dynamic member is told its id first and joins with it (KIP-394). */
  readonly requiresKnownMemberId: boolean
  /** v9+: KIP-814. */
  readonly supportsSkippingAssignment: boolean
}

export interface JoinedMember {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly metadata: Buffer
}

export interface JoinResponse {
  readonly errorCode: number
  readonly generationId: number
  readonly protocolType: string | null
  readonly protocolName: string | null
  readonly leader: string
  readonly skipAssignment: boolean
  readonly memberId: string
  /** Only the leader gets it. */
  readonly members: readonly JoinedMember[]
}

export interface SyncRequest {
  readonly groupId: string
  readonly generationId: number
  readonly memberId: string
  readonly groupInstanceId: string | null
  /** Null: not checked (before v5). */
  readonly protocolType: string | null
  readonly protocolName: string | null
  readonly assignments: readonly { readonly memberId: string; readonly assignment: Buffer }[]
}

export interface SyncResponse {
  readonly errorCode: number
  readonly protocolType: string | null
  readonly protocolName: string | null
  readonly assignment: Buffer
}

export interface HeartbeatRequest {
  readonly groupId: string
  readonly generationId: number
  readonly memberId: string
  readonly groupInstanceId: string | null
}

export interface LeavingMember {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly reason: string | null
}

export interface LeaveRequest {
  readonly groupId: string
  readonly members: readonly LeavingMember[]
}

export interface LeaveResponse {
  readonly errorCode: number
  /** One per member of the request, in its order. */
  readonly memberErrorCodes: readonly number[]
}

export interface OffsetToCommit {
  readonly topic: string
  readonly partition: number
  readonly offset: number | bigint
  readonly leaderEpoch: number
  readonly metadata: string
}

export interface CommitRequest {
  readonly groupId: string
  readonly client: GroupOwner
  readonly memberId: string
  readonly groupInstanceId: string | null
  /** Negative: a consumer that manages its partitions itself, or an administrator. */
  readonly generationId: number
  /** -1: the broker's retention. */
  readonly retentionTimeMs: number
  /** v9+: a missing group has an error of its own. */
  readonly knowsGroupIdNotFound: boolean
  readonly offsets: readonly OffsetToCommit[]
}

/** An error code for each offset of the request. */
export type CommitResponse = readonly number[]

export interface TopicPartitions {
  readonly name: string
  readonly partitions: readonly number[]
}

export interface FetchOffsetsRequest {
  readonly groupId: string
  /** Null: all that the group has. */
  readonly topics: readonly TopicPartitions[] | null
}

export interface FetchedTopic {
  readonly name: string
  readonly partitions: readonly FetchedOffset[]
}

export interface FetchedOffset {
  readonly partitionIndex: number
  /** -1: none. */
  readonly committedOffset: number | bigint
  readonly committedLeaderEpoch: number
  readonly metadata: string
  readonly errorCode: number
}

export interface DescribedMember {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly clientId: string
  readonly clientHost: string
  readonly memberMetadata: Buffer
  readonly memberAssignment: Buffer
}

export interface DescribedGroup {
  readonly errorCode: number
  readonly groupId: string
  readonly groupState: GroupState
  readonly protocolType: string
  readonly protocolData: string
  readonly members: readonly DescribedMember[]
}

export interface ListedGroup {
  readonly groupId: string
  readonly protocolType: string
  readonly groupState: GroupState
}

export interface DeleteOffsetsRequest {
  readonly groupId: string
  readonly topics: readonly TopicPartitions[]
}

export interface DeleteOffsetsResponse {
  readonly errorCode: number
  /** Per topic of the request. */
  readonly topicErrorCodes: readonly number[]
}

/**
 * - Empty: no members; offsets may be there.
 * - PreparingRebalance: members are parked in JoinGroup until all have come or time is up.
 * - CompletingRebalance: a generation exists, its members wait in SyncGroup for the leader's assignment.
 * - Stable: every member has, or may fetch, its assignment.
 * - Dead: tombstones are on their way to the log.
 */
export type GroupState = 'Empty' | 'PreparingRebalance' | 'CompletingRebalance' | 'Stable' | 'Dead'

export type JoinWaiter = Waiter<JoinResponse>
export type SyncWaiter = Waiter<SyncResponse>
