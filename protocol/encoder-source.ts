import { compact } from './decoder-source.ts'
import { defaultSource, isNullable, isPresent, isScalar, isStruct, isTagged } from './schema-layout.ts'
import { holdsArray, layoutOf, STEP, STEP_COUNTER, taggedFields } from './schema-layout.ts'
import type { Layout, Pace } from './schema-layout.ts'
import type { Field, Fields, ScalarType, Schema, Type } from './schema.ts'

/** The body of a function that returns the encoder: one function per struct, straight through its fields. */
export function encoderSource(schema: Schema, version: number, pace: Pace = 'at once'): string {
  const generator = new EncoderGenerator(schema, layoutOf(schema, version), pace)
  const root = generator.struct(schema.fields)
  return `'use strict'\n${STEP_COUNTER}\n${generator.functions.join('\n')}\nreturn ${root}`
}

class EncoderGenerator {
  readonly functions: string[] = []
  readonly #what: string
  readonly #layout: Layout
  readonly #response: boolean
  readonly #pace: Pace
  readonly #structs = new Map<Fields, string>()

  constructor(schema: Schema, layout: Layout, pace: Pace) {
    this.#pace = pace
    this.#response = schema.kind === 'response'
    this.#what = `${schema.name} ${schema.kind} v${layout.version}`
    this.#layout = layout
  }

  #isStepped(fields: Fields): boolean {
    return this.#pace === 'stepped' && holdsArray(fields, this.#layout)
  }

  /** An expression that writes the struct. */
  #call(fields: Fields, to: string, value: string): string {
    const name = this.struct(fields)
    return `${this.#isStepped(fields) ? 'yield* ' : ''}${name}(${to}, ${value})`
  }

  /** Name of the function that writes the struct. */
  struct(fields: Fields): string {
    const known = this.#structs.get(fields)
    if (known !== undefined) return known
    const name = `struct${this.#structs.size}`
    this.#structs.set(fields, name)
    const lines: string[] = []
    for (const [property, field] of Object.entries(fields)) {
      if (!isPresent(field, this.#layout)) lines.push(...this.#refuseUnlessDropped(property, field))
      else if (!isTagged(field)) lines.push(...this.#plain(property, field))
    }
    if (this.#layout.flexible) lines.push(...this.#tagged(fields))
    this.functions.push(
      `function${this.#isStepped(fields) ? '*' : ''} ${name}(w, v) {\n${lines.join('\n')}\n}`,
    )
    return name
  }

  /** A response is filled in for the newest version; what an older client cannot be told is left out. */
  #refuseUnlessDropped(property: string, field: Field): string[] {
    if (field.options.ignorable === true || this.#response) return []
    const condition = `v.${property} !== undefined && ${differs(`v.${property}`, field)}`
    return [`if (${condition}) ${this.#throw(`cannot carry ${property}`)}`]
  }

  #plain(property: string, field: Field): string[] {
    const value = `$${property}`
    const lines = [`let ${value} = v.${property}`]
    if (mayBeLeftOut(field)) lines.push(`if (${value} === undefined) ${value} = ${defaultSource(field)}`)
    const nullable = isNullable(field, this.#layout)
    if (field.options.nullable !== undefined && !nullable) {
      lines.push(`if (${value} === null) ${this.#throw(`cannot carry null in ${property}`)}`)
    }
    return [...lines, ...this.#write(value, field.type, nullable, 'w')]
  }

  #tagged(fields: Fields): string[] {
    const known = taggedFields(fields, this.#layout)
    if (known.length === 0) return ['w.uvarint(0)']
    const lines = ['let tagged = 0']
    for (const [property, field] of known) {
      lines.push(`const $${property} = v.${property}`)
      lines.push(`const has_${property} = $${property} !== undefined && ${differs(`$${property}`, field)}`)
      lines.push(`if (has_${property}) tagged++`)
    }
    lines.push('w.uvarint(tagged)')
    for (const [property, field] of known) {
      const write = this.#write(`$${property}`, field.type, isNullable(field, this.#layout), 'c')
      lines.push(`if (has_${property}) {`, 'const c = new Writer(128)', ...write)
      lines.push(`w.taggedField(${field.options.tag}, c)`, '}')
    }
    return lines
  }

  /** Statements that write the value of the variable. */
  #write(value: string, type: Type, nullable: boolean, to: string): string[] {
    if (isScalar(type)) return [`${to}.${this.#scalarWriter(type, nullable)}(${value})`]
    if (isStruct(type)) {
      const write = this.#call(type.struct, to, value)
      return [nullable ? `${to}.int8(${value} === null ? -1 : 1)\nif (${value} !== null) ${write}` : write]
    }
    const count = `${to}.${this.#layout.flexible ? 'compactArrayCount' : 'arrayCount'}`
    const at = `${value}At`
    const loop = [
      `${count}(${value}.length)`,
      `for (let ${at} = 0; ${at} < ${value}.length; ${at}++) {`,
      this.#element(`${value}[${at}]`, type.array, to),
      ...(this.#pace === 'stepped' ? [STEP] : []),
      '}',
    ]
    return nullable ? [`if (${value} === null) ${count}(-1)`, 'else {', ...loop, '}'] : loop
  }

  #element(value: string, type: Type, to: string): string {
    if (isScalar(type)) return `${to}.${this.#scalarWriter(type, false)}(${value})`
    if (isStruct(type)) return this.#call(type.struct, to, value)
    throw new Error(`${this.#what}: an array of arrays: the protocol has none`)
  }

  #scalarWriter(type: ScalarType, nullable: boolean): string {
    if (type !== 'string' && type !== 'bytes' && type !== 'records') return type
    const name = nullable ? `nullable${type[0]!.toUpperCase()}${type.slice(1)}` : type
    return this.#layout.flexible ? compact(name) : name
  }

  #throw(problem: string): string {
    return `throw new ProtocolError(${JSON.stringify(`${this.#what} ${problem}`)})`
  }
}

function mayBeLeftOut({ options }: Field): boolean {
  return (
    options.default !== undefined ||
    options.since !== undefined ||
    options.until !== undefined ||
    options.tag !== undefined
  )
}

/** Source of a condition: the value is not the default. */
function differs(value: string, field: Field): string {
  const { type, options } = field
  if (options.default === null) return `${value} !== null`
  const orNull = options.nullable === undefined ? '' : `${value} === null || `
  if (isScalar(type)) {
    if (type === 'bytes' || type === 'records') return `(${orNull}${value}.length !== 0)`
    return `${value} !== ${defaultSource(field)}`
  }
  if (!isStruct(type)) return `(${orNull}${value}.length !== 0)`
  const inner = Object.entries(type.struct).map(([name, nested]) => {
    const property = `${value}.${name}`
    return mayBeLeftOut(nested)
      ? `(${property} !== undefined && ${differs(property, nested)})`
      : differs(property, nested)
  })
  return `(${orNull}${inner.join(' || ')})`
}
