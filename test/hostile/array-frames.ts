/** Requests whose arrays are as long as they may be, made from the schemas. */
import { encoderFor } from '../../protocol/compile.ts'
import { isPresent, isScalar, isStruct, isTagged, layoutOf, minBytes } from '../../protocol/schema-layout.ts'
import type { Layout } from '../../protocol/schema-layout.ts'
import { MAX_ELEMENTS, MAX_STRUCTS } from '../../protocol/reader.ts'
import type { Field, Fields, MessageSchema, Type } from '../../protocol/schema.ts'
import { Writer } from '../../protocol/writer.ts'
import { frameOf } from './attacker.ts'

/** What the broker takes for a request without records, and some room for the header. */
const LONGEST_NAME_BYTES = 8
const MAX_BODY_BYTES = 16 * 1024 * 1024 - 1024

/** What fields of these names hold, so that a request gets as far as it can. */
export type KnownValues = Readonly<Record<string, unknown>>

/** The arrays of a message in one version, by the names on the way to them. */
export function arrayPaths({ fields }: MessageSchema, layout: Layout): string[][] {
  return pathsIn(fields, layout, [])
}

function pathsIn(fields: Fields, layout: Layout, before: readonly string[]): string[][] {
  return Object.entries(fields).flatMap(([name, field]) => {
    if (!isPresent(field, layout) || isScalar(field.type) || isStruct(field.type)) return []
    const path = [...before, name]
    const { array } = field.type
    return [path, ...(isStruct(array) ? pathsIn(array.struct, layout, path) : [])]
  })
}

export interface LongArray {
  readonly schema: MessageSchema
  readonly version: number
  readonly path: readonly string[]
  /** Each element names something else, or all of them the same. */
  readonly distinct: boolean
  /** Of the elements that a message can hold. */
  readonly share: number
}

/** A frame whose array at `path` is as long as a message can hold; the arrays around it have one element. */
export function frameOfLongArray(
  { schema, version, path, distinct, share }: LongArray,
  known: KnownValues,
): Buffer {
  const layout = layoutOf(schema, version)
  const build = (fields: Fields, ahead: readonly string[], depth: number): Record<string, unknown> =>
    Object.fromEntries(
      Object.entries(fields)
        .filter(([, field]) => isPresent(field, layout) && !isTagged(field))
        .map(([name, field]) => [name, valueOf(name, field, ahead, depth)]),
    )
  const valueOf = (name: string, field: Field, ahead: readonly string[], depth: number): unknown => {
    const { type } = field
    if (isScalar(type)) return known[name] ?? scalar(type, null)
    if (isStruct(type)) return field.options.nullable === undefined ? build(type.struct, [], depth) : null
    if (ahead[0] !== name) return []
    if (ahead.length > 1) return [elementOf(name, type.array, ahead, depth)]
    const element = elementOf(name, type.array, ahead, depth)
    const most = Math.floor(mostElements(type.array, depth) * share)
    const bytes = elementBytes(element, type.array, layout) + (distinct ? LONGEST_NAME_BYTES : 0)
    const count = Math.min(most, Math.floor(MAX_BODY_BYTES / bytes))
    if (!distinct) return Array.from({ length: count }, () => element)
    return Array.from({ length: count }, (_, index) => another(element, type.array, index))
  }
  const elementOf = (name: string, type: Type, ahead: readonly string[], depth: number): unknown =>
    isStruct(type) ? build(type.struct, ahead.slice(1), depth + 1) : (known[name] ?? scalar(type, null))
  const writer = new Writer()
  encoderFor(schema, version)(writer, build(schema.fields, path, 0) as never)
  return frameOf(schema.key, version, writer.finishBuffer())
}

/** What the reader decodes of one message, without the elements around the array. */
function mostElements(type: Type, depth: number): number {
  return (isStruct(type) ? MAX_STRUCTS : MAX_ELEMENTS) - depth
}

/** An element that differs from all others, in the first name and in the number that tell it. */
function another(element: unknown, type: Type, index: number): unknown {
  if (!isStruct(type)) return scalar(type, index)
  const fields = Object.entries(type.struct)
  const text = fields.find((field) => field[1].type === 'string')?.[0]
  const number = fields.find(([name, field]) => field.type === 'int32' && /partition|index/i.test(name))?.[0]
  return {
    ...(element as object),
    ...(text === undefined ? {} : { [text]: scalar('string', index) }),
    ...(number === undefined ? {} : { [number]: index }),
  }
}

/** No topic may be called so: nothing is created for it. */
function scalar(type: Type, index: number | null): unknown {
  switch (type) {
    case 'string':
      return index === null ? 'there' : `!${index}`
    case 'bool':
      return false
    case 'bytes':
    case 'records':
      return Buffer.alloc(0)
    case 'uuid':
      return 'AAAAAAAAAAAAAAAAAAAAAA'
    case 'int8':
      return (index ?? 0) & 0x7f
    default:
      return index ?? 0
  }
}

/** What an element takes on the wire, or somewhat more. */
function elementBytes(element: unknown, type: Type, layout: Layout): number {
  if (typeof element !== 'object' || element === null) return minBytes(type, layout) + textBytes(element)
  const texts = Object.values(element as object).reduce((sum: number, value) => sum + textBytes(value), 0)
  return minBytes(type, layout) + texts
}

function textBytes(value: unknown): number {
  return typeof value === 'string' ? value.length : 0
}
