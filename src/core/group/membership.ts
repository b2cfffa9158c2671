import { ErrorCode } from '../../../protocol/errors.ts'
import { failedJoin, memberError, some } from './answers.ts'
import { Deadline } from '../deadline-queue.ts'
import type { Now } from '../deadline-queue.ts'
import { Member, protocolBytes } from './group.ts'
import type { Group, MemberIdentity } from './group.ts'
import { groupOwner } from './group-owner.ts'
import type { GroupContext } from './group-context.ts'
import { groupAppendError } from './group-context.ts'
import { encodeGroupMetadata } from './group-records.ts'
import type {
  HeartbeatRequest,
  JoinRequest,
  JoinWaiter,
  LeaveRequest,
  LeaveResponse,
  LeavingMember,
  Protocol,
} from './group-types.ts'
import { NEW_MEMBER_JOIN_TIMEOUT_MS, NO_MEMBER_ID } from './group-types.ts'
import type { Waiter } from './outbox.ts'
import type { Rebalance } from './rebalance.ts'

/**
 * Who is in a group: joining, heartbeats, leaving and being given up. What a change of members sets in motion is
 * up to `Rebalance`.
 */
export class Membership {
  readonly #context: GroupContext
  readonly #rebalance: Rebalance

  constructor(context: GroupContext, rebalance: Rebalance) {
    this.#context = context
    this.#rebalance = rebalance
  }

  // ------------------------------------------------------------------------------------------------------ join

  join(request: JoinRequest, waiter: JoinWaiter, now: Now): void {
    const invalid = this.#invalid(request)
    if (invalid !== ErrorCode.NONE) {
      this.#refuse(waiter, request.memberId, invalid)
      return
    }
    const { groups } = this.#context
    const isNewMember = request.memberId === NO_MEMBER_ID
    const owner = groupOwner(request.clientHost, request.clientId, request.clientPort)
    let group = groups.get(request.groupId)
    if (group === undefined) {
      // A member that believes in a group nobody knows starts over.
      if (!isNewMember) {
        this.#refuse(waiter, request.memberId, ErrorCode.UNKNOWN_MEMBER_ID)
        return
      }
      if (!this.#context.budget.makeRoomForGroup('members', owner, now)) {
        this.#warnFull(request.groupId, request)
        this.#refuse(waiter, NO_MEMBER_ID, ErrorCode.GROUP_MAX_SIZE_REACHED)
        return
      }
      group = this.#rebalance.createGroup(request.groupId, owner, now)
      this.#context.insert(group)
    }
    group.heardOf(owner, now)
    if (group.state === 'Dead') this.#refuse(waiter, request.memberId, ErrorCode.COORDINATOR_NOT_AVAILABLE)
    else if (!this.#hasRoom(group, request, now)) this.#refuseForSize(group, request.memberId, waiter, now)
    else if (!group.supports(request.protocolType, request.protocols)) {
      this.#refuse(waiter, request.memberId, ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
    } else if (isNewMember) this.#joinNewMember(group, request, waiter, now)
    else this.#joinKnownMember(group, request, waiter, now)
    this.#context.charge(group)
  }

  #invalid(request: JoinRequest): number {
    const { config } = this.#context
    if (request.groupId === '') return ErrorCode.INVALID_GROUP_ID
    if (
      request.sessionTimeoutMs < config.groupMinSessionTimeoutMs ||
      request.sessionTimeoutMs > config.groupMaxSessionTimeoutMs
    ) {
      return ErrorCode.INVALID_SESSION_TIMEOUT
    }
    return request.protocols.length > config.maxMemberProtocols ||
      protocolBytes(request.protocols) > config.maxMemberMetadataBytes
      ? ErrorCode.INVALID_REQUEST
      : ErrorCode.NONE
  }

