import assert from 'node:assert/strict'
import { Deadline } from '../deadline-queue.ts'
import type { Now } from '../deadline-queue.ts'
import type { GroupOwner } from './group-owner.ts'
import type { GroupState, JoinedMember, JoinWaiter, Protocol, SyncWaiter } from './group-types.ts'
import { OffsetTable } from './offset-table.ts'
import { CONSUMER_PROTOCOL_TYPE, subscribedAmong } from './subscription.ts'

export const NO_BYTES = Buffer.alloc(0)

/** Rough costs in memory besides texts and buffers. */
const GROUP_BYTES = 2_400
const MEMBER_BYTES = 800
const PROTOCOL_BYTES = 150
const PENDING_MEMBER_BYTES = 500
/** Of a text, at most. */
const CHARACTER_BYTES = 2

export interface MemberIdentity {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly clientId: string
  readonly clientHost: string
}

export class Member {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly clientId: string
  readonly clientHost: string
  /** Fires when the member was not heard of for its session timeout. */
  readonly session: Deadline
  sessionTimeoutMs = 0
  rebalanceTimeoutMs = 0
  /** Distinct names, in the order of preference. */
  protocols: readonly Protocol[] = []
  assignment: Buffer = NO_BYTES
  /** It has not had an answer to its first JoinGroup. */
  isNew = false
  /** Written by `Group.parkJoin` only, which counts. */
  awaitingJoin: JoinWaiter | null = null
  awaitingSync: SyncWaiter | null = null

  constructor(identity: MemberIdentity, sessionExpired: (member: Member, now: Now) => void) {
    this.memberId = identity.memberId
    this.groupInstanceId = identity.groupInstanceId
    this.clientId = identity.clientId
    this.clientHost = identity.clientHost
    this.session = new Deadline({ expired: (now) => sessionExpired(this, now) })
  }

  metadata(protocolName: string | null): Buffer {
    return this.protocols.find((protocol) => protocol.name === protocolName)?.metadata ?? NO_BYTES
  }

  /** The same names with the same metadata in the same order. */
  offers(protocols: readonly Protocol[]): boolean {
    return (
      protocols.length === this.protocols.length &&
      this.protocols.every((own, i) => {
        const other = protocols[i]!
        return own.name === other.name && own.metadata.equals(other.metadata)
      })
    )
  }

  get bytes(): number {
    const texts = [this.memberId, this.groupInstanceId ?? '', this.clientId, this.clientHost]
    const characters = texts.reduce((sum, text) => sum + text.length, 0)
    return (
      MEMBER_BYTES + characters * CHARACTER_BYTES + this.assignment.length + protocolBytes(this.protocols)
    )
  }
}

/** Estimated memory. */
export function protocolBytes(protocols: readonly Protocol[]): number {
  let bytes = 0
  for (const { name, metadata } of protocols) {
    bytes += PROTOCOL_BYTES + name.length * CHARACTER_BYTES + metadata.length
  }
  return bytes
}

/** An id that was handed out and has not joined. */
export interface PendingMember {
  readonly sinceMs: number
  readonly timeout: Deadline
}

/** What happens to a group from outside. */
export interface GroupEvents {
  joinTimeout(group: Group, now: Now): void
  syncTimeout(group: Group, now: Now): void
  /** It has to make room for another one. */
  evicted(group: Group, now: Now): void
}

/**
 * Members, generation and offsets of one group: what is true and what can be counted. Which event leads where is
 * decided by `Membership` and `Offsets`.
 */
export class Group {
  readonly groupId: string
  readonly offsets = new OffsetTable()
  /** In the order of joining; the key is the member id. */
  readonly members = new Map<string, Member>()
  /** group.instance.id to member id. Each value is a key of `members`. */
  readonly staticMembers = new Map<string, string>()
  /** Ids that were handed out and have not joined (KIP-394). Never keys of `members`. */
  readonly pendingMembers: ReadonlyMap<string, PendingMember>
  /** Members of this generation that have not sent SyncGroup. */
  readonly pendingSync = new Set<string>()
  readonly joinTimer: Deadline
  readonly syncTimer: Deadline

  state: GroupState = 'Empty'
  /** Wall clock; null when the log does not say (records older than KIP-211). */
  stateSinceMs: number | null
  generationId = 0
  /** Null: the group never had members; its offsets are a simple consumer's. */
  protocolType: string | null = null
  protocolName: string | null = null
  /** A key of `members`, or null when there are none. */
  leaderId: string | null = null

