import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ErrorCode } from '../../protocol/errors.ts'
import { produceRequest, produceResponse } from '../../protocol/messages/00-produce.ts'
import { produce } from '../../src/api/00-produce.ts'
import { makeBatch, NOW } from '../log/log-fixture.ts'
import { SimWorld } from '../simulator/sim-world.ts'
import { versionsOf } from './admin-harness.ts'
import { SimBroker, withSimBroker } from './sim-broker.ts'

const SCHEMAS = [produceRequest, produceResponse] as const
const ALL = -1

interface Asked {
  readonly acks?: number
  readonly timeoutMs?: number
  readonly partitions?: readonly number[]
  readonly records?: Buffer | null
}

async function produceTo(broker: SimBroker, version: number, asked: Asked = {}) {
  const { acks = ALL, timeoutMs = 1_000, partitions = [0], records = makeBatch(2) } = asked
  const partitionData = partitions.map((index) => ({ index, records }))
  const body = { acks, timeoutMs, topicData: [{ name: 't', partitionData }] }
  const { responses } = await broker.send(SCHEMAS, version, body)
  return responses.flatMap(({ partitionResponses }) => partitionResponses)
}

const endOffset = (broker: SimBroker, partition = 0): number =>
  broker.running.broker.partitions.get('t', partition)!.log.logEndOffset

test('Produce: what each version tells of a batch that was appended', async () => {
  await withSimBroker(async (broker) => {
    await broker.createTopics({ name: 't', partitions: 2 })
    let written = 0
    for (const version of versionsOf(produce).filter((v) => v >= 3))
      for (const acks of [1, ALL]) {
        const answers = await produceTo(broker, version, { acks, partitions: [0, 1, 2] })
        const { NONE, UNKNOWN_TOPIC_OR_PARTITION } = ErrorCode
        assert.deepEqual(
          answers.map((answer) => [
            answer.index,
            answer.errorCode,
            answer.baseOffset,
            answer.logAppendTimeMs,
          ]),
          [
            [0, NONE, written, -1],
            [1, NONE, written, -1],
            [2, UNKNOWN_TOPIC_OR_PARTITION, -1, -1],
          ],
        )
        const logStart = version >= 5 ? 0 : -1
        assert.deepEqual(
          answers.map(({ logStartOffset }) => logStartOffset),
          [logStart, logStart, -1],
        )
        assert.deepEqual(
          answers.map(({ errorMessage }) => errorMessage === null),
          [true, true, version < 8],
        )
        written += 2
      }
    assert.deepEqual([endOffset(broker), endOffset(broker, 1)], [written, written])
  })
})

test('Produce refuses acks that are none of 0, 1 and -1, and appends nothing', async () => {
  await withSimBroker(async (broker) => {
    await broker.createTopics({ name: 't', partitions: 1 })
    for (const version of versionsOf(produce))
      for (const acks of [2, -2, 3, 255, 32_767, -32_768]) {
        const [answer] = await produceTo(broker, version, { acks })
        const expected =
          version < 3 ? ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT : ErrorCode.INVALID_REQUIRED_ACKS
        assert.deepEqual([answer?.errorCode, answer?.baseOffset], [expected, -1], `acks ${acks} v${version}`)
      }
    assert.equal(endOffset(broker), 0)
  })
})

test('Produce v0-2: old message formats are refused and nothing is appended', async () => {
  await withSimBroker(async (broker) => {
    await broker.createTopics({ name: 't', partitions: 1 })
    for (const version of [0, 1, 2]) {
      const [answer] = await produceTo(broker, version)
      assert.equal(answer?.errorCode, ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT)
    }
    assert.equal(endOffset(broker), 0)
  })
})

test('Produce refuses records that are none: the partition says so, the others go on', async () => {
  await withSimBroker(async (broker) => {
    await broker.createTopics({ name: 't', partitions: 1 })
    const corrupt = makeBatch(2)
    corrupt[corrupt.length - 1]! ^= 1
    for (const version of versionsOf(produce).filter((v) => v >= 3))
      for (const records of [null, Buffer.alloc(0), corrupt, Buffer.concat([makeBatch(), makeBatch()])]) {
        const [answer] = await produceTo(broker, version, { records })
        assert.notEqual(answer?.errorCode, ErrorCode.NONE)
        assert.deepEqual([answer?.baseOffset, answer?.logStartOffset], [-1, -1])
        const [good] = await produceTo(broker, version)
        assert.equal(good?.errorCode, ErrorCode.NONE)
      }
  })
})

