import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ErrorCode } from '../../protocol/errors.ts'
import { produceRequest, produceResponse } from '../../protocol/messages/00-produce.ts'
import { fetchRequest, fetchResponse } from '../../protocol/messages/01-fetch.ts'
import { deleteRecordsRequest, deleteRecordsResponse } from '../../protocol/messages/21-delete-records.ts'
import { ZERO_UUID } from '../../protocol/schema.ts'
import { fetch } from '../../src/api/01-fetch.ts'
import { makeBatch, split } from '../log/log-fixture.ts'
import { versionsOf } from './admin-harness.ts'
import { type SimBroker, withSimBroker } from './sim-broker.ts'

const SCHEMAS = [fetchRequest, fetchResponse] as const
const UNKNOWN_ID = 'AAAAAAAAQACAAAAAAAAAAQ'

interface Asked {
  readonly topic?: string
  readonly topicId?: string
  readonly partitions?: readonly {
    partition: number
    fetchOffset: number
    currentLeaderEpoch?: number
    lastFetchedEpoch?: number
  }[]
  readonly maxWaitMs?: number
  readonly minBytes?: number
  readonly maxBytes?: number
  readonly session?: readonly [id: number, epoch: number]
  readonly forgotten?: number[]
}

async function ask(broker: SimBroker, version: number, asked: Asked) {
  const { topic = 't', partitions = [], maxWaitMs = 0, minBytes = 1, session, forgotten = [] } = asked
  const known = broker.running.broker.metadata.topics.get(topic)?.topicId ?? ZERO_UUID
  const named = version >= 13 ? { topicId: asked.topicId ?? known } : { topic }
  const sessions =
    version >= 7 && session !== undefined ? { sessionId: session[0], sessionEpoch: session[1] } : {}
  const answer = await broker.send(SCHEMAS, version, {
    maxWaitMs,
    minBytes,
    ...(asked.maxBytes === undefined ? {} : { maxBytes: asked.maxBytes }),
    ...sessions,
    topics: [{ ...named, partitions: partitions.map((one) => ({ partitionMaxBytes: 1_000, ...one })) }],
    forgottenTopicsData: forgotten.length === 0 ? [] : [{ ...named, partitions: forgotten }],
  })
  return {
    ...answer,
    partitions: answer.responses.flatMap((one) => one.partitions),
  }
}

const at = (fetchOffset: number, currentLeaderEpoch?: number) => [
  { partition: 0, fetchOffset, ...(currentLeaderEpoch === undefined ? {} : { currentLeaderEpoch }) },
]

async function produceTo(broker: SimBroker, count: number, index = 0): Promise<void> {
  const topicData = [{ name: 't', partitionData: [{ index, records: makeBatch(count) }] }]
  await broker.send([produceRequest, produceResponse], 9, { acks: -1, timeoutMs: 1_000, topicData })
}

async function deleteBefore(broker: SimBroker, offset: number): Promise<void> {
  const topics = [{ name: 't', partitions: [{ partitionIndex: 0, offset }] }]
  await broker.send([deleteRecordsRequest, deleteRecordsResponse], 2, { topics, timeoutMs: 1_000 })
}

/** Records 3..9 of a topic of two partitions: the first three of ten were deleted. */
async function withRecords(body: (broker: SimBroker) => Promise<void>): Promise<void> {
  await withSimBroker(async (broker) => {
    await broker.createTopics({ name: 't', partitions: 2 })
    await produceTo(broker, 5)
    await produceTo(broker, 5)
    await deleteBefore(broker, 3)
    await body(broker)
  })
}

test('Fetch: what each version tells of a partition', async () => {
  await withRecords(async (broker) => {
    for (const version of versionsOf(fetch)) {
      const { errorCode, sessionId, partitions } = await ask(broker, version, { partitions: at(7) })
      const [answer, ...others] = partitions
      assert.deepEqual([errorCode, sessionId, others], [ErrorCode.NONE, 0, []])
      assert.deepEqual(
        [answer?.partitionIndex, answer?.errorCode, answer?.highWatermark, answer?.lastStableOffset],
        [0, ErrorCode.NONE, 10, 10],
      )
      assert.equal(answer?.logStartOffset, version >= 5 ? 3 : -1)
      assert.equal(answer?.preferredReadReplica, -1)
      const batches = split(answer?.records ?? Buffer.alloc(0))
      assert.deepEqual(
        batches.map((one) => Number(one.readBigInt64BE(0))),
        [5],
      )
    }
  })
})

