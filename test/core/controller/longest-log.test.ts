import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ControllerCore } from '../../../src/core/controller/controller.ts'
import type { ReplicaReport } from '../../../src/core/controller/controller-types.ts'
import type { PartitionState } from '../../../src/core/replication/partition-state.ts'

const TOPIC = 'topic-id'

/** Three brokers that all came back from an unclean stop; two of them had everything once. */
class Cluster {
  readonly core = new ControllerCore({ controllerEpoch: 7, eligibleLeaderReplicas: true })
  state: PartitionState | null = null
  readonly #version = new Map<number, number>()

  constructor(serving: readonly number[], lastKnownElr: readonly number[]) {
    const stored: PartitionState = {
      leader: -1,
      leaderEpoch: 4,
      leaderBrokerEpoch: -1,
      controllerEpoch: 6,
      partitionEpoch: 9,
      isr: [],
      elr: [],
      lastKnownElr,
      leaderRecoveryState: 0,
      minIsr: 2,
    }
    const epochOf = (id: number): number => 100 + id
    this.core.load({
      topics: [
        {
          name: 't',
          topicId: TOPIC,
          assignments: [{ replicas: [1, 2, 3], adding: [], removing: [] }],
          rules: { minInsyncReplicas: 2, uncleanElection: false },
          states: [stored],
        },
      ],
      damagedTopics: [],
      accepted: serving.map((id) => ({ id, epoch: epochOf(id), fenced: false, doubtEpoch: -1, version: 0 })),
      live: serving.map((id) => ({ id, epoch: epochOf(id), lineage: [] })),
    })
    this.#carryOut()
  }

  reports(broker: number, lastEpoch: number, endOffset: number, epoch = 100 + broker): void {
    const report: ReplicaReport = { damaged: [], logs: [{ topicId: TOPIC, index: 0, lastEpoch, endOffset }] }
    this.core.replicasReported(broker, epoch, report, () => {})
    this.#carryOut()
  }

  #carryOut(): void {
    for (let effect = this.core.effects.shift(); effect !== undefined; effect = this.core.effects.shift()) {
      if (effect.kind !== 'write-state') continue
      const version = (this.#version.get(effect.index) ?? 9) + 1
      this.#version.set(effect.index, version)
      this.state = effect.state
      this.core.stored(effect.id, { version })
    }
  }
}

describe('where nobody is certain to have everything', () => {
  test('the longest log of all that had it once leads, and that is said', () => {
    const cluster = new Cluster([1, 2, 3], [2, 3])
    assert.equal(cluster.state, null)
    cluster.reports(2, 4, 100)
    assert.equal(cluster.state, null, '3 has not said')
    cluster.reports(3, 4, 120)
    assert.deepEqual(
      [cluster.state!.leader, cluster.state!.isr, cluster.state!.leaderRecoveryState],
      [3, [3], 1],
    )
  })

  test('a later epoch counts more than a longer log', () => {
    const cluster = new Cluster([1, 2, 3], [2, 3])
    cluster.reports(2, 5, 100)
    cluster.reports(3, 4, 120)
    assert.equal(cluster.state!.leader, 2)
  })

  test('one that is missing is waited for, and others do not count', () => {
    const cluster = new Cluster([1, 2], [2, 3])
    cluster.reports(1, 9, 900)
    cluster.reports(2, 4, 100)
    assert.equal(cluster.state, null)
  })

  test('what another incarnation found does not count', () => {
    const cluster = new Cluster([1, 2, 3], [2, 3])
    cluster.reports(2, 4, 100)
    cluster.reports(3, 4, 120, 99)
    assert.equal(cluster.state, null)
  })
})
