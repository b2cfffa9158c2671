import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../../protocol/errors.ts'
import { ControllerCore } from '../../../src/core/controller/controller.ts'
import type { ImageRecord, LiveBroker } from '../../../src/core/controller/controller-types.ts'
import { bornWith } from '../../../src/core/controller/partition-change.ts'
import { seedsFromEnvironment } from '../../simulator/sim-random.ts'
import { ClusterWorld } from './cluster-world.ts'

test('whatever becomes of brokers and controllers: who leads has all that was acknowledged, and all serve again', (t) => {
  let [elections, accepted] = [0, 0]
  for (const seed of seedsFromEnvironment(Math.floor(Math.random() * 2 ** 31), 300)) {
    const world = new ClusterWorld(seed)
    try {
      for (let step = 0; step < 600; step++) world.step()
      world.heal()
    } catch (error) {
      throw new Error(`replay with SAMSA_SEED=${seed}\n${world.story.slice(-40).join('\n')}`, {
        cause: error,
      })
    }
    elections += world.elections
    accepted += world.accepted
  }
  t.diagnostic(`${elections} elections, ${accepted} registrations accepted`)
})

const RULES = { minInsyncReplicas: 2, uncleanElection: false }

/** In which nobody is there yet. */
const context = {
  assignment: { replicas: [1, 2], adding: [], removing: [] },
  broker: () => undefined,
  eligibleLeaderReplicas: true,
  uncleanElection: false,
  controllerEpoch: 1,
}

/** A controller whose store does at once what it is told, and whose brokers learn at once what is published. */
class Driven {
  readonly core = new ControllerCore({ controllerEpoch: 1, eligibleLeaderReplicas: true })
  readonly replies: unknown[] = []
  #versions = new Map<string, number>()

  constructor(live: readonly LiveBroker[]) {
    this.core.load({ topics: [], damagedTopics: [], accepted: [], live })
    this.run()
    for (const { id, epoch } of live) this.core.applied(id, epoch, this.core.sequence)
    this.run()
  }

  readonly reply = (answer: unknown): void => void this.replies.push(answer)

