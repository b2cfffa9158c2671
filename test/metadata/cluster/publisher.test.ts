import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../../protocol/errors.ts'
import type { ImageRecord } from '../../../src/core/controller/controller-types.ts'
import type { PartitionState } from '../../../src/core/replication/partition-state.ts'
import type { PollAnswer } from '../../../src/metadata/cluster-duties.ts'
import { Publisher } from '../../../src/metadata/cluster/publisher.ts'
import { SimWorld } from '../../simulator/sim-world.ts'

const EPOCH = 4

function broker(id: number, fenced: boolean, epoch = 10 + id): ImageRecord {
  return { kind: 'broker', broker: { id, epoch, fenced, shuttingDown: false } }
}

function partition(topicId: string, index: number, partitionEpoch: number): ImageRecord {
  const state: PartitionState = {
    leader: 1,
    leaderEpoch: 0,
    leaderBrokerEpoch: 11,
    controllerEpoch: EPOCH,
    partitionEpoch,
    isr: [1],
    elr: [],
    lastKnownElr: [],
    leaderRecoveryState: 0,
    minIsr: 1,
  }
  return { kind: 'partition', topicId, index, assignment: { replicas: [1], adding: [], removing: [] }, state }
}

function topic(topicId: string): ImageRecord {
  return {
    kind: 'topic',
    name: `name of ${topicId}`,
    topicId,
    rules: { minInsyncReplicas: 1, uncleanElection: false },
  }
}

async function publishing(
  body: (publisher: Publisher, poll: Poll, sim: SimWorld) => Promise<void>,
): Promise<void> {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    const { world } = sim.start()
    const publisher = new Publisher(world.clock, EPOCH, {
      broker: (id) => ({
        endpoints: new Map([['PLAINTEXT', { host: `h${id}`, port: 9 }]]),
        rack: 'r',
        lineage: [],
      }),
      overrides: (topicId) => new Map([['of', topicId]]),
    })
    await body(publisher, pollOf(publisher), sim)
  })
}

type Poll = (
  sequence: number,
  from?: { brokerId?: number; controllerEpoch?: number; maxWaitMs?: number; carriedOut?: number },
) => Promise<PollAnswer>

function pollOf(publisher: Publisher): Poll {
  return (sequence, { brokerId = 1, controllerEpoch = EPOCH, maxWaitMs = 500, carriedOut = sequence } = {}) =>
    new Promise((resolve) => {
      const brokerEpoch = 10 + brokerId
      publisher.poll({ brokerId, brokerEpoch, controllerEpoch, sequence, carriedOut, maxWaitMs }, resolve)
    })
}

function told({ full, changes }: PollAnswer): unknown[] {
  return [full, ...changes.map((change) => change.sequence)]
}

test('who knows nothing gets all there is, who knows something what came behind it, in order', () =>
  publishing(async (publisher, poll) => {
    publisher.publish(1, [broker(1, false), topic('a'), partition('a', 0, 3)])
    publisher.publish(2, [topic('b'), partition('b', 0, 0), partition('a', 0, 4)])
    publisher.publish(3, [{ kind: 'topic-gone', topicId: 'b' }])
    assert.deepEqual(told(await poll(1)), [false, 2, 3])
    for (const nothing of [await poll(-1), await poll(2, { controllerEpoch: EPOCH - 1 }), await poll(99)]) {
      assert.deepEqual(told(nothing), [true, 3])
      const [all] = nothing.changes
      assert.deepEqual(
        all!.topics.map(({ name, overrides }) => [name, overrides]),
        [['name of a', [{ name: 'of', value: 'a' }]]],
      )
      assert.deepEqual(
        all!.partitions.map(({ topicId, partitionEpoch }) => [topicId, partitionEpoch]),
        [['a', 4]],
      )
      assert.deepEqual(all!.brokers[0]!.endpoints, [{ name: 'PLAINTEXT', host: 'h1', port: 9 }])
    }
  }))

