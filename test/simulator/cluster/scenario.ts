import { strict as assert } from 'node:assert'
import { errorName } from '../../../protocol/errors.ts'
import type { Proposal } from '../../../src/core/controller/controller-types.ts'
import { buildBatch } from '../../../protocol/records/record-builder.ts'
import { readValues } from '../durability/record-reading.ts'
import { SimRandom } from '../sim-random.ts'
import { ignoreNoAnswer } from './cluster-client.ts'
import type { ClusterClient } from './cluster-client.ts'
import { checkCluster, checkHolders, everyReplicaHasAll, isCalm } from './cluster-checks.ts'
import type { Checked } from './cluster-checks.ts'
import { ClusterWatch } from './cluster-watch.ts'
import { Ledger } from './ledger.ts'
import { SimCluster } from './sim-cluster.ts'
import type { ClusterBroker, SimClusterOptions, StoredPartitionState } from './sim-cluster.ts'

/**
 * A story about one partition that a test tells step by step. What was acknowledged or read is held against all that follows,
 * as in the campaign, and in the end all is healed and checked.
 */

/** The partition that the stories are about. */
export const TOPIC = 'orders'

/** Of what was not durable nothing is left. */
class WorstLuck extends SimRandom {
  override pick<T>(values: readonly T[]): T {
    return values[0] as T
  }
}

export interface ScenarioOptions extends SimClusterOptions {
  readonly minIsr?: number
  /** The preferred leader first. */
  readonly replicas?: readonly number[]
  readonly partitions?: number
  /** False: somebody writes into the store by hand, of whom nothing can be expected. */
  readonly isWatched?: boolean
}

/** A fourth broker is controller, which has no replica: those that have one can be cut from each other. */
const WITH_CONTROLLER: ScenarioOptions = { brokers: 4, controller: 4 }

/** All brokers have a replica, and any of them may be controller. */
export const EVERYBODY: ScenarioOptions = { brokers: 3, controller: 0 }

export interface Story {
  /** As in `replication.md` 5.4. */
  readonly number: number
  readonly name: string
  readonly run: (seed: number) => Promise<void>
}

/** All that were told in files that are loaded. */
export const STORIES: Story[] = []

export function scenario(
  number: number,
  name: string,
  body: (story: Scenario) => Promise<void>,
  options: ScenarioOptions = {},
): void {
  STORIES.push({
    number,
    name,
    run: (seed) => runScenario(seed, body, { ...WITH_CONTROLLER, ...options }),
  })
}

function runScenario(
  seed: number,
  body: (story: Scenario) => Promise<void>,
  options: ScenarioOptions,
): Promise<void> {
  return SimCluster.run(
    seed,
    async (cluster) => {
      const story = new Scenario(cluster, options.minIsr ?? 2)
      await story.begin(options)
      await body(story)
      await story.end()
    },
    options,
  )
}

/** A message that is on its way for long. */
interface LateProposal {
  readonly sender: { readonly id: number; readonly epoch: number }
  readonly proposal: Proposal
}

export class Scenario implements Checked {
  readonly cluster: SimCluster
  readonly ledger = new Ledger()
  readonly client: ClusterClient
  missing = ''
  readonly #minIsr: number
  #count = 0

  constructor(cluster: SimCluster, minIsr: number) {
    this.cluster = cluster
    this.#minIsr = minIsr
    this.client = cluster.client()
  }

