import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ErrorCode } from '../../protocol/errors.ts'
import { produceRequest, produceResponse } from '../../protocol/messages/00-produce.ts'
import {
  describeProducersRequest,
  describeProducersResponse,
} from '../../protocol/messages/61-describe-producers.ts'
import { makeBatch, NOW } from '../log/log-fixture.ts'
import { type SimBroker, withSimBroker } from './sim-broker.ts'

async function describe(broker: SimBroker, ...topics: { name: string; partitionIndexes: number[] }[]) {
  const answer = await broker.send([describeProducersRequest, describeProducersResponse], 0, { topics })
  return answer.topics
}

test('DescribeProducers tells what each partition remembers of its producers', async () => {
  await withSimBroker(async (broker) => {
    await broker.createTopics({ name: 't', partitions: 2 })
    for (const [producerId, producerEpoch, baseSequence, count] of [
      [5, 0, 0, 3],
      [7, 2, 0, 1],
      [5, 0, 3, 2],
    ] as const) {
      const records = makeBatch(count, 10, { producerId, producerEpoch, baseSequence })
      const topicData = [{ name: 't', partitionData: [{ index: 1, records }] }]
      const { responses } = await broker.send([produceRequest, produceResponse], 9, {
        acks: -1,
        timeoutMs: 1_000,
        topicData,
      })
      assert.equal(responses[0]?.partitionResponses[0]?.errorCode, ErrorCode.NONE)
    }
    const [topic] = await describe(broker, { name: 't', partitionIndexes: [1, 0, 1, 2] })
    assert.deepEqual(
      topic?.partitions.map(({ partitionIndex, errorCode }) => [partitionIndex, errorCode]),
      [
        [1, ErrorCode.NONE],
        [0, ErrorCode.NONE],
        [2, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION],
      ],
    )
    const [, none, missing] = topic.partitions
    assert.deepEqual([none?.activeProducers, missing?.activeProducers], [[], []])
    assert.deepEqual(
      topic.partitions[0]?.activeProducers
        .map((producer) => [
          producer.producerId,
          producer.producerEpoch,
          producer.lastSequence,
          producer.lastTimestamp,
          producer.currentTxnStartOffset,
        ])
        .sort((a, b) => a[0]! - b[0]!),
      [
        [5, 0, 4, NOW + 1, -1],
        [7, 2, 0, NOW, -1],
      ],
    )
    const [unknown] = await describe(broker, { name: 'missing', partitionIndexes: [0] })
    assert.equal(unknown?.partitions[0]?.errorCode, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
  })
})

test('an answer holds 100,000 producers, and those of a partition are all in it or none', async () => {
  await withSimBroker(async (broker) => {
    await broker.createTopics({ name: 't', partitions: 3 })
    for (const [index, count] of [70_000, 30_001, 100_001].entries()) {
      const { producers } = broker.running.broker.partitions.get('t', index)!.log
      for (let id = 0; id < count; id++) producers.appended(id, 0, 0, id, id, NOW, false, id)
    }
    const counted = async (...partitionIndexes: number[]) => {
      const [topic] = await describe(broker, { name: 't', partitionIndexes })
      return topic!.partitions.map(({ errorCode, errorMessage, activeProducers }) => [
        errorCode,
        activeProducers.length,
        errorMessage,
      ])
    }
    const fewer = 'The answer holds 100000 producers at most: ask for fewer partitions.'
    const never = 'The partition has 100001 producers, and one answer holds 100000.'
    assert.deepEqual(await counted(0, 1), [
      [ErrorCode.NONE, 70_000, null],
      [ErrorCode.POLICY_VIOLATION, 0, fewer],
    ])
    assert.deepEqual(await counted(2, 1), [
      [ErrorCode.POLICY_VIOLATION, 0, never],
      [ErrorCode.NONE, 30_001, null],
    ])
  })
})
