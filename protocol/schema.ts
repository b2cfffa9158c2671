import type { External } from './writer.ts'

/**
 * The language the messages are written in.
 *
 * A message is a literal: its key, name, versions, and an object of fields. The object's keys are the names of the
 * decoded properties and their order is the order on the wire. What a field needs beyond its type goes into its
 * options:
 *
 *     topicId: uuid({ since: 13 })                        on the wire from version 13 on
 *     name: string({ until: 12, ignorable: true })        up to and including version 12
 *     rack: string({ since: 1, nullable: true, default: null })
 *     currentLeader: struct({ ... }, { since: 10, tag: 0 })
 *
 * `protocol/compile.ts` turns a schema and a version into a decoder and an encoder; `Decoded` and `Encodable` are
 * what they give and take.
 */

/** The id that stands for "none". */
export const ZERO_UUID = 'AAAAAAAAAAAAAAAAAAAAAA'

export type ScalarType =
  | 'bool'
  | 'int8'
  | 'int16'
  | 'uint16'
  | 'int32'
  | 'int64'
  | 'exactInt64'
  | 'float64'
  | 'uuid'
  | 'string'
  | 'bytes'
  | 'records'

export interface ArrayType {
  readonly array: Type
}

export interface StructType {
  readonly struct: Fields
}

export type Type = ScalarType | ArrayType | StructType

export interface Options<T> {
  /** First version that has the field. */
  readonly since?: number
  /** Last version that has the field. */
  readonly until?: number
  /** May be null: in every version, or from the given one on. */
  readonly nullable?: true | number
  /** What a version without the field decodes to, and what a tagged field is left out for. */
  readonly default?: T | null
  /** Travels in the tag buffer, when it is not the default. */
  readonly tag?: number
  /** A value that the version cannot carry is dropped. Without this it is an error to encode one. */
  readonly ignorable?: true
}

/** `D` is what decodes, `E` what can be encoded, `O` whether the encoder may be given an object without it. */
export interface Field<D = unknown, E = unknown, O extends boolean = boolean> {
  readonly type: Type
  readonly options: Options<unknown>
  /** Never there: they carry the types. */
  readonly decoded?: D
  readonly encodable?: E
  readonly optional?: O
}

export interface Fields {
  readonly [name: string]: Field
}

export interface Schema<F extends Fields = Fields> {
  readonly kind: 'request' | 'response' | 'data'
  readonly name: string
  /** First and last version, both included. */
  readonly versions: readonly [first: number, last: number]
  /** First version with compact lengths and tag buffers (KIP-482). Infinity when there is none. */
  readonly flexibleFrom: number
  readonly fields: F
}

/** A request or a response. */
export interface MessageSchema<F extends Fields = Fields> extends Schema<F> {
  readonly key: number
}

// ---------------------------------------------------------------------------------------------------------- types

/** What a decoder gives. Every property is there; a field the version lacks has its default. */
export type Decoded<S extends { readonly fields: Fields }> = DecodedFields<S['fields']>

/** What an encoder takes: as decoded, but fields with a default, with version bounds or with a tag may be left out. */
export type Encodable<S extends { readonly fields: Fields }> = EncodableFields<S['fields']>

export type DecodedFields<F extends Fields> = {
  [N in keyof F]: F[N] extends Field<infer D, unknown, boolean> ? D : never
}

type OptionalNames<F extends Fields> = {
  [N in keyof F]: F[N] extends Field<unknown, unknown, false> ? never : N
}[keyof F]

type EncodableField<F> = F extends Field<unknown, infer E, boolean> ? E : never

export type EncodableFields<F extends Fields> = {
  readonly [N in Exclude<keyof F, OptionalNames<F>>]: EncodableField<F[N]>
} & {
  readonly [N in OptionalNames<F>]?: EncodableField<F[N]> | undefined
}

type NoOptions = Record<never, never>
type OrNull<O> = O extends { readonly nullable: true | number } ? null : never
type IsOptional<O> = O extends
  | { readonly since: number }
  | { readonly until: number }
  | { readonly tag: number }
  | { readonly default: unknown }
  ? true
  : false
type FieldOf<D, E, O> = Field<D | OrNull<O>, E | OrNull<O>, IsOptional<O>>

// --------------------------------------------------------------------------------------------------------- fields

function field<D, E, O extends Options<D>>(type: Type, options: O | undefined): FieldOf<D, E, O> {
  return { type, options: options ?? {} }
}

