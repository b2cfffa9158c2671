import type { Steps } from '../../protocol/compile.ts'
import { ErrorCode } from '../../protocol/errors.ts'
import { buildBatch } from '../../protocol/records/record-builder.ts'
import type { BrokerConfig } from '../core/config/broker-config.ts'
import { failedJoin, failedSync } from '../core/group/answers.ts'
import { DeadlineQueue } from '../core/deadline-queue.ts'
import type { Now } from '../core/deadline-queue.ts'
import { GroupBudget } from '../core/group/group-budget.ts'
import { groupPartition } from '../core/group/group-partition.ts'
import { GroupShard } from '../core/group/group-shard.ts'
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
} from '../core/group/group-types.ts'
import { Outbox } from '../core/group/outbox.ts'
import type { AppendEffect, Effect, LogEffect, Waiter } from '../core/group/outbox.ts'
import { messageOf } from '../core/is-error.ts'
import { OFFSETS_TOPIC } from '../metadata/layout/topic-names.ts'
import type { LogFields, Timer, World } from '../ports.ts'
import { GroupReplay } from './group-replay.ts'
import { RateLimitedLog } from './rate-limited-log.ts'

/** `__consumer_offsets` as the coordinator sees it. */
export interface CoordinatorLog {
  /** offsets.topic.num.partitions */
  readonly partitionCount: number
  /** Creates the topic when there is none; its leaders are ready when resolved. */
  ensureTopic(): Promise<void>
  /**
   * Appends one record batch as with acks=all. `done` gets an error code of the protocol, 0 once the promise of the
   * flush mode holds. The order of the calls for a partition is the order in its log.
   */
  append(partition: number, batch: Buffer, done: (errorCode: number) => void): void
  /** What one batch of the partition may have: max.message.bytes, which may change. */
  maxBatchBytes(partition: number): number
  /** Passes on every batch of the partition, from its start and in order. A missing partition has none. */
  load(partition: number, onBatch: (batch: Buffer) => void): Promise<void>
}

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

/** What is there of a partition of the offsets topic. */
type Hosted =
  | { readonly state: 'active'; readonly shard: GroupShard }
  | { readonly state: 'loading'; readonly loaded: Promise<void> }
  | { readonly state: 'failed'; readonly retryAtMs: number }

/** Joins and leaves come as fast as clients like. */
const CHANGES_LOGGED_PER_SECOND = 100

/** A partition that could not be read is tried again when it is asked for, but no sooner than this. */
const RELOAD_BACKOFF_MS = 1_000

const DAMAGED_LEFT_OUT =
  'GROUPS AND OFFSETS ARE MISSING OR OLD: batches of the offsets topic are damaged and were left out; consumers may read records again, or begin anew'

/** What looking for expired offsets may take of a turn. */
const EXPIRY_SLICE_MS = 5

