import type { Metadata } from '../metadata/metadata.ts'
import type { GaugeSample, World } from '../ports.ts'
import type { Followings } from './followings.ts'
import type { Partition } from './partition.ts'
import { RateLimitedLog } from './rate-limited-log.ts'
import { ReplicaFetcher } from './replica-fetcher.ts'
import type { FetcherParts } from './replica-fetcher.ts'
import type { FollowedPartition } from './replica-fetcher-partition.ts'

/** As many partitions are named in a line. */
const NAMED_AT_MOST = 10

/** What began and what ended in a turn. */
interface News {
  /** By leader. */
  readonly begun: Map<number, string[]>
  readonly ended: string[]
}

interface Assigned {
  readonly fetcher: ReplicaFetcher
  readonly followed: FollowedPartition
}

/** All that this broker follows: for each leader as many connections as `num.replica.fetchers` says. */
export class ReplicaFetchers implements Followings {
  readonly #parts: FetcherParts
  readonly #streams: number
  /** By leader and stream. */
  readonly #fetchers = new Map<string, ReplicaFetcher>()
  readonly #assigned = new Map<Partition, Assigned>()
  /** To be told at the end of the turn. */
  #news: News | null = null
  #closed = false

  /** `refuses`: the volume of this log directory takes no records now. */
  constructor(world: World, metadata: Metadata, refuses: (directory: string) => boolean) {
    const { metrics } = world
    const receivedBytes = metrics.counter(
      'kafka_server_brokertopicmetrics_replicationbytesin_total',
      'Bytes of records that this broker got from the leaders that it follows.',
    )
    const log = new RateLimitedLog(world.logger, world.clock)
    this.#parts = { world, metadata, log, receivedBytes, refuses }
    this.#streams = metadata.config['num.replica.fetchers']
    const gauge = (name: string, help: string, read: () => number): void =>
      metrics.gauge(`kafka_server_replicafetchermanager_${name}`, help, (): GaugeSample[] => [
        { labels: { clientid: 'Replica' }, value: read() },
      ])
    gauge(
      'maxlag',
      'The most that a partition here lacks of what its leader has committed, in records.',
      () => this.#count((most, { lag }) => Math.max(most, lag)),
    )
    gauge('failedpartitionscount', 'Partitions that are not followed because their log failed.', () =>
      this.#count((count, { condition, restsUntilMs }) =>
        condition === 'resting' && restsUntilMs === Infinity ? count + 1 : count,
      ),
    )
  }

  #count(add: (sum: number, followed: FollowedPartition) => number): number {
    let sum = 0
    for (const { followed } of this.#assigned.values()) sum = add(sum, followed)
    return sum
  }

  assign(partition: Partition): void {
    const core = partition.follower
    const before = this.#assigned.get(partition)?.followed
    const quiet = this.#remove(partition)
    before?.replaced()
    if (core === null || this.#closed) return
    const fetcher = this.#fetcherOf(partition)
    const followed = fetcher.add(partition, core, quiet)
    partition.following = followed
    this.#assigned.set(partition, { fetcher, followed })
    this.#tellBegun(partition)
  }

  async withdraw(partition: Partition): Promise<void> {
    const { following } = partition
    if (this.#assigned.has(partition)) this.#noteNews().ended.push(nameOf(partition))
    await this.#remove(partition)
    if (partition.following === following) partition.following = null
  }

  /** Resolves when all logs are left alone. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#fetchers.values()].map((fetcher) => fetcher.close()))
  }

  #remove(partition: Partition): Promise<void> {
    const assigned = this.#assigned.get(partition)
    if (assigned === undefined) return Promise.resolve()
    this.#assigned.delete(partition)
    return assigned.fetcher.remove(assigned.followed)
  }

  #fetcherOf({ leaderId, topicId, index }: Partition): ReplicaFetcher {
    const key = `${leaderId}/${streamOf(topicId, index, this.#streams)}`
    const known = this.#fetchers.get(key)
    if (known !== undefined) return known
    const fetcher = new ReplicaFetcher(this.#parts, leaderId, () => this.#fetchers.delete(key))
    this.#fetchers.set(key, fetcher)
    return fetcher
  }

  // ------------------------------------------------------------------------------------------------------------- news

  #tellBegun(partition: Partition): void {
    const { begun } = this.#noteNews()
    const name = `${nameOf(partition)} in epoch ${partition.leaderEpoch} from ${partition.logView.logEndOffset}`
    const names = begun.get(partition.leaderId)
    if (names === undefined) begun.set(partition.leaderId, [name])
    else names.push(name)
  }

  #noteNews(): News {
    if (this.#news === null) this.#parts.world.clock.atEndOfTurn('reply', () => this.#tellNews())
    return (this.#news ??= { begun: new Map(), ended: [] })
  }

  /** One line for all, or a broker that goes would cause as many as it led partitions. */
  #tellNews(): void {
    const { logger } = this.#parts.world
    const { begun, ended } = this.#news!
    this.#news = null
    if (ended.length > 0) logger.info(fieldsOf(ended), 'follows the leaders of these partitions no more')
    for (const [leader, names] of begun) logger.info({ leader, ...fieldsOf(names) }, 'follows a leader')
  }
}

function fieldsOf(names: readonly string[]) {
  return { count: names.length, partitions: names.slice(0, NAMED_AT_MOST) }
}

function nameOf({ topic, index }: Partition): string {
  return `${topic}-${index}`
}

/** Always the same one: the partitions of a topic go to different ones. */
function streamOf(topicId: string, index: number, streams: number): number {
  let hash = 0
  for (let i = 0; i < topicId.length; i++) hash = Math.imul(hash, 31) + topicId.charCodeAt(i)
  return ((hash + index) >>> 0) % streams
}
