import type { Steps } from '../../../protocol/compile.ts'
import { ErrorCode } from '../../../protocol/errors.ts'
import type { GroupMetadataValue } from '../../../protocol/messages/group-records.ts'
import { failedJoin } from './answers.ts'
import type { DeadlineQueue, Now } from '../deadline-queue.ts'
import { NO_BYTES } from './group.ts'
import type { Group } from './group.ts'
import { GroupContext } from './group-context.ts'
import { groupOwner } from './group-owner.ts'
import type { GroupBudget } from './group-budget.ts'
import { GroupOffsets } from './group-offsets.ts'
import { parseRecord } from './group-records.ts'
import type {
  CommitRequest,
  CommitResponse,
  DeleteOffsetsRequest,
  DeleteOffsetsResponse,
  DescribedGroup,
  FetchedTopic,
  FetchOffsetsRequest,
  GroupConfig,
  GroupState,
  HeartbeatRequest,
  JoinRequest,
  JoinWaiter,
  LeaveRequest,
  LeaveResponse,
  ListedGroup,
  SyncRequest,
  SyncWaiter,
} from './group-types.ts'
import { NO_MEMBER_ID } from './group-types.ts'
import { Membership } from './membership.ts'
import type { LedPartition, Outbox, Waiter } from './outbox.ts'
import { Rebalance } from './rebalance.ts'

/**
 * The coordinator of the groups that live in one partition of the offsets topic. Every method is synchronous; what
 * is to be done about it (answers, records, log lines) is in the outbox afterwards, and `deadlines` knows when to
 * come back. The owner replays the partition first, calls `loaded`, and only then passes requests on.
 *
 * What counts after a crash is what the log holds: an assignment, an empty generation, an offset is valid, and is
 * answered, when its record has been appended. Members that are on their way into a generation live in memory only;
 * after a crash they find out with their next request and join again.
 */
export class GroupShard {
  readonly #context: GroupContext
  readonly #rebalance: Rebalance
  readonly #membership: Membership
  readonly #offsets: GroupOffsets

  constructor(
    partition: LedPartition,
    config: GroupConfig,
    outbox: Outbox,
    deadlines: DeadlineQueue,
    budget: GroupBudget,
  ) {
    this.#context = new GroupContext(partition, config, outbox, deadlines, budget)
    this.#rebalance = new Rebalance(this.#context)
    this.#membership = new Membership(this.#context, this.#rebalance)
    this.#offsets = new GroupOffsets(this.#context, this.#rebalance)
    this.#context.evicted = (group, now) => this.#offsets.evict(group, now)
  }

  get groupCount(): number {
    return this.#context.groups.size
  }

