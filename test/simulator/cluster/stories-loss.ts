import assert from 'node:assert/strict'
import { ErrorCode } from '../../../protocol/errors.ts'
import { backUp, restore } from './disk-backup.ts'
import { EVERYBODY, scenario, TOPIC } from './scenario.ts'
import type { Scenario } from './scenario.ts'

/** Stories of `replication.md` 5.4: brokers that lose the end of their logs, and who may lead then. */

async function several(story: Scenario, what: string): Promise<void> {
  for (let i = 0; i < 5; i++) await story.acknowledged(what)
}

scenario(1, 'the last replica standing loses its tail, and another one leads', async (story) => {
  await several(story, 'by all')
  await story.lag(3, 1, [1, 2])
  await several(story, 'by 1 and 2')
  await story.lag(2, 1, [1])
  assert.deepEqual((await story.state()).elr, [2])
  await story.cluster.sleep(200)
  assert.equal(await story.send('too few'), ErrorCode.NOT_ENOUGH_REPLICAS)
  await story.losePower(1)
  await story.untilLeader(2)
  assert.deepEqual((await story.state()).elr, [1])
  story.cluster.healAll()
  await story.broker(1).start()
  await story.untilIsr([1, 2, 3])
})

scenario(2, 'two leave at once, and each of them may lead', async (story) => {
  await several(story, 'by all')
  story.cut(1, 2)
  await story.lag(3, 1, [1])
  assert.deepEqual(new Set((await story.state()).elr), new Set([2, 3]))
  await story.losePower(1)
  await story.untilLeader(2)
  await several(story, 'by 2 and 3')
  story.cluster.healAll()
  await story.broker(1).start()
  await story.untilIsr([1, 2, 3])
})

scenario(3, 'the last replica in sync never comes back', async (story) => {
  await several(story, 'by all')
  await story.lag(3, 1, [1, 2])
  await several(story, 'by 1 and 2')
  await story.lag(2, 1, [1])
  await story.losePower(1)
  await story.untilLeader(2)
  await several(story, 'by 2 and 3')
})

scenario(
  4,
  'one after the other loses power, when the one before is in sync again',
  async (story) => {
    for (const id of [1, 2, 3, 1]) {
      await several(story, `before ${id} loses power`)
      await story.losePower(id)
      await several(story, `without ${id}`)
      await story.broker(id).start()
      await story.untilIsr([1, 2, 3])
    }
  },
  EVERYBODY,
)

scenario(
  5,
  'all are gone, and of those that had all the longest log goes on',
  async (story) => {
    await several(story, 'by all')
    await Promise.all([2, 3].map((id) => story.broker(id).die('kill with its helper')))
    // Both have to leave before anything is committed, and then there are too few.
    const errorCode = await story.send('by one alone', { to: 1, timeoutMs: 3_500 })
    await story.losePower(1)
    await story.losePower(2)
    assert.notEqual(errorCode, 0)
    await story.untilLeader(-1)
    for (const id of [1, 2]) await story.broker(id).start()
    await story.cluster.sleep(1_000)
    assert.equal((await story.state()).leader, -1)
    await story.broker(3).start()
    await story.untilLeader(3)
  },
  { sessionTimeoutMs: 6_000 },
)

scenario(8, 'a mark of a clean stop that should be gone does not count', async (story) => {
  const MARK = '/data/.kafka_cleanshutdown'
  await several(story, 'by all')
  const { image } = story.broker(2).machine
  assert.equal(await story.broker(2).stop(), true)
  const mark = image.file(MARK, 'read').cached.all()
  await story.broker(2).start()
  await story.untilIsr([1, 2, 3])
  await story.lag(3, 1, [1, 2])
  await several(story, 'by 1 and 2')
  await story.lag(2, 1, [1])
  await story.losePower(2)
  image.createFile(MARK).write(0, mark, true)
  await story.broker(2).start()
  await story.cluster.until('2 is not eligible any more', async () => {
    const { elr, last_known_elr: lastKnownElr } = await story.state()
    return !elr.includes(2) && lastKnownElr.includes(2)
  })
})

scenario(9, 'the disk of the last one in sync is what it was days ago', async (story) => {
  await several(story, 'by all')
  const { image } = story.broker(1).machine
  assert.equal(await story.broker(1).stop(), true)
  const backup = backUp(image, '/data')
  await story.broker(1).start()
  await story.untilIsr([1, 2, 3])
  await story.broker(4).running!.broker.metadata.cluster!.electLeaders('preferred', null)
  await story.untilLeader(1)
  await story.lag(3, 1, [1, 2])
  await several(story, 'by 1 and 2')
  await story.lag(2, 1, [1])
  await story.broker(1).stop()
  restore(image, '/data', backup)
  await story.untilLeader(2)
  story.cluster.healAll()
  await story.broker(1).start()
  await story.untilIsr([1, 2, 3])
})

