import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ApiKey, apiName, flexibleFrom } from '../../protocol/keys.ts'
import { array, int32, string, struct } from '../../protocol/schema.ts'
import type { Fields, Type } from '../../protocol/schema.ts'
import { allSchemas, isMessage } from './all-schemas.ts'

const schemas = await allSchemas()

test('an array is of a field or of a struct, even of one with a field called type', () => {
  assert.deepEqual(array(int32()).type, { array: 'int32' })
  assert.deepEqual(array(struct({ a: int32() })).type, { array: { struct: { a: int32() } } })
  const fields = { type: string(), options: int32() }
  assert.deepEqual(array(fields).type, { array: { struct: fields } })
})

test('keys, names and first flexible versions agree with the table of keys', () => {
  for (const schema of schemas) {
    if (!isMessage(schema)) continue
    assert.equal(apiName(schema.key), schema.name)
    assert.equal(flexibleFrom(schema.key), schema.flexibleFrom, schema.name)
  }
})

test('request and response of an API have the same key and versions', () => {
  for (const request of schemas.filter(isMessage).filter(({ kind }) => kind === 'request')) {
    const responses = schemas
      .filter(isMessage)
      .filter(({ kind, key }) => kind === 'response' && key === request.key)
    assert.equal(responses.length, 1, request.name)
    assert.deepEqual(responses[0]!.versions, request.versions)
    assert.equal(responses[0]!.flexibleFrom, request.flexibleFrom)
    assert.equal(ApiKey[request.name as keyof typeof ApiKey], request.key)
  }
})

test('fields are well formed', () => {
  for (const schema of schemas) checkFields(schema.name, schema.fields, schema.flexibleFrom)
})

function checkFields(path: string, fields: Fields, flexibleVersion: number): void {
  const tags = new Set<number>()
  for (const [name, { type, options }] of Object.entries(fields)) {
    const where = `${path}.${name}`
    assert.match(name, /^[a-z][A-Za-z0-9]*$/, where)
    assert.ok((options.since ?? 0) <= (options.until ?? Infinity), where)
    if (options.default === null) assert.ok(options.nullable !== undefined, where)
    if (options.tag !== undefined) {
      assert.ok((options.since ?? 0) >= flexibleVersion, where)
      assert.ok(!tags.has(options.tag), where)
      tags.add(options.tag)
    }
    checkType(where, type, flexibleVersion)
  }
}

function checkType(path: string, type: Type, flexibleVersion: number): void {
  if (typeof type === 'string') return
  if ('struct' in type) checkFields(path, type.struct, flexibleVersion)
  else checkType(path, type.array, flexibleVersion)
}