  groupsIn(state: GroupState): number {
    let count = 0
    for (const group of this.#context.groups.values()) if (group.state === state) count++
    return count
  }

  get offsetCount(): number {
    let count = 0
    for (const { offsets } of this.#context.groups.values()) count += offsets.size
    return count
  }

  join(request: JoinRequest, waiter: JoinWaiter, now: Now): void {
    this.#membership.join(request, waiter, now)
  }

  sync(request: SyncRequest, waiter: SyncWaiter, now: Now): void {
    this.#rebalance.sync(request, waiter, now)
  }

  heartbeat(request: HeartbeatRequest, waiter: Waiter<number>, now: Now): void {
    this.#membership.heartbeat(request, waiter, now)
  }

  leave(request: LeaveRequest, waiter: Waiter<LeaveResponse>, now: Now): void {
    this.#membership.leave(request, waiter, now)
  }

  commit(request: CommitRequest, waiter: Waiter<CommitResponse>, now: Now): void {
    this.#offsets.commit(request, waiter, now)
  }

  fetchOffsets(request: FetchOffsetsRequest): FetchedTopic[] {
    return this.#offsets.fetch(request)
  }

  deleteGroup(groupId: string, waiter: Waiter<number>): void {
    this.#offsets.deleteGroup(groupId, waiter)
  }

  deleteOffsets(request: DeleteOffsetsRequest, waiter: Waiter<DeleteOffsetsResponse>): void {
    this.#offsets.deleteOffsets(request, waiter)
  }

  topicDeleted(topic: string): void {
    this.#offsets.topicDeleted(topic)
  }

  expireOffsets(now: Now): Steps<void> {
    return this.#offsets.expire(now)
  }

  /** A group that is not known is described as Dead. */
  describe(groupId: string): DescribedGroup {
    const group = this.#context.groups.get(groupId)
    const isStable = group?.state === 'Stable'
    return {
      errorCode: ErrorCode.NONE,
      groupId,
      groupState: group?.state ?? 'Dead',
      protocolType: group?.protocolType ?? '',
      protocolData: isStable ? (group.protocolName ?? '') : '',
      members: Array.from(group?.members.values() ?? [], (member) => ({
        memberId: member.memberId,
        groupInstanceId: member.groupInstanceId,
        clientId: member.clientId,
        clientHost: member.clientHost,
        memberMetadata: isStable ? member.metadata(group?.protocolName ?? null) : NO_BYTES,
        memberAssignment: member.assignment,
      })),
    }
  }

  *list(): Generator<ListedGroup> {
    for (const group of this.#context.groups.values()) {
      yield { groupId: group.groupId, protocolType: group.protocolType ?? '', groupState: group.state }
    }
  }

  // --------------------------------------------------------------------------------------------------- the log

  /** A record of the partition, in the log's order. Throws a ProtocolError when it cannot be read. */
  replay(key: Buffer, value: Buffer | null, now: Now): void {
    const record = parseRecord(key, value)
    if (record === null) return
    let group = this.#context.groups.get(record.groupId)
    if (group === undefined) {
      if (record.value === null) return
      group = this.#rebalance.createGroup(record.groupId, null, now)
      this.#context.insert(group)
    }
    if (record.kind === 'offset') group.offsets.replayed(record.topic, record.partition, record.value)
    else this.#restore(group, record.value)
    this.#context.charge(group)
  }

  #restore(group: Group, value: GroupMetadataValue | null): void {
    for (const member of group.members.values()) group.remove(member)
    group.persisted = value !== null
    group.state = value === null || value.members.length === 0 ? 'Empty' : 'Stable'
    group.generationId = value?.generation ?? 0
    group.protocolType = value === null || value.protocolType === '' ? null : value.protocolType
    group.protocolName = value?.protocol ?? null
    group.stateSinceMs =
      value === null || value.currentStateTimestamp < 0 ? null : value.currentStateTimestamp
    const [first] = value?.members ?? []
    group.owner = first === undefined ? null : groupOwner(first.clientHost, first.clientId, 0)
    for (const restored of value?.members ?? []) {
      const member = this.#membership.restoreMember(group, restored)
      const metadata = Buffer.from(restored.subscription)
      const rebalanceTimeoutMs =
        restored.rebalanceTimeout < 0 ? restored.sessionTimeout : restored.rebalanceTimeout
      group.update(
        member,
        [{ name: group.protocolName ?? '', metadata }],
        restored.sessionTimeout,
        rebalanceTimeoutMs,
      )
      group.add(member)
      group.assign(member, Buffer.from(restored.assignment))
    }
    const leader = value?.leader ?? null
    if (leader !== null && group.members.has(leader)) group.leaderId = leader
  }

  /** The partition is replayed: members have their session timeout, from now, to show up. */
  loaded(now: Now): void {
    for (const group of this.#context.groups.values()) {
      for (const member of group.members.values()) this.#rebalance.restartSession(group, member, now)
      if (group.members.size > this.#context.config.groupMaxSize) {
        this.#rebalance.prepare(group, 'more members than group.max.size allows', now)
      }
    }
  }

  /** The partition is somebody else's now: also who waits for the log is sent away. */
  resign(now: Now): void {
    this.close(ErrorCode.NOT_COORDINATOR, now)
    this.#context.abandonAppends(ErrorCode.NOT_LEADER_OR_FOLLOWER, now)
  }

  /** Nobody may be left waiting but for the log, which answers. */
  close(errorCode: number, now: Now): void {
    for (const group of this.#context.groups.values()) {
      for (const member of group.members.values()) {
        this.#rebalance.answerJoin(group, member, failedJoin(NO_MEMBER_ID, errorCode))
        this.#rebalance.answerSync(group, member, errorCode, now)
      }
      this.#context.forget(group)
    }
  }
}
