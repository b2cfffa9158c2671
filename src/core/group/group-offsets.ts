import type { Steps } from '../../../protocol/compile.ts'
import { ErrorCode } from '../../../protocol/errors.ts'
import { BATCH_OVERHEAD } from '../../../protocol/records/record-batch.ts'
import { memberError } from './answers.ts'
import type { Now } from '../deadline-queue.ts'
import type { Group } from './group.ts'
import { groupAppendError } from './group-context.ts'
import type { GroupContext } from './group-context.ts'
import { encodeOffset, groupTombstone, offsetRecordBytes } from './group-records.ts'
import type {
  CommitRequest,
  CommitResponse,
  DeleteOffsetsRequest,
  DeleteOffsetsResponse,
  FetchedOffset,
  FetchedTopic,
  FetchOffsetsRequest,
} from './group-types.ts'
import { NO_MEMBER_ID } from './group-types.ts'
import type { Committed, CommittedOffset, OffsetPlace } from './offset-table.ts'
import type { OffsetsRecord, Waiter } from './outbox.ts'
import type { Rebalance } from './rebalance.ts'

const NO_OFFSET = -1
const NO_LEADER_EPOCH = -1

/** What a record takes in a batch besides its key and value, at most. */
const RECORD_OVERHEAD_BYTES = 32

/** Offsets that are looked at between two chances for others. */
const OFFSETS_PER_STEP = 1_000

/** Committed offsets: written, read, deleted, expired. */
export class GroupOffsets {
  readonly #context: GroupContext
  readonly #rebalance: Rebalance

  constructor(context: GroupContext, rebalance: Rebalance) {
    this.#context = context
    this.#rebalance = rebalance
  }

  // ---------------------------------------------------------------------------------------------------- commit

