/**
 * Messages by their schemas, field by field, with nothing between: `protocol/compile.ts` is what the broker uses, so
 * here is a second reading of the same schemas. It sends what a correct client would not (null where none may be,
 * numbers beyond 2^53) and shows all that came, tags that nobody knows included.
 */
import { apiName } from '../../protocol/keys.ts'
import { Reader } from '../../protocol/reader.ts'
import {
  isNullable,
  isPresent,
  isStruct,
  isTagged,
  layoutOf,
  taggedFields,
} from '../../protocol/schema-layout.ts'
import type { Layout } from '../../protocol/schema-layout.ts'
import type { Field, Fields, MessageSchema, ScalarType, Type } from '../../protocol/schema.ts'
import { ZERO_UUID } from '../../protocol/schema.ts'
import { Writer } from '../../protocol/writer.ts'
import { readBatches } from './batches.ts'

export type Given = null | boolean | number | bigint | string | Buffer | readonly Given[] | Body
/** A request by the names of its fields. What is left out has the field's default, or the emptiest value there is. */
export interface Body {
  readonly [field: string]: Given
}

export type Shown = null | boolean | number | string | Shown[] | Struct
/** An answer as JSON: the fields that the version has. */
export interface Struct {
  [field: string]: Shown
}

const UUID_MARK = 'uuid:'

// ------------------------------------------------------------------------------------------------------- requests

export function writeMessage(writer: Writer, schema: MessageSchema, version: number, body: Body): void {
  writeStruct(writer, schema.fields, body, layoutOf(schema, version), apiName(schema.key))
}

function writeStruct(writer: Writer, fields: Fields, value: Body, layout: Layout, path: string): void {
  for (const name of Object.keys(value))
    if (!Object.hasOwn(fields, name)) throw new Error(`${path} has no field ${name}`)
  for (const [name, field] of Object.entries(fields))
    if (isPresent(field, layout) && !isTagged(field))
      writeField(writer, field, value[name], layout, `${path}.${name}`)
  if (!layout.flexible) return
  const tagged = taggedFields(fields, layout).filter(([name]) => value[name] !== undefined)
  writer.uvarint(tagged.length)
  for (const [name, field] of tagged) {
    const content = new Writer()
    writeField(content, field, value[name], layout, `${path}.${name}`)
    writer.taggedField(field.options.tag ?? -1, content)
  }
}

function writeField(
  writer: Writer,
  field: Field,
  given: Given | undefined,
  layout: Layout,
  path: string,
): void {
  const byDefault = given === undefined ? (field.options.default as Given | undefined) : given
  const value = byDefault === undefined ? emptiest(field, layout) : byDefault
  if (isStruct(field.type) && isNullable(field, layout) && !isTagged(field)) {
    writer.int8(value === null ? -1 : 1)
    if (value === null) return
  }
  writeValue(writer, field.type, value, layout, path)
}

function emptiest({ type, options }: Field, layout: Layout): Given {
  if (isNullable({ type, options }, layout)) return null
  if (typeof type === 'object') return 'array' in type ? [] : {}
  if (type === 'string') return ''
  if (type === 'bytes' || type === 'records') return Buffer.alloc(0)
  if (type === 'uuid') return ZERO_UUID
  return type === 'bool' ? false : 0
}

function writeValue(writer: Writer, type: Type, value: Given, layout: Layout, path: string): void {
  if (typeof type === 'string') return writeScalar(writer, type, value, layout)
  if ('array' in type) {
    if (value === null) return layout.flexible ? writer.uvarint(0) : writer.int32(-1)
    if (!Array.isArray(value)) throw new Error(`${path} is an array`)
    if (layout.flexible) writer.uvarint(value.length + 1)
    else writer.int32(value.length)
    for (const element of value as readonly Given[]) writeValue(writer, type.array, element, layout, path)
    return
  }
  writeStruct(writer, type.struct, value as Body, layout, path)
}

