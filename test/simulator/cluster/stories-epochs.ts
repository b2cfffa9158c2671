import assert from 'node:assert/strict'
import { ErrorCode } from '../../../protocol/errors.ts'
import { LATEST } from './cluster-client.ts'
import { EVERYBODY, scenario, TOPIC } from './scenario.ts'
import type { Scenario } from './scenario.ts'

/** Stories of `replication.md` 5.4: leaders that come and go, and what their followers and clients make of it. */

async function several(story: Scenario, what: string): Promise<void> {
  for (let i = 0; i < 5; i++) await story.acknowledged(what)
}

function endOf(story: Scenario, id: number): number | undefined {
  return story.broker(id).partition(TOPIC, 0)?.log.logEndOffset
}

/** Nobody leads any more who could be asked by others: no peers, and no store. Clients reach it still. */
async function leadsAlone(story: Scenario, id: number): Promise<void> {
  story.cluster.isolate(story.broker(id))
  story.broker(id).cutFromStore(6_000)
  await story.cluster.sleep(0)
}

scenario(
  14,
  'whoever may have joined is waited for, also while its leader does not know',
  async (story) => {
    await story.lag(3, 1, [1, 2])
    // What it proposes next is to follow on that.
    const known = story.broker(1).running!.broker.metadata.topics
    await story.cluster.until('its leader knows', () => known.get(TOPIC)!.partitions[0]!.isr.length === 2)
    story.cut(4, 1, true)
    story.heal(3, 1)
    await story.untilIsr([1, 2, 3])
    // From here on the one that joined gets nothing any more.
    story.cut(1, 3)
    await story.send('by whom?', { to: 1, timeoutMs: 3_500 })
    // Longer than its leader waits for the controller, and than a follower may lag.
    await story.cluster.sleep(6_000)
    await story.broker(1).die()
    await story.cluster.until('another one leads', async () => [2, 3].includes((await story.state()).leader))
  },
  // Nobody is fenced because it is not heard.
  { properties: { 'zookeeper.session.timeout.ms': '18000' } },
)

scenario(15, 'who is to leave is waited for until it has left', async (story) => {
  story.cut(1, 4, true)
  story.cut(1, 3)
  const before = story.broker(1).partition(TOPIC, 0)!.highWatermark
  // Longer than a follower may lag.
  assert.notEqual(await story.send('by two', { to: 1, timeoutMs: 3_000 }), 0)
  assert.equal(story.broker(1).partition(TOPIC, 0)!.highWatermark, before)
  story.heal(1, 4)
  await story.acknowledged('by two')
})

scenario(15, 'a proposal that comes when it was given up long ago changes nothing', async (story) => {
  await story.lag(3, 1, [1, 2])
  story.heal(1, 3)
  const late = await story.proposalOf(1, [1, 2, 3])
  await story.untilIsr([1, 2, 3])
  await story.lag(3, 1, [1, 2])
  assert.equal(await story.propose(late), ErrorCode.INVALID_UPDATE_VERSION)
  assert.deepEqual((await story.state()).isr, [1, 2])
  await several(story, 'by two')
})

scenario(16, 'what only those have that may have joined is not committed', async (story) => {
  await several(story, 'by all')
  await story.lag(3, 1, [1, 2])
  await story.lag(2, 1, [1])
  const before = (await story.readFrom(1))!.length
  story.cut(1, 4, true)
  story.heal(3, 1)
  assert.equal(await story.send('by one', { acks: 1, to: 1 }), 0)
  await story.cluster.until('3 has all', () => endOf(story, 3) === endOf(story, 1))
  await story.cluster.sleep(300)
  assert.equal((await story.readFrom(1))!.length, before)
  await story.losePower(1)
  await story.untilLeader(2)
})

