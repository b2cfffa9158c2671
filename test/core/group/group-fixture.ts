import assert from 'node:assert/strict'
import { DeadlineQueue } from '../../../src/core/deadline-queue.ts'
import type { Now } from '../../../src/core/deadline-queue.ts'
import { GroupBudget } from '../../../src/core/group/group-budget.ts'
import { GroupShard } from '../../../src/core/group/group-shard.ts'
import type {
  CommitRequest,
  CommitResponse,
  DeleteOffsetsResponse,
  DescribedGroup,
  GroupConfig,
  JoinRequest,
  JoinResponse,
  LeaveResponse,
  LeavingMember,
  OffsetToCommit,
  Protocol,
  SyncRequest,
  SyncResponse,
} from '../../../src/core/group/group-types.ts'
import { Outbox } from '../../../src/core/group/outbox.ts'
import type { AppendEffect, OffsetsRecord } from '../../../src/core/group/outbox.ts'

export const GROUP = 'orders'

export const DEFAULT_CONFIG: GroupConfig = {
  groupMinSessionTimeoutMs: 6_000,
  groupMaxSessionTimeoutMs: 1_800_000,
  groupInitialRebalanceDelayMs: 3_000,
  groupMaxSize: 100,
  offsetMetadataMaxBytes: 4_096,
  offsetsRetentionMs: 7 * 24 * 3_600_000,
  maxPendingMembers: 100,
  maxMemberProtocols: 100,
  maxMemberMetadataBytes: 100_000,
  maxGroups: 100,
  maxStateBytes: 10_000_000,
  appendableBytes: () => 1_048_588,
  maxBatchBytes: 10_000,
}