test('Fetch: from the start of the log to its end; one more on either side is out of range', async () => {
  await withRecords(async (broker) => {
    for (const version of versionsOf(fetch)) {
      for (const offset of [3, 4, 9, 10]) {
        const [answer] = (await ask(broker, version, { partitions: at(offset) })).partitions
        assert.equal(answer?.errorCode, ErrorCode.NONE, `offset ${offset} in version ${version}`)
        assert.equal((answer?.records ?? Buffer.alloc(0)).length > 0, offset < 10)
      }
      for (const offset of [0, 2, 11, 12, -1, -2]) {
        const [answer] = (await ask(broker, version, { partitions: at(offset), maxWaitMs: 10_000 }))
          .partitions
        assert.equal(
          answer?.errorCode,
          ErrorCode.OFFSET_OUT_OF_RANGE,
          `offset ${offset} in version ${version}`,
        )
        assert.equal((answer?.records ?? Buffer.alloc(0)).length, 0)
      }
    }
  })
})

test('Fetch: a client that believes in another leader epoch is told, from version 9 on', async () => {
  await withRecords(async (broker) => {
    const epoch = broker.running.broker.partitions.get('t', 0)!.leaderEpoch
    for (const version of versionsOf(fetch))
      for (const [believed, expected] of [
        [-1, ErrorCode.NONE],
        [epoch, ErrorCode.NONE],
        [epoch + 1, version >= 9 ? ErrorCode.UNKNOWN_LEADER_EPOCH : ErrorCode.NONE],
      ] as const) {
        const [answer] = (await ask(broker, version, { partitions: at(7, believed) })).partitions
        assert.equal(answer?.errorCode, expected)
      }
  })
})

test('Fetch v12+: whose last epoch ended before its offset is told where, and gets no records', async () => {
  await withRecords(async (broker) => {
    const partition = broker.running.broker.partitions.get('t', 0)!
    const epoch = partition.leaderEpoch
    // As if from offset 7 on another leader had written.
    partition.log.epochs.assign(epoch + 2, 7)
    const none = { epoch: -1, endOffset: -1 }
    const ended = { epoch, endOffset: 7 }
    for (const version of versionsOf(fetch).filter((v) => v >= 12))
      for (const [fetchOffset, lastFetchedEpoch, expected, errorCode = ErrorCode.NONE] of [
        [3, epoch, none],
        [7, epoch, none],
        [8, epoch, ended],
        [8, -1, none],
        [5, epoch + 1, ended],
        [10, epoch + 2, none],
        [11, epoch + 2, { epoch: epoch + 2, endOffset: 10 }],
        [10, epoch + 3, none, ErrorCode.OFFSET_OUT_OF_RANGE],
        [2, epoch, none, ErrorCode.OFFSET_OUT_OF_RANGE],
        [2, epoch + 1, none, ErrorCode.OFFSET_OUT_OF_RANGE],
      ] as const) {
        const asked = { partitions: [{ partition: 0, fetchOffset, lastFetchedEpoch }] }
        const [answer] = (await ask(broker, version, asked)).partitions
        const what = `offset ${fetchOffset} after epoch ${lastFetchedEpoch}`
        assert.deepEqual([answer?.errorCode, answer?.divergingEpoch], [errorCode, expected], what)
        const hasRecords = errorCode === ErrorCode.NONE && expected === none && fetchOffset < 10
        assert.equal((answer?.records ?? Buffer.alloc(0)).length > 0, hasRecords, what)
      }
  })
})

