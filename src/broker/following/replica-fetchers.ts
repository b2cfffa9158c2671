import { GatheredLines } from '../../metadata/gathered-lines.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import type { GaugeSample, World } from '../../ports.ts'
import type { Followings } from './followings.ts'
import type { Partition } from '../partition.ts'
import { ReplicaFetcher } from './replica-fetcher.ts'
import type { FetcherParts } from './replica-fetcher.ts'
import type { FollowedPartition } from './replica-fetcher-partition.ts'

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
  readonly #lines: GatheredLines
  #closed = false

  /** `refuses`: the volume of this log directory takes no records now. */
  constructor(world: World, metadata: Metadata, refuses: (directory: string) => boolean) {
    const { metrics } = world
    const receivedBytes = metrics.counter(
      'kafka_server_brokertopicmetrics_replicationbytesin_total',
      'Bytes of records that this broker got from the leaders that it follows.',
    )
    this.#lines = new GatheredLines(world.clock, world.logger)
    this.#parts = { world, metadata, lines: this.#lines, receivedBytes, refuses }
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
    if (this.#assigned.has(partition))
      this.#lines.add('info', 'follows the leaders of these partitions no more', {}, () => nameOf(partition))
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

  #tellBegun(partition: Partition): void {
    const { leaderId: leader, leaderEpoch, logView } = partition
    const name = (): string => `${nameOf(partition)} in epoch ${leaderEpoch} from ${logView.logEndOffset}`
    this.#lines.add('info', 'follows a leader', { leader }, name)
  }
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
