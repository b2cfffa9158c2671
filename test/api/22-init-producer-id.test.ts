import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ErrorCode } from '../../protocol/errors.ts'
import { produceRequest, produceResponse } from '../../protocol/messages/00-produce.ts'
import { listOffsetsRequest, listOffsetsResponse } from '../../protocol/messages/02-list-offsets.ts'
import { initProducerIdRequest, initProducerIdResponse } from '../../protocol/messages/22-init-producer-id.ts'
import { initProducerId } from '../../src/api/22-init-producer-id.ts'
import { makeBatch } from '../log/log-fixture.ts'
import { versionsOf } from './admin-harness.ts'
import { withSimBroker } from './sim-broker.ts'

const INIT = [initProducerIdRequest, initProducerIdResponse] as const
const NOT_TRANSACTIONAL = { transactionalId: null, transactionTimeoutMs: 0 }

test('InitProducerId: an identity that was brought is ignored, every producer gets one of its own', async () => {
  await withSimBroker(async (broker) => {
    const given = new Set<number>()
    let asked = 0
    for (const version of versionsOf(initProducerId).filter((v) => v >= 3))
      for (const [producerId, producerEpoch] of [
        [-1, -1],
        [0, 0],
        [0, 0],
        [5, 3],
        [5, 32_767],
        [-2, -2],
        [-7, 3],
      ] as const) {
        const body = { ...NOT_TRANSACTIONAL, producerId, producerEpoch }
        const answer = await broker.send(INIT, version, body)
        assert.deepEqual([answer.errorCode, answer.producerEpoch], [ErrorCode.NONE, 0])
        given.add(answer.producerId)
        asked += 1
      }
    assert.equal(given.size, asked)
  })
})

test('InitProducerId: two producers that bring the same identity both have their records in the log', async () => {
  await withSimBroker(async (broker) => {
    await broker.createTopics({ name: 't', partitions: 1 })
    for (let n = 0; n < 2; n++) {
      const brought = { ...NOT_TRANSACTIONAL, producerId: 0, producerEpoch: 0 }
      const { producerId, producerEpoch } = await broker.send(INIT, 3, brought)
      const records = makeBatch(1, 10, { producerId, producerEpoch, baseSequence: 0 })
      const topicData = [{ name: 't', partitionData: [{ index: 0, records }] }]
      await broker.send([produceRequest, produceResponse], 9, { acks: -1, timeoutMs: 1_000, topicData })
    }
    const partitions = [{ partitionIndex: 0, timestamp: -1 }]
    const { topics } = await broker.send([listOffsetsRequest, listOffsetsResponse], 5, {
      replicaId: -1,
      topics: [{ name: 't', partitions }],
    })
    assert.equal(topics[0]?.partitions[0]?.offset, 2)
  })
})

test('InitProducerId refuses half an identity, and transactional ids in words that clients take as final', async () => {
  await withSimBroker(async (broker) => {
    const { INVALID_REQUEST, TRANSACTIONAL_ID_AUTHORIZATION_FAILED } = ErrorCode
    for (const version of versionsOf(initProducerId)) {
      const ask = async (transactionalId: string | null, producerId = -1, producerEpoch = -1) => {
        const brought = version < 3 ? {} : { producerId, producerEpoch }
        const answer = await broker.send(INIT, version, {
          transactionalId,
          transactionTimeoutMs: 1_000,
          ...brought,
        })
        assert.deepEqual([answer.producerId, answer.producerEpoch], [-1, -1])
        return answer.errorCode
      }
      assert.equal(await ask(''), INVALID_REQUEST)
      assert.equal(await ask('tx'), TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
      if (version < 3) continue
      assert.equal(await ask('tx', 4, 1), TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
      for (const transactionalId of [null, 'tx', '']) {
        assert.equal(await ask(transactionalId, 5, -1), INVALID_REQUEST)
        assert.equal(await ask(transactionalId, -1, 3), INVALID_REQUEST)
      }
    }
  })
})