scenario(
  11,
  'a broker that is back before its session has ended is another one',
  async (story) => {
    await several(story, 'by all')
    const { leader_epoch: epoch } = await story.state()
    const late = await story.proposalOf(1, [1, 2])
    await story.losePower(1)
    await story.broker(1).start()
    await story.untilIsr([1, 2, 3])
    assert.equal(await story.propose(late), ErrorCode.STALE_BROKER_EPOCH)
    assert.ok((await story.state()).leader_epoch > epoch)
  },
  EVERYBODY,
)

scenario(
  12,
  'a controller that sees only the new process has missed nothing',
  async (story) => {
    await several(story, 'by all')
    const controller = await story.cluster.controllerId()
    const other = story.cluster.brokers.find(({ id }) => id !== controller)!
    const epoch = other.running!.broker.metadata.brokerEpoch
    // Shorter than the session, longer than a restart.
    story.broker(controller).cutFromStore(1_500)
    await other.die()
    await other.start()
    await story.untilIsr([1, 2, 3])
    assert.ok(other.running!.broker.metadata.brokerEpoch > epoch)
    assert.equal(await story.cluster.controllerId(), controller)
  },
  EVERYBODY,
)

scenario(
  13,
  'who lost its log while it was to join does not join on the strength of what it had',
  async (story) => {
    await story.lag(3, 1, [1, 2])
    await several(story, 'by 1 and 2')
    story.cut(1, 4, true)
    story.heal(3, 1)
    await story.cluster.until('3 has all', () => {
      const end = (id: number) => story.broker(id).partition(TOPIC, 0)?.log.logEndOffset
      return end(3) === end(1)
    })
    await story.cluster.sleep(300)
    await story.losePower(3)
    await story.broker(3).start()
    story.heal(1, 4)
    await story.untilIsr([1, 2, 3])
    await several(story, 'by all again')
  },
)

scenario(13, 'who lost its log and is back within moments joins when it has all again', async (story) => {
  for (let round = 0; round < 3; round++) {
    await several(story, 'by all')
    await story.broker(3).die()
    await story.losePower(3)
    await story.broker(3).start()
    await story.untilIsr([1, 2, 3])
  }
})

scenario(
  28,
  'one replica and a minimum of two: it commits alone',
  async (story) => {
    await several(story, 'alone')
    assert.equal((await story.state()).min_isr, 1)
    assert.equal(await story.broker(1).stop(), true)
    await story.untilLeader(-1)
    await story.broker(1).start()
    await story.untilLeader(1)
    await several(story, 'after a clean stop')
    await story.broker(1).die()
    await story.broker(1).start()
    await story.untilLeader(1)
  },
  { replicas: [1] },
)

scenario(
  36,
  'whoever of the last in sync comes back first leads',
  async (story) => {
    await several(story, 'by all')
    const orders = [
      [1, 2, 3],
      [1, 3, 2],
      [2, 1, 3],
      [2, 3, 1],
      [3, 1, 2],
      [3, 2, 1],
    ]
    for (const [at, order] of orders.entries()) {
      for (const id of order) await story.broker(id).stop()
      await story.cluster.sleep(200)
      const [first, second, third] = orders[(at * 5 + 2) % orders.length] as [number, number, number]
      void story.broker(first).start()
      // One that was out of the ISR before the others went does not know all.
      const mayLead = first !== order[0]
      if (mayLead) await story.untilLeader(first)
      await Promise.all([second, third].map((id) => story.broker(id).start()))
      await story.untilIsr([1, 2, 3])
      await several(story, `after ${order.join()}`)
    }
  },
  EVERYBODY,
)

scenario(
  36,
  'of two that went at once, the one that may have lost something goes first',
  async (story) => {
    await several(story, 'by all')
    await story.lag(3, 1, [1, 2])
    await several(story, 'by 1 and 2')
    story.broker(4).cutFromStore(1_500)
    await story.broker(1).die()
    await story.losePower(1)
    void story.broker(1).start()
    await story.cluster.sleep(500)
    await story.broker(2).die()
    await story.untilLeader(-1)
    assert.deepEqual((await story.state()).elr, [2])
    await story.broker(2).start()
    await story.untilLeader(2)
    story.cluster.healAll()
  },
  { minIsr: 1 },
)
