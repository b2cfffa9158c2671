import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ErrorCode } from '../../protocol/errors.ts'
import { saslHandshakeRequest, saslHandshakeResponse } from '../../protocol/messages/17-sasl-handshake.ts'
import { apiVersionsRequest, apiVersionsResponse } from '../../protocol/messages/18-api-versions.ts'
import {
  saslAuthenticateRequest,
  saslAuthenticateResponse,
} from '../../protocol/messages/36-sasl-authenticate.ts'
import { describeQuorumRequest, describeQuorumResponse } from '../../protocol/messages/55-describe-quorum.ts'
import { updateFeaturesRequest, updateFeaturesResponse } from '../../protocol/messages/57-update-features.ts'
import {
  describeTransactionsRequest,
  describeTransactionsResponse,
} from '../../protocol/messages/65-describe-transactions.ts'
import {
  listTransactionsRequest,
  listTransactionsResponse,
} from '../../protocol/messages/66-list-transactions.ts'
import { saslHandshake } from '../../src/api/17-sasl-handshake.ts'
import { apiVersions } from '../../src/api/18-api-versions.ts'
import { saslAuthenticate } from '../../src/api/36-sasl-authenticate.ts'
import { describeQuorum } from '../../src/api/55-describe-quorum.ts'
import { updateFeatures } from '../../src/api/57-update-features.ts'
import { describeTransactions } from '../../src/api/65-describe-transactions.ts'
import { listTransactions } from '../../src/api/66-list-transactions.ts'
import { apis } from '../../src/api/table.ts'
import { versionsOf } from './admin-harness.ts'
import { withSimBroker } from './sim-broker.ts'

/** What Kafka offers and is not here: offered only where an honest answer exists. */
const NOT_OFFERED = {
  AddPartitionsToTxn: 24,
  AddOffsetsToTxn: 25,
  EndTxn: 26,
  TxnOffsetCommit: 28,
  CreateDelegationToken: 38,
  AlterClientQuotas: 49,
  ConsumerGroupHeartbeat: 68,
  ShareGroupHeartbeat: 76,
}

test('nothing is offered that cannot be done', () => {
  for (const [name, key] of Object.entries(NOT_OFFERED)) assert.ok(!apis.has(key), name)
})

test('SASL: a listener without it says so', async () => {
  await withSimBroker(async (broker) => {
    for (const version of versionsOf(saslHandshake)) {
      const schemas = [saslHandshakeRequest, saslHandshakeResponse] as const
      const { errorCode, mechanisms } = await broker.send(schemas, version, { mechanism: 'PLAIN' })
      assert.deepEqual([errorCode, mechanisms], [ErrorCode.ILLEGAL_SASL_STATE, []])
    }
    for (const version of versionsOf(saslAuthenticate)) {
      const schemas = [saslAuthenticateRequest, saslAuthenticateResponse] as const
      const answer = await broker.send(schemas, version, { authBytes: Buffer.from('\0user\0secret') })
      assert.equal(answer.errorCode, ErrorCode.ILLEGAL_SASL_STATE)
      assert.match(answer.errorMessage ?? '', /no SASL/)
      assert.deepEqual([answer.authBytes.length, answer.sessionLifetimeMs], [0, 0])
    }
  })
})

test('DescribeQuorum is refused with the reason', async () => {
  await withSimBroker(async (broker) => {
    const topics = [{ topicName: '__cluster_metadata', partitions: [{ partitionIndex: 0 }] }]
    for (const version of versionsOf(describeQuorum)) {
      const answer = await broker.send([describeQuorumRequest, describeQuorumResponse], version, { topics })
      assert.equal(answer.errorCode, ErrorCode.UNSUPPORTED_VERSION)
      assert.deepEqual(answer.topics, [])
      assert.match(answer.errorMessage ?? '', version < 2 ? /^$/ : /no KRaft quorum/)
    }
  })
})

test('features: none is there, none is finalized, and none can be', async () => {
  await withSimBroker(async (broker) => {
    for (const version of versionsOf(apiVersions).filter((v) => v >= 3)) {
      const software = { clientSoftwareName: 'test', clientSoftwareVersion: '1' }
      const answer = await broker.send([apiVersionsRequest, apiVersionsResponse], version, software)
      assert.deepEqual(
        [answer.supportedFeatures, answer.finalizedFeatures, answer.finalizedFeaturesEpoch],
        [[], [], 0],
      )
      assert.equal(answer.apiKeys.length, apis.size)
    }
    for (const version of versionsOf(updateFeatures)) {
      const schemas = [updateFeaturesRequest, updateFeaturesResponse] as const
      const none = await broker.send(schemas, version, { featureUpdates: [] })
      assert.deepEqual([none.errorCode, none.errorMessage, none.results], [ErrorCode.NONE, null, []])
      const featureUpdates = ['metadata.version', 'nope'].map((feature) => ({ feature, maxVersionLevel: 7 }))
      const some = await broker.send(schemas, version, { featureUpdates })
      assert.equal(some.errorCode, ErrorCode.INVALID_UPDATE_VERSION)
      assert.match(some.errorMessage ?? '', /update version 7 for feature metadata\.version/)
      assert.deepEqual(some.results, [])
    }
  })
})

test('transactions: there are none to list or to describe', async () => {
  await withSimBroker(async (broker) => {
    for (const version of versionsOf(listTransactions)) {
      const list = async (stateFilters: string[], transactionalIdPattern: string | null = null) => {
        const filters = { stateFilters, producerIdFilters: [1, 2n ** 63n - 1n] }
        const pattern = version < 2 ? {} : { transactionalIdPattern }
        const schemas = [listTransactionsRequest, listTransactionsResponse] as const
        const answer = await broker.send(schemas, version, { ...filters, ...pattern })
        assert.deepEqual(answer.transactionStates, [])
        return [answer.errorCode, answer.unknownStateFilters]
      }
      assert.deepEqual(await list([]), [ErrorCode.NONE, []])
      assert.deepEqual(await list(['Ongoing', 'bad', '', 'PrepareEpochFence']), [ErrorCode.NONE, ['bad', '']])
      if (version < 2) continue
      for (const pattern of ['', 'a.*', '(?i)a', 'a(?s:b)c'])
        assert.deepEqual(await list([], pattern), [ErrorCode.NONE, []], pattern)
      for (const pattern of ['(', 'a)', '[', '*'])
        assert.deepEqual(await list(['bad'], pattern), [ErrorCode.INVALID_REGULAR_EXPRESSION, []], pattern)
    }
    for (const version of versionsOf(describeTransactions)) {
      const schemas = [describeTransactionsRequest, describeTransactionsResponse] as const
      const { transactionStates } = await broker.send(schemas, version, { transactionalIds: ['a', '', 'a'] })
      assert.deepEqual(
        transactionStates.map(({ transactionalId, errorCode, topics }) => [
          transactionalId,
          errorCode,
          topics,
        ]),
        [
          ['a', ErrorCode.TRANSACTIONAL_ID_NOT_FOUND, []],
          ['', ErrorCode.INVALID_REQUEST, []],
          ['a', ErrorCode.TRANSACTIONAL_ID_NOT_FOUND, []],
        ],
      )
    }
  })
})