function writeScalar(writer: Writer, type: ScalarType, value: Given, layout: Layout): void {
  switch (type) {
    case 'bool':
      return writer.bool(value === true)
    case 'int8':
      return writer.int8(Number(value))
    case 'int16':
      return writer.int16(Number(value))
    case 'uint16':
      return writer.uint16(Number(value))
    case 'int32':
      return writer.int32(Number(value))
    case 'int64':
    case 'exactInt64': {
      const wide = BigInt(value as number | bigint)
      writer.int32(Number(BigInt.asIntN(32, wide >> 32n)))
      return writer.int32(Number(BigInt.asIntN(32, wide)))
    }
    case 'float64':
      return writer.float64(Number(value))
    case 'uuid':
      return writer.uuid((value as string).replace(UUID_MARK, ''))
    case 'string':
      return layout.flexible
        ? writer.compactNullableString(value as string | null)
        : writer.nullableString(value as string | null)
    case 'bytes':
    case 'records':
      return layout.flexible
        ? writer.compactNullableBytes(value as Buffer | null)
        : writer.nullableBytes(value as Buffer | null)
  }
}

// -------------------------------------------------------------------------------------------------------- answers

/** Throws where the bytes are not the message, and nothing but the message. */
export function readMessage(reader: Reader, schema: MessageSchema, version: number): Struct {
  const answer = readStruct(reader, schema.fields, layoutOf(schema, version))
  reader.expectEnd()
  return answer
}

function readStruct(reader: Reader, fields: Fields, layout: Layout): Struct {
  const struct: Struct = {}
  for (const [name, field] of Object.entries(fields))
    if (isPresent(field, layout) && !isTagged(field)) struct[name] = readField(reader, field, layout)
  if (!layout.flexible) return struct
  const known = new Map(taggedFields(fields, layout).map((entry) => [entry[1].options.tag, entry]))
  for (let left = reader.uvarint(); left > 0; left--) {
    const tag = reader.uvarint()
    const size = reader.uvarint()
    const start = reader.take(size)
    const [name, field] = known.get(tag) ?? []
    if (name === undefined || field === undefined)
      struct[`tag ${tag}`] = reader.buffer.toString('hex', start, start + size)
    else {
      const inside = new Reader(reader.buffer, start, start + size)
      struct[name] = readField(inside, field, layout)
      inside.expectEnd()
    }
  }
  return struct
}

function readField(reader: Reader, field: Field, layout: Layout): Shown {
  const { type } = field
  if (typeof type === 'string') return readScalar(reader, type, layout)
  if ('array' in type) {
    const count = layout.flexible ? reader.uvarint() - 1 : reader.int32()
    if (count < 0) return null
    const element: Field = { type: type.array, options: {} }
    return Array.from({ length: count }, () => readField(reader, element, layout))
  }
  if (isNullable(field, layout) && !isTagged(field) && !reader.structIsPresent()) return null
  return readStruct(reader, type.struct, layout)
}

function readScalar(reader: Reader, type: ScalarType, layout: Layout): Shown {
  switch (type) {
    case 'bool':
      return reader.bool()
    case 'int8':
      return reader.int8()
    case 'int16':
      return reader.int16()
    case 'uint16':
      return reader.uint16()
    case 'int32':
      return reader.int32()
    case 'int64':
    case 'exactInt64': {
      const value = reader.buffer.readBigInt64BE(reader.take(8))
      return Number.isSafeInteger(Number(value)) ? Number(value) : `int64 ${value}`
    }
    case 'float64':
      return reader.float64()
    case 'uuid':
      return UUID_MARK + reader.uuid()
    case 'string':
      return layout.flexible ? reader.compactNullableString() : reader.nullableString()
    case 'bytes': {
      const bytes = layout.flexible ? reader.compactNullableBytes() : reader.nullableBytes()
      return bytes === null ? null : bytes.toString('latin1')
    }
    case 'records': {
      const bytes = layout.flexible ? reader.compactNullableBytes() : reader.nullableBytes()
      return bytes === null ? null : readBatches(bytes)
    }
  }
}
