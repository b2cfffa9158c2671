import type { Steps } from '../../../protocol/compile.ts'
import { ErrorCode } from '../../../protocol/errors.ts'
import { buildBatch } from '../../../protocol/records/record-builder.ts'
import type { BrokerConfig } from '../../core/config/broker-config.ts'
import { failedJoin, failedSync } from '../../core/group/answers.ts'
import { DeadlineQueue } from '../../core/deadline-queue.ts'
import type { Now } from '../../core/deadline-queue.ts'
import { GroupBudget } from '../../core/group/group-budget.ts'
import { groupPartition } from '../../core/group/group-partition.ts'
import { GroupShard } from '../../core/group/group-shard.ts'
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
} from '../../core/group/group-types.ts'
import { Outbox } from '../../core/group/outbox.ts'
import type { AppendEffect, Effect, LogEffect, Waiter } from '../../core/group/outbox.ts'
import { messageOf } from '../../core/is-error.ts'
import type { Timer, World } from '../../ports.ts'
import type { CoordinatorLog } from './coordinator-log.ts'
import { GroupShards } from './group-shards.ts'
import { RateLimitedLog } from '../rate-limited-log.ts'

/** The settings the coordinator reads. */
export type GroupSettings = Pick<
  BrokerConfig,
  | 'group.min.session.timeout.ms'
  | 'group.max.session.timeout.ms'
  | 'group.initial.rebalance.delay.ms'
  | 'group.max.size'
  | 'offset.metadata.max.bytes'
  | 'offsets.retention.minutes'
  | 'offsets.retention.check.interval.ms'
>

export type GroupWorld = Pick<World, 'clock' | 'random' | 'logger' | 'metrics'>

/** Joins and leaves come as fast as clients like. */
const CHANGES_LOGGED_PER_SECOND = 100

/** What looking for expired offsets may take of a turn. */
const EXPIRY_SLICE_MS = 5

/**
 * Coordinates the classic consumer groups of the partitions this broker leads: passes requests on to the one that holds
 * the group, carries out what the groups decide (records into the log, answers to clients) and wakes them up in time.
 */
export class GroupCoordinator {
  readonly #world: GroupWorld
  readonly #changes: RateLimitedLog
  readonly #warnings: RateLimitedLog
  readonly #log: CoordinatorLog
  readonly #config: GroupConfig
  readonly #checkIntervalMs: number
  readonly #outbox = new Outbox()
  readonly #deadlines = new DeadlineQueue()
  readonly #budget: GroupBudget
  readonly #shards: GroupShards
  #draining = false
  #timer: Timer | null = null
  #timerDueMs = Infinity
  #retentionTimer: Timer | null = null
  #closed = false

