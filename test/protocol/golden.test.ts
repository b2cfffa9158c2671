import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { test } from 'node:test'
import { decoderFor, encoderFor } from '../../protocol/compile.ts'
import { Reader } from '../../protocol/reader.ts'
import { isPresent } from '../../protocol/schema-layout.ts'
import type { Layout } from '../../protocol/schema-layout.ts'
import type { Fields, Schema, Type } from '../../protocol/schema.ts'
import { Writer } from '../../protocol/writer.ts'
import { allSchemas, isMessage, isOfSamsa, versionsOf } from './all-schemas.ts'

/**
 * Bytes that other implementations made, next to the values they made them from. `golden/` says with which programs.
 * A file has one case per line; binary values are strings that begin with `base64:`.
 */
interface GoldenCase {
  readonly message: string
  readonly version: number
  readonly variant: string
  readonly bytes: string
  readonly value: Struct
}

type Struct = Record<string, unknown>

const GOLDEN = new URL('../../../test/protocol/golden/', import.meta.url)

const schemas = new Map((await allSchemas()).map((schema) => [messageName(schema), schema]))

function messageName(schema: Schema): string {
  return isMessage(schema) ? `${schema.kind} ${schema.key}` : `${schema.kind} ${schema.name}`
}

function casesOf(file: string): GoldenCase[] {
  const lines = readFileSync(new URL(file, GOLDEN), 'utf8').split('\n')
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line, revive) as GoldenCase)
}

/** The one default that a number cannot hold, "no high watermark known" in Fetch v18, is the largest safe integer here. */
function revive(_: string, value: unknown): unknown {
  if (value === Number('9223372036854775807')) return Number.MAX_SAFE_INTEGER
  return typeof value === 'string' && value.startsWith('base64:')
    ? Buffer.from(value.slice(7), 'base64')
    : value
}

const files = readdirSync(GOLDEN).filter((file) => file.endsWith('.jsonl'))

for (const file of files) {
  test(`decodes and reproduces ${file}`, () => {
    const cases = casesOf(file)
    assert.ok(cases.length > 20)
    for (const { message, version, variant, bytes, value } of cases) {
      const schema = schemas.get(message)
      assert.ok(schema !== undefined, message)
      const what = `${message} v${version} ${variant}`
      const expected = Buffer.from(bytes, 'base64')

      const reader = new Reader(expected)
      const decoded = decoderFor(schema, version)(reader)
      reader.expectEnd()
      const layout = { version, flexible: version >= schema.flexibleFrom }
      assert.deepEqual(present(decoded, schema.fields, layout), value, what)

      assert.deepEqual(encode(schema, version, decoded), expected, what)
      if (variant === 'defaults') {
        assert.deepEqual(encode(schema, version, leftOut(decoded, schema.fields)), expected, what)
      }
    }
  })
}

test('every version of every message has golden bytes', () => {
  const covered = new Set(files.flatMap(casesOf).map(({ message, version }) => `${message} v${version}`))
  for (const schema of schemas.values()) {
    if (isOfSamsa(schema)) continue
    for (const version of versionsOf(schema)) {
      const name = `${messageName(schema)} v${version}`
      assert.ok(covered.has(name), name)
    }
  }
})

function encode(schema: Schema, version: number, value: Struct): Buffer {
  const writer = new Writer(64)
  encoderFor(schema, version)(writer, value)
  return writer.finishBuffer()
}

/** What is left of a decoded value without the fields that the version lacks. */
function present(value: Struct, fields: Fields, layout: Layout): Struct {
  const kept = Object.entries(fields).filter(([, field]) => isPresent(field, layout))
  return Object.fromEntries(
    kept.map(([name, field]) => [name, mapStructs(value[name], field.type, (v, f) => present(v, f, layout))]),
  )
}

/** A value without what an encoder can do without. Arrays stay: in these cases they have an element. */
function leftOut(value: Struct, fields: Fields): Struct {
  const kept = Object.entries(fields).filter(([name, { options: o }]) => {
    const optional =
      o.default !== undefined || o.since !== undefined || o.until !== undefined || o.tag !== undefined
    return !optional || Array.isArray(value[name])
  })
  return Object.fromEntries(kept.map(([name, field]) => [name, mapStructs(value[name], field.type, leftOut)]))
}

function mapStructs(value: unknown, type: Type, map: (value: Struct, fields: Fields) => Struct): unknown {
  if (value === null || typeof type === 'string') return value
  if ('struct' in type) return map(value as Struct, type.struct)
  return (value as unknown[]).map((element) => mapStructs(element, type.array, map))
}
