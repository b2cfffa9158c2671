import assert from 'node:assert/strict'
import { ErrorCode } from '../../../protocol/errors.ts'
import {
  incrementalAlterConfigsRequest,
  incrementalAlterConfigsResponse,
} from '../../../protocol/messages/44-incremental-alter-configs.ts'
import { deleteTopicsRequest, deleteTopicsResponse } from '../../../protocol/messages/20-delete-topics.ts'
import { parseBrokerConfig } from '../../../src/core/config/broker-config.ts'
import { startBroker } from '../../../src/server/start-broker.ts'
import { EVERYBODY, scenario, TOPIC } from './scenario.ts'
import type { Scenario } from './scenario.ts'

/** Stories of `replication.md` 5.4: sessions, controllers, and what is changed by users. */

async function several(story: Scenario, what: string): Promise<void> {
  for (let i = 0; i < 5; i++) await story.acknowledged(what)
}

scenario(
  7,
  'all stop cleanly and start again',
  async (story) => {
    await several(story, 'by all')
    await Promise.all([1, 2, 3].map((id) => story.broker(id).stop()))
    for (const id of [2, 3, 1]) void story.broker(id).start()
    await story.untilIsr([1, 2, 3])
    await several(story, 'again')
  },
  EVERYBODY,
)

scenario(10, 'a session ends, and the process lives on', async (story) => {
  await several(story, 'by all')
  await story.lag(3, 1, [1, 2])
  await several(story, 'by 1 and 2')
  const epoch = story.broker(2).running!.broker.metadata.brokerEpoch
  story.broker(2).expireSession(300)
  await story.untilIsr([1])
  assert.deepEqual((await story.state()).elr, [2])
  await story.untilIsr([1, 2])
  assert.ok(story.broker(2).running!.broker.metadata.brokerEpoch > epoch)
  assert.ok(
    story.states().every((state) => state.last_known_elr.length === 0),
    'nobody took it for doubtful',
  )
})

scenario(
  26,
  'the minimum is raised while one is in sync',
  async (story) => {
    story.cut(1, 2)
    await story.lag(3, 1, [1])
    await several(story, 'by 1')
    assert.equal(await alterMinIsr(story, 2), 0)
    await story.cluster.until('two are needed', async () => (await story.state()).min_isr === 2)
    await story.cluster.sleep(200)
    assert.equal(await story.send('too few', { to: 1 }), ErrorCode.NOT_ENOUGH_REPLICAS)
    assert.deepEqual((await story.state()).elr, [])
  },
  { minIsr: 1 },
)

scenario(27, 'the minimum is lowered while others are eligible: from then on they are not', async (story) => {
  await several(story, 'by all')
  story.cut(1, 2)
  await story.lag(3, 1, [1])
  assert.equal((await story.state()).elr.length, 2)
  assert.equal(await alterMinIsr(story, 1), 0)
  await story.cluster.until('one is enough', async () => (await story.state()).min_isr === 1)
  assert.deepEqual((await story.state()).elr, [])
  await several(story, 'by 1')
  await story.broker(1).stop()
  await story.untilLeader(-1)
  await story.broker(1).start()
  await story.untilLeader(1)
})

async function alterMinIsr(story: Scenario, minIsr: number): Promise<number> {
  const configs = [{ name: 'min.insync.replicas', configOperation: 0, value: String(minIsr) }]
  await story.client.metadata(null)
  const answer = await story.client.to(
    4,
    { request: incrementalAlterConfigsRequest, response: incrementalAlterConfigsResponse, version: 1 },
    { resources: [{ resourceType: 2, resourceName: TOPIC, configs }], validateOnly: false },
  )
  return answer.responses[0]!.errorCode
}

scenario(
  30,
  'a follower that comes back below the minimum does not join and leave again and again',
  async (story) => {
    story.cut(1, 2)
    await story.lag(3, 1, [1])
    const before = story.states().length
    let isOver = false
    const load = (async () => {
      while (!isOver) {
        await story.send('load', { acks: 1, to: 1 })
        await story.cluster.sleep(5)
      }
    })()
    await story.cluster.sleep(1_000)
    story.cluster.healAll()
    await story.untilIsr([1, 2, 3])
    await story.cluster.sleep(4_000)
    isOver = true
    await load
    assert.ok(story.states().length - before <= 4, `${story.states().length - before} changes`)
  },
)

scenario(31, 'below the minimum acks=all is refused, and others see nothing of the rest', async (story) => {
  await several(story, 'by all')
  story.cut(1, 2)
  await story.lag(3, 1, [1])
  const before = (await story.readFrom(1))!.length
  await story.cluster.sleep(200)
  assert.equal(await story.send('all', { to: 1 }), ErrorCode.NOT_ENOUGH_REPLICAS)
  assert.equal(await story.send('one', { acks: 1, to: 1 }), 0)
  assert.equal((await story.readFrom(1))!.length, before)
  story.heal(1, 2)
  await story.untilIsr([1, 2])
  assert.ok((await story.readFrom(1))!.some((value) => value.startsWith('one')))
})