export function bool<const O extends Options<boolean> = NoOptions>(
  options?: O,
): FieldOf<boolean, boolean, O> {
  return field('bool', options)
}

export function int8<const O extends Options<number> = NoOptions>(options?: O): FieldOf<number, number, O> {
  return field('int8', options)
}

export function int16<const O extends Options<number> = NoOptions>(options?: O): FieldOf<number, number, O> {
  return field('int16', options)
}

export function uint16<const O extends Options<number> = NoOptions>(options?: O): FieldOf<number, number, O> {
  return field('uint16', options)
}

export function int32<const O extends Options<number> = NoOptions>(options?: O): FieldOf<number, number, O> {
  return field('int32', options)
}

/**
 * Decodes to a number. One beyond ±(2^53 - 1) becomes the last that a number holds exactly: nothing of ours lies beyond it,
 * so that every comparison comes out as with the value itself. What is kept or given back must be an `exactInt64`.
 */
export function int64<const O extends Options<number> = NoOptions>(
  options?: O,
): FieldOf<number, number | bigint, O> {
  return field('int64', options)
}

/** Decodes to a number, or to a bigint where a number could not hold it exactly. */
export function exactInt64<const O extends Options<number> = NoOptions>(
  options?: O,
): FieldOf<number | bigint, number | bigint, O> {
  return field('exactInt64', options)
}

export function float64<const O extends Options<number> = NoOptions>(
  options?: O,
): FieldOf<number, number, O> {
  return field('float64', options)
}

/** Kafka's own form of an id: 22 characters of base64url. Two ids are equal when their strings are. */
export function uuid<const O extends Options<string> = NoOptions>(options?: O): FieldOf<string, string, O> {
  return field('uuid', options)
}

export function string<const O extends Options<string> = NoOptions>(options?: O): FieldOf<string, string, O> {
  return field('string', options)
}

/** Decodes to a view of the frame: copy what must outlive it. */
export function bytes<const O extends Options<Buffer> = NoOptions>(options?: O): FieldOf<Buffer, Buffer, O> {
  return field('bytes', options)
}

/**
 * Record batches. Decodes to a view of the frame. The encoder takes one buffer, or several pieces of any kind, and
 * does not copy them: they become chunks of the frame.
 */
export function records<const O extends Options<Buffer> = NoOptions>(
  options?: O,
): FieldOf<Buffer, Buffer | readonly External[], O> {
  return field('records', options)
}

/** Elements are fields (`array(int32())`) or structs (`array({ ... })`). */
export function array<D, E, O extends Options<readonly never[]> = NoOptions>(
  of: Field<D, E, false>,
  options?: O,
): FieldOf<D[], readonly E[], O>
export function array<F extends Fields, const O extends Options<readonly never[]> = NoOptions>(
  of: F,
  options?: O,
): FieldOf<DecodedFields<F>[], readonly EncodableFields<F>[], O>
export function array(of: Field | Fields, options?: Options<readonly never[]>): Field {
  return field({ array: isField(of) ? of.type : { struct: of } }, options)
}

export function struct<F extends Fields, const O extends Options<never> = NoOptions>(
  fields: F,
  options?: O,
): FieldOf<DecodedFields<F>, EncodableFields<F>, O> {
  return field({ struct: fields }, options)
}

/** A struct may have a field called `type`; what it holds is a field, not a type. */
function isField(of: Field | Fields): of is Field {
  const type: Type | Field | undefined = of.type
  return typeof type === 'string' || (type !== undefined && ('array' in type || 'struct' in type))
}

// ------------------------------------------------------------------------------------------------------- messages

interface Definition<F extends Fields> {
  readonly name: string
  readonly versions: readonly [first: number, last: number]
  readonly flexibleFrom?: number
  readonly fields: F
}

interface MessageDefinition<F extends Fields> extends Definition<F> {
  readonly key: number
}

export function request<F extends Fields>(definition: MessageDefinition<F>): MessageSchema<F> {
  return { flexibleFrom: Infinity, ...definition, kind: 'request' }
}

export function response<F extends Fields>(definition: MessageDefinition<F>): MessageSchema<F> {
  return { flexibleFrom: Infinity, ...definition, kind: 'response' }
}

/** A blob inside a message or a record of an internal topic: begins with its own version as an int16. */
export function data<F extends Fields>(definition: Definition<F>): Schema<F> {
  return { flexibleFrom: Infinity, ...definition, kind: 'data' }
}