  async begin({ replicas = [1, 2, 3], partitions = 1, isWatched = true }: ScenarioOptions): Promise<void> {
    if (isWatched) new ClusterWatch(this.cluster, this.ledger).begin()
    const assignment = Array.from({ length: partitions }, () => replicas)
    const configs = { 'min.insync.replicas': String(this.#minIsr) }
    const errorCode = await this.client.createTopic(TOPIC, -1, -1, configs, assignment)
    assert.equal(errorCode, 0, errorName(errorCode))
    for (let index = 0; index < partitions; index++) await this.cluster.untilIsr(TOPIC, index, replicas)
    await this.client.findLeader(TOPIC, 0, 5_000)
  }

  /** All is healed, and what was promised holds. */
  async end(): Promise<void> {
    const { cluster } = this
    cluster.healAll()
    await Promise.all(
      cluster.brokers.filter(({ process }) => process === null).map((broker) => broker.start()),
    )
    await cluster
      .until('all replicas are in sync', () => isCalm(this))
      .catch((error: unknown) => {
        throw new Error(this.missing, { cause: error })
      })
    await this.acknowledged('the end')
    await cluster
      .until('every replica has all', () => everyReplicaHasAll(this))
      .catch((error: unknown) => {
        throw new Error(this.missing, { cause: error })
      })
    await this.read()
    await checkCluster(this)
  }

  broker(id: number): ClusterBroker {
    return this.cluster.broker(id)
  }

  async state(index = 0): Promise<StoredPartitionState> {
    return (await this.cluster.state(TOPIC, index))!
  }

  /** What all versions of the state said, the oldest first. */
  states(index = 0): StoredPartitionState[] {
    const path = `/brokers/topics/${TOPIC}/partitions/${index}/state`
    return this.cluster.store.ensemble.history
      .versionsOf(path)
      .flatMap(({ node }) =>
        node === null ? [] : [JSON.parse(node.data.toString()) as StoredPartitionState],
      )
  }

  untilIsr(isr: readonly number[], withinMs?: number): Promise<void> {
    return this.cluster.untilIsr(TOPIC, 0, isr, withinMs)
  }

  untilLeader(leader: number, withinMs?: number): Promise<void> {
    return this.cluster.untilLeader(TOPIC, 0, leader, withinMs)
  }

  /** From this broker on the one follows no more. */
  cut(from: number, to: number, oneWay = false): void {
    this.cluster.cut(this.broker(from), this.broker(to), oneWay)
  }

  heal(from: number, to: number): void {
    this.cluster.heal(this.broker(from), this.broker(to))
  }

  /** The broker leaves the ISR because it lags: records come that it does not get. */
  async lag(broker: number, leader: number, isr: readonly number[]): Promise<void> {
    this.cut(leader, broker)
    await this.send('lag', { acks: 1, to: leader })
    await this.untilIsr(isr)
  }

  /** The machine loses its power, and all that was not on its disk. */
  async losePower(id: number): Promise<void> {
    await this.broker(id).die('kill with its helper')
    this.broker(id).machine.image.powerLoss(new WorstLuck(1))
    await checkHolders(this)
  }

  /** What the leader would ask for now, of brokers as they are registered. */
  async proposalOf(leader: number, isr: readonly number[]): Promise<LateProposal> {
    const { leader_epoch: leaderEpoch } = await this.state()
    const { topicId } = this.broker(leader).partition(TOPIC, 0)!
    const registered = isr.map(async (id) => {
      const registration = await this.cluster.store.json(`/brokers/registrations/${id}`)
      return { id, epoch: Number(registration!['epoch']) }
    })
    const partitionEpoch = this.states().length - 1
    const members = await Promise.all(registered)
    const proposal = { topicId, index: 0, isr: members, leaderEpoch, partitionEpoch, recovered: false }
    return { sender: members.find(({ id }) => id === leader)!, proposal }
  }

  /** What the controller says when it arrives now: an error code. */
  async propose({ sender, proposal }: LateProposal): Promise<number> {
    const controller = this.broker(await this.cluster.controllerId()).running!.broker.metadata.cluster!
    const { errorCode, answers } = await controller.alterPartitions(sender.id, sender.epoch, [proposal])
    return errorCode === 0 ? answers[0]!.errorCode : errorCode
  }

  // ---------------------------------------------------------------------------------------------------------- records

  /** One record, sent once. The error code, -1 without an answer. */
  async send(
    what: string,
    {
      acks = -1,
      to,
      timeoutMs = 1_000,
      index = 0,
    }: {
      readonly acks?: number
      readonly to?: number
      readonly timeoutMs?: number
      readonly index?: number
    } = {},
  ): Promise<number> {
    const value = this.value(what, index)
    const leader = to ?? (await this.client.findLeader(TOPIC, index))?.id
    if (leader === undefined) return -1
    const answer = await this.client
      .produce(leader, TOPIC, index, this.batch([value]), acks, timeoutMs)
      .catch(ignoreNoAnswer)
    if (answer?.errorCode === 0 && acks === -1)
      this.ledger.acknowledgedByAll(`${TOPIC}-${index}`, answer.baseOffset, value)
    return answer?.errorCode ?? -1
  }

  value(what: string, index = 0): string {
    const number = this.#count++
    const value = `${what} ${number}`
    const partition = `${TOPIC}-${index}`
    this.ledger.sent(value, { partition, producer: `story ${index}`, number, idempotent: false })
    return value
  }

  batch(values: readonly string[], options: Parameters<typeof buildBatch>[1] = {}): Buffer {
    const timestampMs = 1_800_000_000_000
    return buildBatch(
      values.map((value) => ({ key: null, value: Buffer.from(value), timestampMs })),
      options,
    )
  }

  /** Sends other ones until one is acknowledged by all. */
  async acknowledged(what: string, withinMs = 15_000): Promise<void> {
    await this.cluster.until(`'${what}' is acknowledged`, async () => (await this.send(what)) === 0, withinMs)
  }

  /** All that a consumer can read now of what this leader has. */
  async readFrom(leader: number, index = 0): Promise<string[] | null> {
    const values: string[] = []
    for (;;) {
      const position = { topic: TOPIC, index, offset: values.length, lastEpoch: -1, leaderEpoch: -1 }
      const answers = await this.client.fetch(leader, [position], { maxWaitMs: 0 }).catch(ignoreNoAnswer)
      const fetched = answers?.[0]?.fetched
      if (fetched === undefined || fetched.errorCode !== 0) return null
      const records = fetched.records ?? Buffer.alloc(0)
      if (records.length === 0) return values
      const problem = readValues(records, values.length, (value, offset) => {
        this.ledger.consumed(`${TOPIC}-${index}`, offset, value)
        values.push(value)
      })
      assert.equal(problem, null)
    }
  }

  async read(index = 0): Promise<string[]> {
    let values: string[] | null = null
    await this.cluster.until('it can be read', async () => {
      const leader = await this.client.findLeader(TOPIC, index)
      if (leader !== null) values = await this.readFrom(leader.id, index)
      return values !== null
    })
    return values!
  }
}
