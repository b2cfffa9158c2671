import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { ErrorCode } from '../../../protocol/errors.ts'
import type { CoordinatorLog } from '../../../src/broker/groups/coordinator-log.ts'
import { GroupCoordinator } from '../../../src/broker/groups/group-coordinator.ts'
import { messageOf } from '../../../src/core/is-error.ts'
import type { JoinResponse } from '../../../src/core/group/group-types.ts'
import type { LedPartition } from '../../../src/core/group/outbox.ts'
import { subscription } from '../../core/group/group-fixture.ts'
import { SimLogger } from '../../simulator/sim-logger.ts'
import { SimRandom, seedsFromEnvironment } from '../../simulator/sim-random.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { until } from '../../support/until.ts'
import { GROUP_SETTINGS } from './memory-coordinator-log.ts'
import { simpleCommit } from './simple-commit.ts'

/**
 * Three brokers share an offsets topic. Whose a partition is changes at random, at any moment of a load or an append; the
 * brokers hear of it at once or late, and twice; clients join, sync, send heartbeats and commit at any of them. What a commit
 * that was acknowledged said must be there wherever the groups are served next, and everybody is answered, once.
 */

const RUNS = 150
const STEPS = 250
const BROKERS = 3
const PARTITIONS = 2
const GROUPS = ['a', 'b', 'c', 'd']
const RETENTION_TIMERS = 1

interface Replica {
  leader: number
  epoch: number
  batches: Buffer[]
  /** How many of them were promised to somebody: whoever leads next has these. */
  acknowledged: number
  /** Appends that wait for followers. */
  waiting: { readonly count: number; readonly done: (errorCode: number) => void }[]
}

class Topic {
  readonly random: SimRandom
  readonly replicas: Replica[]
  /** Loads that wait for the disk. */
  readonly reading: (() => void)[] = []
  loads = 0

  constructor(random: SimRandom) {
    this.random = random
    this.replicas = Array.from({ length: PARTITIONS }, () => ({
      leader: -1,
      epoch: 0,
      batches: [],
      acknowledged: 0,
      waiting: [],
    }))
  }

  logOf(broker: number): CoordinatorLog {
    const leads = ({ index, leaderEpoch }: LedPartition): boolean => {
      const { leader, epoch } = this.replicas[index]!
      return leader === broker && epoch === leaderEpoch
    }
    return {
      partitionCount: PARTITIONS,
      ensureTopic: () => Promise.resolve(),
      maxBatchBytes: () => 1_048_588,
      append: (partition, batch, done) => {
        const replica = this.replicas[partition.index]!
        if (!leads(partition)) done(ErrorCode.NOT_LEADER_OR_FOLLOWER)
        else if (this.random.chance(0.05)) done(ErrorCode.NOT_ENOUGH_REPLICAS)
        else {
          replica.batches.push(batch)
          replica.waiting.push({ count: replica.batches.length, done })
          if (this.random.chance(0.3)) this.acknowledge(replica)
        }
      },
      load: async (partition, onBatch) => {
        this.loads++
        const batches = [...this.replicas[partition.index]!.batches]
        while (batches.length > 0) {
          if (this.random.chance(0.5)) await new Promise<void>((resolve) => this.reading.push(resolve))
          if (!leads(partition)) throw new Error('does not lead any more')
          if (this.random.chance(0.02)) throw new Error('EIO')
          for (const batch of batches.splice(0, 1 + this.random.below(3))) onBatch(batch)
        }
      },
    }
  }

  acknowledge(replica: Replica): void {
    for (const { count, done } of replica.waiting.splice(0)) {
      replica.acknowledged = count
      done(ErrorCode.NONE)
    }
  }

  /** What nobody was promised may be lost. */
  elect(replica: Replica, leader: number): void {
    const kept = replica.acknowledged + this.random.below(replica.batches.length - replica.acknowledged + 1)
    replica.batches.length = kept
    // All that is left becomes everybody's: the next leader counts from its end.
    replica.acknowledged = kept
    replica.leader = leader
    replica.epoch++
  }
}

/** A request, and the partition it waits at. */
interface Asked {
  readonly partition: number
  answers: number
}

class Broker {
  readonly id: number
  readonly clock: ManualClock
  readonly groups: GroupCoordinator
  readonly asked: Asked[] = []
  readonly gauges = new Map<string, () => Iterable<{ value: number }>>()
  /** The epochs under which it believes to lead. */
  readonly led = new Map<number, number>()
  readonly joined = new Map<string, JoinResponse>()

