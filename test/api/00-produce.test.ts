import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ErrorCode } from '../../protocol/errors.ts'
import { produceRequest, produceResponse } from '../../protocol/messages/00-produce.ts'
import { metadataRequest, metadataResponse } from '../../protocol/messages/03-metadata.ts'
import { produce } from '../../src/api/00-produce.ts'
import { makeBatch } from '../log/log-fixture.ts'
import { versionsOf } from './admin-harness.ts'
import { type SimBroker, withSimBroker } from './sim-broker.ts'

async function produceTo(broker: SimBroker, version: number, ...names: string[]): Promise<number[]> {
  const partitionData = [{ index: 0, records: makeBatch() }]
  const { responses } = await broker.send([produceRequest, produceResponse], version, {
    acks: -1,
    timeoutMs: 1_000,
    topicData: names.map((name) => ({ name, partitionData })),
  })
  return responses.map(({ partitionResponses }) => partitionResponses[0]!.errorCode)
}

test('Produce creates no topic: one that was deleted stays so', async () => {
  await withSimBroker(async (broker) => {
    const { UNKNOWN_TOPIC_OR_PARTITION } = ErrorCode
    await broker.createTopics({ name: 'kept', partitions: 1 }, { name: 'deleted', partitions: 1 })
    assert.deepEqual(await produceTo(broker, 9, 'kept', 'deleted'), [0, 0])
    await broker.running.broker.metadata.deleteTopic('deleted')
    for (const version of versionsOf(produce).filter((v) => v >= 3)) {
      const codes = await produceTo(
        broker,
        version,
        'deleted',
        'kept',
        'never',
        'a b',
        '',
        '__transaction_state',
      )
      const missing = UNKNOWN_TOPIC_OR_PARTITION
      assert.deepEqual(codes, [missing, 0, missing, missing, missing, missing])
    }
    assert.deepEqual([...broker.running.broker.metadata.topics.keys()], ['kept'])

    const ask = { topics: [{ name: 'deleted' }], allowAutoTopicCreation: true }
    await broker.send([metadataRequest, metadataResponse], 9, ask)
    assert.deepEqual(await produceTo(broker, 9, 'deleted'), [0])
  })
})

test('Produce is refused by internal topics of any kind', async () => {
  await withSimBroker(async (broker) => {
    await broker.running.broker.metadata.autoCreateTopic('__consumer_offsets')
    assert.deepEqual(await produceTo(broker, 9, '__consumer_offsets'), [ErrorCode.INVALID_TOPIC_EXCEPTION])
  })
})

test('Produce waits for nobody who creates a topic: it takes records when the topic is there for good', async () => {
  await withSimBroker(async (broker) => {
    const { metadata, partitions } = broker.running.broker
    const made = broker.createTopics({ name: 'large', partitions: 100 })
    while (partitions.get('large', 0) === undefined) await broker.sim.sleep(1)
    assert.ok(!metadata.topics.has('large'), 'its first partitions are open, and it may still be taken back')
    assert.deepEqual(await produceTo(broker, 9, 'large'), [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION])
    await made
    assert.deepEqual(await produceTo(broker, 9, 'large'), [0])
  })
})
