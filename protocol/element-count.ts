import { isScalar, isStruct } from './schema-layout.ts'
import type { Fields, Schema } from './schema.ts'

/** The arrays of a struct, with those inside their elements. */
interface ArrayPlace {
  readonly name: string
  readonly inner: readonly ArrayPlace[]
}

const places = new WeakMap<Schema, readonly ArrayPlace[]>()

/** Whether the arrays of a message hold more than `limit` elements, all of them together. Looks no further than that. */
export function holdsMoreThan(limit: number, schema: Schema, value: object): boolean {
  let known = places.get(schema)
  if (known === undefined) {
    known = arraysOf(schema.fields)
    places.set(schema, known)
  }
  return left(limit, known, value) < 0
}

/** What is left of `limit`, negative when it is exceeded. */
function left(limit: number, arrays: readonly ArrayPlace[], value: object): number {
  let rest = limit
  for (const { name, inner } of arrays) {
    const elements = (value as Readonly<Record<string, readonly object[] | null | undefined>>)[name]
    if (elements === null || elements === undefined) continue
    rest -= elements.length
    for (let at = 0; inner.length > 0 && at < elements.length && rest >= 0; at++)
      rest = left(rest, inner, elements[at]!)
  }
  return rest
}

/** Arrays of structs of one, such as the addresses of new leaders, are few: they are not counted. */
function arraysOf(fields: Fields): readonly ArrayPlace[] {
  return Object.entries(fields).flatMap(([name, { type }]) => {
    if (isScalar(type) || isStruct(type)) return []
    return [{ name, inner: isScalar(type.array) || !isStruct(type.array) ? [] : arraysOf(type.array.struct) }]
  })
}