/** An answer that comes when it comes, and only once. */
export class Ticket<Response> {
  #response: Response | null = null
  readonly answer = (response: Response): void => {
    assert.equal(this.#response, null, 'answered twice')
    this.#response = response
  }

  get isWaiting(): boolean {
    return this.#response === null
  }

  get response(): Response {
    assert.ok(this.#response !== null, 'still waiting')
    return this.#response
  }
}

const WALL_START_MS = 1_700_000_000_000

/** One partition's groups on a virtual clock, and a log that takes records at once, later, or not at all. */
export class GroupFixture {
  readonly config: GroupConfig
  readonly outbox = new Outbox()
  /** Records that were appended, in order: what a restart finds. */
  readonly log: OffsetsRecord[] = []
  readonly logLines: string[] = []
  readonly tickets: Ticket<unknown>[] = []
  deadlines = new DeadlineQueue()
  budget: GroupBudget
  shard: GroupShard
  nowMs = 1_000
  /** Appends wait for `completeAppends`. */
  holdAppends = false
  readonly held: AppendEffect[] = []
  #lastId = 0

  constructor(config: Partial<GroupConfig> = {}) {
    this.config = { ...DEFAULT_CONFIG, ...config }
    this.budget = new GroupBudget(this.config)
    this.shard = this.#newShard()
  }

  get now(): Now {
    return { monotonicMs: this.nowMs, wallMs: WALL_START_MS + this.nowMs }
  }

  get group(): DescribedGroup {
    return this.shard.describe(GROUP)
  }

  join(options: Partial<JoinRequest> = {}): Ticket<JoinResponse> {
    const ticket = this.#ticket<JoinResponse>()
    const request: JoinRequest = {
      groupId: GROUP,
      memberId: '',
      groupInstanceId: null,
      clientId: 'client',
      clientHost: '/127.0.0.1',
      clientPort: 50_000,
      sessionTimeoutMs: 10_000,
      rebalanceTimeoutMs: 60_000,
      protocolType: 'consumer',
      protocols: [range()],
      reason: null,
      uniqueId: String(++this.#lastId),
      requiresKnownMemberId: false,
      supportsSkippingAssignment: false,
      ...options,
    }
    this.shard.join(request, ticket.answer, this.now)
    this.settle()
    return ticket
  }

  /** The two steps of a new dynamic member since KIP-394. */
  joinWithId(options: Partial<JoinRequest> = {}): Ticket<JoinResponse> {
    const { memberId } = this.join({ ...options, requiresKnownMemberId: true }).response
    return this.join({ ...options, memberId })
  }

  sync(
    joined: JoinResponse,
    assignments: Record<string, string> = {},
    options: Partial<SyncRequest> = {},
  ): Ticket<SyncResponse> {
    const ticket = this.#ticket<SyncResponse>()
    const request: SyncRequest = {
      groupId: GROUP,
      generationId: joined.generationId,
      memberId: joined.memberId,
      groupInstanceId: null,
      protocolType: null,
      protocolName: null,
      assignments: Object.entries(assignments).map(([memberId, assignment]) => ({
        memberId,
        assignment: Buffer.from(assignment),
      })),
      ...options,
    }
    this.shard.sync(request, ticket.answer, this.now)
    this.settle()
    return ticket
  }

  heartbeat(
    joined: Pick<JoinResponse, 'memberId' | 'generationId'>,
    groupInstanceId: string | null = null,
  ): number {
    const ticket = this.#ticket<number>()
    const { memberId, generationId } = joined
    this.shard.heartbeat({ groupId: GROUP, memberId, generationId, groupInstanceId }, ticket.answer, this.now)
    this.settle()
    return ticket.response
  }

  leave(...members: (Partial<LeavingMember> | string)[]): Ticket<LeaveResponse> {
    const ticket = this.#ticket<LeaveResponse>()
    const leaving = members.map((member) => ({
      memberId: '',
      groupInstanceId: null,
      reason: null,
      ...(typeof member === 'string' ? { memberId: member } : member),
    }))
    this.shard.leave({ groupId: GROUP, members: leaving }, ticket.answer, this.now)
    this.settle()
    return ticket
  }

  commit(
    options: Partial<Omit<CommitRequest, 'offsets'>> & { readonly offsets?: Partial<OffsetToCommit>[] } = {},
  ): Ticket<CommitResponse> {
    const ticket = this.#ticket<CommitResponse>()
    const request: CommitRequest = {
      groupId: GROUP,
      client: { clientHost: '/127.0.0.1', clientId: 'client', clientPort: 50_000 },
      memberId: '',
      groupInstanceId: null,
      generationId: -1,
      retentionTimeMs: -1,
      knowsGroupIdNotFound: false,
      ...options,
      offsets: (options.offsets ?? [{}]).map((offset) => ({
        topic: 'topic',
        partition: 0,
        offset: 1,
        leaderEpoch: -1,
        metadata: '',
        ...offset,
      })),
    }
    this.shard.commit(request, ticket.answer, this.now)
    this.settle()
    return ticket
  }

  /** -1 when there is none. */
  offset(topic = 'topic', partition = 0, groupId = GROUP): number {
    const topics = [{ name: topic, partitions: [partition] }]
    return Number(this.shard.fetchOffsets({ groupId, topics })[0]!.partitions[0]!.committedOffset)
  }

  deleteGroup(groupId = GROUP): Ticket<number> {
    const ticket = this.#ticket<number>()
    this.shard.deleteGroup(groupId, ticket.answer)
    this.settle()
    return ticket
  }

  deleteOffsets(topic = 'topic', partitions: readonly number[] = [0]): Ticket<DeleteOffsetsResponse> {
    const ticket = this.#ticket<DeleteOffsetsResponse>()
    this.shard.deleteOffsets({ groupId: GROUP, topics: [{ name: topic, partitions }] }, ticket.answer)
    this.settle()
    return ticket
  }

  expireOffsets(): void {
    for (const _ of this.shard.expireOffsets(this.now)) this.settle()
    this.settle()
  }

  topicDeleted(topic: string): void {
    this.shard.topicDeleted(topic)
    this.settle()
  }

  /** Time passes; every deadline on the way fires when it is due. */
  advance(byMs: number): void {
    const untilMs = this.nowMs + byMs
    while (this.deadlines.nextMs <= untilMs) {
      this.nowMs = Math.max(this.nowMs, this.deadlines.nextMs)
      this.deadlines.expire(this.now)
      this.settle()
    }
    this.nowMs = untilMs
  }

  settle(): void {
    const { effects } = this.outbox
    for (let i = 0; i < effects.length; i++) {
      const effect = effects[i]!
      if (effect.kind === 'reply') effect.send()
      else if (effect.kind === 'log') this.logLines.push(effect.message)
      else if (this.holdAppends) this.held.push(effect)
      else this.#append(effect, 0)
    }
    effects.length = 0
  }

  completeAppends(errorCode = 0): void {
    for (const effect of this.held.splice(0)) this.#append(effect, errorCode)
    this.settle()
  }

  /** The process dies; a new one reads the log. Parked requests die with their connections. */
  restart(): void {
    this.held.length = 0
    this.tickets.length = 0
    this.deadlines = new DeadlineQueue()
    this.budget = new GroupBudget(this.config)
    this.shard = this.#newShard()
    for (const { key, value } of this.log) this.shard.replay(key, value, this.now)
    this.shard.loaded(this.now)
    this.settle()
  }

  /** Members with ids client-1, client-2, ... in a stable group; each is assigned its own name. */
  stable(count: number, options: Partial<JoinRequest>[] = []): JoinResponse[] {
    const tickets = Array.from({ length: count }, (_, i) => this.join(options[i] ?? {}))
    while (tickets.some((ticket) => ticket.isWaiting)) this.advance(1_000)
    const joined = tickets.map((ticket) => ticket.response)
    const assignments = Object.fromEntries(joined.map(({ memberId }) => [memberId, `for ${memberId}`]))
    const synced = joined.map((member) =>
      this.sync(member, member.memberId === member.leader ? assignments : {}),
    )
    for (const ticket of synced) assert.equal(ticket.response.errorCode, 0)
    assert.equal(this.group.groupState, 'Stable')
    return joined
  }

  #append({ records, settled }: AppendEffect, errorCode: number): void {
    if (errorCode === 0) this.log.push(...records)
    settled(errorCode, this.now)
  }

  #ticket<Response>(): Ticket<Response> {
    const ticket = new Ticket<Response>()
    this.tickets.push(ticket as Ticket<unknown>)
    return ticket
  }

  #newShard(): GroupShard {
    return new GroupShard({ index: 0, leaderEpoch: 0 }, this.config, this.outbox, this.deadlines, this.budget)
  }
}

/** A consumer's metadata: version 0 and topics. */
export function subscription(...topics: string[]): Buffer {
  const head = Buffer.alloc(6)
  head.writeInt32BE(topics.length, 2)
  const names = topics.map((topic) => {
    const length = Buffer.alloc(2)
    length.writeInt16BE(Buffer.byteLength(topic))
    return Buffer.concat([length, Buffer.from(topic)])
  })
  return Buffer.concat([head, ...names, Buffer.from([0xff, 0xff, 0xff, 0xff])])
}

export function range(...topics: string[]): Protocol {
  return { name: 'range', metadata: subscription(...(topics.length === 0 ? ['topic'] : topics)) }
}
