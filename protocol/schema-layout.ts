import { ZERO_UUID } from './schema.ts'
import type { Field, Fields, ScalarType, Schema, StructType, Type } from './schema.ts'

/** What the generators ask about a field in one version of its message. */

/** The version a function is generated for. */
export interface Layout {
  readonly version: number
  /** Compact lengths and tag buffers. */
  readonly flexible: boolean
}

export function layoutOf(schema: Schema, version: number): Layout {
  return { version, flexible: version >= schema.flexibleFrom }
}

export function isPresent({ options }: Field, { version }: Layout): boolean {
  return version >= (options.since ?? 0) && version <= (options.until ?? Infinity)
}

export function isTagged({ options }: Field): boolean {
  return options.tag !== undefined
}

export function isNullable({ options }: Field, { version }: Layout): boolean {
  return options.nullable === true || (typeof options.nullable === 'number' && version >= options.nullable)
}

/** The tagged fields of this version, by tag. */
export function taggedFields(fields: Fields, layout: Layout): [name: string, field: Field][] {
  return Object.entries(fields)
    .filter(([, field]) => isTagged(field) && isPresent(field, layout))
    .toSorted(([, a], [, b]) => a.options.tag! - b.options.tag!)
}

export function isScalar(type: Type): type is ScalarType {
  return typeof type === 'string'
}

export function isStruct(type: Type): type is StructType {
  return typeof type === 'object' && 'struct' in type
}

const FIXED_BYTES: Partial<Record<ScalarType, number>> = {
  bool: 1,
  int8: 1,
  int16: 2,
  uint16: 2,
  int32: 4,
  int64: 8,
  exactInt64: 8,
  float64: 8,
  uuid: 16,
}

/** Whether a struct holds an array in this version, at any depth. */
export function holdsArray(fields: Fields, layout: Layout): boolean {
  return Object.values(fields).some((field) => {
    if (!isPresent(field, layout) || isScalar(field.type)) return false
    return isStruct(field.type) ? holdsArray(field.type.struct, layout) : true
  })
}

/**
 * How a generated function is run: in one go, or `stepped`, as a generator that stops every so many elements of any
 * array, so that a message of very many does not keep others waiting.
 */
export type Pace = 'at once' | 'stepped'

/** Statements before all functions of a stepped codec, and the one behind each element of an array. */
export const STEP_COUNTER = 'let steps = 0'
export const STEP = 'if ((++steps & 127) === 0) yield'

/** Fewest bytes that a value of this type takes; never zero, so that a count is always bounded by what is there. */
export function minBytes(type: Type, layout: Layout): number {
  if (isScalar(type)) {
    return FIXED_BYTES[type] ?? (layout.flexible ? 1 : type === 'string' ? 2 : 4)
  }
  if (!isStruct(type)) return layout.flexible ? 1 : 4
  let total = layout.flexible ? 1 : 0
  for (const field of Object.values(type.struct)) {
    if (!isPresent(field, layout) || isTagged(field)) continue
    total += isStruct(field.type) && isNullable(field, layout) ? 1 : minBytes(field.type, layout)
  }
  return Math.max(total, 1)
}

/** Source of the value that stands for a field the version lacks, and that a tagged field is left out for. */
export function defaultSource(field: Field): string {
  const { type, options } = field
  if (options.default !== undefined) return JSON.stringify(options.default)
  if (isScalar(type)) {
    switch (type) {
      case 'bool':
        return 'false'
      case 'string':
        return "''"
      case 'uuid':
        return `'${ZERO_UUID}'`
      case 'bytes':
      case 'records':
        return 'Buffer.alloc(0)'
      case 'int8':
      case 'int16':
      case 'uint16':
      case 'int32':
      case 'int64':
      case 'exactInt64':
      case 'float64':
        return '0'
    }
  }
  if (!isStruct(type)) return '[]'
  const properties = Object.entries(type.struct).map(([name, inner]) => `${name}: ${defaultSource(inner)}`)
  return `{ ${properties.join(', ')} }`
}
