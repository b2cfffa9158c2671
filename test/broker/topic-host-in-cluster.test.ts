import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../protocol/errors.ts'
import type { Followings } from '../../src/broker/following/followings.ts'
import type { GroupCoordinator } from '../../src/broker/groups/group-coordinator.ts'
import { IsrProposer } from '../../src/broker/isr-proposer.ts'
import { Partitions } from '../../src/broker/partitions.ts'
import { TopicHost } from '../../src/broker/topic-host.ts'
import { TopicMetrics } from '../../src/broker/topic-metrics.ts'
import { parseBrokerConfig } from '../../src/core/config/broker-config.ts'
import { resolveTopicConfig } from '../../src/core/config/topic-config.ts'
import type { LogManager } from '../../src/log/manager/log-manager.ts'
import type { PartitionImage, TopicImage } from '../../src/metadata/image/metadata-image.ts'
import { OFFSETS_TOPIC } from '../../src/metadata/layout/topic-names.ts'
import type { Metadata } from '../../src/metadata/metadata.ts'
import { startManager, TOPIC_ID } from '../log/manager/log-manager-fixture.ts'
import { makeBatch } from '../log/log-fixture.ts'
import { SimWorld } from '../simulator/sim-world.ts'
import { imageOf, SELF_EPOCH } from './led-partition.ts'

const { config } = parseBrokerConfig([
  { source: 'STATIC_BROKER_CONFIG', origin: 'test', values: new Map([['log.dirs', '/data/one']]) },
])

/** Broker 1 of a cluster: what its metadata says is what a test says, and what it does about it is noted. */
class Host {
  readonly done: string[] = []
  /** Of the partition whose disk takes its time. */
  slowIndex = -1
  readonly topics = new Map<string, TopicImage>()
  readonly partitions: Partitions
  readonly host: TopicHost
  readonly logs: LogManager

  constructor(sim: SimWorld, logs: LogManager, world: ReturnType<SimWorld['start']>['world']) {
    this.logs = logs
    const { done, topics } = this
    const note = (what: string): void => void done.push(what)
    const metadata = {
      nodeId: 1,
      config,
      topics,
      topicById: (id: string) => [...topics.values()].find(({ topicId }) => topicId === id),
      brokers: new Map(
        [1, 2, 3].map((id) => [id, { id, epoch: 100 * id, fenced: false, shuttingDown: false }]),
      ),
      cluster: {
        addressOf: () => null,
        isOwnEpoch: (epoch: number) => epoch === SELF_EPOCH,
        proposeIsrs: () => Promise.resolve([]),
        reportDamaged: (all: readonly { readonly index: number }[]) =>
          note(`damaged ${all.map(({ index }) => index).join()}`),
      },
    } as unknown as Metadata
    const followings: Followings = {
      assign: ({ index, leaderId, leaderEpoch }) => note(`${index} follows ${leaderId} in ${leaderEpoch}`),
      withdraw: async ({ index, role }) => {
        await sim.sleep(index === this.slowIndex ? 1_000 : 1)
        note(`${index} withdrawn as ${role}`)
      },
      close: () => Promise.resolve(),
    }
    this.partitions = new Partitions(metadata)
    const { clock, metrics } = world
    this.host = new TopicHost({
      clock,
      metadata,
      logs,
      partitions: this.partitions,
      topicMetrics: new TopicMetrics(metrics),
      isrs: new IsrProposer(world, metadata, this.partitions),
      followings,
      outOfReach: () => null,
    })
    const groups = {
      elected: (index: number, epoch: number) => note(`groups of ${index} in ${epoch}`),
      resigned: (index: number) => note(`no groups of ${index}`),
      topicDeleted: () => {},
      offsetsTopicDeleted: () => {},
    }
    this.host.attach(groups as unknown as GroupCoordinator)
  }