  /** The first rebalance after Empty waits for members instead of counting them. */
  initialRebalance = false
  /** What is left of the rebalance timeout while an initial rebalance is being extended. */
  initialRemainingMs = 0
  /** Somebody joined since the initial delay was last extended. */
  newMemberAdded = false
  /** The leader's assignment is on its way to the log, in the current generation. */
  assignmentInFlight = false
  /** A group record was handed to the log: only a tombstone makes it go away. */
  persisted = false
  /** Null: it was read from the log, and no client was heard of since. */
  owner: GroupOwner | null
  /** When a client was last heard of, on the monotonic clock. */
  lastActiveMs: number

  readonly #events: GroupEvents
  readonly #pendingMembers = new Map<string, PendingMember>()
  #pendingBytes = 0
  #awaitingJoinCount = 0
  /** Sum over `members`. */
  #memberBytes = 0
  /** How many members offer a protocol. */
  readonly #protocolCounts = new Map<string, number>()

  constructor(groupId: string, owner: GroupOwner | null, now: Now, events: GroupEvents) {
    this.groupId = groupId
    this.owner = owner
    this.stateSinceMs = now.wallMs
    this.lastActiveMs = now.monotonicMs
    this.pendingMembers = this.#pendingMembers
    this.#events = events
    this.joinTimer = new Deadline({ expired: (at) => events.joinTimeout(this, at) })
    this.syncTimer = new Deadline({ expired: (at) => events.syncTimeout(this, at) })
  }

  evict(now: Now): void {
    this.#events.evicted(this, now)
  }

  heardOf(owner: GroupOwner, now: Now): void {
    this.owner ??= owner
    this.lastActiveMs = now.monotonicMs
  }

  /** Members parked in JoinGroup. */
  get awaitingJoinCount(): number {
    return this.#awaitingJoinCount
  }

  get bytes(): number {
    return (
      GROUP_BYTES +
      this.groupId.length * CHARACTER_BYTES +
      this.#memberBytes +
      this.#pendingBytes +
      this.offsets.bytes
    )
  }

  get canRebalance(): boolean {
    return this.state === 'Empty' || this.state === 'CompletingRebalance' || this.state === 'Stable'
  }

  get allMembersJoined(): boolean {
    return this.members.size === this.#awaitingJoinCount && this.pendingMembers.size === 0
  }

  /** Nothing is known about it that would be missed. */
  get isForgettable(): boolean {
    return (
      this.state === 'Empty' && !this.persisted && this.pendingMembers.size === 0 && this.offsets.size === 0
    )
  }

  get usesConsumerProtocol(): boolean {
    return this.protocolType === CONSUMER_PROTOCOL_TYPE
  }

  /** The longest any member asks for. */
  get rebalanceTimeoutMs(): number {
    let timeoutMs = 0
    for (const member of this.members.values()) timeoutMs = Math.max(timeoutMs, member.rebalanceTimeoutMs)
    return timeoutMs
  }

  transition(state: GroupState, now: Now): void {
    this.state = state
    this.stateSinceMs = now.wallMs
  }

  // --------------------------------------------------------------------------------------------------- members

  add(member: Member): void {
    assert.ok(!this.members.has(member.memberId))
    this.members.set(member.memberId, member)
    this.#memberBytes += member.bytes
    if (member.groupInstanceId !== null) {
      assert.ok(!this.staticMembers.has(member.groupInstanceId))
      this.staticMembers.set(member.groupInstanceId, member.memberId)
    }
    this.leaderId ??= member.memberId
  }

