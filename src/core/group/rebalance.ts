import assert from 'node:assert/strict'
import { ErrorCode } from '../../../protocol/errors.ts'
import { failedJoin, failedSync, memberError, some } from './answers.ts'
import type { Now } from '../deadline-queue.ts'
import { Group, NO_BYTES } from './group.ts'
import type { Member } from './group.ts'
import type { GroupOwner } from './group-owner.ts'
import { groupAppendError } from './group-context.ts'
import type { GroupContext, PendingAppend } from './group-context.ts'
import { encodeGroupMetadata } from './group-records.ts'
import type { JoinedMember, JoinResponse, SyncRequest, SyncWaiter } from './group-types.ts'
import { NO_MEMBER_ID } from './group-types.ts'

/** How a group gets from one generation to the next. */
export class Rebalance {
  readonly #context: GroupContext

  constructor(context: GroupContext) {
    this.#context = context
  }

  createGroup(groupId: string, owner: GroupOwner | null, now: Now): Group {
    return new Group(groupId, owner, now, {
      joinTimeout: (group, at) => this.#joinTimeout(group, at),
      syncTimeout: (group, at) => this.#syncTimeout(group, at),
      evicted: (group, at) => this.#context.evicted(group, at),
    })
  }

  // ------------------------------------------------------------------------------------------------ preparation

  /** A change of members or of their metadata: begin a rebalance, or see whether it completes the one under way. */
  prepareOrComplete(group: Group, reason: string, now: Now): PendingAppend | null {
    if (group.canRebalance) return this.prepare(group, reason, now)
    this.#logChange(group, reason)
    return this.completeJoinIfReady(group, now)
  }

  /** As `prepareOrComplete`, when members have gone. */
  afterRemoval(group: Group, reason: string, now: Now): PendingAppend | null {
    if (group.state === 'Stable' || group.state === 'CompletingRebalance') {
      return this.prepare(group, reason, now)
    }
    this.#logChange(group, reason)
    return this.completeJoinIfReady(group, now)
  }