test('who knows all waits for news, and is answered with none after a while', () =>
  publishing(async (publisher, poll, sim) => {
    publisher.publish(1, [broker(1, false)])
    const asked = poll(1)
    const early = await Promise.race([asked, sim.sleep(100)])
    assert.equal(early, undefined)
    publisher.publish(2, [broker(1, true)])
    assert.deepEqual(told(await asked), [false, 2])
    const startedMs = sim.scheduler.nowMs
    assert.deepEqual(told(await poll(2, { maxWaitMs: 300 })), [false])
    assert.ok(sim.scheduler.nowMs - startedMs >= 300)
  }))

test('a question that is taken back is not answered; two of one broker both are, whoever asks the second', () =>
  publishing(async (publisher, poll, sim) => {
    publisher.publish(1, [broker(1, false)])
    let answers = 0
    const request = {
      brokerId: 1,
      brokerEpoch: 11,
      controllerEpoch: EPOCH,
      sequence: 1,
      carriedOut: 1,
      maxWaitMs: 100,
    }
    publisher.poll(request, () => (answers += 1))()
    const [first, last] = [poll(1), poll(1)]
    publisher.publish(2, [broker(1, true)])
    assert.deepEqual(
      [told(await first), told(await last)],
      [
        [false, 2],
        [false, 2],
      ],
    )
    await sim.sleep(500)
    assert.equal(answers, 0)
  }))

test('who is very far behind gets all there is', () =>
  publishing(async (publisher, poll) => {
    for (let sequence = 1; sequence <= 2_000; sequence++) publisher.publish(sequence, [broker(1, false)])
    assert.deepEqual(told(await poll(1)), [true, 2_000])
    assert.deepEqual(told(await poll(1_999)), [false, 2_000])
  }))

test('a change is carried out when all brokers that serve say so', () =>
  publishing(async (publisher, poll, sim) => {
    publisher.publish(1, [broker(1, false), broker(2, false), broker(3, true)])
    const progress: string[] = []
    const soFar = (): string => progress.join()
    void publisher.carriedOut(10_000).then(() => progress.push('done'))
    void poll(1)
    await sim.sleep(10)
    assert.equal(soFar(), '', '2 serves, and has not said so')
    // Who was broker 2 before.
    publisher.poll(
      { brokerId: 2, brokerEpoch: 11, controllerEpoch: EPOCH, sequence: 1, carriedOut: 1, maxWaitMs: 9 },
      () => {},
    )
    await sim.sleep(10)
    assert.equal(soFar(), '')
    void poll(1, { brokerId: 2 })
    await sim.sleep(10)
    assert.equal(soFar(), 'done')
    void publisher.carriedOut(10_000).then(() => progress.push('at once'))
    await sim.sleep(1)
    assert.equal(soFar(), 'done,at once')
    publisher.publish(2, [topic('a')])
    void publisher.carriedOut(10_000).then(() => progress.push('when 2 is gone'))
    void poll(2)
    await sim.sleep(10)
    publisher.publish(3, [broker(2, true)])
    void poll(3)
    await sim.sleep(10)
    assert.equal(soFar(), 'done,at once,when 2 is gone')
    void publisher.carriedOut(200).then(() => progress.push('late'))
    publisher.publish(4, [topic('b')])
    void publisher.carriedOut(200).then(() => progress.push('late'))
    await sim.sleep(300)
    assert.equal(progress.at(-1), 'late')
  }))

test('who waits for a controller that is none any more learns so', () =>
  publishing(async (publisher, poll) => {
    publisher.publish(1, [broker(1, false)])
    const asked = poll(1)
    publisher.close()
    assert.equal((await asked).errorCode, ErrorCode.NOT_CONTROLLER)
  }))

test('what a broker knows and has not carried out yet is told to it once, and is not carried out', () =>
  publishing(async (publisher, poll, sim) => {
    publisher.publish(1, [broker(1, false)])
    publisher.publish(2, [topic('b')])
    assert.deepEqual(told(await poll(2, { carriedOut: 1, maxWaitMs: 10 })), [false])
    let isDone = false
    const done = publisher.carriedOut(5_000).then(() => (isDone = true))
    await sim.sleep(100)
    assert.equal(isDone, false)
    void poll(2)
    await done
  }))