  constructor(world: GroupWorld, log: CoordinatorLog, config: GroupSettings) {
    this.#world = { ...world, logger: world.logger.child({ component: 'groups' }) }
    this.#changes = new RateLimitedLog(this.#world.logger, world.clock, CHANGES_LOGGED_PER_SECOND)
    this.#warnings = new RateLimitedLog(this.#world.logger, world.clock)
    this.#log = log
    this.#config = groupConfig(config, log)
    this.#budget = new GroupBudget(this.#config)
    this.#checkIntervalMs = config['offsets.retention.check.interval.ms']
    this.#shards = new GroupShards({
      world: this.#world,
      warnings: this.#warnings,
      log,
      newShard: (partition) =>
        new GroupShard(partition, this.#config, this.#outbox, this.#deadlines, this.#budget),
      settle: () => this.#settle(),
    })
    this.#registerMetrics()
  }

  // -------------------------------------------------------------------------------------------------- lifecycle

  /** Waits until the groups are read of all partitions for which this broker was elected before. */
  async start(): Promise<void> {
    this.#scheduleRetention()
    await this.#shards.allLoaded()
  }

  /**
   * This broker leads a partition of the offsets topic from now on: its groups are read, and requests for them are refused
   * as "loading" until they are there. Resolves then, or when that came to nothing; never rejects.
   */
  elected(partition: number, leaderEpoch: number): Promise<void> {
    return this.#closed ? Promise.resolve() : this.#shards.elected(partition, leaderEpoch)
  }

  /** It leads it no more. To be called before the log changes, or follows another one: all who wait are sent away. */
  resigned(partition: number): void {
    this.#shards.resigned(partition)
  }

  /** Sends everybody away who waits. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#retentionTimer?.cancel()
    this.#shards.close()
    this.#timer?.cancel()
    this.#timer = null
  }

  /** Makes the offsets topic when there is none. */
  async topicReady(): Promise<ErrorCode> {
    if (this.#closed) return ErrorCode.COORDINATOR_NOT_AVAILABLE
    try {
      await this.#log.ensureTopic()
    } catch (error) {
      const reason = messageOf(error)
      this.#warnings.warn({ reason }, 'the offsets topic cannot be created')
      return ErrorCode.COORDINATOR_NOT_AVAILABLE
    }
    return ErrorCode.NONE
  }

  /** Waits for those of these partitions that this broker leads. */
  loaded(partitions: Iterable<number>): Promise<void> {
    return this.#shards.loaded(partitions)
  }

  /** A topic is gone, and with it what was committed for it. */
  topicDeleted(topic: string): void {
    this.#shards.topicDeleted(topic)
  }

  /** The offsets topic itself was deleted: all groups start over. */
  offsetsTopicDeleted(): void {
    this.#shards.resignAll()
  }

  // --------------------------------------------------------------------------------------------------- requests

  join(request: Omit<JoinRequest, 'uniqueId'>, respond: JoinWaiter): void {
    const shard = this.#shardOf(request.groupId)
    if (typeof shard === 'number') {
      respond(failedJoin(request.memberId, shard))
      return
    }
    const uniqueId = request.memberId === '' ? this.#uniqueId() : ''
    shard.join({ ...request, uniqueId }, respond, this.#now())
    this.#settle()
  }

  sync(request: SyncRequest, respond: SyncWaiter): void {
    const shard = this.#shardOf(request.groupId)
    if (typeof shard === 'number') {
      respond(failedSync(shard))
      return
    }
    shard.sync(request, respond, this.#now())
    this.#settle()
  }

  heartbeat(request: HeartbeatRequest, respond: Waiter<number>): void {
    const shard = this.#shardOf(request.groupId)
    if (typeof shard === 'number') {
      respond(shard)
      return
    }
    shard.heartbeat(request, respond, this.#now())
    this.#settle()
  }

  leave(request: LeaveRequest, respond: Waiter<LeaveResponse>): void {
    const shard = this.#shardOf(request.groupId)
    if (typeof shard === 'number') {
      respond({ errorCode: shard, memberErrorCodes: [] })
      return
    }
    shard.leave(request, respond, this.#now())
    this.#settle()
  }

  commit(request: CommitRequest, respond: Waiter<CommitResponse>): void {
    const shard = this.#shardOf(request.groupId)
    if (typeof shard === 'number') {
      respond(request.offsets.map(() => shard))
      return
    }
    shard.commit(request, respond, this.#now())
    this.#settle()
  }

  /** Or an error code that stands for all of the group's offsets. */
  fetchOffsets(request: FetchOffsetsRequest): FetchedTopic[] | number {
    const shard = this.#shardOf(request.groupId)
    return typeof shard === 'number' ? shard : shard.fetchOffsets(request)
  }

  describe(groupId: string): DescribedGroup {
    const shard = this.#shardOf(groupId)
    if (typeof shard !== 'number') return shard.describe(groupId)
    return {
      errorCode: shard,
      groupId,
      groupState: 'Dead',
      protocolType: '',
      protocolData: '',
      members: [],
    }
  }

  /** All groups of the partitions that are there; they may change while they are looked at. */
  *list(): Generator<ListedGroup> {
    for (const shard of this.#shards.all()) yield* shard.list()
  }

  /** Set while some partitions are still loading: their groups are not in the list. */
  get listErrorCode(): number {
    return this.#shards.isLoading ? ErrorCode.COORDINATOR_LOAD_IN_PROGRESS : ErrorCode.NONE
  }

  deleteGroup(groupId: string, respond: Waiter<number>): void {
    const shard = this.#shardOf(groupId)
    if (typeof shard === 'number') {
      respond(shard)
      return
    }
    shard.deleteGroup(groupId, respond)
    this.#settle()
  }

  deleteOffsets(request: DeleteOffsetsRequest, respond: Waiter<DeleteOffsetsResponse>): void {
    const shard = this.#shardOf(request.groupId)
    if (typeof shard === 'number') {
      respond({ errorCode: shard, topicErrorCodes: [] })
      return
    }
    shard.deleteOffsets(request, respond)
    this.#settle()
  }

  /** Where the group lives in the offsets topic; -1 while there is none, for then nobody knows its partitions. */
  partitionOf(groupId: string): number {
    const { partitionCount } = this.#log
    return partitionCount === 0 ? -1 : groupPartition(groupId, partitionCount)
  }

  /** The groups of a partition, or why they cannot be asked. */
  #shardOf(groupId: string): GroupShard | number {
    return this.#shards.get(this.partitionOf(groupId))
  }

  // ---------------------------------------------------------------------------------------------------- effects

  #now(): Now {
    const { clock } = this.#world
    return { monotonicMs: clock.monotonicMs(), wallMs: clock.nowMs() }
  }

  /** Carries out what the groups decided. What that leads to at once joins the end of the same round. */
  #settle(): void {
    if (this.#draining) return
    this.#draining = true
    const { effects } = this.#outbox
    try {
      for (let i = 0; i < effects.length; i++) this.#perform(effects[i]!)
    } finally {
      effects.length = 0
      this.#draining = false
    }
    this.#armTimer()
  }

  #perform(effect: Effect): void {
    switch (effect.kind) {
      case 'reply':
        effect.send()
        return
      case 'append':
        this.#append(effect)
        return
      case 'log':
        this.#logLine(effect)
        return
    }
  }

  #append({ partition, records, settled }: AppendEffect): void {
    const timestampMs = this.#world.clock.nowMs()
    const batch = buildBatch(records.map(({ key, value }) => ({ key, value, timestampMs })))
    this.#log.append(partition, batch, (errorCode) => {
      settled(errorCode, this.#now())
      this.#settle()
    })
  }

  #logLine({ level, fields, message }: LogEffect): void {
    // Not one budget for both: who makes many groups must not hide what is wrong with another one.
    const lines = level === 'info' ? this.#changes : this.#warnings
    lines.log(level, fields, message)
  }

  #armTimer(): void {
    const dueMs = this.#deadlines.nextMs
    if (this.#closed || dueMs >= this.#timerDueMs) return
    this.#timer?.cancel()
    this.#timerDueMs = dueMs
    this.#timer = this.#world.clock.after(Math.max(0, dueMs - this.#world.clock.monotonicMs()), () => {
      this.#timer = null
      this.#timerDueMs = Infinity
      this.#deadlines.expire(this.#now())
      this.#settle()
    })
  }

  #scheduleRetention(): void {
    this.#retentionTimer = this.#world.clock.after(this.#checkIntervalMs, () =>
      this.#expire(this.#expiring()),
    )
  }

  /** All groups at once would keep the loop from others. */
  #expire(steps: Steps<void>): void {
    if (this.#closed) return
    const { clock } = this.#world
    const endsMs = clock.monotonicMs() + EXPIRY_SLICE_MS
    let isOver
    do isOver = steps.next().done === true
    while (!isOver && clock.monotonicMs() < endsMs)
    this.#settle()
    if (isOver) this.#scheduleRetention()
    else this.#retentionTimer = clock.after(0, () => this.#expire(steps))
  }

  *#expiring(): Steps<void> {
    for (const shard of this.#shards.all()) {
      yield* shard.expireOffsets(this.#now())
      yield
    }
  }

  /** A version 4 UUID. */
  #uniqueId(): string {
    const bytes = this.#world.random.bytes(16)
    bytes[6] = (bytes[6]! & 0x0f) | 0x40
    bytes[8] = (bytes[8]! & 0x3f) | 0x80
    const hex = bytes.toString('hex')
    const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)]
    return parts.join('-')
  }

  /** Kafka's GroupMetadataManager gauges. */
  #registerMetrics(): void {
    const gauge = (name: string, help: string, read: () => number): void =>
      this.#world.metrics.gauge(name, help, () => [{ value: read() }])
    const prefix = 'kafka_coordinator_group_groupmetadatamanager'
    gauge(`${prefix}_numgroups`, 'Consumer groups.', () => this.#budget.groups)
    gauge(`${prefix}_numoffsets`, 'Committed offsets.', () => this.#sum((shard) => shard.offsetCount))
    for (const state of GROUP_STATES) {
      gauge(`${prefix}_numgroups${state.toLowerCase()}`, `Consumer groups in state ${state}.`, () =>
        this.#sum((shard) => shard.groupsIn(state)),
      )
    }
    const help = 'Estimated memory of groups, members and offsets in bytes.'
    gauge('samsa_groups_state_bytes', help, () => this.#budget.bytes)
  }

  #sum(of: (shard: GroupShard) => number): number {
    let sum = 0
    for (const shard of this.#shards.all()) sum += of(shard)
    return sum
  }
}

const GROUP_STATES: readonly GroupState[] = [
  'Empty',
  'PreparingRebalance',
  'CompletingRebalance',
  'Stable',
  'Dead',
]

/** Caps that have no key of Kafka's: see `GroupConfig`. */
const MAX_PENDING_MEMBERS = 5_000
/** Clients have one to four: all that members offer is counted when a generation begins. */
const MAX_MEMBER_PROTOCOLS = 100
const MAX_MEMBER_METADATA_BYTES = 4 * 1024 * 1024
const MAX_GROUPS = 100_000
const MAX_STATE_BYTES = 128 * 1024 * 1024
const MAX_TOMBSTONE_BATCH_BYTES = 256 * 1024

const MS_PER_MINUTE = 60_000

function groupConfig(config: GroupSettings, log: CoordinatorLog): GroupConfig {
  return {
    groupMinSessionTimeoutMs: config['group.min.session.timeout.ms'],
    groupMaxSessionTimeoutMs: config['group.max.session.timeout.ms'],
    groupInitialRebalanceDelayMs: config['group.initial.rebalance.delay.ms'],
    groupMaxSize: config['group.max.size'],
    offsetMetadataMaxBytes: config['offset.metadata.max.bytes'],
    offsetsRetentionMs: config['offsets.retention.minutes'] * MS_PER_MINUTE,
    maxPendingMembers: MAX_PENDING_MEMBERS,
    maxMemberProtocols: MAX_MEMBER_PROTOCOLS,
    maxMemberMetadataBytes: MAX_MEMBER_METADATA_BYTES,
    maxGroups: MAX_GROUPS,
    maxStateBytes: MAX_STATE_BYTES,
    appendableBytes: (partition) => log.maxBatchBytes(partition),
    maxBatchBytes: MAX_TOMBSTONE_BATCH_BYTES,
  }
}
