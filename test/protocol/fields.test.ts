import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { defaultSource, isNullable, isPresent, layoutOf } from '../../protocol/schema-layout.ts'
import type { Field, Fields, Schema, Type } from '../../protocol/schema.ts'
import { repositoryRoot } from '../support/processes.ts'
import { GIVEN_UP, allSchemas, isMessage, isOfSamsa } from './all-schemas.ts'

/**
 * Every field of every message against what Apache Kafka's own message classes say of it: its type, the versions that have
 * it, those in which it may be null, its tag, its default, and whether versions without it drop its value.
 * `test/interop/message-fields.test.ts` writes the golden file and compares it with Kafka.
 */
const GOLDEN = join(repositoryRoot, 'test/protocol/golden/fields-kafka-4.3.1.txt')

/** What is not as in Kafka on purpose, and why. */
const DIFFERENCES: ReadonlyMap<string, string> = new Map([
  [
    'request 1 topics.partitions.highWatermark default: 9007199254740991, in Kafka 9223372036854775807',
    'the largest that a number holds exactly; it stands for being left out and never travels',
  ],
])

interface Facts {
  readonly type: string
  readonly versions: Span
  readonly nullable: Span
  readonly tag: string
  readonly default: string
  readonly ignorable: string
}

/** First and last version; null for none. */
type Span = readonly [first: number, last: number] | null

interface KafkaMessage {
  readonly versions: readonly [first: number, last: number]
  readonly flexible: Span
  readonly fields: ReadonlyMap<string, Facts>
}

function span(text: string): Span {
  return text === '-' ? null : (text.split('-').map(Number) as [number, number])
}

function readGolden(): Map<string, KafkaMessage> {
  const messages = new Map<string, KafkaMessage>()
  let fields = new Map<string, Facts>()
  for (const line of readFileSync(GOLDEN, 'utf8').trimEnd().split('\n')) {
    const words = line.trim().split(' ')
    if (line.startsWith(' ')) {
      const [path, type, versions, nullable, tag, byDefault, ignorable] = words as [string, ...string[]]
      fields.set(path, {
        type: type!,
        versions: span(versions!),
        nullable: span(nullable!),
        tag: tag!,
        default: byDefault!,
        ignorable: ignorable!,
      })
    } else {
      fields = new Map()
      const versions = span(words[2]!)
      assert.ok(versions !== null)
      messages.set(`${words[0]} ${words[1]}`, { versions, flexible: span(words[4]!), fields })
    }
  }
  return messages
}

function nameOf(schema: Schema): string {
  return `${schema.kind} ${isMessage(schema) ? schema.key : schema.name}`
}

const kafkas = readGolden()
const schemas = new Map(
  (await allSchemas())
    .filter((schema) => !isOfSamsa(schema) && !(isMessage(schema) && GIVEN_UP.has(schema.key)))
    .map((schema) => [nameOf(schema), schema]),
)

/** The keys of `__consumer_offsets` have no versions of their own any more: there the version says which key it is. */
const WITHOUT_VERSIONS = /^data (?:OffsetCommit|GroupMetadata)Key$/

test('Kafka has been asked about every message', () => {
  for (const name of schemas.keys()) if (!WITHOUT_VERSIONS.test(name)) assert.ok(kafkas.has(name), name)
})

function typeName(type: Type): string {
  if (type === 'exactInt64') return 'int64'
  if (typeof type === 'string') return type
  return 'array' in type ? `[]${typeName(type.array)}` : 'struct'
}

/** A field of ours, and the versions that have it and in which it may be null. */
interface Found {
  readonly field: Field
  readonly versions: number[]
  readonly nullable: number[]
}

/** Our fields by their paths, as `versions` of the message have them. */
function foundIn(schema: Schema, versions: readonly number[]): Map<string, Found> {
  const found = new Map<string, Found>()
  const visit = (prefix: string, fields: Fields, version: number): void => {
    const layout = layoutOf(schema, version)
    for (const [name, field] of Object.entries(fields)) {
      if (!isPresent(field, layout)) continue
      const path = prefix + name
      const facts = found.get(path) ?? { field, versions: [], nullable: [] }
      found.set(path, facts)
      facts.versions.push(version)
      if (isNullable(field, layout)) facts.nullable.push(version)
      const inner = typeof field.type === 'object' && 'array' in field.type ? field.type.array : field.type
      if (typeof inner === 'object' && 'struct' in inner) visit(`${path}.`, inner.struct, version)
    }
  }
  for (const version of versions) visit('', schema.fields, version)
  return found
}

function within(versions: readonly number[], of: Span): number[] {
  return of === null ? [] : versions.filter((version) => version >= of[0] && version <= of[1])
}

/** Whether a message can be made without the field: only then its default is ever seen. */
function isOptional({ options }: Field): boolean {
  return (
    options.default !== undefined ||
    options.since !== undefined ||
    options.until !== undefined ||
    options.tag !== undefined
  )
}

function defaultOf(field: Field): string {
  const isStruct = typeof field.type === 'object' && 'struct' in field.type
  if (isStruct && field.options.default === undefined) return '{}'
  return defaultSource(field).replaceAll("'", '"').replace('Buffer.alloc(0)', '""')
}

function compare(schema: Schema, kafka: KafkaMessage): string[] {
  const [first, last] = [
    Math.max(schema.versions[0], kafka.versions[0]),
    Math.min(schema.versions[1], kafka.versions[1]),
  ]
  const versions = Array.from({ length: last - first + 1 }, (_, index) => first + index)
  const differences: string[] = []
  const differ = (path: string, what: string, ours: string, theirs: string): void => {
    if (ours !== theirs) differences.push(`${path} ${what}: ${ours}, in Kafka ${theirs}`)
  }
  differ(
    '',
    'flexible',
    versions.filter((version) => version >= schema.flexibleFrom).join(),
    within(versions, kafka.flexible).join(),
  )
  const ours = foundIn(schema, versions)
  const theirs = [...kafka.fields].filter(([, facts]) => within(versions, facts.versions).length > 0)
  differ(
    '',
    'fields',
    [...ours.keys()].toSorted().join(),
    theirs
      .map(([path]) => path)
      .toSorted()
      .join(),
  )
  for (const [path, facts] of theirs) {
    const found = ours.get(path)
    if (found === undefined) continue
    const { type, options } = found.field
    differ(path, 'type', typeName(type), facts.type)
    differ(path, 'versions', found.versions.join(), within(versions, facts.versions).join())
    differ(path, 'null', found.nullable.join(), within(versions, facts.nullable).join())
    differ(path, 'tag', String(options.tag ?? '-'), facts.tag)
    if (isOptional(found.field)) differ(path, 'default', defaultOf(found.field), facts.default)
    if (facts.ignorable !== '-')
      differ(path, 'without it', options.ignorable === true ? 'ignorable' : 'refused', facts.ignorable)
  }
  return differences
}

test('every field is what it is in Kafka', async (t) => {
  const used = new Set<string>()
  for (const [name, kafka] of kafkas) {
    const schema = schemas.get(name)
    assert.ok(schema !== undefined, name)
    await t.test(name, () => {
      const differences = compare(schema, kafka).map((difference) => `${name} ${difference}`)
      for (const difference of differences) if (DIFFERENCES.has(difference)) used.add(difference)
      assert.deepEqual(
        differences.filter((difference) => !DIFFERENCES.has(difference)),
        [],
      )
    })
  }
  assert.deepEqual(
    [...DIFFERENCES.keys()].filter((difference) => !used.has(difference)),
    [],
  )
})