  /** Kafka's group.max.size, and our own cap: all groups together may not grow beyond their memory. */
  #hasRoom(group: Group, request: JoinRequest, now: Now): boolean {
    const { config, budget } = this.#context
    // A static member that comes back under a new id takes no more room than it has.
    const { groupInstanceId } = request
    const staticId = groupInstanceId === null ? undefined : group.staticMembers.get(groupInstanceId)
    const member = group.members.get(request.memberId || (staticId ?? NO_MEMBER_ID))
    const growthBytes = protocolBytes(request.protocols) - protocolBytes(member?.protocols ?? [])
    if (!budget.makeRoomToGrow(group, growthBytes, now)) {
      this.#warnFull(group.groupId, request)
      return false
    }
    switch (group.state) {
      case 'Empty':
      case 'Dead':
        return true
      case 'PreparingRebalance':
        // Those who wait count, not those who are known: when group.max.size was lowered the last to rejoin go.
        return (
          (member !== undefined && member.awaitingJoin !== null) ||
          group.awaitingJoinCount < config.groupMaxSize
        )
      case 'CompletingRebalance':
      case 'Stable':
        return member !== undefined || group.members.size < config.groupMaxSize
    }
  }

  #refuseForSize(group: Group, memberId: string, waiter: JoinWaiter, now: Now): void {
    this.#refuse(waiter, NO_MEMBER_ID, ErrorCode.GROUP_MAX_SIZE_REACHED)
    const member = group.members.get(memberId)
    if (member !== undefined) {
      this.#rebalance.removeMember(group, member, now)
      this.#rebalance.afterRemoval(group, `member ${memberId} does not fit into group.max.size`, now)
    } else if (this.#forgetPending(group, memberId)) this.#rebalance.completeJoinIfReady(group, now)
  }

  #joinNewMember(group: Group, request: JoinRequest, waiter: JoinWaiter, now: Now): void {
    const instanceId = request.groupInstanceId
    const memberId = `${idPrefix(instanceId ?? request.clientId)}-${request.uniqueId}`
    if (instanceId !== null) {
      const currentId = group.staticMembers.get(instanceId)
      const current = currentId === undefined ? undefined : group.members.get(currentId)
      if (current === undefined) this.#addMember(group, memberId, request, waiter, now)
      else this.#replaceStaticMember(group, current, memberId, request, waiter, now)
    } else if (!request.requiresKnownMemberId) {
      this.#addMember(group, memberId, request, waiter, now)
    } else if (!this.#makeRoomForPending(group, now)) {
      this.#refuse(waiter, NO_MEMBER_ID, ErrorCode.GROUP_MAX_SIZE_REACHED)
    } else {
      // KIP-394: a client that gives up before it learns its id must not leave a member behind.
      const timeout = new Deadline({ expired: (at) => this.#pendingExpired(group, memberId, at) })
      group.addPending(memberId, { sinceMs: now.monotonicMs, timeout })
      this.#context.deadlines.arm(timeout, now.monotonicMs + request.sessionTimeoutMs)
      this.#refuse(waiter, memberId, ErrorCode.MEMBER_ID_REQUIRED)
    }
  }

  /** Who is given an id uses it at once: ids that nobody used bar nobody's way. */
  #makeRoomForPending(group: Group, now: Now): boolean {
    if (group.pendingMembers.size < this.#context.config.maxPendingMembers) return true
    for (const [memberId, { sinceMs }] of group.pendingMembers) {
      return now.monotonicMs - sinceMs >= PENDING_GRACE_MS && this.#forgetPending(group, memberId)
    }
    return false
  }

  #joinKnownMember(group: Group, request: JoinRequest, waiter: JoinWaiter, now: Now): void {
    const { memberId, groupInstanceId } = request
    if (group.pendingMembers.has(memberId)) {
      // A pending id was given to a dynamic member; whoever uses it with an instance id made it up.
      if (groupInstanceId !== null) this.#refuse(waiter, memberId, ErrorCode.UNKNOWN_MEMBER_ID)
      else this.#addMember(group, memberId, request, waiter, now)
      return
    }
    const error = memberError(group, memberId, groupInstanceId)
    const member = group.members.get(memberId)
    if (error !== ErrorCode.NONE || member === undefined) {
      this.#refuse(waiter, memberId, error)
      return
    }
    const isLeader = group.leaderId === memberId
    if (group.state === 'Empty') this.#refuse(waiter, memberId, ErrorCode.UNKNOWN_MEMBER_ID)
    else if (group.state === 'PreparingRebalance')
      this.#rejoin(group, member, request, waiter, 'rejoins', now)
    else if (!member.offers(distinct(request.protocols))) {
      this.#rejoin(group, member, request, waiter, 'changed its metadata', now)
    } else if (group.state === 'Stable' && isLeader) {
      // The leader asks for a new assignment although no member changed: topics have (KIP-429 needs it as well).
      this.#rejoin(group, member, request, waiter, 'is the leader and rejoins', now)
    } else {
      // It did not get, or does not remember, its answer: the current generation once more.
      const members = isLeader && group.state === 'CompletingRebalance' ? group.joinedMembers() : []
      this.#context.outbox.reply(waiter, this.#rebalance.joinResponse(group, memberId, members))
      this.#rebalance.restartSession(group, member, now)
    }
  }

  #addMember(group: Group, memberId: string, request: JoinRequest, waiter: JoinWaiter, now: Now): void {
    this.#forgetPending(group, memberId)
    const member = this.#newMember(group, {
      memberId,
      groupInstanceId: request.groupInstanceId,
      clientId: request.clientId,
      clientHost: request.clientHost,
    })
    member.isNew = true
    if (group.members.size === 0) group.protocolType = request.protocolType
    if (group.state === 'PreparingRebalance' && group.initialRebalance) group.newMemberAdded = true
    group.update(member, copied(request.protocols), request.sessionTimeoutMs, rebalanceTimeout(request))
    group.add(member)
    group.parkJoin(member, waiter)
    this.#context.deadlines.arm(member.session, now.monotonicMs + NEW_MEMBER_JOIN_TIMEOUT_MS)
    this.#rebalance.prepareOrComplete(group, `member ${memberId} joins${because(request.reason)}`, now)
  }

  #rejoin(
    group: Group,
    member: Member,
    request: JoinRequest,
    waiter: JoinWaiter,
    what: string,
    now: Now,
  ): void {
    this.#update(group, member, request)
    this.#park(group, member, waiter)
    if (group.state === 'PreparingRebalance') {
      this.#rebalance.completeJoinIfReady(group, now)
      return
    }
    const reason = `member ${member.memberId} ${what}${because(request.reason)}`
    this.#rebalance.prepareOrComplete(group, reason, now)
  }

  /** Parks a JoinGroup. One that was parked before, on a connection the client gave up, is sent away. */
  #park(group: Group, member: Member, waiter: JoinWaiter): void {
    this.#rebalance.answerJoin(group, member, failedJoin(member.memberId, ErrorCode.REBALANCE_IN_PROGRESS))
    group.parkJoin(member, waiter)
  }

  #update(group: Group, member: Member, request: JoinRequest): void {
    const protocols = copied(request.protocols, member.protocols)
    group.update(member, protocols, request.sessionTimeoutMs, rebalanceTimeout(request))
  }

  #refuse(waiter: JoinWaiter, memberId: string, errorCode: number): void {
    this.#context.outbox.reply(waiter, failedJoin(memberId, errorCode))
  }

  #warnFull(groupId: string, { clientId, clientHost }: JoinRequest): void {
    const { budget } = this.#context
    this.#context.outbox.log(
      'warn',
      { groupId, clientId, client: clientHost, groups: budget.groups, stateBytes: budget.bytes },
      'no room for more group members: the share of this client in groups or in their memory is used up',
    )
  }

  #newMember(group: Group, identity: MemberIdentity): Member {
    return new Member(identity, (member, at) => this.#sessionExpired(group, member, at))
  }

  /** Puts members that the log names back into a group that is being loaded. */
  restoreMember(group: Group, identity: MemberIdentity): Member {
    return this.#newMember(group, identity)
  }

  // -------------------------------------------------------------------------------------- static members, KIP-345

  #replaceStaticMember(
    group: Group,
    old: Member,
    memberId: string,
    request: JoinRequest,
    waiter: JoinWaiter,
    now: Now,
  ): void {
    const currentLeader = group.leaderId
    const member = this.#swap(group, old, memberId, request, now)
    this.#context.outbox.log(
      'info',
      { groupId: group.groupId, generation: group.generationId, instanceId: old.groupInstanceId },
      `static member ${old.memberId} is replaced by ${memberId}`,
    )
    this.#update(group, member, request)
    group.parkJoin(member, waiter)
    const reason = `static member ${memberId} replaces ${old.memberId}${because(request.reason)}`
    if (group.state === 'Stable' && group.selectProtocol() === group.protocolName) {
      this.#persistReplacement(group, old, member, request, waiter, currentLeader)
    } else if (group.state === 'PreparingRebalance') this.#rebalance.completeJoinIfReady(group, now)
    else {
      // After the generation began the leader may have assigned to the old id already.
      this.#rebalance.prepareOrComplete(group, reason, now)
    }
  }

  #swap(group: Group, old: Member, memberId: string, request: JoinRequest, now: Now): Member {
    // Two processes with one instance id: the older one learns that it is out.
    this.#rebalance.answerJoin(group, old, failedJoin(old.memberId, ErrorCode.FENCED_INSTANCE_ID))
    this.#rebalance.answerSync(group, old, ErrorCode.FENCED_INSTANCE_ID, now)
    this.#context.deadlines.cancel(old.session)
    const member = this.#newMember(group, {
      memberId,
      groupInstanceId: old.groupInstanceId,
      clientId: request.clientId,
      clientHost: request.clientHost,
    })
    group.replace(old, member)
    this.#rebalance.restartSession(group, member, now)
    return member
  }

  /** No rebalance: the new id inherits the assignment once the log knows it. */
  #persistReplacement(
    group: Group,
    old: Member,
    member: Member,
    request: JoinRequest,
    waiter: JoinWaiter,
    currentLeader: string | null,
  ): void {
    const { generationId } = group
    group.persisted = true
    const append = this.#context.append([encodeGroupMetadata(group)], () => {})
    append.whenSettled((errorCode, now) => {
      // Meanwhile it may have been replaced itself, or a rebalance may have begun that answers it.
      const isCurrent = group.state === 'Stable' && group.generationId === generationId
      if (!this.#context.owns(group) || !isCurrent || member.awaitingJoin !== waiter) return
      if (errorCode !== ErrorCode.NONE) {
        this.#restoreReplaced(group, old, member, errorCode, now)
        return
      }
      const isLeader = group.leaderId === member.memberId
      const response = this.#rebalance.joinResponse(group, member.memberId, [])
      this.#rebalance.answerJoin(
        group,
        member,
        request.supportsSkippingAssignment
          ? { ...response, members: isLeader ? group.joinedMembers() : [], skipAssignment: isLeader }
          : // Before KIP-814 a leader that came back would assign anew: it is told that somebody else leads.
            { ...response, leader: currentLeader ?? '' },
      )
      this.#rebalance.restartSession(group, member, now)
    })
  }

  #restoreReplaced(group: Group, old: Member, member: Member, errorCode: number, now: Now): void {
    this.#context.outbox.log(
      'warn',
      { groupId: group.groupId, errorCode },
      `could not write that ${member.memberId} replaces ${old.memberId}: the old member stays`,
    )
    const failed = failedJoin(NO_MEMBER_ID, groupAppendError(errorCode))
    this.#rebalance.answerJoin(group, member, failed)
    this.#context.deadlines.cancel(member.session)
    const restored = this.#newMember(group, old)
    group.replace(member, restored)
    group.update(restored, old.protocols, old.sessionTimeoutMs, old.rebalanceTimeoutMs)
    this.#rebalance.restartSession(group, restored, now)
    this.#context.charge(group)
  }

  // ------------------------------------------------------------------------------------------ heartbeat, session

  heartbeat(request: HeartbeatRequest, waiter: Waiter<number>, now: Now): void {
    this.#context.outbox.reply(waiter, this.#heartbeat(request, now))
  }

  #heartbeat(request: HeartbeatRequest, now: Now): number {
    if (request.groupId === '') return ErrorCode.INVALID_GROUP_ID
    const group = this.#context.groups.get(request.groupId)
    if (group === undefined) return ErrorCode.UNKNOWN_MEMBER_ID
    if (group.state === 'Dead') return ErrorCode.COORDINATOR_NOT_AVAILABLE
    const error = memberError(group, request.memberId, request.groupInstanceId)
    if (error !== ErrorCode.NONE) return error
    if (request.generationId !== group.generationId) return ErrorCode.ILLEGAL_GENERATION
    const member = group.members.get(request.memberId)
    if (member === undefined || group.state === 'Empty') return ErrorCode.UNKNOWN_MEMBER_ID
    this.#rebalance.restartSession(group, member, now)
    return group.state === 'PreparingRebalance' ? ErrorCode.REBALANCE_IN_PROGRESS : ErrorCode.NONE
  }

  #sessionExpired(group: Group, member: Member, now: Now): void {
    if (!this.#context.owns(group) || group.members.get(member.memberId) !== member) return
    // Who is parked is there, as far as anybody can tell; the answer starts its session anew. A new member has
    // no id to heartbeat with: nothing but this timeout ends it.
    if (!member.isNew && (member.awaitingJoin !== null || member.awaitingSync !== null)) return
    this.#rebalance.removeMember(group, member, now)
    const reason = member.isNew
      ? `member ${member.memberId} waited too long for its first generation`
      : `member ${member.memberId} was not heard of for ${member.sessionTimeoutMs} ms`
    this.#rebalance.afterRemoval(group, reason, now)
    this.#context.charge(group)
  }

  #pendingExpired(group: Group, memberId: string, now: Now): void {
    if (!this.#context.owns(group) || !this.#forgetPending(group, memberId)) return
    this.#rebalance.completeJoinIfReady(group, now)
    this.#context.charge(group)
  }

  #forgetPending(group: Group, memberId: string): boolean {
    const pending = group.pendingMembers.get(memberId)
    if (pending === undefined) return false
    this.#context.deadlines.cancel(pending.timeout)
    group.removePending(memberId)
    return true
  }

  // ----------------------------------------------------------------------------------------------------- leave

  leave(request: LeaveRequest, waiter: Waiter<LeaveResponse>, now: Now): void {
    const { outbox } = this.#context
    if (request.groupId === '') {
      outbox.reply(waiter, { errorCode: ErrorCode.INVALID_GROUP_ID, memberErrorCodes: [] })
      return
    }
    const group = this.#context.groups.get(request.groupId)
    if (group === undefined) {
      const memberErrorCodes = request.members.map(() => ErrorCode.UNKNOWN_MEMBER_ID)
      outbox.reply(waiter, { errorCode: ErrorCode.NONE, memberErrorCodes })
      return
    }
    if (group.state === 'Dead') {
      outbox.reply(waiter, { errorCode: ErrorCode.COORDINATOR_NOT_AVAILABLE, memberErrorCodes: [] })
      return
    }
    const left: string[] = []
    const memberErrorCodes = request.members.map((leaving) => this.#leaveOne(group, leaving, left, now))
    const response = { errorCode: ErrorCode.NONE as number, memberErrorCodes }
    const append = left.length === 0 ? null : this.#rebalance.afterRemoval(group, `left: ${some(left)}`, now)
    if (append === null) outbox.reply(waiter, response)
    else {
      append.whenSettled((errorCode) => {
        outbox.reply(waiter, { ...response, errorCode: groupAppendError(errorCode) })
      })
    }
    this.#context.charge(group)
  }

  #leaveOne(group: Group, leaving: LeavingMember, left: string[], now: Now): number {
    let memberId = leaving.memberId
    if (memberId === NO_MEMBER_ID) {
      // An administrator removes a static member by its instance id.
      const staticId =
        leaving.groupInstanceId === null ? undefined : group.staticMembers.get(leaving.groupInstanceId)
      if (staticId === undefined) return ErrorCode.UNKNOWN_MEMBER_ID
      memberId = staticId
    } else if (this.#forgetPending(group, memberId)) {
      left.push(`${memberId} (not joined yet)`)
      return ErrorCode.NONE
    } else {
      const error = memberError(group, memberId, leaving.groupInstanceId)
      if (error !== ErrorCode.NONE) return error
    }
    const member = group.members.get(memberId)
    if (member === undefined) return ErrorCode.UNKNOWN_MEMBER_ID
    this.#rebalance.removeMember(group, member, now)
    left.push(`${memberId}${because(leaving.reason)}`)
    return ErrorCode.NONE
  }
}