scenario(
  33,
  'a controller dies while it takes an unclean broker off its partitions',
  async (story) => {
    await several(story, 'by all')
    story.cut(1, 2)
    await story.lag(3, 1, [1])
    const controller = await story.cluster.controllerId()
    await story.losePower(2)
    void story.broker(2).start()
    await story.cluster.sleep(story.cluster.sim.random.fraction() * 2_500)
    await story.broker(controller).die()
    await story.cluster.until('another one is controller', async () => {
      const now = await story.cluster.controllerId()
      return now !== -1 && now !== controller
    })
    await story.broker(controller).start()
    await story.cluster.until('2 is not eligible', async () => !(await story.state()).elr.includes(2))
  },
  { partitions: 8 },
)

scenario(34, 'a controller does not learn what came of what it wrote', async (story) => {
  for (let round = 0; round < 4; round++) {
    await story.acknowledged(`round ${round}`)
    const { leader, leader_epoch: epoch } = await story.state()
    const stopped = story.broker(leader).die()
    for (let i = 0; i < 6; i++) {
      await story.cluster.sleep(1 + story.cluster.sim.random.fraction() * 10)
      story.broker(4).cutFromStore(20)
    }
    await stopped
    await story.cluster.until('another one leads', async () => {
      const now = (await story.state()).leader
      return now !== -1 && now !== leader
    })
    assert.equal((await story.state()).leader_epoch, epoch + 1)
    await story.broker(leader).start()
    await story.untilIsr([1, 2, 3])
  }
})

scenario(35, 'a controller that does not know yet that it is none changes nothing', async (story) => {
  await several(story, 'by all')
  story.broker(4).expireSession(3_000)
  await story.cluster.until('another one is controller', async () => {
    const now = await story.cluster.controllerId()
    return now !== -1 && now !== 4
  })
  await story.broker(1).die()
  await story.cluster.until('another one leads', async () => [2, 3].includes((await story.state()).leader))
  await several(story, 'meanwhile')
  await story.broker(1).start()
  await story.untilIsr([1, 2, 3])
  await story.cluster.sleep(3_000)
  const first = story.states().findIndex((state) => state.controller_epoch > 1)
  assert.ok(
    story
      .states()
      .slice(first)
      .every((state) => state.controller_epoch > 1),
  )
})

scenario(
  40,
  'sessions that end again and again within moments',
  async (story) => {
    await several(story, 'by all')
    for (let i = 0; i < 10; i++) {
      for (const { id } of story.cluster.brokers) story.broker(id).expireSession()
      await story.cluster.sleep(story.cluster.sim.random.fraction() * 30)
    }
    await story.untilIsr([1, 2, 3])
  },
  EVERYBODY,
)

scenario(41, 'a follower without a session is not taken back, though it has all', async (story) => {
  await several(story, 'by all')
  await story.lag(2, 1, [1, 3])
  story.broker(3).cutFromStore(5_000)
  await story.untilIsr([1])
  assert.deepEqual((await story.state()).elr, [3])
  await story.cluster.sleep(1_500)
  assert.deepEqual((await story.state()).isr, [1])
  // Its leader may not have heard of it.
  assert.equal(await story.propose(await story.proposalOf(1, [1, 3])), ErrorCode.INELIGIBLE_REPLICA)
  assert.equal(await story.send('too few', { to: 1 }), ErrorCode.NOT_ENOUGH_REPLICAS)
  assert.equal(await story.send('unseen', { acks: 1, to: 1 }), 0)
  await story.untilIsr([1, 3])
  await several(story, 'by 1 and 3')
})

scenario(
  43,
  'a follower that stands still again and again delays nobody for longer than it may',
  async (story) => {
    for (let round = 0; round < 4; round++) {
      story.cut(1, 3)
      const begunMs = story.cluster.sim.scheduler.nowMs
      await story.acknowledged(`round ${round}`, 10_000)
      assert.ok(story.cluster.sim.scheduler.nowMs - begunMs < 1.5 * 1_500 + 1_500)
      story.heal(1, 3)
      await story.cluster.sleep(1_000)
    }
  },
)

scenario(
  44,
  'a second process under the same id does not serve and changes nothing',
  async (story) => {
    await several(story, 'by all')
    const before = story.states().length
    const stranger = story.cluster.sim.addMachine()
    const process = stranger.start()
    const values = new Map([
      ['broker.id', '1'],
      ['zookeeper.connect', 'zookeeper:2181'],
      ['listeners', `PLAINTEXT://${stranger.host}:9092`],
      ['log.dirs', '/data'],
    ])
    const { config } = parseBrokerConfig([{ source: 'STATIC_BROKER_CONFIG', origin: 'test', values }])
    await assert.rejects(
      startBroker(process.world, config, () => story.cluster.store.open(process, 1)),
      /10\.0\.0\.2/,
    )
    await stranger.kill(process)
    await several(story, 'still')
    assert.equal(story.states().length, before)
  },
  EVERYBODY,
)

