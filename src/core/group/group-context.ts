import { ErrorCode } from '../../../protocol/errors.ts'
import type { DeadlineQueue, Now } from '../deadline-queue.ts'
import type { Group } from './group.ts'
import type { GroupBudget } from './group-budget.ts'
import type { GroupConfig } from './group-types.ts'
import type { LedPartition, OffsetsRecord, Outbox } from './outbox.ts'

/** What the parts of one partition's coordinator share. */
export class GroupContext {
  readonly partition: LedPartition
  readonly config: GroupConfig
  readonly outbox: Outbox
  readonly deadlines: DeadlineQueue
  readonly budget: GroupBudget
  readonly groups = new Map<string, Group>()
  /** Set by the shard, which knows how a group goes. */
  evicted: (group: Group, now: Now) => void = () => {}
  /** In no order. */
  readonly #pending: PendingAppend[] = []
  #sequence = 0

  constructor(
    partition: LedPartition,
    config: GroupConfig,
    outbox: Outbox,
    deadlines: DeadlineQueue,
    budget: GroupBudget,
  ) {
    this.partition = partition
    this.config = config
    this.outbox = outbox
    this.deadlines = deadlines
    this.budget = budget
  }

  insert(group: Group): void {
    this.groups.set(group.groupId, group)
    this.budget.charge(group)
  }

  /** Out of memory, with its timers. Parked requests must have been answered. */
  forget(group: Group): void {
    if (this.groups.get(group.groupId) !== group) return
    this.groups.delete(group.groupId)
    this.budget.remove(group)
    this.deadlines.cancel(group.joinTimer)
    this.deadlines.cancel(group.syncTimer)
    for (const { timeout } of group.pendingMembers.values()) this.deadlines.cancel(timeout)
    for (const member of group.members.values()) this.deadlines.cancel(member.session)
  }

  /** After anything that made a group larger or smaller. Groups about which nothing is known any more go. */
  charge(group: Group): void {
    if (this.groups.get(group.groupId) !== group) return
    if (group.isForgettable) this.forget(group)
    else this.budget.charge(group)
  }

  /** Whether a group is still this coordinator's: it was not deleted and the partition not given up. */
  owns(group: Group): boolean {
    return this.groups.get(group.groupId) === group
  }

  /** What does not fit into one batch is refused before anything is done about it, as Kafka does. */
  fits(batchBytes: number): boolean {
    return batchBytes <= this.config.appendableBytes(this.partition.index)
  }

  append(records: readonly OffsetsRecord[], settled: Settled): PendingAppend {
    const append = new PendingAppend(this.#sequence++, this.#pending.length)
    this.#pending.push(append)
    append.whenSettled(settled)
    this.outbox.append(this.partition, records, (errorCode, now) => this.#settle(append, errorCode, now))
    return append
  }

  /** What the log says of what is on its way there counts no more. */
  abandonAppends(errorCode: number, now: Now): void {
    for (;;) {
      const append = this.#pending.at(-1)
      if (append === undefined) return
      this.#settle(append, errorCode, now)
    }
  }

  #settle(append: PendingAppend, errorCode: number, now: Now): void {
    const { place } = append
    if (place === -1) return
    append.place = -1
    const last = this.#pending.pop()!
    if (last !== append) {
      last.place = place
      this.#pending[place] = last
    }
    append.settle(errorCode, now)
  }
}

export type Settled = (errorCode: number, now: Now) => void

/** Records on their way to the log. */
export class PendingAppend {
  /** Its position among the appends of the partition. */
  readonly sequence: number
  /** Where it stands among those that are on their way; -1: it has arrived, or nobody waits any more. */
  place: number
  readonly #listeners: Settled[] = []

  constructor(sequence: number, place: number) {
    this.sequence = sequence
    this.place = place
  }

  /** In the order in which they were added. */
  whenSettled(listener: Settled): void {
    this.#listeners.push(listener)
  }

  settle(errorCode: number, now: Now): void {
    for (const listener of this.#listeners) listener(errorCode, now)
  }
}

/** What a client is told when records of its group could not be written. */
export function groupAppendError(errorCode: number): number {
  switch (errorCode) {
    case ErrorCode.UNKNOWN_TOPIC_OR_PARTITION:
    case ErrorCode.NOT_ENOUGH_REPLICAS:
    case ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND:
    case ErrorCode.REQUEST_TIMED_OUT:
      return ErrorCode.COORDINATOR_NOT_AVAILABLE
    case ErrorCode.NOT_LEADER_OR_FOLLOWER:
    case ErrorCode.FENCED_LEADER_EPOCH:
    case ErrorCode.UNKNOWN_LEADER_EPOCH:
    case ErrorCode.KAFKA_STORAGE_ERROR:
      return ErrorCode.NOT_COORDINATOR
    case ErrorCode.MESSAGE_TOO_LARGE:
    case ErrorCode.RECORD_LIST_TOO_LARGE:
    case ErrorCode.INVALID_FETCH_SIZE:
      return ErrorCode.UNKNOWN_SERVER_ERROR
    default:
      return errorCode
  }
}
