import fc from 'fast-check'
import { isNullable, isPresent, isTagged, layoutOf } from '../../protocol/schema-layout.ts'
import type { Layout } from '../../protocol/schema-layout.ts'
import { ZERO_UUID } from '../../protocol/schema.ts'
import type { Field, Fields, ScalarType, Schema, Type } from '../../protocol/schema.ts'

export type Struct = Record<string, unknown>

const bytes = fc.uint8Array({ maxLength: 24 }).map((array) => Buffer.from(array))

/** What fields of each type may hold. */
export type Scalars = Readonly<Record<ScalarType, fc.Arbitrary<unknown>>>

const MIN_INT64 = -(2n ** 63n)
const MAX_INT64 = 2n ** 63n - 1n

function asDecoded(value: bigint): number | bigint {
  return Number.isSafeInteger(Number(value)) ? Number(value) : value
}

/** Anything that the type can hold. */
export const ANY_SCALAR: Scalars = {
  bool: fc.boolean(),
  int8: fc.integer({ min: -0x80, max: 0x7f }),
  int16: fc.integer({ min: -0x8000, max: 0x7fff }),
  uint16: fc.nat(0xffff),
  int32: fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }),
  int64: fc.oneof(fc.maxSafeInteger(), fc.constantFrom(Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER)),
  exactInt64: fc.oneof(fc.maxSafeInteger(), fc.bigInt(MIN_INT64, MAX_INT64).map(asDecoded)),
  float64: fc.double({ noNaN: true }),
  uuid: fc.uint8Array({ minLength: 16, maxLength: 16 }).map((id) => Buffer.from(id).toString('base64url')),
  string: fc.oneof(fc.string({ maxLength: 12 }), fc.string({ unit: 'binary', maxLength: 12 })),
  bytes,
  records: bytes,
}

/**
 * Values as the decoder of this version returns them: what the version has is anything, what it lacks is the default.
 */
export function messageArbitrary(
  schema: Schema,
  version: number,
  scalars: Scalars = ANY_SCALAR,
): fc.Arbitrary<Struct> {
  return structArbitrary(schema.fields, { ...layoutOf(schema, version), scalars })
}

interface Choice extends Layout {
  readonly scalars: Scalars
}

function structArbitrary(fields: Fields, choice: Choice): fc.Arbitrary<Struct> {
  const properties = Object.entries(fields).map(([name, field]) => [name, fieldArbitrary(field, choice)])
  return fc.record(Object.fromEntries(properties) as Record<string, fc.Arbitrary<unknown>>, {
    noNullPrototype: true,
  })
}

function fieldArbitrary(field: Field, choice: Choice): fc.Arbitrary<unknown> {
  if (!isPresent(field, choice)) return fc.constant(defaultOf(field))
  const value = typeArbitrary(field.type, choice)
  const orNull = isNullable(field, choice) ? fc.option(value, { nil: null }) : value
  return isTagged(field) ? fc.oneof(orNull, fc.constant(defaultOf(field))) : orNull
}

function typeArbitrary(type: Type, choice: Choice): fc.Arbitrary<unknown> {
  if (typeof type === 'string') return choice.scalars[type]
  if ('struct' in type) return structArbitrary(type.struct, choice)
  return fc.array(typeArbitrary(type.array, choice), { maxLength: 3 })
}

/** Written down a second time, from Kafka's rules and not from the generator's source. */
export function defaultOf({ type, options }: Field): unknown {
  if (options.default !== undefined) return options.default
  if (typeof type === 'string') {
    if (type === 'bool') return false
    if (type === 'string') return ''
    if (type === 'uuid') return ZERO_UUID
    return type === 'bytes' || type === 'records' ? Buffer.alloc(0) : 0
  }
  if (!('struct' in type)) return []
  return Object.fromEntries(Object.entries(type.struct).map(([name, field]) => [name, defaultOf(field)]))
}