scenario(45, 'the store is away for a minute, and records go on', async (story) => {
  await several(story, 'by all')
  const changes = () => story.states().length
  const before = changes()
  story.cluster.store.away(60_000)
  for (let i = 0; i < 20; i++) {
    assert.equal(await story.send('meanwhile'), 0)
    await story.cluster.sleep(1_000)
  }
  assert.equal(changes(), before)
  await story.broker(3).die('kill with its helper')
  // Nobody can take it out of the ISR.
  assert.notEqual(await story.send('waits'), 0)
  await story.cluster.sleep(40_000)
  await story.untilIsr([1, 2])
  await several(story, 'after it')
  const { leader, leader_epoch: epoch } = await story.state()
  assert.deepEqual([leader, epoch], [1, 0])
  assert.ok(story.states().every((state) => state.last_known_elr.length === 0))
})

scenario(
  46,
  'a topic is deleted and made again while a replica hears of nothing',
  async (story) => {
    await several(story, 'of the first')
    story.cluster.isolate(story.broker(3))
    await story.client.metadata(null, 1)
    const deleted = await story.client.to(
      1,
      { request: deleteTopicsRequest, response: deleteTopicsResponse, version: 3 },
      { topicNames: [TOPIC], timeoutMs: 10_000 },
    )
    // Whoever does not hear of it is waited for, for a while.
    assert.equal(deleted.responses[0]!.errorCode, ErrorCode.REQUEST_TIMED_OUT)
    story.client.forget(TOPIC)
    story.ledger.forget(`${TOPIC}-0`)
    const configs = { 'min.insync.replicas': '2' }
    const again = await story.client.createTopic(TOPIC, -1, -1, configs, [[1, 2, 3]])
    assert.ok(again === 0 || again === ErrorCode.REQUEST_TIMED_OUT)
    await story.acknowledged('of the second')
    story.cluster.healAll()
    await several(story, 'of the second')
    await story.untilIsr([1, 2, 3])
    const values = await story.read()
    assert.ok(values.every((value) => value.startsWith('of the second')))
  },
  // It is not fenced meanwhile.
  { properties: { 'zookeeper.session.timeout.ms': '18000' } },
)

scenario(
  42,
  'a controller that no other broker can ask gives the office away, and what it leads is led by others',
  async (story) => {
    await several(story, 'by all')
    const { cluster } = story
    assert.equal(await cluster.controllerId(), 1)
    cluster.isolate(story.broker(1))
    await cluster.until('another one is controller', async () => (await cluster.controllerId()) > 1)
    await cluster.until('another one leads', async () => (await story.state()).leader !== 1)
    await several(story, 'by two')
    assert.deepEqual((await story.state()).isr, [2, 3])
    cluster.healAll()
    await story.untilIsr([1, 2, 3])
  },
  { brokers: 3, controller: 1 },
)

scenario(
  42,
  'a leader that neither its followers nor the controller reach is fenced until it is back',
  async (story) => {
    await several(story, 'by all')
    story.cluster.isolate(story.broker(1))
    await story.cluster.until('another one leads', async () => (await story.state()).leader !== 1)
    await several(story, 'by two')
    assert.deepEqual((await story.state()).isr, [2, 3])
    assert.equal(story.broker(1).processes.length, 1, 'its session goes on')
    story.cluster.healAll()
    await story.untilIsr([1, 2, 3])
  },
)

scenario(
  47,
  'a log directory fails under a member of the ISR: it is not eligible',
  async (story) => {
    await several(story, 'by all')
    await story.lag(3, 1, [1, 2])
    const faults = story.broker(2).machine.faults
    faults.add({ operation: 'write', code: 'EIO', path: new RegExp(`/${TOPIC}-0/.*\\.log$`) })
    await story.send('fails on 2', { to: 1 })
    await story.untilIsr([1])
    await story.cluster.until('what 2 has is not certain', async () => !(await story.state()).elr.includes(2))
    await story.broker(2).die()
    faults.clear()
    await story.broker(2).start()
    await story.untilIsr([1, 2])
  },
  { properties: { 'log.dirs': '/data,/more' } },
)

scenario(
  46,
  'a partition that lost the file with the id of its topic is that of the topic of its name',
  async (story) => {
    await several(story, 'by one')
    const { machine } = story.broker(1)
    await story.broker(1).stop()
    machine.image.remove(`/data/${TOPIC}-0/partition.metadata`)
    await story.broker(1).start()
    // It leads once it has heard so.
    await story.cluster.until('it leads', () => story.broker(1).partition(TOPIC, 0)?.role === 'leader')
    assert.equal((await story.readFrom(1))?.length, 5)
  },
  { minIsr: 1, replicas: [1] },
)