const PENDING_GRACE_MS = 10_000

/** v0 has no rebalance timeout; the handler puts the session timeout there. */
function rebalanceTimeout(request: JoinRequest): number {
  return Math.max(0, request.rebalanceTimeoutMs)
}

function distinct(protocols: readonly Protocol[]): Protocol[] {
  const seen = new Set<string>()
  return protocols.filter(({ name }) => !seen.has(name) && seen.add(name))
}

/**
 * Own copies: the request's buffers are views of its frame, which would be kept as a whole. Members say the same each
 * time as a rule: what is `held` already stays.
 */
function copied(protocols: readonly Protocol[], held: readonly Protocol[] = []): Protocol[] {
  return distinct(protocols).map(({ name, metadata }, i) => {
    const before = held[i]
    return before?.name === name && before.metadata.equals(metadata)
      ? before
      : { name, metadata: Buffer.from(metadata) }
  })
}

/**
 * A member id must fit into a string of the protocol, however long the name it is made from. By way of a buffer, as
 * a cut through a surrogate pair would not survive the wire.
 */
function idPrefix(name: string): string {
  return name.length <= MAX_ID_PREFIX_LENGTH
    ? name
    : Buffer.from(name.slice(0, MAX_ID_PREFIX_LENGTH)).toString()
}

const MAX_ID_PREFIX_LENGTH = 4_096

function because(reason: string | null): string {
  return reason === null || reason === '' ? '' : ` (${reason.slice(0, MAX_REASON_LENGTH)})`
}

/** Clients cut their reasons to this length (KIP-800); ours must not fill the log either. */
const MAX_REASON_LENGTH = 255
