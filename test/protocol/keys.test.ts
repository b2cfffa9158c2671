import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ApiKey, flexibleFrom } from '../../protocol/keys.ts'
import type { Field } from '../../protocol/schema.ts'
import { repositoryRoot } from '../support/processes.ts'
import { GIVEN_UP, allSchemas, isMessage, isOfSamsa } from './all-schemas.ts'

/** As `ApiMessageType` of Apache Kafka has them; -1 where no version that it still serves is flexible. */
const kafkas = readFileSync(join(repositoryRoot, 'test/protocol/golden/api-keys-kafka-4.3.1.txt'), 'utf8')
  .trim()
  .split('\n')
  .map((line) => line.split(' '))
  .map(([key, name, lowest, highest, flexible]) => ({
    key: Number(key),
    name: name!,
    lowest: Number(lowest),
    highest: Number(highest),
    flexible: Number(flexible),
  }))

test('API keys have the numbers and names that Kafka gives them', async () => {
  const own = new Set(
    (await allSchemas())
      .filter(isMessage)
      .filter(isOfSamsa)
      .map(({ key }) => key),
  )
  const names = new Map(kafkas.map(({ key, name }) => [key, name]))
  assert.deepEqual(
    Object.entries(ApiKey).filter(([, key]) => !own.has(key)),
    Object.values(ApiKey)
      .filter((key) => !own.has(key))
      .map((key) => [names.get(key), key]),
  )
})

test('the header of a request is flexible from the same version on as in Kafka', () => {
  for (const { key, name, lowest, highest, flexible } of kafkas) {
    // Kafka 4 has given it up.
    if (lowest > highest) continue
    if (!(name in ApiKey)) assert.equal(flexibleFrom(key), Infinity, name)
    else if (flexible < 0) assert.equal(flexibleFrom(key), Infinity, name)
    // Versions that Kafka has given up may have been flexible.
    else if (flexible === lowest) assert.ok(flexibleFrom(key) <= flexible, name)
    else assert.equal(flexibleFrom(key), flexible, name)
  }
  assert.equal(flexibleFrom(9_999), Infinity)
})

test('messages end with the versions that Kafka knows, and are flexible as their headers are', async () => {
  for (const schema of (await allSchemas()).filter(isMessage)) {
    if (isOfSamsa(schema)) continue
    const { name, versions, highest } = { ...kafkas.find(({ key }) => key === schema.key)!, ...schema }
    if (!GIVEN_UP.has(schema.key)) assert.ok(versions[1] <= highest, `${name} ${versions[1]}`)
    if (flexibleFrom(schema.key) <= versions[1])
      assert.equal(schema.flexibleFrom, flexibleFrom(schema.key), `${name} ${schema.kind}`)
  }
})

/** What stands for a field that an answer leaves out, where it is none of null, false, '', 0 and -1. */
const DEFAULTS: Readonly<Record<string, unknown>> = {
  'DescribeAcls patternType': 3,
  'DeleteAcls patternType': 3,
  'AlterPartitionReassignments allowReplicationFactorChange': true,
  'DescribeCluster endpointType': 1,
  'ListConfigResources resourceType': 16,
}
const NONE_ASKED_FOR = -0x8000_0000

test('nobody is throttled, and what an answer leaves out says nothing', async () => {
  const visit = (message: string, fields: Readonly<Record<string, Field>>): void => {
    for (const [name, { type, options }] of Object.entries(fields)) {
      const field = `${message} ${name}`
      if (name === 'throttleTimeMs') assert.equal(options.default, 0, field)
      else if (/AuthorizedOperations$/i.test(name)) assert.equal(options.default, NONE_ASKED_FOR, field)
      else if (field in DEFAULTS) assert.equal(options.default, DEFAULTS[field], field)
      else if (typeof options.default === 'number')
        assert.ok(options.default === 0 || options.default === -1, `${field} is ${options.default}`)
      const inner = typeof type === 'object' && 'array' in type ? type.array : type
      if (typeof inner === 'object' && 'struct' in inner) visit(message, inner.struct)
    }
  }
  for (const schema of await allSchemas()) if (schema.kind === 'response') visit(schema.name, schema.fields)
})
