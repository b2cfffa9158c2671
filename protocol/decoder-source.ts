import { defaultSource, isNullable, isPresent, isScalar, isStruct, isTagged } from './schema-layout.ts'
import { holdsArray, layoutOf, minBytes, STEP, STEP_COUNTER, taggedFields } from './schema-layout.ts'
import type { Layout, Pace } from './schema-layout.ts'
import type { Fields, ScalarType, Schema, Type } from './schema.ts'

/** Fields of a fixed size that follow each other are read with one check of the bounds. */
const IN_RUN: Partial<Record<ScalarType, { bytes: number; read: (at: string) => string }>> = {
  bool: { bytes: 1, read: (at) => `b[${at}] !== 0` },
  int8: { bytes: 1, read: (at) => `b[${at}] << 24 >> 24` },
  int16: { bytes: 2, read: (at) => `(b[${at}] << 8 | b[${at} + 1]) << 16 >> 16` },
  uint16: { bytes: 2, read: (at) => `b[${at}] << 8 | b[${at} + 1]` },
  int32: {
    bytes: 4,
    read: (at) => `b[${at}] << 24 | b[${at} + 1] << 16 | b[${at} + 2] << 8 | b[${at} + 3]`,
  },
  int64: { bytes: 8, read: (at) => `r.int64At(${at})` },
  exactInt64: { bytes: 8, read: (at) => `r.exactInt64At(${at})` },
}

/**
 * The body of a function that returns the decoder: one function per struct, each of which reads its fields into
 * variables and returns them as one object literal, so that all objects of a struct have the same shape.
 * Variables of fields begin with `$` and so cannot collide with the others.
 */
export function decoderSource(schema: Schema, version: number, pace: Pace = 'at once'): string {
  const generator = new DecoderGenerator(layoutOf(schema, version), pace)
  const root = generator.struct(schema.fields)
  return `'use strict'\n${STEP_COUNTER}\n${generator.functions.join('\n')}\nreturn ${root}`
}

class DecoderGenerator {
  readonly functions: string[] = []
  readonly #layout: Layout
  readonly #pace: Pace
  readonly #structs = new Map<Fields, string>()

  constructor(layout: Layout, pace: Pace) {
    this.#layout = layout
    this.#pace = pace
  }

  #isStepped(fields: Fields): boolean {
    return this.#pace === 'stepped' && holdsArray(fields, this.#layout)
  }

  /** An expression that reads the struct. */
  #call(fields: Fields): string {
    const name = this.struct(fields)
    return this.#isStepped(fields) ? `(yield* ${name}(r))` : `${name}(r)`
  }

  /** Name of the function that reads the struct. */
  struct(fields: Fields): string {
    const known = this.#structs.get(fields)
    if (known !== undefined) return known
    const name = `struct${this.#structs.size}`
    this.#structs.set(fields, name)
    const lines = [...this.#absent(fields), ...this.#plain(fields)]
    if (this.#layout.flexible) lines.push(...this.#tagged(fields))
    const properties = Object.keys(fields).map((property) => `${property}: $${property}`)
    lines.push(`return { ${properties.join(', ')} }`)
    this.functions.push(`function${this.#isStepped(fields) ? '*' : ''} ${name}(r) {\n${lines.join('\n')}\n}`)
    return name
  }

  #absent(fields: Fields): string[] {
    return Object.entries(fields)
      .filter(([, field]) => !isPresent(field, this.#layout) || isTagged(field))
      .map(([name, field]) => `let $${name} = ${defaultSource(field)}`)
  }

  #plain(fields: Fields): string[] {
    const lines: string[] = []
    let run: string[] = []
    let runBytes = 0
    let runs = 0
    const flush = (): void => {
      if (runBytes > 0) lines.push(`const p${runs} = r.take(${runBytes}), b${runs} = r.buffer`, ...run)
      runs += runBytes > 0 ? 1 : 0
      run = []
      runBytes = 0
    }
    for (const [name, field] of Object.entries(fields)) {
      if (!isPresent(field, this.#layout) || isTagged(field)) continue
      const fixed = isScalar(field.type) ? IN_RUN[field.type] : undefined
      if (fixed === undefined) {
        flush()
        lines.push(`let $${name}`, ...this.#read(`$${name}`, field.type, isNullable(field, this.#layout)))
      } else {
        run.push(`const $${name} = ${fixed.read(`p${runs} + ${runBytes}`).replaceAll('b[', `b${runs}[`)}`)
        runBytes += fixed.bytes
      }
    }
    flush()
    return lines
  }

  #tagged(fields: Fields): string[] {
    const known = taggedFields(fields, this.#layout)
    if (known.length === 0) return ['r.skipTaggedFields()']
    const cases = known.map(([name, field]) =>
      [
        `case ${field.options.tag}: {`,
        'const size = r.uvarint(), start = r.position',
        ...this.#read(`$${name}`, field.type, isNullable(field, this.#layout)),
        'r.expectTaggedEnd(start, size)',
        'break',
        '}',
      ].join('\n'),
    )
    return [
      'for (let left = r.taggedFieldCount(); left > 0; left--) {',
      'switch (r.uvarint()) {',
      ...cases,
      'default: r.skipTaggedField()',
      '}',
      '}',
    ]
  }

  /** Statements that put the next value into the variable. */
  #read(into: string, type: Type, nullable: boolean): string[] {
    if (isScalar(type)) return [`${into} = r.${this.#scalarReader(type, nullable)}()`]
    if (isStruct(type)) {
      const read = this.#call(type.struct)
      return [`${into} = ${nullable ? `r.structIsPresent() ? ${read} : null` : read}`]
    }
    const count = this.#method(nullable ? 'nullableArrayCount' : 'arrayCount')
    const at = `${into}At`
    const read = this.#element(type.array, into)
    const size = `${into}Count`
    return [
      `const ${size} = r.${count}(${minBytes(type.array, this.#layout)}, ${isStruct(type.array)})`,
      `${into} = ${nullable ? `${size} === -1 ? null : ` : ''}new Array(${size})`,
      `for (let ${at} = 0; ${at} < ${size}; ${at}++) {`,
      `${into}[${at}] = ${read}`,
      ...(this.#pace === 'stepped' ? [STEP] : []),
      '}',
    ]
  }

  #element(type: Type, path: string): string {
    if (isScalar(type)) return `r.${this.#scalarReader(type, false)}()`
    if (isStruct(type)) return this.#call(type.struct)
    throw new Error(`an array of arrays at ${path}: the protocol has none`)
  }

  #scalarReader(type: ScalarType, nullable: boolean): string {
    if (type === 'string') return this.#method(nullable ? 'nullableString' : 'string')
    if (type === 'bytes' || type === 'records') return this.#method(nullable ? 'nullableBytes' : 'bytes')
    return type
  }

  #method(name: string): string {
    return this.#layout.flexible ? compact(name) : name
  }
}

/** `nullableString` -> `compactNullableString` */
export function compact(name: string): string {
  return `compact${name[0]!.toUpperCase()}${name.slice(1)}`
}