test('who has to cut its log first is told the high watermark again', async () => {
  await withRecords(async (broker) => {
    const version = 17
    const none = { epoch: -1, endOffset: -1 }
    const partition = broker.running.broker.partitions.get('t', 0)!
    const epoch = partition.leaderEpoch
    partition.log.epochs.assign(epoch + 2, 7)
    const diverging = [{ partition: 0, fetchOffset: 8, lastFetchedEpoch: epoch }]
    const first = await ask(broker, version, { partitions: diverging, session: [0, 0] })
    assert.notDeepEqual(first.partitions[0]?.divergingEpoch, none)
    const partitions = [{ partition: 0, fetchOffset: 10, lastFetchedEpoch: epoch + 2 }]
    const second = await ask(broker, version, { partitions, session: [first.sessionId, 1] })
    assert.deepEqual([second.partitions[0]?.divergingEpoch, second.partitions[0]?.highWatermark], [none, 10])
    assert.equal((await ask(broker, version, { session: [first.sessionId, 2] })).partitions.length, 0)
  })
})

test('Fetch of what is not there', async () => {
  await withRecords(async (broker) => {
    for (const version of versionsOf(fetch)) {
      const partitions = [{ partition: 2, fetchOffset: 0 }]
      const beyond = (await ask(broker, version, { partitions })).partitions[0]
      assert.deepEqual([beyond?.errorCode, beyond?.highWatermark], [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, -1])
      const missing = { topic: 'missing', topicId: UNKNOWN_ID, partitions: at(0) }
      const [unknown] = (await ask(broker, version, missing)).partitions
      assert.equal(
        unknown?.errorCode,
        version >= 13 ? ErrorCode.UNKNOWN_TOPIC_ID : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
      )
    }
  })
})