scenario(17, 'a leader that was fenced acknowledges nothing that gets lost', async (story) => {
  await several(story, 'by all')
  await leadsAlone(story, 1)
  await story.untilLeader(2)
  assert.equal(await story.send('unseen', { acks: 1, to: 1 }), 0)
  assert.notEqual(await story.send('never', { to: 1 }), 0)
  // Whoever knows more or less than the broker that it asks is told so (KIP-320).
  const latest = (of: number, epoch: number) => story.client.listOffset(of, TOPIC, 0, LATEST, epoch)
  assert.equal((await latest(1, 1)).errorCode, ErrorCode.UNKNOWN_LEADER_EPOCH)
  await story.acknowledged('by 2 and 3')
  assert.equal((await latest(2, 0)).errorCode, ErrorCode.FENCED_LEADER_EPOCH)
  await several(story, 'by 2 and 3')
  story.cluster.healAll()
  await story.untilIsr([1, 2, 3])
})

scenario(
  18,
  'with a minimum of one the last in sync is the only one that may lead',
  async (story) => {
    await several(story, 'by all')
    story.cut(1, 2)
    await story.lag(3, 1, [1])
    await story.acknowledged('by 1')
    story.broker(1).cutFromStore(4_000)
    await story.untilLeader(-1)
    const { isr, elr } = await story.state()
    assert.deepEqual([isr, elr], [[], [1]])
    await story.cluster.sleep(1_000)
    assert.equal((await story.state()).leader, -1)
    story.cluster.healAll()
    await story.untilLeader(1)
    assert.ok((await story.read()).some((value) => value.startsWith('by 1')))
  },
  { minIsr: 1 },
)

scenario(19, 'a leader that does not know yet what is committed says so', async (story) => {
  for (let round = 0; round < 4; round++) {
    const { leader } = await story.state()
    await several(story, `round ${round}`)
    const committed = story.ledger.committedEnd(`${TOPIC}-0`)
    await story.broker(leader).die()
    for (let known = false; !known;) {
      const next = await story.client.findLeader(TOPIC, 0)
      const answer =
        next === null
          ? null
          : await story.client.listOffset(next.id, TOPIC, 0, LATEST, next.epoch).catch(() => null)
      if (answer?.errorCode === 0) {
        assert.ok(answer.offset >= committed, `the end is ${answer.offset}, and ${committed} are committed`)
        known = true
      }
      await story.cluster.sleep(5)
    }
    await story.broker(leader).start()
    await story.untilIsr([1, 2, 3])
  }
})

scenario(
  20,
  'who lacks what was written before the leader was elected does not join',
  async (story) => {
    await several(story, 'by all')
    await story.lag(4, 1, [1, 2, 3])
    await several(story, 'by three')
    // The next leader hears nothing of its follower, so it does not know what is committed.
    story.cut(2, 3)
    await story.broker(1).die()
    await story.untilLeader(2)
    story.heal(4, 1)
    story.heal(4, 2)
    await story.untilIsr([2, 4], 10_000)
    await several(story, 'by two and four')
    await story.losePower(2)
    await story.untilLeader(4)
    story.cluster.healAll()
    await story.broker(2).start()
    await several(story, 'by the others')
  },
  { brokers: 5, controller: 5, replicas: [1, 2, 3, 4] },
)

scenario(
  23,
  'two leaders after each other wrote what nobody else has, and both logs become one',
  async (story) => {
    await several(story, 'by all')
    await story.broker(3).stop()
    await story.untilIsr([1, 2])
    await leadsAlone(story, 1)
    await story.untilLeader(2)
    assert.equal(await story.send('only on 1', { acks: 1, to: 1 }), 0)
    assert.equal(await story.send('only on 2', { acks: 1, to: 2 }), 0)
    assert.equal(await story.send('on 2, too', { acks: 1, to: 2 }), 0)
    await story.broker(2).die()
    story.cluster.healAll()
    await story.untilLeader(1)
    await story.cluster.until('1 knows that it leads', async () => {
      return (await story.send('again only on 1', { acks: 1, to: 1 })) === 0
    })
    await story.broker(2).start()
    await story.broker(3).start()
    await story.untilIsr([1, 2, 3])
    await story.cluster.until('all end at the same offset', () => {
      const ends = [1, 2, 3].map((id) => endOf(story, id))
      return new Set(ends).size === 1
    })
  },
  { minIsr: 3 },
)