  async create(name: string, ...partitions: Partial<PartitionImage>[]): Promise<void> {
    const topic = {
      name,
      topicId: TOPIC_ID,
      internal: name === OFFSETS_TOPIC,
      partitions: partitions.map((changes, index) =>
        imageOf({ topic: name, index, replicas: [1, 2, 3], isr: [1, 2, 3], ...changes }),
      ),
      config: resolveTopicConfig(new Map(), config),
    }
    await this.host.onTopicCreated(topic)
    this.topics.set(name, topic)
  }

  /** What was done about it. */
  async change(name: string, index: number, changes: Partial<PartitionImage>): Promise<string[]> {
    const from = this.done.length
    const before = this.topics.get(name)!
    const partitions = before.partitions.map((image) =>
      image.index === index ? { ...image, partitionEpoch: image.partitionEpoch + 1, ...changes } : image,
    )
    const topic = { ...before, partitions }
    await this.host.onPartitionsChanged(topic, [partitions[index]!])
    this.topics.set(name, topic)
    return this.done.slice(from)
  }

  role(name: string, index: number): string | undefined {
    return this.partitions.get(name, index)?.role
  }
}

async function withHost(body: (host: Host, sim: SimWorld) => Promise<void>): Promise<void> {
  const sim = new SimWorld(5)
  await sim.run(async () => {
    const process = sim.start()
    const logs = await startManager(process)
    await body(new Host(sim, logs, process.world), sim)
    await logs.close(true)
  })
}

test('partitions are led, followed, neither, or at others', async () => {
  await withHost(async (of) => {
    await of.create(
      't',
      {},
      { leader: 2 },
      { leader: -1 },
      { replicas: [2, 3], leader: 2 },
      { leaderBrokerEpoch: 99 },
    )
    assert.deepEqual(
      [0, 1, 2, 3, 4].map((index) => of.role('t', index)),
      ['leader', 'follower', 'none', undefined, 'none'],
    )
    assert.deepEqual(of.done, ['1 follows 2 in 5'])
    assert.deepEqual([of.partitions.count, [...of.logs.logs()].length], [4, 4])
    const { NOT_LEADER_OR_FOLLOWER, UNKNOWN_TOPIC_OR_PARTITION } = ErrorCode
    assert.deepEqual(
      [1, 2, 3, 4, 5].map((index) => of.partitions.leaderOf('t', index)),
      [...Array<number>(4).fill(NOT_LEADER_OR_FOLLOWER), UNKNOWN_TOPIC_OR_PARTITION],
    )
    await of.create('elsewhere', { replicas: [2, 3], leader: 2 })
    assert.equal(of.partitions.leaderOf('elsewhere', 0), NOT_LEADER_OR_FOLLOWER)
    assert.equal(of.partitions.topicName(TOPIC_ID), 't')
  })
})

test('nothing is fetched any more before a partition is led, or goes; of the same term nothing is told', async () => {
  await withHost(async (of) => {
    await of.create('t', { leader: 2 })
    assert.deepEqual(await of.change('t', 0, { isr: [1, 2] }), [])
    assert.deepEqual(await of.change('t', 0, { leader: 3, leaderEpoch: 6 }), [
      '0 withdrawn as follower',
      '0 follows 3 in 6',
    ])
    assert.deepEqual(await of.change('t', 0, { leader: -1, leaderEpoch: 7 }), ['0 withdrawn as follower'])
    assert.deepEqual(await of.change('t', 0, { leader: 3, leaderEpoch: 8 }), ['0 follows 3 in 8'])
    assert.deepEqual(await of.change('t', 0, { leader: 1, leaderEpoch: 9 }), ['0 withdrawn as follower'])
    const partition = of.partitions.get('t', 0)!
    assert.deepEqual(partition.log.epochs.entries(), [{ epoch: 9, startOffset: 0 }])
    assert.equal(partition.append(makeBatch()).errorCode, ErrorCode.NONE)
    assert.deepEqual(await of.change('t', 0, { leader: 2, leaderEpoch: 10 }), ['0 follows 2 in 10'])
  })
})

