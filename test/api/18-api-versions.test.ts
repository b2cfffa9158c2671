import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ErrorCode } from '../../protocol/errors.ts'
import { apiVersionsRequest, apiVersionsResponse } from '../../protocol/messages/18-api-versions.ts'
import { apiVersions } from '../../src/api/18-api-versions.ts'
import { apis } from '../../src/api/table.ts'
import { versionsOf } from './admin-harness.ts'
import { withSimBroker } from './sim-broker.ts'

const SCHEMAS = [apiVersionsRequest, apiVersionsResponse] as const
const NAMED = { clientSoftwareName: 'librdkafka', clientSoftwareVersion: 'v2.11.1' }

test('ApiVersions lists every handler with its versions, in every version', async () => {
  await withSimBroker(async (broker) => {
    for (const version of versionsOf(apiVersions)) {
      const { errorCode, apiKeys } = await broker.send(SCHEMAS, version, NAMED)
      assert.equal(errorCode, ErrorCode.NONE)
      const served = [...apis.values()].map(({ key, minVersion, maxVersion }) => [
        key,
        minVersion,
        maxVersion,
      ])
      assert.deepEqual(
        apiKeys.map(({ apiKey, minVersion, maxVersion }) => [apiKey, minVersion, maxVersion]),
        served,
      )
      assert.ok(served.length >= 38)
    }
  })
})

test('ApiVersions refuses names that KIP-511 does not allow, from version 3 on', async () => {
  await withSimBroker(async (broker) => {
    for (const [clientSoftwareName, clientSoftwareVersion, allowed] of [
      ['a', '1', true],
      ['a-b.c', '1.2-rc.3', true],
      ['', '1', false],
      ['a', '', false],
      ['-a', '1', false],
      ['a-', '1', false],
      ['a', '.1', false],
      ['a b', '1', false],
      ['a', '1\n', false],
      ['ä', '1', false],
    ] as const)
      for (const version of versionsOf(apiVersions)) {
        const answer = await broker.send(SCHEMAS, version, { clientSoftwareName, clientSoftwareVersion })
        const isRefused = version >= 3 && !allowed
        const what = `${clientSoftwareName} ${clientSoftwareVersion} in version ${version}`
        assert.equal(answer.errorCode, isRefused ? ErrorCode.INVALID_REQUEST : ErrorCode.NONE, what)
        assert.equal(answer.apiKeys.length === 0, isRefused, what)
      }
  })
})
