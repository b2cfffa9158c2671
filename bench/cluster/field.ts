import { setTimeout as sleep } from 'node:timers/promises'
import { deviceUnder } from '../device.ts'
import { Client, type ClusterView } from '../load/client.ts'
import type { Cluster, Member } from './cluster.ts'

const READY_MS = 120_000
const LOOK_EVERY_MS = 50
const REPLICAS = 3

/** A cluster under measurement, with what rows need around their load. */
export class Field {
  readonly cluster: Cluster
  #topics = 0

  constructor(cluster: Cluster) {
    this.cluster = cluster
  }

  get bootstrap(): string {
    return this.cluster.members.map(({ endpoint: { host, port } }) => `${host}:${port}`).join(',')
  }

  get pids(): readonly number[] {
    return this.cluster.members.flatMap((member) => member.pids())
  }

  /** Where a load goes to. */
  get place() {
    const [first] = this.cluster.members
    const { endpoint, dataDirectory } = first!
    const blockStatPath = deviceUnder(dataDirectory)?.statPath ?? ''
    return { endpoint, brokerPid: first!.pids()[0] ?? 0, pids: this.pids, blockStatPath }
  }

  /** Resolves when it has three brokers, and topics can be made. */
  async serving(): Promise<void> {
    await this.until(
      'three brokers',
      async () => (await this.view('')).brokers.size === this.cluster.members.length,
    )
  }

  /** A topic whose partitions all have a leader and three replicas in sync. */
  createTopic(partitions: number, configs: Readonly<Record<string, string>> = {}): Promise<string> {
    return this.#createTopic(partitions, configs, REPLICAS)
  }

  /** The same, and one of the brokers leads nothing of it. */
  createTopicFollowedBy(follower: Member, partitions: number): Promise<string> {
    const leaders = this.cluster.members.filter((member) => member !== follower).map(({ id }) => id)
    const replicas = Array.from({ length: partitions }, (_, index) => [
      ...(index % 2 === 0 ? leaders : leaders.toReversed()),
      follower.id,
    ])
    return this.#createTopic(partitions, {}, replicas)
  }

  async #createTopic(
    partitions: number,
    configs: Readonly<Record<string, string>>,
    replicas: number | readonly (readonly number[])[],
  ): Promise<string> {
    const topic = `bench-${String(++this.#topics).padStart(5, '0')}`
    await this.#asClient(this.cluster.members[0]!, async (client) => {
      const error = await client.createTopic(topic, partitions, configs, replicas)
      if (error !== 0) throw new Error(`CreateTopics answered error ${error}`)
    })
    await this.inSync(topic, partitions)
    return topic
  }

  async deleteTopic(topic: string): Promise<void> {
    await this.#asClient(this.cluster.members[0]!, (client) => client.deleteTopic(topic))
    await sleep(1_500)
  }

  /** Resolves when every broker says that all partitions have a leader and all their replicas. */
  async inSync(topic: string, partitions: number): Promise<void> {
    for (const member of this.cluster.members) {
      await this.until(`replicas of ${topic}`, async () => {
        const view = await this.view(topic, member)
        const ready = view.partitions.filter(({ leader, inSync }) => leader >= 0 && inSync === REPLICAS)
        return ready.length === partitions
      })
    }
  }

  view(topic: string, member: Member = this.cluster.members[0]!): Promise<ClusterView> {
    return this.#asClient(member, (client) => client.metadata(topic))
  }

  async until(what: string, condition: () => Promise<boolean>): Promise<void> {
    const untilMs = Date.now() + READY_MS
    for (;;) {
      try {
        if (await condition()) return
      } catch (error) {
        if (Date.now() > untilMs) throw new Error(`no ${what} within ${READY_MS} ms`, { cause: error })
      }
      if (Date.now() > untilMs) throw new Error(`no ${what} within ${READY_MS} ms`)
      await sleep(LOOK_EVERY_MS)
    }
  }

  async #asClient<T>(member: Member, use: (client: Client) => Promise<T>): Promise<T> {
    const client = await Client.connect(member.endpoint)
    try {
      return await use(client)
    } finally {
      client.close()
    }
  }
}