  addPending(memberId: string, pending: PendingMember): void {
    assert.ok(!this.#pendingMembers.has(memberId))
    this.#pendingMembers.set(memberId, pending)
    this.#pendingBytes += pendingBytes(memberId)
  }

  /** The caller stops its timer. */
  removePending(memberId: string): void {
    if (this.#pendingMembers.delete(memberId)) this.#pendingBytes -= pendingBytes(memberId)
  }

  /** The caller answers what the member is parked in, and stops its timer. */
  remove(member: Member): void {
    assert.ok(this.members.delete(member.memberId))
    assert.ok(member.awaitingJoin === null && member.awaitingSync === null)
    this.#memberBytes -= member.bytes
    this.#count(member.protocols, -1)
    if (member.groupInstanceId !== null) this.staticMembers.delete(member.groupInstanceId)
    this.pendingSync.delete(member.memberId)
    if (this.leaderId === member.memberId) this.leaderId = firstKey(this.members)
  }

  /** A static member came back under a new id: it takes the old one's place, role and assignment (KIP-345). */
  replace(old: Member, replacement: Member): void {
    const wasLeader = this.leaderId === old.memberId
    const wasPendingSync = this.pendingSync.has(old.memberId)
    this.remove(old)
    replacement.assignment = old.assignment
    this.update(replacement, old.protocols, old.sessionTimeoutMs, old.rebalanceTimeoutMs)
    this.add(replacement)
    if (wasLeader) this.leaderId = replacement.memberId
    if (wasPendingSync) this.pendingSync.add(replacement.memberId)
  }

  update(
    member: Member,
    protocols: readonly Protocol[],
    sessionTimeoutMs: number,
    rebalanceTimeoutMs: number,
  ): void {
    const before = member.bytes
    this.#count(member.protocols, -1)
    member.protocols = protocols
    this.#count(protocols, 1)
    if (this.members.get(member.memberId) === member) this.#memberBytes += member.bytes - before
    member.sessionTimeoutMs = sessionTimeoutMs
    member.rebalanceTimeoutMs = rebalanceTimeoutMs
  }

  assign(member: Member, assignment: Buffer): void {
    this.#memberBytes += assignment.length - member.assignment.length
    member.assignment = assignment
  }

  /** Parks the member's JoinGroup, or with null takes it out. */
  parkJoin(member: Member, waiter: JoinWaiter | null): void {
    this.#awaitingJoinCount += (waiter === null ? 0 : 1) - (member.awaitingJoin === null ? 0 : 1)
    member.awaitingJoin = waiter
  }

  /** The leader must be somebody who waits for the generation. False when nobody does. */
  electJoinedLeader(): boolean {
    const leader = this.leaderId === null ? undefined : this.members.get(this.leaderId)
    if (leader !== undefined && leader.awaitingJoin !== null) return true
    for (const member of this.members.values()) {
      if (member.awaitingJoin === null) continue
      this.leaderId = member.memberId
      return true
    }
    return false
  }

  // ------------------------------------------------------------------------------------------------- protocols

  /** Whether a member with these protocols has something in common with all that are there. */
  supports(protocolType: string, protocols: readonly Protocol[]): boolean {
    if (this.members.size === 0) return protocolType !== '' && protocols.length > 0
    return this.protocolType === protocolType && protocols.some((protocol) => this.#isCommon(protocol.name))
  }

  /** Each member votes for the first of its protocols that all have; most votes win, the earlier on a tie. */
  selectProtocol(): string {
    const votes = new Map<string, number>()
    let common: ReadonlySet<string> | null = null
    for (const { protocols } of this.members.values()) {
      // What all have any member tells.
      common ??= new Set(protocols.flatMap(({ name }) => (this.#isCommon(name) ? name : [])))
      for (const { name } of protocols) {
        if (!common.has(name)) continue
        votes.set(name, (votes.get(name) ?? 0) + 1)
        break
      }
    }
    let winner: string | null = null
    for (const [name, count] of votes) if (winner === null || count > votes.get(winner)!) winner = name
    assert.ok(winner !== null, 'members of a group have a protocol in common')
    return winner
  }

  /** A generation begins: with the members that are there, or empty. */
  nextGeneration(now: Now): void {
    // Kafka's generations are int32 and go round to 0.
    this.generationId = this.generationId === 0x7fff_ffff ? 0 : this.generationId + 1
    this.protocolName = this.members.size === 0 ? null : this.selectProtocol()
    this.initialRebalance = false
    this.newMemberAdded = false
    this.assignmentInFlight = false
    this.pendingSync.clear()
    this.transition(this.members.size === 0 ? 'Empty' : 'CompletingRebalance', now)
  }

  /** Which of these topics the members read. Null when it cannot be known: they may read anything. */
  subscribedAmong(topics: Iterable<string>): ReadonlySet<string> | null {
    if (this.members.size === 0) return new Set()
    return this.usesConsumerProtocol ? subscribedAmong(new Set(topics), this.#chosenMetadata()) : null
  }

  *#chosenMetadata(): Generator<Buffer> {
    for (const member of this.members.values()) yield member.metadata(this.protocolName)
  }

  joinedMembers(): JoinedMember[] {
    return Array.from(this.members.values(), (member) => ({
      memberId: member.memberId,
      groupInstanceId: member.groupInstanceId,
      metadata: member.metadata(this.protocolName),
    }))
  }

  #isCommon(protocolName: string): boolean {
    return this.#protocolCounts.get(protocolName) === this.members.size
  }

  #count(protocols: readonly Protocol[], by: number): void {
    for (const { name } of protocols) {
      const count = (this.#protocolCounts.get(name) ?? 0) + by
      if (count === 0) this.#protocolCounts.delete(name)
      else this.#protocolCounts.set(name, count)
    }
  }
}

function pendingBytes(memberId: string): number {
  return PENDING_MEMBER_BYTES + memberId.length * CHARACTER_BYTES
}

function firstKey(members: ReadonlyMap<string, unknown>): string | null {
  for (const key of members.keys()) return key
  return null
}