  commit(request: CommitRequest, waiter: Waiter<CommitResponse>, now: Now): void {
    const { groups, outbox } = this.#context
    const refuse = (errorCode: number): void =>
      outbox.reply(
        waiter,
        request.offsets.map(() => errorCode),
      )
    let group = groups.get(request.groupId)
    if (group === undefined) {
      // Who is in no generation needs no group: one is made to keep its offsets.
      if (request.generationId >= 0) {
        return refuse(
          request.knowsGroupIdNotFound ? ErrorCode.GROUP_ID_NOT_FOUND : ErrorCode.ILLEGAL_GENERATION,
        )
      }
      if (!this.#context.budget.makeRoomForGroup('offsets', request.client, now)) {
        this.#warnFull(request)
        return refuse(ErrorCode.INVALID_COMMIT_OFFSET_SIZE)
      }
      group = this.#rebalance.createGroup(request.groupId, request.client, now)
      this.#context.insert(group)
    }
    group.heardOf(request.client, now)
    const error = commitError(group, request)
    if (error !== ErrorCode.NONE) return refuse(error)
    const member = group.members.get(request.memberId)
    if (member !== undefined) this.#rebalance.restartSession(group, member, now)
    if (this.#fits(request)) this.#append(group, request, waiter, now)
    else refuse(ErrorCode.UNKNOWN_SERVER_ERROR)
    this.#context.charge(group)
  }

  /** All offsets of a request are one batch, or none. Those that are refused for their metadata are not in it. */
  #fits(request: CommitRequest): boolean {
    const { groupId } = request
    const expireTimestampMs = request.retentionTimeMs < 0 ? null : 0
    let bytes = BATCH_OVERHEAD
    let records = 0
    for (const { topic, metadata } of request.offsets) {
      if (this.#hasLongMetadata(metadata)) continue
      bytes += offsetRecordBytes(groupId, topic, { metadata, expireTimestampMs }, records++)
    }
    if (this.#context.fits(bytes)) return true
    const fields = { groupId, clientId: request.client.clientId, offsets: records, bytes }
    this.#context.outbox.log('warn', fields, 'offsets do not fit into a batch: max.message.bytes')
    return false
  }

  #hasLongMetadata(metadata: string): boolean {
    return metadata.length > this.#context.config.offsetMetadataMaxBytes
  }

  #append(group: Group, request: CommitRequest, waiter: Waiter<CommitResponse>, now: Now): void {
    const expireTimestampMs =
      request.retentionTimeMs < 0
        ? null
        : Math.min(now.wallMs + request.retentionTimeMs, Number.MAX_SAFE_INTEGER)
    const records: OffsetsRecord[] = []
    let growthBytes = 0
    let isFull = false
    const written: Committed[] = []
    const errorCodes = request.offsets.map(({ topic, partition, offset, leaderEpoch, metadata }) => {
      if (this.#hasLongMetadata(metadata)) return ErrorCode.OFFSET_METADATA_TOO_LARGE
      const ownBytes = Math.max(0, group.offsets.growthBytes(topic, partition, metadata))
      isFull ||= ownBytes > 0 && !this.#context.budget.makeRoomForOffsets(group, growthBytes + ownBytes, now)
      if (isFull && ownBytes > 0) return ErrorCode.INVALID_COMMIT_OFFSET_SIZE
      growthBytes += ownBytes
      const committed = { offset, leaderEpoch, metadata, commitTimestampMs: now.wallMs, expireTimestampMs }
      records.push(encodeOffset(group.groupId, topic, partition, committed))
      written.push({ topic, partition, committed })
      return ErrorCode.NONE
    })
    if (isFull) this.#warnFull(request)
    if (records.length === 0) {
      this.#context.outbox.reply(waiter, errorCodes)
      return
    }
    for (const { topic, partition } of written) group.offsets.appended(topic, partition)
    const append = this.#context.append(records, (errorCode) => {
      for (const { topic, partition, committed } of written) {
        group.offsets.settled(topic, partition, committed, append.sequence, errorCode === ErrorCode.NONE)
      }
      const outcome = groupAppendError(errorCode)
      this.#context.outbox.reply(
        waiter,
        errorCodes.map((own) => (own === ErrorCode.NONE ? outcome : own)),
      )
      this.#context.charge(group)
    })
  }

  #warnFull({ groupId, client }: CommitRequest): void {
    const { budget } = this.#context
    this.#context.outbox.log(
      'warn',
      {
        groupId,
        clientId: client.clientId,
        client: client.clientHost,
        groups: budget.groups,
        stateBytes: budget.bytes,
      },
      'no room for more offsets: the share of this client in groups or in their memory is used up',
    )
  }

  // ----------------------------------------------------------------------------------------------------- fetch

  fetch(request: FetchOffsetsRequest): FetchedTopic[] {
    const group = this.#context.groups.get(request.groupId)
    if (request.topics !== null) {
      return request.topics.map(({ name, partitions }) => ({
        name,
        partitions: partitions.map((index) => fetched(index, group?.offsets.get(name, index) ?? null)),
      }))
    }
    return Array.from(group?.offsets.committed() ?? [], ([name, partitions]) => ({
      name,
      partitions: partitions.map(([index, committed]) => fetched(index, committed)),
    }))
  }

  // ---------------------------------------------------------------------------------------------------- delete

  deleteGroup(groupId: string, waiter: Waiter<number>): void {
    const { outbox } = this.#context
    const group = this.#context.groups.get(groupId)
    if (group === undefined || group.state === 'Dead') outbox.reply(waiter, ErrorCode.GROUP_ID_NOT_FOUND)
    else if (group.state !== 'Empty') outbox.reply(waiter, ErrorCode.NON_EMPTY_GROUP)
    else {
      outbox.log('info', { groupId }, 'group is deleted on request')
      this.#bury(group, (errorCode) => outbox.reply(waiter, groupAppendError(errorCode)))
    }
  }

  deleteOffsets(request: DeleteOffsetsRequest, waiter: Waiter<DeleteOffsetsResponse>): void {
    const { outbox } = this.#context
    const group = this.#context.groups.get(request.groupId)
    const refuse = (errorCode: number): void => outbox.reply(waiter, { errorCode, topicErrorCodes: [] })
    if (request.groupId === '') return refuse(ErrorCode.INVALID_GROUP_ID)
    if (group === undefined || group.state === 'Dead') return refuse(ErrorCode.GROUP_ID_NOT_FOUND)
    // Only of consumers is it known which topics they read.
    if (group.state !== 'Empty' && !group.usesConsumerProtocol) return refuse(ErrorCode.NON_EMPTY_GROUP)
    const subscribed = group.subscribedAmong(request.topics.map(({ name }) => name))
    const places: OffsetPlace[] = []
    const topicErrorCodes = request.topics.map(({ name, partitions }) => {
      if (subscribed === null || subscribed.has(name)) return ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC
      for (const partition of new Set(partitions)) {
        if (group.offsets.has(name, partition)) places.push({ topic: name, partition })
      }
      return ErrorCode.NONE
    })
    this.#tombstone(group, places, [], (errorCode) => {
      outbox.reply(waiter, { errorCode: groupAppendError(errorCode), topicErrorCodes })
    })
  }

  topicDeleted(topic: string): void {
    for (const group of this.#context.groups.values()) {
      if (group.offsets.hasTopic(topic)) {
        this.#tombstone(group, [...group.offsets.places(topic)], [], () => {})
      }
    }
  }

  /**
   * What nobody has needed for the retention time goes; groups that are empty and have nothing left go with it. In steps:
   * what is found in one is decided in it, as anything may happen until the next.
   */
  *expire(now: Now): Steps<void> {
    for (const group of this.#context.groups.values()) {
      const found: Committed[] = []
      for (const offset of group.offsets.idle()) {
        found.push(offset)
        if (found.length < OFFSETS_PER_STEP) continue
        this.#expireThese(group, found.splice(0), now)
        yield
        if (!this.#context.owns(group)) break
      }
      if (this.#context.owns(group)) this.#expireThese(group, found, now)
      yield
    }
  }

  #expireThese(group: Group, offsets: readonly Committed[], now: Now): void {
    if (group.state === 'Dead') return
    const expired = this.#expired(group, offsets, now)
    const isOver =
      group.state === 'Empty' && group.pendingMembers.size === 0 && expired.length === group.offsets.size
    const fields = { groupId: group.groupId, offsets: expired.length }
    if (isOver) {
      this.#context.outbox.log('info', fields, 'group expired')
      this.#bury(group, () => {})
    } else if (expired.length > 0) {
      this.#context.outbox.log('info', fields, 'offsets expired')
      this.#tombstone(group, expired, [], () => {})
    }
  }

  #expired(group: Group, offsets: readonly Committed[], now: Now): readonly OffsetPlace[] {
    const old = offsets.filter(({ committed }) => this.#isOld(group, committed, now))
    if (old.length === 0 || !isInUse(group)) return old
    // KIP-211: while there are members, only topics that no consumer subscribes to.
    if (group.state !== 'Stable') return []
    const subscribed = group.subscribedAmong(old.map(({ topic }) => topic))
    return subscribed === null ? [] : old.filter(({ topic }) => !subscribed.has(topic))
  }

  #isOld(group: Group, committed: CommittedOffset, now: Now): boolean {
    if (committed.expireTimestampMs !== null) return now.wallMs >= committed.expireTimestampMs
    return now.wallMs - unusedSinceMs(group, committed) >= this.#context.config.offsetsRetentionMs
  }

  /** Makes room for another group: it has no offsets, and nobody was heard of for a while. Who comes back joins anew. */
  evict(group: Group, now: Now): void {
    this.#context.outbox.log(
      'info',
      { groupId: group.groupId, members: group.members.size, pending: group.pendingMembers.size },
      'group without offsets makes room for another one',
    )
    for (const member of group.members.values()) this.#rebalance.removeMember(group, member, now)
    for (const [memberId, { timeout }] of group.pendingMembers) {
      this.#context.deadlines.cancel(timeout)
      group.removePending(memberId)
    }
    if (group.persisted) this.#bury(group, () => {})
    else this.#context.forget(group)
  }

  /** Tombstones for all that the log has of an empty group, then the group is gone. */
  #bury(group: Group, settled: (errorCode: number) => void): void {
    group.state = 'Dead'
    this.#context.deadlines.cancel(group.joinTimer)
    this.#context.deadlines.cancel(group.syncTimer)
    this.#context.charge(group)
    const last = group.persisted ? [groupTombstone(group.groupId)] : []
    this.#tombstone(group, [...group.offsets.places()], last, (errorCode) => {
      if (errorCode === ErrorCode.NONE) this.#context.forget(group)
      else group.state = 'Empty'
      settled(errorCode)
    })
  }

  /** In batches of bounded size. `settled` gets the first error. */
  #tombstone(
    group: Group,
    places: readonly OffsetPlace[],
    last: readonly OffsetsRecord[],
    settled: (errorCode: number) => void,
  ): void {
    const appends = this.#tombstoneBatches(group, places)
    if (last.length > 0) appends.push({ places: [], records: [...last] })
    let waiting = appends.length
    let firstError: number = ErrorCode.NONE
    for (const { places: covered, records } of appends) {
      for (const { topic, partition } of covered) group.offsets.appended(topic, partition)
      const append = this.#context.append(records, (errorCode) => {
        for (const { topic, partition } of covered) {
          group.offsets.settled(topic, partition, null, append.sequence, errorCode === ErrorCode.NONE)
        }
        if (firstError === ErrorCode.NONE) firstError = errorCode
        if (--waiting > 0) return
        settled(firstError)
        this.#context.charge(group)
      })
    }
    if (appends.length === 0) settled(ErrorCode.NONE)
  }

  #tombstoneBatches(group: Group, places: readonly OffsetPlace[]): TombstoneBatch[] {
    const batches: TombstoneBatch[] = []
    let bytes = Infinity
    for (const place of places) {
      const record = encodeOffset(group.groupId, place.topic, place.partition, null)
      const recordBytes = record.key.length + RECORD_OVERHEAD_BYTES
      if (bytes + recordBytes > this.#context.config.maxBatchBytes) {
        batches.push({ places: [], records: [] })
        bytes = 0
      }
      const batch = batches.at(-1)!
      batch.places.push(place)
      batch.records.push(record)
      bytes += recordBytes
    }
    return batches
  }
}