test('Fetch: an error of the disk is NOT_LEADER_OR_FOLLOWER to clients below version 6', async () => {
  await withRecords(async (broker) => {
    broker.sim.faults.add({ operation: 'write', code: 'EIO', path: /\/t-0\// })
    const topicData = [{ name: 't', partitionData: [{ index: 0, records: makeBatch() }] }]
    await broker.send([produceRequest, produceResponse], 9, { acks: -1, timeoutMs: 1_000, topicData })
    broker.sim.faults.clear()
    for (const version of versionsOf(fetch)) {
      const [answer] = (await ask(broker, version, { partitions: at(7) })).partitions
      assert.equal(
        answer?.errorCode,
        version < 6 ? ErrorCode.NOT_LEADER_OR_FOLLOWER : ErrorCode.KAFKA_STORAGE_ERROR,
      )
    }
  })
})

test('Fetch sessions: an incremental answer holds only what is news', async () => {
  await withRecords(async (broker) => {
    for (const version of versionsOf(fetch).filter((v) => v >= 7)) {
      const end = broker.running.broker.partitions.get('t', 0)!.log.logEndOffset
      const partitions = [...at(end), { partition: 1, fetchOffset: 0 }]
      const opened = await ask(broker, version, { partitions, session: [0, 0] })
      assert.ok(opened.sessionId !== 0)
      assert.deepEqual(
        opened.partitions.map(({ partitionIndex }) => partitionIndex),
        [0, 1],
      )
      let epoch = 0
      const next = async (more: Asked = {}) => {
        epoch += 1
        const answer = await ask(broker, version, { ...more, session: [opened.sessionId, epoch] })
        assert.deepEqual([answer.errorCode, answer.sessionId], [ErrorCode.NONE, opened.sessionId])
        return answer.partitions.map((one) => [one.partitionIndex, one.errorCode, one.highWatermark])
      }
      assert.deepEqual(await next(), [])
      await produceTo(broker, 2)
      assert.deepEqual(await next(), [[0, ErrorCode.NONE, end + 2]])
      assert.deepEqual(await next({ partitions: at(end + 2) }), [])
      // Nothing but the start of the log has moved.
      await deleteBefore(broker, end + 1)
      assert.deepEqual(await next(), [[0, ErrorCode.NONE, end + 2]])
      assert.deepEqual(await next(), [])
      await deleteBefore(broker, end + 2)
      assert.deepEqual(await next(), [[0, ErrorCode.NONE, end + 2]])
      const outOfRange = [[0, ErrorCode.OFFSET_OUT_OF_RANGE, end + 2]]
      assert.deepEqual(
        await next({ partitions: at(end) }),
        outOfRange.map(([index, code]) => [index, code, -1]),
      )
      assert.deepEqual(await next({ forgotten: [0] }), [])
      const stale = await ask(broker, version, { session: [opened.sessionId, epoch] })
      assert.deepEqual(
        [stale.errorCode, stale.sessionId, stale.partitions],
        [ErrorCode.INVALID_FETCH_SESSION_EPOCH, 0, []],
      )
      const closed = await ask(broker, version, { session: [opened.sessionId, -1] })
      assert.deepEqual([closed.errorCode, closed.sessionId], [ErrorCode.NONE, 0])
      const gone = await ask(broker, version, { session: [opened.sessionId, epoch + 1] })
      assert.equal(gone.errorCode, ErrorCode.FETCH_SESSION_ID_NOT_FOUND)
    }
  })
})

test('Fetch sessions: where answers are too small for all, each partition has its turn; where not, they stay in order', async () => {
  await withSimBroker(async (broker) => {
    await broker.createTopics({ name: 't', partitions: 3 })
    for (const index of [0, 1, 2]) await produceTo(broker, 1, index)
    const partitions = [0, 1, 2].map((partition) => ({ partition, fetchOffset: 0 }))
    const { sessionId } = await ask(broker, 12, { partitions, session: [0, 0], maxBytes: 1 })
    let epoch = 0
    const served = async (maxBytes: number, asked: Asked = {}): Promise<number[]> => {
      const answer = await ask(broker, 12, { ...asked, session: [sessionId, ++epoch], maxBytes })
      return answer.partitions
        .filter(({ records }) => (records?.length ?? 0) > 0)
        .map(({ partitionIndex }) => partitionIndex)
    }
    assert.deepEqual([await served(1), await served(1), await served(1)], [[1], [2], [0]])
    assert.deepEqual(await served(10_000), [1, 2, 0])
    assert.deepEqual(await served(10_000), [1, 2, 0])
    assert.deepEqual([await served(1), await served(10_000)], [[1], [2, 0, 1]])
  })
})

test('Fetch waits for minBytes as long as it is told, and is answered once they are there', async () => {
  await withRecords(async (broker) => {
    const size = makeBatch(1).length
    const timed = async (asked: Asked, meanwhile: () => Promise<void>) => {
      const beganMs = broker.process.clock.nowMs()
      const other = broker.connect()
      const body = {
        maxWaitMs: asked.maxWaitMs ?? 0,
        minBytes: asked.minBytes ?? 1,
        topics: [{ topic: 't', partitions: [{ partition: 1, fetchOffset: 0, partitionMaxBytes: 100_000 }] }],
        forgottenTopicsData: [],
      }
      const answered = other.send({ request: fetchRequest, response: fetchResponse, version: 11 }, body)
      await meanwhile()
      const { responses } = await answered
      const bytes = responses[0]?.partitions[0]?.records?.length ?? 0
      return [bytes, broker.process.clock.nowMs() - beganMs] as const
    }
    const [none, waitedMs] = await timed({ maxWaitMs: 500 }, async () => {})
    assert.equal(none, 0)
    assert.ok(waitedMs >= 500 && waitedMs < 600, `${waitedMs} ms`)
    const [bytes, until] = await timed({ maxWaitMs: 60_000, minBytes: 2 * size }, async () => {
      await broker.sim.sleep(2_000)
      await produceTo(broker, 1, 1)
      await broker.sim.sleep(2_000)
      await produceTo(broker, 1, 1)
    })
    assert.equal(bytes, 2 * size)
    assert.ok(until >= 4_000 && until < 5_000, `${until} ms`)
    const [tooFew, whole] = await timed({ maxWaitMs: 1_000, minBytes: 3 * size }, async () => {})
    assert.equal(tooFew, 2 * size)
    assert.ok(whole >= 1_000 && whole < 1_200, `${whole} ms`)
  })
})