test('a replica that is taken away goes with its log, and one that is given comes', async () => {
  await withHost(async (of) => {
    await of.create('t', { leader: 2 }, { replicas: [2, 3], leader: 2 })
    assert.deepEqual(await of.change('t', 0, { replicas: [2, 3] }), ['0 withdrawn as follower'])
    assert.deepEqual([of.role('t', 0), of.logs.get('t', 0)], [undefined, undefined])
    assert.equal(of.partitions.hasTopic('t'), true)
    assert.deepEqual(await of.change('t', 1, { replicas: [1, 2, 3], adding: [1] }), ['1 follows 2 in 5'])
    assert.equal(of.role('t', 1), 'follower')
    assert.notEqual(of.logs.get('t', 1), undefined)
    const topic = of.topics.get('t')!
    of.topics.delete('t')
    await of.host.onTopicDeleted(topic)
    assert.equal(of.done.at(-1), '1 withdrawn as follower')
    assert.deepEqual([of.partitions.count, of.logs.get('t', 1)], [0, undefined])
  })
})

test('groups come with the leadership of their partition, and go before it', async () => {
  await withHost(async (of) => {
    await of.create(OFFSETS_TOPIC, {}, { leader: 2 })
    assert.deepEqual(of.done.sort(), ['1 follows 2 in 5', 'groups of 0 in 5'])
    assert.deepEqual(await of.change(OFFSETS_TOPIC, 0, { isr: [1] }), [])
    assert.deepEqual(await of.change(OFFSETS_TOPIC, 0, { leaderEpoch: 6 }), [
      'no groups of 0',
      'groups of 0 in 6',
    ])
    assert.deepEqual(await of.change(OFFSETS_TOPIC, 0, { leader: 3, leaderEpoch: 7 }), [
      'no groups of 0',
      '0 follows 3 in 7',
    ])
    assert.deepEqual(await of.change(OFFSETS_TOPIC, 1, { leader: 1, leaderEpoch: 6 }), [
      '1 withdrawn as follower',
      'groups of 1 in 6',
    ])
  })
})

test('a log that fails is reported, at once and at the start', async () => {
  await withHost(async (of, sim) => {
    await of.create('t', {})
    sim.faults.add({ operation: 'write', code: 'EIO' })
    of.partitions.get('t', 0)!.append(makeBatch())
    await sim.sleep(100)
    assert.deepEqual(of.done, ['damaged 0'])
    assert.equal(of.partitions.leaderOf('t', 0), ErrorCode.KAFKA_STORAGE_ERROR)
    // Nothing is fetched for a log that cannot take it.
    await of.create('u', { leader: 2 })
    assert.deepEqual([of.role('u', 0), of.done], ['follower', ['damaged 0', 'damaged 0']])
  })
})

test('a partition on a slow disk is changed in its order, and no other one waits for it', async () => {
  await withHost(async (of, sim) => {
    await of.create('t', { leader: 2 }, { leader: 2 })
    of.slowIndex = 0
    const both = (leader: number, leaderEpoch: number): Promise<void> => {
      const before = of.topics.get('t')!
      const partitions = before.partitions.map((image) => ({ ...image, leader, leaderEpoch }))
      return of.host.onPartitionsChanged({ ...before, partitions }, partitions)
    }
    const elected = both(1, 6)
    await sim.sleep(10)
    assert.deepEqual([of.role('t', 0), of.role('t', 1)], ['follower', 'leader'])
    const again = both(3, 7)
    await sim.sleep(10)
    assert.deepEqual([of.role('t', 0), of.role('t', 1)], ['follower', 'follower'])
    await Promise.all([elected, again])
    assert.deepEqual(
      of.done.filter((what) => what.startsWith('0')),
      ['0 follows 2 in 5', '0 withdrawn as follower', '0 follows 3 in 7'],
    )
    const deleted = of.host.onTopicDeleted(of.topics.get('t')!)
    const made = of.create('t', { leader: 2, leaderEpoch: 0 })
    await Promise.all([deleted, made])
    assert.deepEqual([of.role('t', 0), of.role('t', 1)], ['follower', undefined])
    assert.notEqual(of.logs.get('t', 0), undefined)
  })
})
