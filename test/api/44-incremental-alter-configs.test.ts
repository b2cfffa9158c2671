import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ErrorCode } from '../../protocol/errors.ts'
import {
  incrementalAlterConfigsRequest,
  incrementalAlterConfigsResponse,
} from '../../protocol/messages/44-incremental-alter-configs.ts'
import { incrementalAlterConfigs } from '../../src/api/44-incremental-alter-configs.ts'
import { newTopic } from '../metadata/metadata-harness.ts'
import { type AdminHarness, versionsOf, withAdmin } from './admin-harness.ts'

const SCHEMAS = [incrementalAlterConfigsRequest, incrementalAlterConfigsResponse] as const
const [TOPIC, BROKER] = [2, 4]
const [SET, DELETE, APPEND, SUBTRACT] = [0, 1, 2, 3] as const

type Change = readonly [name: string, operation: number, value: string | null]

async function alter(
  admin: AdminHarness,
  version: number,
  changes: readonly Change[],
  { type = TOPIC, name = 't', validateOnly = false } = {},
): Promise<number> {
  const configs = changes.map(([key, configOperation, value]) => ({ name: key, configOperation, value }))
  const resources = [{ resourceType: type, resourceName: name, configs }]
  const body = { resources, validateOnly }
  const { responses } = await admin.call(incrementalAlterConfigs, version, SCHEMAS, body)
  const [answer, ...others] = responses
  assert.deepEqual([answer?.resourceType, answer?.resourceName, others], [type, name, []])
  assert.equal(answer?.errorMessage === null, answer?.errorCode === ErrorCode.NONE)
  return answer!.errorCode
}

const overrides = (admin: AdminHarness): unknown =>
  Object.fromEntries(admin.metadata.topics.get('t')!.config.overrides)

async function inEachVersion(body: (admin: AdminHarness, version: number) => Promise<void>): Promise<void> {
  for (const version of versionsOf(incrementalAlterConfigs))
    await withAdmin(async (admin) => {
      const configs = [{ name: 'retention.ms', value: '1000' }]
      await admin.metadata.createTopics([newTopic('t', 1, { configs })], false)
      await body(admin, version)
    })
}

test('IncrementalAlterConfigs sets and deletes, and leaves the others', async () => {
  await inEachVersion(async (admin, version) => {
    const set: Change = ['segment.ms', SET, '7000']
    assert.equal(await alter(admin, version, [set], { validateOnly: true }), ErrorCode.NONE)
    assert.deepEqual(overrides(admin), { 'retention.ms': '1000' })
    assert.equal(await alter(admin, version, [set]), ErrorCode.NONE)
    assert.deepEqual(overrides(admin), { 'retention.ms': '1000', 'segment.ms': '7000' })
    assert.equal(await alter(admin, version, [['retention.ms', DELETE, null]]), ErrorCode.NONE)
    assert.equal(await alter(admin, version, [['flush.ms', DELETE, 'never set']]), ErrorCode.NONE)
    assert.deepEqual(overrides(admin), { 'segment.ms': '7000' })
    assert.equal(await alter(admin, version, []), ErrorCode.NONE)
    assert.deepEqual(overrides(admin), { 'segment.ms': '7000' })
  })
})

test('IncrementalAlterConfigs appends to lists and subtracts from them, also from what is inherited', async () => {
  await inEachVersion(async (admin, version) => {
    assert.equal(await alter(admin, version, [['cleanup.policy', APPEND, 'compact']]), ErrorCode.NONE)
    const policy = (): unknown => (overrides(admin) as Record<string, string>)['cleanup.policy']
    assert.equal(policy(), 'delete,compact')
    assert.equal(await alter(admin, version, [['cleanup.policy', APPEND, 'compact']]), ErrorCode.NONE)
    assert.equal(policy(), 'delete,compact')
    assert.equal(await alter(admin, version, [['cleanup.policy', SUBTRACT, 'delete']]), ErrorCode.NONE)
    assert.equal(policy(), 'compact')
    assert.equal(await alter(admin, version, [['cleanup.policy', SUBTRACT, 'delete']]), ErrorCode.NONE)
    assert.equal(policy(), 'compact')
    for (const operation of [APPEND, SUBTRACT])
      assert.equal(await alter(admin, version, [['retention.ms', operation, '1']]), ErrorCode.INVALID_CONFIG)
  })
})

test('IncrementalAlterConfigs does all that is asked for a resource or nothing', async () => {
  await inEachVersion(async (admin, version) => {
    const good: Change = ['segment.ms', SET, '7000']
    const { INVALID_CONFIG, INVALID_REQUEST } = ErrorCode
    const cases: [Change[], number][] = [
      [[good, ['retention.ms', SET, 'long']], INVALID_CONFIG],
      [[good, ['no.such.key', SET, '1']], INVALID_CONFIG],
      [[good, ['retention.ms', SET, null]], INVALID_REQUEST],
      [[good, ['cleanup.policy', APPEND, null]], INVALID_REQUEST],
      [[good, ['retention.ms', 4, '1']], INVALID_REQUEST],
      [[good, ['retention.ms', -1, '1']], INVALID_REQUEST],
      [[good, good], INVALID_REQUEST],
      [[good, ['segment.ms', DELETE, null]], INVALID_REQUEST],
    ]
    for (const [index, [changes, expected]] of cases.entries())
      assert.equal(await alter(admin, version, changes), expected, `case ${index}`)
    assert.deepEqual(overrides(admin), { 'retention.ms': '1000' })
  })
})

test('IncrementalAlterConfigs: 1,000 changes of one resource, and no more', async () => {
  await inEachVersion(async (admin, version) => {
    const changes = (count: number): Change[] =>
      Array.from({ length: count }, (_, i): Change => [`key.${i}`, DELETE, null])
    assert.equal(await alter(admin, version, changes(1_000)), ErrorCode.NONE)
    assert.equal(await alter(admin, version, changes(1_001)), ErrorCode.INVALID_REQUEST)
  })
})

test('IncrementalAlterConfigs of brokers: what only files may say is refused', async () => {
  await inEachVersion(async (admin, version) => {
    const { NONE, INVALID_REQUEST } = ErrorCode
    for (const [name, changes, expected] of [
      ['0', [['log.retention.ms', SET, '5000']], NONE],
      ['', [['log.retention.ms', SET, '6000']], NONE],
      ['0', [['node.id', SET, '5']], INVALID_REQUEST],
      ['0', [['log.retention.ms', SET, 'long']], INVALID_REQUEST],
      ['1', [['log.retention.ms', SET, '7000']], INVALID_REQUEST],
      ['00000000000', [['log.retention.ms', SET, '7000']], INVALID_REQUEST],
    ] as const)
      assert.equal(
        await alter(admin, version, changes, { type: BROKER, name }),
        expected,
        `${name} ${changes[0][0]}`,
      )
    assert.equal(admin.metadata.config['log.retention.ms'], 5_000)
  })
})