  constructor(id: number, topic: Topic, clock: ManualClock) {
    this.id = id
    this.clock = clock
    const metrics = {
      counter: () => ({ add: () => {} }),
      summary: () => ({ observe: () => {} }),
      scrapedCounter: () => {},
      gauge: (name: string, _help: string, read: () => Iterable<{ value: number }>) =>
        void this.gauges.set(name, read),
    }
    const world = { clock, random: new SimRandom(id + 1), logger: new SimLogger(), metrics }
    this.groups = new GroupCoordinator(world, topic.logOf(id), {
      ...GROUP_SETTINGS,
      'group.initial.rebalance.delay.ms': 0,
    })
  }

  gauge(name: string): number {
    return [...this.gauges.get(name)!()][0]!.value
  }

  /** For the answer to a request that is made now. */
  ask<Response>(groupId: string, answered: (response: Response) => void): (response: Response) => void {
    const asked = { partition: this.groups.partitionOf(groupId), answers: 0 }
    this.asked.push(asked)
    return (response) => {
      asked.answers++
      assert.equal(asked.answers, 1, 'answered once')
      answered(response)
    }
  }

  waitingAt(partition: number): number {
    return this.asked.filter((asked) => asked.partition === partition && asked.answers === 0).length
  }

  elected(partition: number, epoch: number): void {
    this.led.set(partition, epoch)
    void this.groups.elected(partition, epoch)
  }

  resigned(partition: number): void {
    this.led.delete(partition)
    this.groups.resigned(partition)
    assert.equal(this.waitingAt(partition), 0, 'all who waited were sent away')
  }
}

class Cluster {
  readonly random: SimRandom
  readonly topic: Topic
  readonly clock = new ManualClock()
  readonly brokers: Broker[]
  /** By group: the last offset that was acknowledged. Each commit is larger than the one before. */
  readonly acknowledged = new Map<string, number>()
  nextOffset = 1
  readonly seen = { acknowledged: 0, sentAway: 0, loading: 0, joined: 0, synced: 0, compared: 0 }

  constructor(seed: number) {
    this.random = new SimRandom(seed)
    this.topic = new Topic(this.random.fork())
    this.brokers = Array.from({ length: BROKERS }, (_, id) => new Broker(id, this.topic, this.clock))
  }

  async run(): Promise<void> {
    for (const { groups } of this.brokers) await groups.start()
    for (let i = 0; i < STEPS; i++) {
      this.step()
      if (this.random.chance(0.7)) await setImmediate()
      this.check()
    }
    await this.finish()
  }

  step(): void {
    const broker = this.random.pick(this.brokers)
    const groupId = this.random.pick(GROUPS)
    const dice = this.random.below(100)
    if (dice < 5) this.elect()
    else if (dice < 12) this.hear(broker, this.random.below(PARTITIONS))
    else if (dice < 46) this.commit(broker, groupId)
    else if (dice < 56) this.join(broker, groupId)
    else if (dice < 64) this.sync(broker, groupId)
    else if (dice < 70) this.heartbeat(broker, groupId)
    else if (dice < 82) this.topic.reading.splice(this.random.below(4), 1)[0]?.()
    else if (dice < 94) this.topic.acknowledge(this.random.pick(this.topic.replicas))
    else this.clock.advance(this.random.pick([100, 1_000, 11_000]))
  }

  elect(): void {
    const index = this.random.below(PARTITIONS)
    const replica = this.topic.replicas[index]!
    const before = this.brokers[replica.leader]
    const waiting = replica.waiting.splice(0)
    // As its host does it: the groups go first, then who waits for the log hears of it.
    if (before !== undefined && this.random.chance(0.5)) before.resigned(index)
    for (const { done } of waiting) done(ErrorCode.NOT_LEADER_OR_FOLLOWER)
    this.topic.elect(replica, this.random.below(BROKERS + 1) - 1)
    if (this.random.chance(0.5)) for (const broker of this.brokers) this.hear(broker, index)
  }

  /** A broker hears how things are, perhaps once more. */
  hear(broker: Broker, index: number): void {
    const { leader, epoch } = this.topic.replicas[index]!
    if (leader === broker.id) broker.elected(index, epoch)
    else broker.resigned(index)
  }

  commit(broker: Broker, groupId: string): void {
    const offset = this.nextOffset++
    const { loads } = this.topic
    broker.groups.commit(
      simpleCommit(groupId, offset),
      broker.ask(groupId, ([errorCode]: readonly number[]) => {
        if (errorCode === ErrorCode.NOT_COORDINATOR) this.seen.sentAway++
        else if (errorCode === ErrorCode.COORDINATOR_LOAD_IN_PROGRESS) this.seen.loading++
        if (errorCode !== ErrorCode.NONE) return
        this.seen.acknowledged++
        this.acknowledged.set(groupId, Math.max(offset, this.acknowledged.get(groupId) ?? -1))
      }),
    )
    if (!broker.led.has(broker.groups.partitionOf(groupId))) {
      assert.equal(broker.groups.describe(groupId).errorCode, ErrorCode.NOT_COORDINATOR)
      assert.equal(this.topic.loads, loads, 'nothing is loaded')
    }
  }

