import { ErrorCode } from '../../../protocol/errors.ts'
import type { Now } from '../../core/deadline-queue.ts'
import type { GroupShard } from '../../core/group/group-shard.ts'
import type { LedPartition } from '../../core/group/outbox.ts'
import { Turnstile } from '../../metadata/changes/turnstile.ts'
import { OFFSETS_TOPIC } from '../../metadata/layout/topic-names.ts'
import type { LogFields, World } from '../../ports.ts'
import type { CoordinatorLog } from './coordinator-log.ts'
import { GroupReplay } from './group-replay.ts'
import type { RateLimitedLog } from '../rate-limited-log.ts'

/** Each holds a buffer of the log it reads. So many that a disk that hangs does not keep those of others waiting. */
const LOADS_AT_ONCE = 32

/** A partition that could not be read is tried again when it is asked for, but no sooner than this. */
const RELOAD_BACKOFF_MS = 1_000

const DAMAGED_LEFT_OUT =
  'GROUPS AND OFFSETS ARE MISSING OR OLD: batches of the offsets topic are damaged and were left out; consumers may read records again, or begin anew'

/** A partition of the offsets topic that this broker leads. */
class Led {
  readonly partition: LedPartition
  /** Null until it was read. */
  shard: GroupShard | null = null
  /** The load under way. */
  loading: Promise<void> | null = null
  retryAtMs = -Infinity
  /** Topics that went before it was read: what was committed for them is still to be buried. */
  readonly deletedTopics = new Set<string>()

  constructor(partition: LedPartition) {
    this.partition = partition
  }
}

export interface GroupShardsParts {
  readonly world: Pick<World, 'clock' | 'logger'>
  readonly warnings: RateLimitedLog
  readonly log: CoordinatorLog
  readonly newShard: (partition: LedPartition) => GroupShard
  /** Something is in the outbox. */
  readonly settle: () => void
}

/** The partitions of the offsets topic that this broker leads, with their groups: read when it is elected, let go when it resigns. */
export class GroupShards {
  readonly #parts: GroupShardsParts
  readonly #led = new Map<number, Led>()
  readonly #loads = new Turnstile(LOADS_AT_ONCE)

  constructor(parts: GroupShardsParts) {
    this.#parts = parts
  }

  /** Of an election that was overtaken by a later one nothing comes. Never rejects. */
  elected(index: number, leaderEpoch: number): Promise<void> {
    const before = this.#led.get(index)
    if (before !== undefined && leaderEpoch <= before.partition.leaderEpoch) return this.#load(before)
    // Elected again, it may have been another one's in between.
    this.resigned(index)
    const led = new Led({ index, leaderEpoch })
    this.#led.set(index, led)
    return this.#load(led)
  }

  /** A load under way comes to nothing. */
  resigned(index: number): void {
    const led = this.#led.get(index)
    if (led === undefined) return
    this.#led.delete(index)
    led.shard?.resign(this.#now())
    this.#parts.settle()
  }

  resignAll(): void {
    for (const index of this.#led.keys()) this.resigned(index)
  }

  /** Who waits for the log may go on doing so. */
  close(): void {
    const closing = [...this.#led.values()]
    this.#led.clear()
    for (const { shard } of closing) shard?.close(ErrorCode.NOT_COORDINATOR, this.#now())
    this.#parts.settle()
  }

  /** The groups of a partition, or why they cannot be asked. */
  get(index: number): GroupShard | ErrorCode {
    const led = this.#led.get(index)
    if (led === undefined) return ErrorCode.NOT_COORDINATOR
    if (led.shard !== null) return led.shard
    void this.#load(led)
    return ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
  }

  /** Those that are read; they may change while they are looked at. */
  *all(): Generator<GroupShard> {
    for (const { shard } of this.#led.values()) if (shard !== null) yield shard
  }

  get isLoading(): boolean {
    for (const { loading } of this.#led.values()) if (loading !== null) return true
    return false
  }

  /** Waits until those of these partitions that are led here were read, or could not be. */
  async loaded(indexes: Iterable<number>): Promise<void> {
    for (const index of indexes) {
      const led = this.#led.get(index)
      if (led !== undefined) await this.#load(led)
    }
  }

  allLoaded(): Promise<void> {
    return this.loaded([...this.#led.keys()])
  }

  topicDeleted(topic: string): void {
    for (const { shard, deletedTopics } of this.#led.values()) {
      if (shard === null) deletedTopics.add(topic)
      else shard.topicDeleted(topic)
    }
    this.#parts.settle()
  }

  /** Does nothing for a partition that is there or failed a moment ago. */
  #load(led: Led): Promise<void> {
    if (led.loading !== null) return led.loading
    if (led.shard !== null || this.#parts.world.clock.monotonicMs() < led.retryAtMs) return Promise.resolve()
    led.loading = this.#loads
      .run(1, () => this.#read(led))
      .catch((error: unknown) => this.#failed(led, error))
      .finally(() => {
        led.loading = null
      })
    return led.loading
  }

  #isLed(led: Led): boolean {
    return this.#led.get(led.partition.index) === led
  }

  #failed(led: Led, error: unknown): void {
    if (!this.#isLed(led)) return
    const { clock, logger } = this.#parts.world
    logger.error({ error, partition: led.partition.index }, 'groups cannot be read from the offsets topic')
    led.retryAtMs = clock.monotonicMs() + RELOAD_BACKOFF_MS
  }

  async #read(led: Led): Promise<void> {
    if (!this.#isLed(led)) return
    const shard = this.#parts.newShard(led.partition)
    let isServed = false
    try {
      await this.#replay(led, shard)
      isServed = this.#isLed(led)
    } finally {
      if (!isServed) shard.close(ErrorCode.NOT_COORDINATOR, this.#now())
    }
    if (isServed) this.#activate(led, shard)
  }

  async #replay({ partition }: Led, shard: GroupShard): Promise<void> {
    const { log, warnings, world } = this.#parts
    const { index } = partition
    const now = this.#now()
    let damaged = 0
    const replay = new GroupReplay(
      (key, value) => shard.replay(key, value, now),
      (offset, problem) => {
        damaged++
        tellDamaged(warnings, { topic: OFFSETS_TOPIC, partition: index, offset, problem })
      },
    )
    await log.load(partition, (batch) => replay.batch(batch))
    if (damaged > 0) {
      world.logger.error({ topic: OFFSETS_TOPIC, partition: index, batches: damaged }, DAMAGED_LEFT_OUT)
    }
    if (replay.openTransactions > 0) {
      world.logger.warn(
        { partition: index, transactions: replay.openTransactions },
        'offsets of transactions that never ended are left out',
      )
    }
  }

  #activate(led: Led, shard: GroupShard): void {
    led.shard = shard
    shard.loaded(this.#now())
    for (const topic of led.deletedTopics) shard.topicDeleted(topic)
    led.deletedTopics.clear()
    if (shard.groupCount > 0) {
      const fields = { partition: led.partition.index, groups: shard.groupCount }
      this.#parts.world.logger.info(fields, 'groups loaded')
    }
    this.#parts.settle()
  }

  #now(): Now {
    const { clock } = this.#parts.world
    return { monotonicMs: clock.monotonicMs(), wallMs: clock.nowMs() }
  }
}

function tellDamaged(warnings: RateLimitedLog, fields: LogFields): void {
  const message = 'a batch of the offsets topic is damaged: what it says of groups and offsets is left out'
  warnings.log('error', fields, message)
}