scenario(
  24,
  'a follower that does not know what is committed keeps it when another one leads',
  async (story) => {
    for (let round = 0; round < 6; round++) {
      const { leader } = await story.state()
      await several(story, `round ${round}`)
      // What comes behind it is not on all of them yet.
      const more = Array.from({ length: 4 }, () => story.send('more', { acks: 1, to: leader }))
      await story.acknowledged('the last')
      await story.broker(leader).die()
      await Promise.all(more)
      await story.cluster.until('another one leads', async () => {
        const now = (await story.state()).leader
        return now !== -1 && now !== leader
      })
      await story.acknowledged(`without ${leader}`)
      await story.broker(leader).start()
      await story.untilIsr([1, 2, 3])
    }
  },
  EVERYBODY,
)

scenario(
  25,
  'elections without a record in between leave followers that follow',
  async (story) => {
    for (let round = 0; round < 6; round++) {
      const { leader } = await story.state()
      await story.broker(leader).stop()
      await story.broker(leader).start()
      await story.untilIsr([1, 2, 3])
    }
    assert.ok((await story.state()).leader_epoch >= 6)
    await several(story, 'after all')
  },
  EVERYBODY,
)

scenario(39, 'the only one in sync stops, and another one leads before it has', async (story) => {
  await several(story, 'by all')
  await story.lag(3, 1, [1, 2])
  await several(story, 'by 1 and 2')
  await story.lag(2, 1, [1])
  story.cluster.healAll()
  const stopped = story.broker(1).stop()
  assert.equal(await stopped, true)
  const { leader, leader_epoch: epoch } = await story.state()
  assert.ok(leader === 2 || leader === 3, `${leader} leads`)
  assert.ok(epoch >= 1)
  assert.ok(
    story.states().every((state) => state.leader !== -1),
    'there was a time without a leader',
  )
  await story.acknowledged('without 1')
})

scenario(42, 'a silent follower leaves, though nothing is missing to it', async (story) => {
  await several(story, 'by all')
  await story.cluster.until('all have all', () => endOf(story, 3) === endOf(story, 1))
  await story.broker(3).die()
  await story.untilIsr([1, 2], 1_000)
  const { leader_epoch: epoch } = await story.state()
  assert.equal(epoch, 0, 'no election was needed')
})

scenario(32, 'who waits for a replica that leaves is told at once, and may send again', async (story) => {
  await several(story, 'by all')
  await story.lag(3, 1, [1, 2])
  const { producerId, producerEpoch } = await story.client.initProducer()
  const value = story.value('once')
  const send = async (timeoutMs: number) => {
    const leader = await story.client.findLeader(TOPIC, 0)
    return story.client.produce(
      leader!.id,
      TOPIC,
      0,
      story.batch([value], { producerId, producerEpoch, baseSequence: 0 }),
      -1,
      timeoutMs,
    )
  }
  story.client.timeoutMs = 20_000
  story.cut(1, 2)
  const begunMs = story.cluster.sim.scheduler.nowMs
  assert.equal((await send(15_000)).errorCode, ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND)
  assert.ok(story.cluster.sim.scheduler.nowMs - begunMs < 5_000)
  story.cluster.healAll()
  await story.untilIsr([1, 2, 3])
  const answer = await send(5_000)
  assert.equal(answer.errorCode, 0)
  story.ledger.acknowledgedByAll(`${TOPIC}-0`, answer.baseOffset, value)
  const values = await story.read()
  assert.equal(values.filter((each) => each === value).length, 1)
})
