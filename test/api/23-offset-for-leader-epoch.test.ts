import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ErrorCode } from '../../protocol/errors.ts'
import { produceRequest, produceResponse } from '../../protocol/messages/00-produce.ts'
import {
  offsetForLeaderEpochRequest,
  offsetForLeaderEpochResponse,
} from '../../protocol/messages/23-offset-for-leader-epoch.ts'
import { offsetForLeaderEpoch } from '../../src/api/23-offset-for-leader-epoch.ts'
import { makeBatch } from '../log/log-fixture.ts'
import { versionsOf } from './admin-harness.ts'
import { type SimBroker, withSimBroker } from './sim-broker.ts'

const SCHEMAS = [offsetForLeaderEpochRequest, offsetForLeaderEpochResponse] as const

interface Asked {
  readonly topic?: string
  readonly partition?: number
  readonly leaderEpoch: number
  readonly currentLeaderEpoch?: number
}

async function ask(broker: SimBroker, version: number, { topic = 't', partition = 0, ...epochs }: Asked) {
  const { topics } = await broker.send(SCHEMAS, version, {
    topics: [{ topic, partitions: [{ partition, ...epochs }] }],
  })
  const answer = topics[0]!.partitions[0]!
  assert.deepEqual([topics[0]?.topic, answer.partition], [topic, partition])
  return [answer.errorCode, answer.leaderEpoch, answer.endOffset]
}

async function withRecords(body: (broker: SimBroker, epoch: number) => Promise<void>): Promise<void> {
  await withSimBroker(async (broker) => {
    await broker.createTopics({ name: 't', partitions: 1 })
    const topicData = [{ name: 't', partitionData: [{ index: 0, records: makeBatch(5) }] }]
    await broker.send([produceRequest, produceResponse], 9, { acks: -1, timeoutMs: 1_000, topicData })
    await body(broker, broker.running.broker.partitions.get('t', 0)!.leaderEpoch)
  })
}

test('OffsetForLeaderEpoch: the end of the log for its epoch, nothing for others', async () => {
  await withRecords(async (broker, epoch) => {
    for (const version of versionsOf(offsetForLeaderEpoch)) {
      const leaderEpoch = version >= 1 ? epoch : -1
      assert.deepEqual(await ask(broker, version, { leaderEpoch: epoch }), [ErrorCode.NONE, leaderEpoch, 5])
      assert.deepEqual(await ask(broker, version, { leaderEpoch: epoch + 1 }), [ErrorCode.NONE, -1, -1])
      const missing = [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, -1, -1]
      assert.deepEqual(await ask(broker, version, { leaderEpoch: 0, topic: 'missing' }), missing)
      assert.deepEqual(await ask(broker, version, { leaderEpoch: 0, partition: 1 }), missing)
    }
  })
})

test('OffsetForLeaderEpoch: a client that believes in another leader epoch is told, from version 2 on', async () => {
  await withRecords(async (broker, epoch) => {
    for (const version of versionsOf(offsetForLeaderEpoch)) {
      const believe = (currentLeaderEpoch: number) =>
        ask(broker, version, { leaderEpoch: epoch, ...(version >= 2 ? { currentLeaderEpoch } : {}) })
      const found = [ErrorCode.NONE, version >= 1 ? epoch : -1, 5]
      assert.deepEqual(await believe(-1), found)
      assert.deepEqual(await believe(epoch), found)
      if (version < 2) continue
      assert.deepEqual(await believe(epoch + 1), [ErrorCode.UNKNOWN_LEADER_EPOCH, -1, -1])
    }
    // As after an election, when a client comes with what it knew before.
    for (const version of versionsOf(offsetForLeaderEpoch).filter((v) => v >= 2))
      if (epoch > 0)
        assert.deepEqual(await ask(broker, version, { leaderEpoch: epoch, currentLeaderEpoch: epoch - 1 }), [
          ErrorCode.FENCED_LEADER_EPOCH,
          -1,
          -1,
        ])
  })
})

test('OffsetForLeaderEpoch answers a partition that is named twice once', async () => {
  await withRecords(async (broker, epoch) => {
    const partitions = [
      { partition: 0, leaderEpoch: epoch },
      { partition: 0, leaderEpoch: epoch },
    ]
    const { topics } = await broker.send(SCHEMAS, 4, { topics: [{ topic: 't', partitions }] })
    assert.deepEqual(
      topics.map((topic) => topic.partitions.map(({ partition }) => partition)),
      [[0]],
    )
  })
})
