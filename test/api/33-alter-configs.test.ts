import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ErrorCode } from '../../protocol/errors.ts'
import { alterConfigsRequest, alterConfigsResponse } from '../../protocol/messages/33-alter-configs.ts'
import { alterConfigs } from '../../src/api/33-alter-configs.ts'
import { newTopic } from '../metadata/metadata-harness.ts'
import { type AdminHarness, versionsOf, withAdmin } from './admin-harness.ts'

const SCHEMAS = [alterConfigsRequest, alterConfigsResponse] as const
const [TOPIC, BROKER, BROKER_LOGGER] = [2, 4, 8]

interface Asked {
  readonly type?: number
  readonly name: string
  readonly configs: Readonly<Record<string, string | null>>
}

async function alter(admin: AdminHarness, version: number, validateOnly: boolean, ...asked: Asked[]) {
  const resources = asked.map(({ type = TOPIC, name, configs }) => ({
    resourceType: type,
    resourceName: name,
    configs: Object.entries(configs).map(([key, value]) => ({ name: key, value })),
  }))
  const { responses } = await admin.call(alterConfigs, version, SCHEMAS, { resources, validateOnly })
  for (const { errorCode, errorMessage } of responses)
    assert.equal(errorMessage === null, errorCode === ErrorCode.NONE)
  return responses.map(({ resourceType, resourceName, errorCode }) => [resourceType, resourceName, errorCode])
}

const overrides = (admin: AdminHarness, topic: string): unknown =>
  Object.fromEntries(admin.metadata.topics.get(topic)!.config.overrides)

test('AlterConfigs replaces all that a topic has of its own, or only says that it would', async () => {
  await withAdmin(async (admin) => {
    for (const version of versionsOf(alterConfigs)) {
      const name = `t${version}`
      const configs = [{ name: 'retention.ms', value: '1000' }]
      await admin.metadata.createTopics([newTopic(name, 1, { configs })], false)
      const asked = { name, configs: { 'cleanup.policy': 'compact' } }
      const done = [[TOPIC, name, ErrorCode.NONE]]
      assert.deepEqual(await alter(admin, version, true, asked), done)
      assert.deepEqual(overrides(admin, name), { 'retention.ms': '1000' })
      assert.deepEqual(await alter(admin, version, false, asked), done)
      assert.deepEqual(overrides(admin, name), { 'cleanup.policy': 'compact' })
      assert.deepEqual(await alter(admin, version, false, { name, configs: {} }), done)
      assert.deepEqual(overrides(admin, name), {})
    }
  })
})

test('AlterConfigs refuses a resource as a whole, and the others go on', async () => {
  await withAdmin(async (admin) => {
    await admin.metadata.createTopics([newTopic('a', 1), newTopic('b', 1)], false)
    for (const version of versionsOf(alterConfigs)) {
      const valid = { 'retention.ms': String(version) }
      const answers = await alter(
        admin,
        version,
        false,
        { name: 'a', configs: { ...valid, 'segment.ms': 'soon' } },
        { name: 'b', configs: valid },
        { name: 'missing', configs: valid },
        { name: 'a b', configs: valid },
        { name: '', configs: valid },
        { type: BROKER_LOGGER, name: '0', configs: {} },
        { type: BROKER, name: 'x', configs: {} },
        { type: BROKER, name: '7', configs: {} },
        { type: BROKER, name: '0', configs: { 'log.dirs': '/tmp' } },
      )
      const { NONE, INVALID_CONFIG, INVALID_REQUEST } = ErrorCode
      assert.deepEqual(answers, [
        [TOPIC, 'a', INVALID_CONFIG],
        [TOPIC, 'b', NONE],
        [TOPIC, 'missing', ErrorCode.UNKNOWN_TOPIC_OR_PARTITION],
        [TOPIC, 'a b', ErrorCode.INVALID_TOPIC_EXCEPTION],
        [TOPIC, '', INVALID_REQUEST],
        [BROKER_LOGGER, '0', INVALID_REQUEST],
        [BROKER, 'x', INVALID_REQUEST],
        [BROKER, '7', INVALID_REQUEST],
        [BROKER, '0', INVALID_REQUEST],
      ])
      assert.deepEqual([overrides(admin, 'a'), overrides(admin, 'b')], [{}, valid])
    }
  })
})

test('AlterConfigs changes nothing of a resource that is named twice', async () => {
  await withAdmin(async (admin) => {
    await admin.metadata.createTopics([newTopic('a', 1)], false)
    for (const version of versionsOf(alterConfigs)) {
      const asked = ['1', '2'].map((value) => ({ name: 'a', configs: { 'retention.ms': value } }))
      assert.deepEqual(await alter(admin, version, false, ...asked), [
        [TOPIC, 'a', ErrorCode.INVALID_REQUEST],
      ])
    }
    assert.deepEqual(overrides(admin, 'a'), {})
  })
})

test('AlterConfigs of a broker, and of all brokers', async () => {
  await withAdmin(async (admin) => {
    const retentionMs = (): unknown => admin.metadata.config['log.retention.ms']
    const before = retentionMs()
    const set = (name: string, value: string) =>
      alter(admin, 2, false, { type: BROKER, name, configs: { 'log.retention.ms': value } })
    assert.deepEqual(await set('', '5000'), [[BROKER, '', ErrorCode.NONE]])
    assert.equal(retentionMs(), 5_000)
    assert.deepEqual(await set('0', '6000'), [[BROKER, '0', ErrorCode.NONE]])
    assert.equal(retentionMs(), 6_000, 'its own stands above that of all')
    await alter(admin, 2, false, { type: BROKER, name: '0', configs: {} })
    assert.equal(retentionMs(), 5_000)
    await alter(admin, 2, false, { type: BROKER, name: '', configs: {} })
    assert.equal(retentionMs(), before)
  })
})
