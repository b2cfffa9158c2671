import assert from 'node:assert/strict'
import { describe, it } from 'node:test'

import { ErrorCode } from '../../protocol/errors.ts'
import {
  describeConfigsRequest,
  describeConfigsResponse,
} from '../../protocol/messages/32-describe-configs.ts'
import { alterConfigsRequest, alterConfigsResponse } from '../../protocol/messages/33-alter-configs.ts'
import {
  incrementalAlterConfigsRequest,
  incrementalAlterConfigsResponse,
} from '../../protocol/messages/44-incremental-alter-configs.ts'
import {
  listConfigResourcesRequest,
  listConfigResourcesResponse,
} from '../../protocol/messages/74-list-config-resources.ts'
import { describeConfigs } from '../../src/api/32-describe-configs.ts'
import { alterConfigs } from '../../src/api/33-alter-configs.ts'
import { incrementalAlterConfigs } from '../../src/api/44-incremental-alter-configs.ts'
import { listConfigResources } from '../../src/api/74-list-config-resources.ts'
import { newTopic } from '../metadata/metadata-harness.ts'
import { versionsOf, withAdmin } from './admin-harness.ts'
import type { AdminHarness } from './admin-harness.ts'

const TOPIC = 2
const BROKER = 4

async function describeOne(
  admin: AdminHarness,
  version: number,
  resourceType: number,
  resourceName: string,
  configurationKeys: string[] | null = null,
) {
  const schemas = [describeConfigsRequest, describeConfigsResponse] as const
  const { results } = await admin.call(describeConfigs, version, schemas, {
    resources: [{ resourceType, resourceName, configurationKeys }],
    ...(version >= 1 ? { includeSynonyms: true } : {}),
    ...(version >= 3 ? { includeDocumentation: true } : {}),
  })
  const result = results[0]!
  return { ...result, find: (name: string) => result.configs.find((config) => config.name === name) }
}