/**
 * Coordinates the classic consumer groups of this broker: passes requests on to the partition that holds the group,
 * carries out what the groups decide (records into the log, answers to clients) and wakes them up in time.
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
  readonly #hosted = new Map<number, Hosted>()
  /** Topics that went while some partitions were not there; nothing was committed to those since. */
  readonly #deletedTopics = new Set<string>()
  #isStarting = false
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
    this.#registerMetrics()
  }

  // -------------------------------------------------------------------------------------------------- lifecycle

  /** Reads all groups from the log. Requests for a group are refused as "loading" until its partition is there. */
  async start(): Promise<void> {
    this.#scheduleRetention()
    this.#isStarting = true
    for (let partition = 0; partition < this.#log.partitionCount && !this.#closed; partition++) {
      await this.#load(partition)
    }
    this.#isStarting = false
  }

  /** Sends everybody away who waits. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#retentionTimer?.cancel()
    this.#closeShards()
    this.#timer?.cancel()
    this.#timer = null
  }

  /** Makes the offsets topic ready, and these partitions of it. */
  async ready(partitions: Iterable<number>): Promise<number> {
    if (this.#closed) return ErrorCode.COORDINATOR_NOT_AVAILABLE
    try {
      await this.#log.ensureTopic()
    } catch (error) {
      const reason = messageOf(error)
      this.#warnings.warn({ reason }, 'the offsets topic cannot be created')
      return ErrorCode.COORDINATOR_NOT_AVAILABLE
    }
    for (const partition of partitions) await this.#load(partition)
    return ErrorCode.NONE
  }

  /** A topic is gone, and with it what was committed for it. */
  topicDeleted(topic: string): void {
    for (const hosted of this.#hosted.values()) {
      if (hosted.state === 'active') hosted.shard.topicDeleted(topic)
    }
    if (!this.#isComplete) this.#deletedTopics.add(topic)
    this.#settle()
  }

  /** The offsets topic itself was deleted: all groups start over. */
  offsetsTopicDeleted(): void {
    this.#closeShards()
  }

  #closeShards(): void {
    for (const hosted of this.#hosted.values()) {
      if (hosted.state === 'active') hosted.shard.close(ErrorCode.NOT_COORDINATOR, this.#now())
    }
    this.#hosted.clear()
    this.#settle()
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
    for (const hosted of this.#hosted.values()) if (hosted.state === 'active') yield* hosted.shard.list()
  }

  /** Set while some partitions are still loading: their groups are not in the list. */
  get listErrorCode(): number {
    if (this.#isStarting) return ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
    for (const { state } of this.#hosted.values())
      if (state === 'loading') return ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
    return ErrorCode.NONE
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

  // ---------------------------------------------------------------------------------------------------- loading

  /** Where the group lives in the offsets topic. */
  partitionOf(groupId: string): number {
    return groupPartition(groupId, this.#log.partitionCount)
  }

  /** The groups of a partition, or why they cannot be asked. */
  #shardOf(groupId: string): GroupShard | number {
    if (this.#closed) return ErrorCode.NOT_COORDINATOR
    const partition = this.partitionOf(groupId)
    const hosted = this.#hosted.get(partition)
    if (hosted?.state === 'active') return hosted.shard
    void this.#load(partition)
    return ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
  }

  /** Every partition is there. */
  get #isComplete(): boolean {
    if (this.#hosted.size < this.#log.partitionCount) return false
    for (const { state } of this.#hosted.values()) if (state !== 'active') return false
    return true
  }

  /** Never rejects. Does nothing for a partition that is there or failed a moment ago. */
  #load(partition: number): Promise<void> {
    const hosted = this.#hosted.get(partition)
    if (hosted?.state === 'active') return Promise.resolve()
    if (hosted?.state === 'loading') return hosted.loaded
    if (hosted?.state === 'failed' && this.#world.clock.monotonicMs() < hosted.retryAtMs) {
      return Promise.resolve()
    }
    const isCurrent = (): boolean => {
      const current = this.#hosted.get(partition)
      return !this.#closed && current?.state === 'loading' && current.loaded === loaded
    }
    const loaded = this.#replay(partition).then(
      (shard) => {
        if (isCurrent()) this.#activate(partition, shard)
        else shard.close(ErrorCode.NOT_COORDINATOR, this.#now())
      },
      (error: unknown) => {
        this.#world.logger.error({ error, partition }, 'groups cannot be read from the offsets topic')
        const retryAtMs = this.#world.clock.monotonicMs() + RELOAD_BACKOFF_MS
        if (isCurrent()) this.#hosted.set(partition, { state: 'failed', retryAtMs })
      },
    )
    this.#hosted.set(partition, { state: 'loading', loaded })
    return loaded
  }

  async #replay(partition: number): Promise<GroupShard> {
    const shard = new GroupShard(partition, this.#config, this.#outbox, this.#deadlines, this.#budget)
    const now = this.#now()
    let damaged = 0
    const replay = new GroupReplay(
      (key, value) => shard.replay(key, value, now),
      (offset, problem) => {
        damaged++
        this.#tellDamaged({ topic: OFFSETS_TOPIC, partition, offset, problem })
      },
    )
    try {
      await this.#log.load(partition, (batch) => replay.batch(batch))
    } catch (error) {
      shard.close(ErrorCode.NOT_COORDINATOR, now)
      throw error
    }
    if (damaged > 0) {
      this.#world.logger.error({ topic: OFFSETS_TOPIC, partition, batches: damaged }, DAMAGED_LEFT_OUT)
    }
    if (replay.openTransactions > 0) {
      this.#world.logger.warn(
        { partition, transactions: replay.openTransactions },
        'offsets of transactions that never ended are left out',
      )
    }
    return shard
  }

  #tellDamaged(fields: LogFields): void {
    const message = 'a batch of the offsets topic is damaged: what it says of groups and offsets is left out'
    this.#warnings.log('error', fields, message)
  }

  #activate(partition: number, shard: GroupShard): void {
    this.#hosted.set(partition, { state: 'active', shard })
    shard.loaded(this.#now())
    for (const topic of this.#deletedTopics) shard.topicDeleted(topic)
    if (this.#isComplete) this.#deletedTopics.clear()
    if (shard.groupCount > 0) {
      this.#world.logger.info({ partition, groups: shard.groupCount }, 'groups loaded')
    }
    this.#settle()
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
    for (let partition = 0; partition < this.#log.partitionCount; partition++) {
      const hosted = this.#hosted.get(partition)
      if (hosted?.state === 'active') yield* hosted.shard.expireOffsets(this.#now())
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
    for (const hosted of this.#hosted.values()) if (hosted.state === 'active') sum += of(hosted.shard)
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
