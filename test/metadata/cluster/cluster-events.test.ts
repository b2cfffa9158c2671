import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ImageRecord } from '../../../src/core/controller/controller-types.ts'
import type { BrokerView, PartitionState } from '../../../src/core/replication/partition-state.ts'
import { ClusterEvents, ElectionCounters } from '../../../src/metadata/cluster/cluster-events.ts'
import { SimLogger } from '../../simulator/sim-logger.ts'
import { SimMetrics } from '../../simulator/sim-metrics.ts'
import { ManualClock } from '../../support/manual-clock.ts'

/** What a controller published, and what became of it in the log. */
class Published {
  readonly clock = new ManualClock()
  readonly logger = new SimLogger()
  readonly metrics = new SimMetrics()
  readonly #events = new ClusterEvents(this.clock, this.logger, new ElectionCounters(this.metrics))
  #states: PartitionState[] = []

  constructor(partitions: number) {
    this.say({
      kind: 'topic',
      topicId: 'id',
      name: 't',
      rules: { minInsyncReplicas: 2, uncleanElection: false },
    })
    for (const id of [1, 2, 3]) this.broker(id)
    const state: PartitionState = {
      leader: 1,
      leaderEpoch: 0,
      leaderBrokerEpoch: 100,
      controllerEpoch: 1,
      isr: [1, 2, 3],
      elr: [],
      lastKnownElr: [],
      leaderRecoveryState: 0,
      partitionEpoch: 0,
      minIsr: 2,
    }
    for (let index = 0; index < partitions; index++) this.state(index, state)
    this.clock.advance(1_000)
    this.logger.lines.length = 0
  }

  say(record: ImageRecord): void {
    this.#events.published([record], true)
  }

  broker(id: number, changes: Partial<BrokerView> = {}): void {
    const broker = { id, epoch: 100 * id, fenced: false, shuttingDown: false, ...changes }
    this.say({ kind: 'broker', broker })
  }

  state(index: number, changes: Partial<PartitionState>): void {
    const state = { ...this.#states[index]!, ...changes }
    this.#states[index] = state
    const assignment = { replicas: [1, 2, 3], adding: [], removing: [] }
    this.say({ kind: 'partition', topicId: 'id', index, assignment, state })
  }

  elected(index: number, leader: number, changes: Partial<PartitionState> = {}): void {
    this.state(index, { leader, leaderEpoch: this.#states[index]!.leaderEpoch + 1, ...changes })
  }

  told(): unknown[][] {
    this.clock.advance(1_000)
    const told = this.logger.lines.map(({ level, message, fields }) => {
      const { instead, because, count } = fields
      return because === undefined ? [level, message] : [level, message, instead, because, count]
    })
    this.logger.lines.length = 0
    return told
  }
}

test('elections are told with whom they replace and why, one line for all that a broker led', () => {
  const cluster = new Published(40)
  cluster.broker(1, { fenced: true })
  for (let index = 0; index < 40; index++) cluster.elected(index, 2 + (index % 2), { isr: [2, 3] })
  assert.deepEqual(
    cluster.logger.lines.map(({ message }) => message),
    ['a broker is gone, and fenced'],
  )
  const partitions = (): unknown => cluster.logger.lines[1]!.fields['partitions']
  cluster.clock.advance(1_000)
  assert.deepEqual((partitions() as string[]).slice(0, 2), ['t-0: 2 in epoch 1', 't-1: 3 in epoch 1'])
  assert.deepEqual(cluster.told(), [
    ['warn', 'a broker is gone, and fenced'],
    ['info', 'leaders elected', 1, 'it is fenced', 40],
  ])
  assert.equal(cluster.metrics.count('kafka_controller_controllerstats_leaderelections_total'), 40)

  cluster.broker(1)
  cluster.state(0, { isr: [1, 2, 3] })
  cluster.elected(0, 1)
  assert.deepEqual(cluster.told(), [
    ['info', 'a broker serves'],
    ['info', 'leaders elected', 2, 'the first replica leads again', 1],
  ])
})

test('who stops on its own wish is told of, and is no trouble when it is gone', () => {
  const cluster = new Published(1)
  cluster.broker(1, { shuttingDown: true })
  cluster.elected(0, 2, { isr: [2, 3] })
  cluster.broker(1, { fenced: true })
  assert.deepEqual(cluster.told(), [
    ['info', 'a broker stops: others take over what it leads'],
    ['info', 'a broker has stopped'],
    ['info', 'leaders elected', 1, 'it is shutting down', 1],
  ])
})

test('a partition without a leader is a warning, and so is one whose leader may lack records', () => {
  const cluster = new Published(2)
  for (const id of [1, 2]) cluster.broker(id, { fenced: true })
  for (const index of [0, 1]) cluster.elected(index, -1, { isr: [1] })
  cluster.told()
  cluster.elected(0, 3, { isr: [3], leaderRecoveryState: 1 })
  cluster.elected(1, 2, { isr: [2], elr: [] })
  assert.deepEqual(cluster.told(), [
    ['warn', 'leaders elected that may lack acknowledged records', undefined, 'nobody led', 1],
    [
      'info',
      'leaders elected from the eligible replicas: nobody in sync was left (KIP-966)',
      undefined,
      'nobody led',
      1,
    ],
  ])
})