describe('DescribeConfigs', () => {
  it('describes a topic in every version', async () => {
    await withAdmin(
      async (admin) => {
        await admin.metadata.createTopics(
          [newTopic('a', 1, { configs: [{ name: 'segment.bytes', value: '2000000' }] })],
          false,
        )
        for (const version of versionsOf(describeConfigs)) {
          const { find } = await describeOne(admin, version, TOPIC, 'a')
          assert.equal(find('flush.messages')?.value, '9223372036854775807')
          const own = find('segment.bytes')
          const inherited = find('retention.ms')
          assert.deepEqual([own?.value, inherited?.value], ['2000000', '7200000'])
          if (version === 0) assert.deepEqual([own?.isDefault, find('flush.ms')?.isDefault], [false, true])
          if (version < 1) continue
          assert.deepEqual(
            [own?.configSource, inherited?.configSource, find('flush.ms')?.configSource],
            [1, 5, 5],
          )
          assert.deepEqual(own?.synonyms, [
            { name: 'segment.bytes', value: '2000000', source: 1 },
            { name: 'log.segment.bytes', value: '1073741824', source: 5 },
          ])
          assert.deepEqual(inherited?.synonyms, [])
          if (version < 3) continue
          assert.deepEqual([own.configType, find('cleanup.policy')?.configType], [3, 7])
          assert.match(own.documentation ?? '', /segment/)
        }
      },
      { 'log.retention.hours': '2' },
    )
  })

  it('answers only the keys that were asked for', async () => {
    await withAdmin(async (admin) => {
      await admin.metadata.createTopics([newTopic('a', 1)], false)
      const some = await describeOne(admin, 4, TOPIC, 'a', ['retention.ms', 'nope'])
      assert.deepEqual(
        some.configs.map(({ name }) => name),
        ['retention.ms'],
      )
      assert.ok((await describeOne(admin, 4, TOPIC, 'a', [])).configs.length > 20)
    })
  })

  it('describes brokers and the values of all brokers', async () => {
    await withAdmin(async (admin) => {
      const change = { name: 'log.segment.bytes', operation: 'set', value: '2000000' } as const
      await admin.metadata.incrementalAlterConfigs({ kind: 'broker', id: null }, [change], false)
      const broker = await describeOne(admin, 4, BROKER, '0')
      assert.equal(broker.find('delete.topic.enable')?.value, 'true')
      assert.match(broker.find('inter.broker.protocol.version')?.value ?? '', /^\d+\.\d+/)
      assert.deepEqual(
        [broker.find('log.segment.bytes')?.value, broker.find('log.segment.bytes')?.configSource],
        ['2000000', 3],
      )
      assert.deepEqual(
        [broker.find('num.partitions')?.readOnly, broker.find('log.segment.bytes')?.readOnly],
        [true, false],
      )
      const everywhere = await describeOne(admin, 4, BROKER, '')
      assert.deepEqual(
        everywhere.configs.map(({ name, value, configSource }) => [name, value, configSource]),
        [['log.segment.bytes', '2000000', 3]],
      )
    })
  })

  it('says what it does not know', async () => {
    await withAdmin(async (admin) => {
      const errorOf = async (type: number, name: string) =>
        (await describeOne(admin, 4, type, name)).errorCode
      assert.equal(await errorOf(TOPIC, 'unknown'), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
      assert.equal(await errorOf(TOPIC, 'bad name'), ErrorCode.INVALID_TOPIC_EXCEPTION)
      assert.equal(await errorOf(BROKER, '1'), ErrorCode.INVALID_REQUEST)
      assert.equal(await errorOf(BROKER, 'x'), ErrorCode.INVALID_REQUEST)
      assert.equal(await errorOf(8, '0'), ErrorCode.INVALID_REQUEST)
      assert.equal(await errorOf(99, 'x'), ErrorCode.INVALID_REQUEST)
      assert.equal(await errorOf(16, 'metrics'), ErrorCode.NONE)
      assert.equal(await errorOf(32, 'group'), ErrorCode.NONE)
      assert.equal(await errorOf(16, ''), ErrorCode.INVALID_REQUEST)
      assert.equal(await errorOf(32, ''), ErrorCode.INVALID_REQUEST)
      assert.equal(await errorOf(BROKER, '+0'), ErrorCode.NONE)
    })
  })
})

describe('AlterConfigs and IncrementalAlterConfigs', () => {
  it('change configurations in every version', async () => {
    await withAdmin(async (admin) => {
      await admin.metadata.createTopics([newTopic('a', 1)], false)
      const overrides = () => Object.fromEntries(admin.metadata.topics.get('a')!.config.overrides)
      for (const version of versionsOf(incrementalAlterConfigs)) {
        const configs = [
          { name: 'segment.bytes', configOperation: 0, value: '2000000' },
          { name: 'cleanup.policy', configOperation: 2, value: 'compact' },
        ]
        const { responses } = await admin.call(
          incrementalAlterConfigs,
          version,
          [incrementalAlterConfigsRequest, incrementalAlterConfigsResponse],
          { resources: [{ resourceType: TOPIC, resourceName: 'a', configs }], validateOnly: false },
        )
        assert.deepEqual(responses, [
          { errorCode: 0, errorMessage: null, resourceType: TOPIC, resourceName: 'a' },
        ])
        assert.deepEqual(overrides(), { 'segment.bytes': '2000000', 'cleanup.policy': 'delete,compact' })
      }
      for (const version of versionsOf(alterConfigs)) {
        const configs = [{ name: 'retention.ms', value: String(version) }]
        await admin.call(alterConfigs, version, [alterConfigsRequest, alterConfigsResponse], {
          resources: [{ resourceType: TOPIC, resourceName: 'a', configs }],
          validateOnly: false,
        })
        assert.deepEqual(overrides(), { 'retention.ms': String(version) })
      }
    })
  })

  it('refuse what cannot be changed, resource by resource', async () => {
    await withAdmin(async (admin) => {
      await admin.metadata.createTopics([newTopic('a', 1)], false)
      const change = (resourceType: number, resourceName: string, configOperation = 0) => ({
        resourceType,
        resourceName,
        configs: [{ name: 'segment.bytes', configOperation, value: '2000000' }],
      })
      const { responses } = await admin.call(
        incrementalAlterConfigs,
        1,
        [incrementalAlterConfigsRequest, incrementalAlterConfigsResponse],
        {
          resources: [
            change(TOPIC, 'a', 9),
            change(TOPIC, 'unknown'),
            change(TOPIC, ''),
            change(TOPIC, 'b@d'),
            { ...change(TOPIC, 'missing'), configs: [{ name: 'nope', configOperation: 0, value: '1' }] },
            change(BROKER, 'x'),
            change(BROKER, '7'),
            change(8, '0'),
            change(TOPIC, 'twice'),
            change(TOPIC, 'twice'),
          ],
          validateOnly: false,
        },
      )
      assert.deepEqual(
        responses.map(({ errorCode }) => errorCode),
        [
          ErrorCode.INVALID_REQUEST,
          ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
          ErrorCode.INVALID_REQUEST,
          ErrorCode.INVALID_TOPIC_EXCEPTION,
          ErrorCode.INVALID_CONFIG,
          ErrorCode.INVALID_REQUEST,
          ErrorCode.INVALID_REQUEST,
          ErrorCode.INVALID_REQUEST,
          ErrorCode.INVALID_REQUEST,
        ],
      )
      assert.equal(admin.metadata.topics.get('a')?.config.overrides.size, 0)
    })
  })
})

describe('ListConfigResources', () => {
  it('lists what can be described', async () => {
    await withAdmin(async (admin) => {
      await admin.metadata.createTopics([newTopic('a', 1)], false)
      const schemas = [listConfigResourcesRequest, listConfigResourcesResponse] as const
      const old = await admin.call(listConfigResources, 0, schemas, {})
      assert.deepEqual([old.errorCode, old.configResources], [ErrorCode.NONE, []])
      const all = await admin.call(listConfigResources, 1, schemas, { resourceTypes: [] })
      assert.deepEqual(all.configResources, [
        { resourceName: 'a', resourceType: TOPIC },
        { resourceName: '0', resourceType: BROKER },
        { resourceName: '0', resourceType: 8 },
      ])
      const brokers = await admin.call(listConfigResources, 1, schemas, { resourceTypes: [BROKER] })
      assert.equal(brokers.configResources.length, 1)
      const unknown = await admin.call(listConfigResources, 1, schemas, { resourceTypes: [BROKER, 99] })
      assert.deepEqual([unknown.errorCode, unknown.configResources], [ErrorCode.UNSUPPORTED_VERSION, []])
    })
  })
})
