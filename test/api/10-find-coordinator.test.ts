import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../protocol/errors.ts'
import { findCoordinator } from '../../src/api/10-find-coordinator.ts'
import { GroupApis, versionsOf } from './group-api-fixture.ts'

test('every version finds this broker, under the address of the listener, and creates the offsets topic', async () => {
  for (const version of versionsOf(findCoordinator)) {
    const apis = await GroupApis.start()
    const keys = version < 4 ? { key: 'g' } : { coordinatorKeys: ['g', 'h'] }
    const response = await apis.call(findCoordinator, version, keys)
    const found = version < 4 ? [response] : (response['coordinators'] as Record<string, unknown>[])
    assert.equal(found.length, version < 4 ? 1 : 2)
    for (const { errorCode, errorMessage, nodeId, host, port } of found) {
      assert.deepEqual([errorCode, nodeId, host, port], [0, 7, 'broker.example', 9092])
      // As in Kafka: the name of the error below version 4, and nothing from there on.
      if (version > 0) assert.equal(errorMessage, version < 4 ? 'NONE' : '')
    }
    assert.equal(apis.log.ensured, 1)
  }
})

test('no offsets topic, no coordinator', async () => {
  const apis = await GroupApis.start()
  apis.log.topicError = new Error('no')
  const response = await apis.call(findCoordinator, 3, { key: 'g' })
  assert.equal(response['errorCode'], ErrorCode.COORDINATOR_NOT_AVAILABLE)
  assert.equal(response['nodeId'], -1)
})

test('transactional ids and key types nobody knows are refused', async () => {
  const apis = await GroupApis.start()
  for (const [keyType, expected] of [
    [1, ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED],
    [2, ErrorCode.INVALID_REQUEST],
    [-1, ErrorCode.INVALID_REQUEST],
  ] as const) {
    for (const version of versionsOf(findCoordinator).filter((v) => v > 0)) {
      const body = version < 4 ? { keyType, key: 't' } : { keyType, coordinatorKeys: ['t'] }
      const response = await apis.call(findCoordinator, version, body)
      const [coordinator] = version < 4 ? [response] : (response['coordinators'] as Record<string, unknown>[])
      assert.equal(coordinator!['errorCode'], expected)
      assert.equal(coordinator!['nodeId'], -1)
      assert.match(String(coordinator!['errorMessage']), keyType === 1 ? /no transactions/ : /key type/)
      if (version >= 4) assert.equal(coordinator!['key'], 't')
    }
  }
  assert.equal(apis.log.ensured, 0)
})

test('the leader of the partition is the coordinator, under its address for the listener; without one there is none', async () => {
  for (const version of versionsOf(findCoordinator)) {
    const apis = await GroupApis.start()
    apis.led(['g'], 8)
    apis.led(['h'], -1)
    apis.led(['i'], 9)
    const endpoints = new Map([['PLAINTEXT', { host: 'eight.example', port: 9098 }]])
    apis.brokers.set(8, { id: 8, endpoints })
    apis.brokers.set(9, { id: 9, endpoints: new Map([['OTHER', { host: 'nine.example', port: 9099 }]]) })
    const expected = {
      g: [0, 8, 'eight.example', 9098],
      h: [ErrorCode.COORDINATOR_NOT_AVAILABLE, -1, '', -1],
      i: [ErrorCode.COORDINATOR_NOT_AVAILABLE, -1, '', -1],
      j: [0, 7, 'broker.example', 9092],
    }
    const keys = Object.keys(expected)
    const found =
      version < 4
        ? await Promise.all(keys.map((key) => apis.call(findCoordinator, version, { key })))
        : ((await apis.call(findCoordinator, version, { coordinatorKeys: keys }))['coordinators'] as Record<
            string,
            unknown
          >[])
    assert.deepEqual(
      found.map(({ errorCode, nodeId, host, port }) => [errorCode, nodeId, host, port]),
      Object.values(expected),
    )
  }
})