interface TombstoneBatch {
  readonly places: OffsetPlace[]
  readonly records: OffsetsRecord[]
}

function commitError(group: Group, request: CommitRequest): number {
  const { memberId, groupInstanceId, generationId } = request
  if (group.state === 'Dead') return ErrorCode.COORDINATOR_NOT_AVAILABLE
  // A simple consumer or an administrator, and nobody there whom it could contradict.
  if (generationId < 0 && group.state === 'Empty') return ErrorCode.NONE
  if (generationId < 0 && memberId === NO_MEMBER_ID && groupInstanceId === null) {
    return ErrorCode.UNKNOWN_MEMBER_ID
  }
  const error = memberError(group, memberId, groupInstanceId)
  if (error !== ErrorCode.NONE) return error
  if (generationId !== group.generationId) return ErrorCode.ILLEGAL_GENERATION
  // While a rebalance is prepared members may still commit what they own (KIP-429). Once the new generation has
  // begun what they own is not known until the assignment is there.
  return group.state === 'CompletingRebalance' ? ErrorCode.REBALANCE_IN_PROGRESS : ErrorCode.NONE
}

/** It has members. Without a protocol type it never had: its offsets are a simple consumer's. */
function isInUse(group: Group): boolean {
  return group.protocolType !== null && group.state !== 'Empty'
}

/** From when on an offset counts as unused, wall clock (KIP-211): since the group is empty, else since the commit. */
function unusedSinceMs(group: Group, committed: CommittedOffset): number {
  return group.protocolType !== null && group.state === 'Empty'
    ? (group.stateSinceMs ?? committed.commitTimestampMs)
    : committed.commitTimestampMs
}

function fetched(partitionIndex: number, committed: CommittedOffset | null): FetchedOffset {
  return {
    partitionIndex,
    committedOffset: committed?.offset ?? NO_OFFSET,
    committedLeaderEpoch: committed?.leaderEpoch ?? NO_LEADER_EPOCH,
    metadata: committed?.metadata ?? '',
    errorCode: ErrorCode.NONE,
  }
}