test('Produce with acks=0 is never answered; one that fails closes the connection', async () => {
  await withSimBroker(async (broker) => {
    await broker.createTopics({ name: 't', partitions: 1 })
    let written = 0
    for (const version of versionsOf(produce).filter((v) => v >= 3)) {
      const client = broker.connect()
      const send = (partition: number) => {
        const partitionData = [{ index: partition, records: makeBatch(1) }]
        const body = { acks: 0, timeoutMs: 1_000, topicData: [{ name: 't', partitionData }] }
        const [request, response] = SCHEMAS
        return client.send({ request, response, version }, body)
      }
      let answered = false
      const unanswered = send(0).then(
        () => (answered = true),
        () => {},
      )
      await broker.sim.sleep(1_000)
      written += 1
      assert.deepEqual([answered, client.closed, endOffset(broker)], [false, false, written])
      await assert.rejects(send(1), /connection closed/)
      await unanswered
      assert.deepEqual([answered, client.closed, endOffset(broker)], [false, true, written])
    }
  })
})

/** A broker whose disk takes ten seconds for everything. */
async function withSlowDisk(body: (broker: SimBroker) => Promise<void>): Promise<void> {
  const delays = { minDelayMs: 10_000, maxDelayMs: 10_000, slowMs: 10_000, slowSyncMs: 10_000 }
  const sim = new SimWorld(1, { disk: delays })
  await sim.run(async () => {
    const broker = await SimBroker.start(sim, {})
    await broker.createTopics({ name: 't', partitions: 2 })
    await body(broker)
    await broker.stop()
  })
}

test('Produce with acks=all gives up after its timeout, with the records on their way', async () => {
  await withSlowDisk(async (broker) => {
    for (const version of versionsOf(produce).filter((v) => v >= 3)) {
      const before = endOffset(broker)
      const beganMs = broker.process.clock.nowMs()
      const answers = await produceTo(broker, version, { partitions: [0, 1, 2], timeoutMs: 500 })
      const tookMs = broker.process.clock.nowMs() - beganMs
      assert.ok(tookMs >= 500 && tookMs < 600, `${tookMs} ms`)
      const { REQUEST_TIMED_OUT, UNKNOWN_TOPIC_OR_PARTITION } = ErrorCode
      assert.deepEqual(
        answers.map(({ errorCode, baseOffset, logStartOffset }) => [errorCode, baseOffset, logStartOffset]),
        [
          [REQUEST_TIMED_OUT, -1, -1],
          [REQUEST_TIMED_OUT, -1, -1],
          [UNKNOWN_TOPIC_OR_PARTITION, -1, -1],
        ],
      )
      await broker.sim.sleep(30_000)
      assert.equal(endOffset(broker), before + 2)
    }
  })
})

test('Produce with acks=1 waits for the disk, whatever its timeout; acks=all too, within it', async () => {
  await withSlowDisk(async (broker) => {
    for (const [acks, timeoutMs] of [
      [1, 500],
      [1, 0],
      [ALL, 60_000],
    ] as const) {
      const before = endOffset(broker)
      const beganMs = broker.process.clock.nowMs()
      const [answer] = await produceTo(broker, 9, { acks, timeoutMs })
      assert.deepEqual([answer?.errorCode, answer?.baseOffset], [ErrorCode.NONE, before])
      assert.ok(broker.process.clock.nowMs() - beganMs >= 10_000)
    }
  })
})

test('Produce under LogAppendTime tells the time of the append', async () => {
  await withSimBroker(async (broker) => {
    const config = { 'message.timestamp.type': 'LogAppendTime' }
    await broker.createTopics({ name: 't', partitions: 1, config })
    for (const version of versionsOf(produce).filter((v) => v >= 3)) {
      const [answer] = await produceTo(broker, version, { records: makeBatch(1, 10, { timestampMs: NOW }) })
      const nowMs = broker.process.clock.nowMs()
      const appendMs = Number(answer?.logAppendTimeMs)
      assert.ok(appendMs <= nowMs && appendMs > nowMs - 10_000, `${appendMs} at ${nowMs}`)
    }
  })
})