  join(broker: Broker, groupId: string): void {
    broker.groups.join(
      {
        groupId,
        memberId: this.random.chance(0.5) ? (broker.joined.get(groupId)?.memberId ?? '') : '',
        groupInstanceId: null,
        clientId: 'client',
        clientHost: '/127.0.0.1',
        clientPort: 50_000,
        sessionTimeoutMs: 10_000,
        rebalanceTimeoutMs: 10_000,
        protocolType: 'consumer',
        protocols: [{ name: 'range', metadata: subscription('topic') }],
        reason: null,
        requiresKnownMemberId: false,
        supportsSkippingAssignment: false,
      },
      broker.ask(groupId, (response: JoinResponse) => {
        if (response.errorCode !== ErrorCode.NONE) return
        this.seen.joined++
        broker.joined.set(groupId, response)
        if (this.random.chance(0.8)) this.sync(broker, groupId)
      }),
    )
  }

  sync(broker: Broker, groupId: string): void {
    const joined = broker.joined.get(groupId)
    if (joined === undefined) return
    const { memberId, generationId } = joined
    const assignments = [{ memberId, assignment: Buffer.from('all') }]
    broker.groups.sync(
      {
        groupId,
        generationId,
        memberId,
        groupInstanceId: null,
        protocolType: null,
        protocolName: null,
        assignments,
      },
      broker.ask(groupId, ({ errorCode }: { readonly errorCode: number }) => {
        if (errorCode === ErrorCode.NONE) this.seen.synced++
      }),
    )
  }

  heartbeat(broker: Broker, groupId: string): void {
    const joined = broker.joined.get(groupId)
    if (joined === undefined) return
    const { memberId, generationId } = joined
    broker.groups.heartbeat(
      { groupId, memberId, generationId, groupInstanceId: null },
      broker.ask(groupId, () => {}),
    )
  }

  /** Who really leads, and has its groups, serves what was acknowledged or something later. */
  check(): void {
    for (const groupId of GROUPS) {
      const index = this.brokers[0]!.groups.partitionOf(groupId)
      const { leader, epoch } = this.topic.replicas[index]!
      const broker = this.brokers[leader]
      if (broker === undefined || broker.led.get(index) !== epoch) continue
      const fetched = broker.groups.fetchOffsets({ groupId, topics: [{ name: 'topic', partitions: [0] }] })
      if (typeof fetched === 'number') {
        assert.equal(fetched, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)
        continue
      }
      const offset = Number(fetched[0]!.partitions[0]!.committedOffset)
      const acknowledged = this.acknowledged.get(groupId) ?? -1
      assert.ok(offset >= acknowledged, `${groupId}: ${offset}, acknowledged was ${acknowledged}`)
      this.seen.compared++
    }
  }

  async finish(): Promise<void> {
    for (const [index, replica] of this.topic.replicas.entries())
      for (const broker of this.brokers) {
        const waiting = replica.waiting.splice(0)
        if (this.random.chance(0.5)) broker.resigned(index)
        for (const { done } of waiting) done(ErrorCode.NOT_LEADER_OR_FOLLOWER)
        broker.resigned(index)
      }
    await setImmediate()
    await until(
      () => {
        const reading = this.topic.reading.splice(0)
        for (const goOn of reading) goOn()
        return reading.length === 0
      },
      () => setImmediate(),
    )
    for (const broker of this.brokers) {
      assert.ok(broker.asked.every(({ answers }) => answers === 1))
      assert.equal([...broker.groups.list()].length, 0)
      assert.equal(broker.groups.listErrorCode, ErrorCode.NONE)
      assert.equal(broker.gauge('kafka_coordinator_group_groupmetadatamanager_numgroups'), 0)
      assert.equal(broker.gauge('samsa_groups_state_bytes'), 0)
    }
    // One at most that finds nothing to do any more, beside the look for expired offsets.
    this.clock.advance(60_000)
    assert.equal(this.clock.timerCount, BROKERS * RETENTION_TIMERS)
  }
}

test('elections at any moment: what was acknowledged is there, and everybody is answered once', async () => {
  const seen: Record<string, number> = {}
  for (const seed of seedsFromEnvironment(1, RUNS)) {
    const cluster = new Cluster(seed)
    try {
      await cluster.run()
    } catch (error) {
      throw new Error(`SAMSA_SEED=${seed}: ${messageOf(error)}`, { cause: error })
    }
    for (const [what, count] of Object.entries(cluster.seen)) seen[what] = (seen[what] ?? 0) + count
  }
  if (process.env['SAMSA_SEED'] === undefined)
    for (const [what, count] of Object.entries(seen)) assert.ok(count > RUNS, `${what}: ${count}`)
})