  prepare(group: Group, reason: string, now: Now): PendingAppend | null {
    const { deadlines, config } = this.#context
    assert.ok(group.canRebalance)
    if (group.state === 'CompletingRebalance') {
      this.#resetAssignments(group, ErrorCode.REBALANCE_IN_PROGRESS, now)
    }
    deadlines.cancel(group.syncTimer)
    group.assignmentInFlight = false
    const wasEmpty = group.state === 'Empty'
    this.#context.outbox.log(
      'info',
      { groupId: group.groupId, generation: group.generationId, from: group.state, reason },
      `rebalance begins: ${reason}`,
    )
    group.transition('PreparingRebalance', now)
    if (!wasEmpty) return this.#completeJoinOrWait(group, now)
    // A group that comes up: give its members time to arrive, so that they need not be assigned one by one.
    const delayMs = config.groupInitialRebalanceDelayMs
    group.initialRebalance = true
    group.initialRemainingMs = Math.max(group.rebalanceTimeoutMs - delayMs, 0)
    deadlines.arm(group.joinTimer, now.monotonicMs + delayMs)
    return null
  }

  #completeJoinOrWait(group: Group, now: Now): PendingAppend | null {
    if (group.allMembersJoined) return this.#completeJoin(group, now)
    this.#context.deadlines.arm(group.joinTimer, now.monotonicMs + group.rebalanceTimeoutMs)
    return null
  }

  /** An initial rebalance is not completed by everybody being there: who else comes is not known. */
  completeJoinIfReady(group: Group, now: Now): PendingAppend | null {
    if (group.state !== 'PreparingRebalance' || group.initialRebalance || !group.allMembersJoined) return null
    return this.#completeJoin(group, now)
  }

  #joinTimeout(group: Group, now: Now): void {
    if (!this.#context.owns(group) || group.state !== 'PreparingRebalance') return
    const remainingMs = group.initialRemainingMs
    if (group.initialRebalance && group.newMemberAdded && remainingMs > 0) {
      const delayMs = Math.min(this.#context.config.groupInitialRebalanceDelayMs, remainingMs)
      group.newMemberAdded = false
      group.initialRemainingMs = remainingMs - delayMs
      this.#context.deadlines.arm(group.joinTimer, now.monotonicMs + delayMs)
      return
    }
    this.#completeJoin(group, now)
    this.#context.charge(group)
  }

  #completeJoin(group: Group, now: Now): PendingAppend | null {
    const { deadlines } = this.#context
    deadlines.cancel(group.joinTimer)
    this.#dropAbsentMembers(group, now)
    if (!group.electJoinedLeader() && group.members.size > 0) {
      // Only static members are known and none has come back: their sessions decide.
      this.#context.outbox.log(
        'warn',
        { groupId: group.groupId, members: group.members.size },
        'no member rejoined: the rebalance goes on until they do or their sessions expire',
      )
      deadlines.arm(group.joinTimer, now.monotonicMs + group.rebalanceTimeoutMs)
      return null
    }
    group.nextGeneration(now)
    if (group.state === 'Empty') return this.#persistEmpty(group)
    this.#beginGeneration(group, now)
    return null
  }

  /** Dynamic members that did not rejoin in time are gone; static ones have until their session ends. */
  #dropAbsentMembers(group: Group, now: Now): void {
    const absent: string[] = []
    for (const member of group.members.values()) {
      if (member.awaitingJoin !== null || member.groupInstanceId !== null) continue
      absent.push(member.memberId)
      this.removeMember(group, member, now)
    }
    if (absent.length > 0) this.#logChange(group, `did not rejoin in time: ${some(absent)}`)
  }

  #persistEmpty(group: Group): PendingAppend {
    const { groupId, generationId } = group
    this.#context.outbox.log(
      'info',
      { groupId, generation: generationId },
      `generation ${generationId}: the group is empty`,
    )
    group.persisted = true
    return this.#context.append([encodeGroupMetadata(group)], (errorCode) => {
      // Nothing to take back: what the log still names as members will expire after a restart.
      if (errorCode !== ErrorCode.NONE) this.#warnNotWritten(group, errorCode)
    })
  }

  #beginGeneration(group: Group, now: Now): void {
    this.#context.outbox.log(
      'info',
      {
        groupId: group.groupId,
        generation: group.generationId,
        protocol: group.protocolName,
        leader: group.leaderId,
        members: group.members.size,
      },
      `generation ${group.generationId}: ${some([...group.members.keys()])}`,
    )
    for (const member of group.members.values()) {
      const isLeader = member.memberId === group.leaderId
      const members = isLeader ? group.joinedMembers() : []
      this.answerJoin(group, member, this.joinResponse(group, member.memberId, members))
      this.restartSession(group, member, now)
      member.isNew = false
      group.pendingSync.add(member.memberId)
    }
    this.#context.deadlines.arm(group.syncTimer, now.monotonicMs + group.rebalanceTimeoutMs)
  }

  // ------------------------------------------------------------------------------------------------------- sync

  sync(request: SyncRequest, waiter: SyncWaiter, now: Now): void {
    const { outbox } = this.#context
    const refuse = (errorCode: number): void => outbox.reply(waiter, failedSync(errorCode))
    if (request.groupId === '') return refuse(ErrorCode.INVALID_GROUP_ID)
    const group = this.#context.groups.get(request.groupId)
    if (group === undefined) return refuse(ErrorCode.UNKNOWN_MEMBER_ID)
    if (group.state === 'Dead') return refuse(ErrorCode.COORDINATOR_NOT_AVAILABLE)
    const error = memberError(group, request.memberId, request.groupInstanceId)
    const member = group.members.get(request.memberId)
    if (error !== ErrorCode.NONE || member === undefined) return refuse(error)
    if (request.generationId !== group.generationId) return refuse(ErrorCode.ILLEGAL_GENERATION)
    if (
      (request.protocolType !== null && request.protocolType !== group.protocolType) ||
      (request.protocolName !== null && request.protocolName !== group.protocolName)
    ) {
      return refuse(ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
    }
    switch (group.state) {
      case 'Empty':
        return refuse(ErrorCode.UNKNOWN_MEMBER_ID)
      case 'PreparingRebalance':
        return refuse(ErrorCode.REBALANCE_IN_PROGRESS)
      case 'CompletingRebalance':
        // As for JoinGroup: the last connection that asks gets the answer.
        this.answerSync(group, member, ErrorCode.REBALANCE_IN_PROGRESS, now)
        member.awaitingSync = waiter
        this.#synced(group, member)
        if (group.leaderId === member.memberId && !group.assignmentInFlight) {
          this.#persistAssignment(group, request, now)
        }
        return
      case 'Stable':
        this.#synced(group, member)
        this.answerSyncNow(group, member, waiter, now)
        return
    }
  }

  #synced(group: Group, member: Member): void {
    group.pendingSync.delete(member.memberId)
    if (group.pendingSync.size === 0) this.#context.deadlines.cancel(group.syncTimer)
  }

  #persistAssignment(group: Group, request: SyncRequest, now: Now): void {
    const { generationId } = group
    const assignments = new Map<string, Buffer>()
    for (const { memberId, assignment } of request.assignments) {
      if (group.members.has(memberId)) assignments.set(memberId, Buffer.from(assignment))
    }
    const missing = [...group.members.keys()].filter((memberId) => !assignments.has(memberId))
    if (missing.length > 0) {
      this.#context.outbox.log(
        'warn',
        { groupId: group.groupId, generation: generationId },
        `the leader assigned nothing to ${some(missing)}`,
      )
    }
    if (!this.#context.fits(membersBytes(group, assignments))) {
      this.#assignmentRefused(group, ErrorCode.MESSAGE_TOO_LARGE, now)
      return
    }
    group.assignmentInFlight = true
    group.persisted = true
    const record = encodeGroupMetadata(group, assignments)
    this.#context.append([record], (errorCode, at) => {
      // Whatever began meanwhile has answered the waiting members, and its own record follows this one.
      const isCurrent = group.state === 'CompletingRebalance' && group.generationId === generationId
      if (!this.#context.owns(group) || !isCurrent) return
      group.assignmentInFlight = false
      if (errorCode !== ErrorCode.NONE) {
        this.#assignmentRefused(group, errorCode, at)
        return
      }
      for (const member of group.members.values()) {
        group.assign(member, assignments.get(member.memberId) ?? NO_BYTES)
      }
      group.transition('Stable', at)
      for (const member of group.members.values()) this.answerSync(group, member, ErrorCode.NONE, at)
      this.#context.charge(group)
    })
  }

  #assignmentRefused(group: Group, errorCode: number, now: Now): void {
    this.#warnNotWritten(group, errorCode)
    this.#resetAssignments(group, groupAppendError(errorCode), now)
    this.prepare(group, `the assignment could not be written (error ${errorCode})`, now)
  }

  #resetAssignments(group: Group, errorCode: number, now: Now): void {
    for (const member of group.members.values()) {
      group.assign(member, NO_BYTES)
      this.answerSync(group, member, errorCode, now)
    }
  }

  #syncTimeout(group: Group, now: Now): void {
    if (!this.#context.owns(group)) return
    if (group.state !== 'CompletingRebalance' && group.state !== 'Stable') return
    const silent = [...group.pendingSync]
    if (silent.length === 0) return
    for (const memberId of silent) {
      const member = group.members.get(memberId)
      if (member !== undefined) this.removeMember(group, member, now)
    }
    this.prepare(group, `did not ask for their assignment in time: ${some(silent)}`, now)
    this.#context.charge(group)
  }

  // ---------------------------------------------------------------------------------------------------- members

  /** Answers what the member is parked in and takes it out. The caller goes on with `afterRemoval`. */
  removeMember(group: Group, member: Member, now: Now): void {
    this.answerJoin(group, member, failedJoin(NO_MEMBER_ID, ErrorCode.UNKNOWN_MEMBER_ID))
    this.answerSync(group, member, ErrorCode.UNKNOWN_MEMBER_ID, now)
    this.#context.deadlines.cancel(member.session)
    group.remove(member)
  }

  restartSession(group: Group, member: Member, now: Now): void {
    if (group.members.get(member.memberId) !== member || !this.#context.owns(group)) return
    group.lastActiveMs = now.monotonicMs
    this.#context.deadlines.arm(member.session, now.monotonicMs + member.sessionTimeoutMs)
  }

  joinResponse(group: Group, memberId: string, members: readonly JoinedMember[]): JoinResponse {
    return {
      errorCode: ErrorCode.NONE,
      generationId: group.generationId,
      protocolType: group.protocolType,
      protocolName: group.protocolName,
      leader: group.leaderId ?? NO_MEMBER_ID,
      skipAssignment: false,
      memberId,
      members,
    }
  }

  /** Does nothing when the member is not parked in JoinGroup. */
  answerJoin(group: Group, member: Member, response: JoinResponse): void {
    const waiter = member.awaitingJoin
    if (waiter === null) return
    group.parkJoin(member, null)
    this.#context.outbox.reply(waiter, response)
  }

  /** Does nothing when the member is not parked in SyncGroup. */
  answerSync(group: Group, member: Member, errorCode: number, now: Now): void {
    const waiter = member.awaitingSync
    if (waiter === null) return
    member.awaitingSync = null
    if (errorCode === ErrorCode.NONE) this.answerSyncNow(group, member, waiter, now)
    else {
      this.#context.outbox.reply(waiter, failedSync(errorCode))
      this.restartSession(group, member, now)
    }
  }

  answerSyncNow(group: Group, member: Member, waiter: SyncWaiter, now: Now): void {
    this.#context.outbox.reply(waiter, {
      errorCode: ErrorCode.NONE,
      protocolType: group.protocolType,
      protocolName: group.protocolName,
      assignment: member.assignment,
    })
    // While it was parked its session could end without effect.
    this.restartSession(group, member, now)
  }

  #logChange(group: Group, reason: string): void {
    const { groupId, generationId, state } = group
    this.#context.outbox.log('info', { groupId, generation: generationId, state }, reason)
  }

  #warnNotWritten(group: Group, errorCode: number): void {
    const { groupId, generationId } = group
    this.#context.outbox.log(
      'warn',
      { groupId, generation: generationId, errorCode },
      'the state of the group could not be written',
    )
  }
}

/** Of the group's record what members bring along, which is nearly all of it. */
function membersBytes(group: Group, assignments: ReadonlyMap<string, Buffer>): number {
  let bytes = 0
  for (const member of group.members.values()) {
    bytes += member.metadata(group.protocolName).length + (assignments.get(member.memberId)?.length ?? 0)
  }
  return bytes
}
