import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { isCalm } from './cluster-checks.ts'
import { Scenario, TOPIC } from './scenario.ts'
import { SimCluster } from './sim-cluster.ts'

/** What an operator does to the store by hand, and what becomes of records: three brokers, of which one has another session. */

const STATE = `/brokers/topics/${TOPIC}/partitions/1/state`
const NODE = `/brokers/topics/${TOPIC}`

function damaged(name: string, body: (story: Scenario) => Promise<void>): void {
  test(name, () =>
    SimCluster.run(
      1,
      async (cluster) => {
        const story = new Scenario(cluster, 2)
        await story.begin({ partitions: 2, isWatched: false })
        for (const index of [0, 1]) assert.equal(await story.send('before', { index }), 0)
        await body(story)
        await cluster.until('all is as it was', () => isCalm(story), 30_000)
        for (const index of [0, 1]) {
          await cluster.until('it takes records', async () => (await story.send('after', { index })) === 0)
          assert.match((await story.read(index)).join(), /before.*after/)
        }
      },
      { brokers: 3, controller: 0 },
    ),
  )
}

/** Somebody else is elected, and reads the store as it is now. */
async function newController({ cluster }: Scenario): Promise<void> {
  const before = (await cluster.store.witness.get('/controller_epoch'))?.data.toString() ?? '0'
  await cluster.store.witness.delete('/controller', -1)
  await cluster.until('another term began', async () => {
    const now = (await cluster.store.witness.get('/controller_epoch'))?.data.toString() ?? '0'
    return Number(now) > Number(before) && (await cluster.controllerId()) !== -1
  })
  await cluster.sleep(500)
}

function roles({ cluster }: Scenario, index: number): unknown[] {
  return cluster.brokers.map((broker) => broker.partition(TOPIC, index)?.role)
}

/** Of what it had not synced nothing is left, but where only its process ended. */
async function restart(story: Scenario, id: number, losesPower: boolean): Promise<void> {
  if (losesPower) await story.losePower(id)
  else await story.broker(id).die()
  await story.broker(id).start()
}

damaged(
  'of a state that makes no sense nobody is leader, wherever brokers restart, until it is repaired',
  async (story) => {
    const { witness } = story.cluster.store
    const { data } = (await witness.get(STATE))!
    await witness.set(STATE, Buffer.from('{"leader":1}'), -1)
    await newController(story)
    assert.deepEqual(roles(story, 1), ['none', 'none', 'none'])
    await story.acknowledged('meanwhile')
    for (const id of [1, 2, 3]) {
      // Who has all is the last one of the assignment.
      await restart(story, id, id !== 3)
      await story.untilIsr([1, 2, 3])
      await story.acknowledged('after a restart')
    }
    assert.deepEqual(roles(story, 1), ['none', 'none', 'none'])
    assert.equal((await witness.get(STATE))!.data.toString(), '{"leader":1}')
    await witness.set(STATE, data, -1)
  },
)

damaged('a state that was taken away is not born again, and may be made anew', async (story) => {
  const { witness } = story.cluster.store
  const { data } = (await witness.get(STATE))!
  await witness.delete(STATE, -1)
  // Whoever changes it next finds that it is gone; a new controller must not take it for new.
  await story.broker(1).die()
  await story.cluster.until('nobody leads', () =>
    roles(story, 1)
      .slice(1)
      .every((role) => role === 'none'),
  )
  await story.broker(1).start()
  await story.untilIsr([1, 2, 3])
  assert.equal(await witness.get(STATE), null)
  // As the README says.
  const { leader_epoch: epoch } = JSON.parse(data.toString()) as { leader_epoch: number }
  const state = { leader: -1, leader_epoch: epoch, isr: [], elr: [], last_known_elr: [1, 2, 3], min_isr: 2 }
  await witness.create(STATE, Buffer.from(JSON.stringify(state)))
})

damaged('what brokers have of a topic that makes no sense stays theirs', async (story) => {
  const { witness } = story.cluster.store
  const { data } = (await witness.get(NODE))!
  await witness.set(NODE, Buffer.from('{'), -1)
  await newController(story)
  for (const id of [1, 2, 3]) await restart(story, id, false)
  await newController(story)
  for (const broker of story.cluster.brokers) {
    for (const index of [0, 1])
      assert.ok(broker.machine.image.find(`/data/${TOPIC}-${index}/partition.metadata`), 'it is no stray')
  }
  await witness.set(NODE, data, -1)
})

damaged(
  'controllers go on when their epoch is taken away, be it that who is elected has heard of none',
  async (story) => {
    const { cluster } = story
    const { witness } = cluster.store
    for (let i = 0; i < 3; i++) await newController(story)
    await witness.delete('/controller_epoch', -1)
    await witness.delete('/controller', -1)
    await cluster.until('it is there again', async () => (await witness.get('/controller_epoch')) !== null)
    await cluster.sleep(500)
    assert.ok(Number((await witness.get('/controller_epoch'))!.data.toString()) > 4)
    await story.broker(2).die()
    await story.untilIsr([1, 3])
    await story.broker(2).start()
  },
)
