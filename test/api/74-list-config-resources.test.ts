import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ErrorCode } from '../../protocol/errors.ts'
import {
  listConfigResourcesRequest,
  listConfigResourcesResponse,
} from '../../protocol/messages/74-list-config-resources.ts'
import { listConfigResources } from '../../src/api/74-list-config-resources.ts'
import { newTopic } from '../metadata/metadata-harness.ts'
import { type AdminHarness, withAdmin } from './admin-harness.ts'

const SCHEMAS = [listConfigResourcesRequest, listConfigResourcesResponse] as const
const [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP] = [2, 4, 8, 16, 32]

async function list(admin: AdminHarness, ...resourceTypes: number[]) {
  const answer = await admin.call(listConfigResources, 1, SCHEMAS, { resourceTypes })
  const named = answer.configResources.map(({ resourceType, resourceName }) => [resourceType, resourceName])
  return [answer.errorCode, ...named]
}

test('ListConfigResources: of all types, or of those asked for', async () => {
  await withAdmin(async (admin) => {
    await admin.metadata.createTopics([newTopic('a', 1), newTopic('b', 1)], false)
    const topics = [
      [TOPIC, 'a'],
      [TOPIC, 'b'],
    ]
    assert.deepEqual(await list(admin), [ErrorCode.NONE, ...topics, [BROKER, '0'], [BROKER_LOGGER, '0']])
    assert.deepEqual(await list(admin, BROKER_LOGGER), [ErrorCode.NONE, [BROKER_LOGGER, '0']])
    assert.deepEqual(await list(admin, TOPIC), [ErrorCode.NONE, ...topics])
    assert.deepEqual(await list(admin, BROKER, TOPIC, BROKER), [ErrorCode.NONE, [BROKER, '0'], ...topics])
    assert.deepEqual(await list(admin, CLIENT_METRICS), [ErrorCode.NONE])
    assert.deepEqual(await list(admin, GROUP), [ErrorCode.NONE])
    for (const unknown of [0, 3, 64, -1])
      assert.deepEqual(await list(admin, TOPIC, unknown), [ErrorCode.UNSUPPORTED_VERSION], `type ${unknown}`)
  })
})

test('ListConfigResources v0 is about client metrics only, of which there are none', async () => {
  await withAdmin(async (admin) => {
    await admin.metadata.createTopics([newTopic('a', 1)], false)
    const answer = await admin.call(listConfigResources, 0, SCHEMAS, {})
    assert.deepEqual([answer.errorCode, answer.configResources], [ErrorCode.NONE, []])
  })
})