  /** The next answers, when all is done. */
  run(): unknown[] {
    while (this.core.effects.length > 0) {
      const effect = this.core.effects.shift()!
      if (effect.kind === 'reply') effect.send()
      if (!('id' in effect)) continue
      const node = effect.kind === 'write-state' ? `${effect.topic}-${effect.index}` : effect.kind
      const version =
        effect.kind === 'write-state' ? effect.version + 1 : (this.#versions.get(node) ?? -1) + 1
      this.#versions.set(node, version)
      this.core.stored(effect.id, {
        version: effect.kind === 'write-accepted' ? effect.version + 1 : version,
      })
    }
    return this.replies.splice(0)
  }

  create(name: string, topicId: string): unknown[] {
    const assignments = [{ replicas: [1, 2], adding: [], removing: [] }]
    this.core.createTopic({ name, topicId, assignments, rules: RULES }, this.reply)
    return this.run()
  }
}

const LIVE = [1, 2].map((id) => ({ id, epoch: 10 + id, lineage: [] }))

test('topics are made once and removed once', () => {
  const cluster = new Driven(LIVE)
  assert.deepEqual(cluster.create('a', 'A'), [ErrorCode.NONE])
  assert.deepEqual(cluster.create('a', 'B'), [ErrorCode.TOPIC_ALREADY_EXISTS])
  const [partition] = [...cluster.core.partitions()]
  assert.deepEqual([partition!.state.leader, partition!.state.isr], [1, [1, 2]])
  cluster.core.deleteTopic('B', cluster.reply)
  cluster.core.deleteTopic('A', cluster.reply)
  cluster.core.deleteTopic('A', cluster.reply)
  assert.deepEqual(cluster.run(), [ErrorCode.UNKNOWN_TOPIC_ID, ErrorCode.UNKNOWN_TOPIC_ID, ErrorCode.NONE])
  assert.deepEqual(cluster.create('a', 'C'), [ErrorCode.NONE])
  cluster.core.registrations([])
  assert.deepEqual(cluster.create('b', 'D'), [ErrorCode.INVALID_REPLICA_ASSIGNMENT], 'nobody is there')
})

test('proposals are answered together, and only for the process that is registered', () => {
  const cluster = new Driven(LIVE)
  cluster.create('a', 'A')
  const proposal = {
    isr: [{ id: 1, epoch: 11 }],
    leaderEpoch: 0,
    partitionEpoch: 0,
    recovered: false,
  }
  const ask = (epoch: number, ...named: readonly (readonly [topicId: string, index: number])[]): unknown => {
    const proposals = named.map(([topicId, index]) => ({ ...proposal, topicId, index }))
    cluster.core.alterPartitions(1, epoch, proposals, ({ errorCode, answers }) =>
      cluster.reply([errorCode, ...answers.map((answer) => answer.errorCode)]),
    )
    return cluster.run()[0]
  }
  assert.deepEqual(ask(10, ['A', 0]), [ErrorCode.STALE_BROKER_EPOCH])
  assert.deepEqual(ask(11), [ErrorCode.NONE])
  assert.deepEqual(ask(11, ['B', 0], ['A', 1], ['A', 0]), [
    ErrorCode.NONE,
    ErrorCode.UNKNOWN_TOPIC_ID,
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    ErrorCode.NONE,
  ])
  assert.deepEqual(ask(11, ['A', 0]), [ErrorCode.NONE, ErrorCode.NONE], 'it is so already')
})

test('who wants to stop may when nothing counts on it; what led stays without a leader where nobody else may', () => {
  const cluster = new Driven(LIVE)
  cluster.create('a', 'A')
  cluster.core.controlledShutdown(1, 10, cluster.reply)
  cluster.core.controlledShutdown(1, 11, cluster.reply)
  assert.deepEqual(cluster.run(), [ErrorCode.STALE_BROKER_EPOCH, ErrorCode.NONE])
  const [partition] = [...cluster.core.partitions()]
  assert.deepEqual([partition!.state.leader, partition!.state.isr, partition!.state.elr], [2, [2], [1]])
  cluster.core.registrations([])
  cluster.run()
  assert.deepEqual([partition!.state.leader, partition!.state.isr, partition!.state.elr], [-1, [], [1, 2]])
})

test('however often a broker asks whether it may stop, no more is kept than its last question', () => {
  const cluster = new Driven(LIVE)
  cluster.create('a', 'A')
  for (let asked = 0; asked < 20_000; asked++) cluster.core.controlledShutdown(1, 11, cluster.reply)
  const answers = cluster.run()
  assert.equal(answers.length, 20_000)
  assert.deepEqual(new Set(answers.slice(0, -1)), new Set([ErrorCode.REQUEST_TIMED_OUT]))
  assert.equal(answers.at(-1), ErrorCode.NONE)
})

test('of those that are gone at once, who may have lost something does not take the place of who has all', () => {
  const live = [1, 2, 3].map((id) => ({ id, epoch: 10 + id, lineage: [] }))
  const cluster = new Driven(live)
  const assignments = [{ replicas: [3, 1, 2], adding: [], removing: [] }]
  cluster.core.createTopic({ name: 'a', topicId: 'A', assignments, rules: RULES }, cluster.reply)
  cluster.run()
  const [partition] = [...cluster.core.partitions()]
  assert.deepEqual(partition!.state.isr, [3, 1, 2])
  // The third has only lost its session.
  cluster.core.registrations([
    { id: 1, epoch: 21, lineage: [] },
    { id: 2, epoch: 22, lineage: [] },
    { id: 3, epoch: 23, lineage: [13] },
  ])
  cluster.run()
  assert.deepEqual([partition!.state.leader, partition!.state.isr, partition!.state.elr], [-1, [], [3]])
})

test('of two that went at once the one that may have lost something is forgotten first', () => {
  const rules = { minInsyncReplicas: 1, uncleanElection: false }
  const state = {
    leader: 2,
    leaderEpoch: 0,
    leaderBrokerEpoch: 12,
    controllerEpoch: 1,
    partitionEpoch: 0,
    isr: [1, 2],
    elr: [],
    lastKnownElr: [],
    leaderRecoveryState: 0,
    minIsr: 1,
  } as const
  for (const order of [
    [1, 2],
    [2, 1],
  ]) {
    const core = new ControllerCore({ controllerEpoch: 2, eligibleLeaderReplicas: true })
    const assignments = [{ replicas: [2, 1], adding: [], removing: [] }]
    core.load({
      topics: [{ name: 'a', topicId: 'A', assignments, rules, states: [state] }],
      damagedTopics: [],
      accepted: order.map((id) => ({ id, epoch: 10 + id, fenced: false, doubtEpoch: -1, version: 0 })),
      live: order.map((id) => ({ id, epoch: 10 + id, lineage: [] })),
    })
    // 1 was killed and is back, 2 stopped cleanly.
    core.registrations([{ id: 1, epoch: 21, lineage: [] }])
    for (let effect = core.effects.shift(); effect !== undefined; effect = core.effects.shift())
      if (effect.kind === 'write-state' || effect.kind === 'write-accepted')
        core.stored(effect.id, { version: effect.version + 1 })
    core.applied(1, 21, core.sequence)
    const [partition] = [...core.partitions()]
    assert.deepEqual([partition!.state.leader, partition!.state.isr, partition!.state.elr], [-1, [], [2]])
  }
})

test('a broker that falls silent is fenced, and serves again when it knows so', () => {
  const cluster = new Driven(LIVE)
  const { core } = cluster
  cluster.create('a', 'A')
  const [partition] = [...core.partitions()]
  const isr = (): unknown => [partition!.state.leader, partition!.state.isr, partition!.state.elr]
  assert.deepEqual(
    [core.serving(), isr()],
    [
      [1, 2],
      [1, [1, 2], []],
    ],
  )
  const known = core.sequence
  core.fellSilent(1)
  core.fellSilent(9)
  cluster.run()
  assert.deepEqual([core.serving(), isr()], [[2], [2, [2], [1]]])
  core.fellSilent(1)
  core.applied(1, 11, known)
  cluster.run()
  assert.deepEqual(core.serving(), [2], 'what it has heard is what was so before')
  core.applied(1, 11, core.sequence)
  cluster.run()
  assert.deepEqual(
    [core.serving(), isr()],
    [
      [1, 2],
      [2, [2], [1]],
    ],
  )
})

const DEAD = { epoch: 1, fenced: false, doubtEpoch: -1, version: 0 }

test('a damaged partition has no leader and is never written, and hinders nobody', () => {
  const core = new ControllerCore({ controllerEpoch: 2, eligibleLeaderReplicas: true })
  const assignment = { replicas: [1, 2], adding: [], removing: [] }
  const sound = { ...bornWith(1, 4, context), leader: 1, isr: [1, 2], leaderBrokerEpoch: 1, elr: [] }
  core.load({
    topics: [
      {
        name: 'a',
        topicId: 'A',
        assignments: [assignment, assignment],
        rules: RULES,
        states: ['damaged', sound],
      },
    ],
    damagedTopics: ['b'],
    accepted: [1, 2].map((id) => ({ ...DEAD, id })),
    live: LIVE,
  })
  const records: ImageRecord[] = []
  const answers: unknown[] = []
  const reply = (answer: unknown): void => void answers.push(answer)
  const run = (): void => {
    for (let effect = core.effects.shift(); effect !== undefined; effect = core.effects.shift()) {
      if (effect.kind === 'publish') records.push(...effect.records)
      else if (effect.kind === 'reply') effect.send()
      else if (effect.kind === 'write-state' || effect.kind === 'write-accepted') {
        assert(effect.kind === 'write-accepted' || effect.index === 1)
        core.stored(effect.id, { version: effect.version + 1 })
      } else assert.fail(effect.kind)
    }
  }
  run()
  for (const { id, epoch } of LIVE) core.applied(id, epoch, core.sequence)
  run()
  assert.deepEqual(
    LIVE.map(({ id }) => core.broker(id)?.fenced),
    [false, false],
  )
  assert.deepEqual(
    records.filter(({ kind }) => kind.endsWith('damaged')),
    [
      { kind: 'partition-damaged', topicId: 'A', index: 0, assignment },
      { kind: 'topic-damaged', name: 'b' },
    ],
  )
  assert.notEqual([...core.partitions()][1]!.state.leader, -1)
  core.rulesChanged('A', { ...RULES, minInsyncReplicas: 1 })
  core.elect('A', 0, 'unclean', reply)
  const proposal = { topicId: 'A', index: 0, isr: [], leaderEpoch: 0, partitionEpoch: 0, recovered: false }
  core.alterPartitions(1, 11, [proposal], (answer) => reply(answer.answers[0]?.errorCode))
  core.createTopic({ name: 'b', topicId: 'B', assignments: [assignment], rules: RULES }, reply)
  run()
  assert.deepEqual(answers, [
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    ErrorCode.TOPIC_ALREADY_EXISTS,
  ])
})

test('a topic that is just being made hears of other rules, and brokers of the topic when it is made', () => {
  const cluster = new Driven(LIVE)
  const assignments = [{ replicas: [1, 2], adding: [], removing: [] }]
  cluster.core.createTopic({ name: 'a', topicId: 'A', assignments, rules: RULES }, cluster.reply)
  for (const { topicId } of cluster.core.topics())
    cluster.core.rulesChanged(topicId, { ...RULES, minInsyncReplicas: 1 })
  assert(cluster.core.effects.every(({ kind }) => kind !== 'publish'))
  assert.deepEqual(cluster.run(), [ErrorCode.NONE])
  assert.equal([...cluster.core.partitions()][0]!.state.minIsr, 1)
})

test('what a broker says of its replicas is answered when it is stored, and only to the process that was accepted', () => {
  const cluster = new Driven(LIVE)
  cluster.create('a', 'A')
  const report = { damaged: [{ topicId: 'A', index: 0 }], logs: [] }
  cluster.core.replicasReported(2, 10, report, cluster.reply)
  assert.deepEqual(cluster.run(), [ErrorCode.STALE_BROKER_EPOCH])
  cluster.core.replicasReported(2, 12, report, cluster.reply)
  assert(cluster.core.effects.every(({ kind }) => kind !== 'reply'))
  assert.deepEqual(cluster.run(), [ErrorCode.NONE])
  const [partition] = [...cluster.core.partitions()]
  assert.deepEqual([partition!.state.isr, partition!.state.elr], [[1], []])
  cluster.core.replicasReported(2, 12, { ...report, damaged: [{ topicId: 'B', index: 0 }] }, cluster.reply)
  assert.deepEqual(cluster.run(), [ErrorCode.NONE])
})
