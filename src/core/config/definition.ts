/**
 * What a configuration key is: its type, default, allowed values and a sentence about it. The tables in this
 * folder are written with the builders below, so a key's TypeScript type follows from the row that defines it.
 */

import { HIDDEN, Password } from './secrets.ts'

/** Kafka's names for the types of configuration values. */
export type ConfigType = 'BOOLEAN' | 'STRING' | 'INT' | 'LONG' | 'DOUBLE' | 'LIST' | 'PASSWORD'

/** Whether a broker key can change while the broker runs, and if so for one broker or only for all of them. */
export type UpdateMode = 'read-only' | 'per-broker' | 'cluster-wide'

export interface ConfigDefinition<Value> {
  readonly type: ConfigType
  /** As Kafka would print it; null when the key has no default. */
  readonly defaultText: string | null
  /** The end of the sentence "must be ...". */
  readonly allowed: string
  readonly doc: string
  readonly update: UpdateMode
  /** Reads a trimmed text; undefined when the text is not allowed. */
  readonly read: (text: string) => ParsedValue<Value> | undefined
  /** What an absent value reads as. */
  readonly absent: ParsedValue<Value>
}

export interface ParsedValue<Value> {
  readonly value: Value
  /** The text in Kafka's spelling (`TRUE` becomes `true`, a 64-bit number keeps all its digits); null when absent. */
  readonly text: string | null
}

export type ConfigTable = Readonly<Record<string, ConfigDefinition<unknown>>>
export type ConfigValues<Table extends ConfigTable> = {
  readonly [Key in keyof Table]: Table[Key] extends ConfigDefinition<infer Value> ? Value : never
}

export interface Range {
  readonly min?: number
  readonly max?: number
}

export interface DefinitionOptions {
  readonly update?: UpdateMode
}

export const MAX_INT = 2_147_483_647
/** 2^63-1 written out. As a number it rounds up to 2^63, which is all the arithmetic on "no limit" needs. */
export const MAX_LONG_TEXT = '9223372036854775807'
export const MAX_LONG = Number(MAX_LONG_TEXT)
const MIN_LONG = -(2n ** 63n)
const INTEGER = /^[+-]?[0-9]{1,20}$/
const DECIMAL = /^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?$/

function build<Value>(
  type: ConfigType,
  defaultText: string | null,
  allowed: string,
  doc: string,
  options: DefinitionOptions,
  read: (text: string) => ParsedValue<Value> | undefined,
  absentValue: Value,
): ConfigDefinition<Value> {
  const absent = defaultText === null ? { value: absentValue, text: null } : read(defaultText)
  if (absent === undefined) throw new Error(`the default ${defaultText} is not allowed: ${allowed}`)
  return { type, defaultText, allowed, doc, update: options.update ?? 'read-only', read, absent }
}

export function boolean(defaultValue: boolean, doc: string, options: DefinitionOptions = {}) {
  const read = (text: string): ParsedValue<boolean> | undefined => {
    const lower = text.toLowerCase()
    return lower === 'true' || lower === 'false' ? { value: lower === 'true', text: lower } : undefined
  }
  return build('BOOLEAN', String(defaultValue), 'true or false', doc, options, read, defaultValue)
}

function describeRange(range: Range, lowest: string, highest: string): string {
  return `from ${range.min ?? lowest} to ${range.max === undefined || range.max >= MAX_LONG ? highest : range.max}`
}

function readInt(range: Range): (text: string) => ParsedValue<number> | undefined {
  const min = range.min ?? -MAX_INT - 1
  const max = range.max ?? MAX_INT
  return (text) => {
    const value = INTEGER.test(text) ? Number(text) : NaN
    return value >= min && value <= max ? { value, text: String(value) } : undefined
  }
}

export function int(defaultValue: number, range: Range, doc: string, options: DefinitionOptions = {}) {
  const allowed = `an integer ${describeRange(range, '-2147483648', '2147483647')}`
  return build('INT', String(defaultValue), allowed, doc, options, readInt(range), defaultValue)
}

export function optionalInt(range: Range, doc: string, options: DefinitionOptions = {}) {
  const allowed = `an integer ${describeRange(range, '-2147483648', '2147483647')}`
  return build<number | null>('INT', null, allowed, doc, options, readInt(range), null)
}

function readLong(range: Range): (text: string) => ParsedValue<number> | undefined {
  const min = range.min === undefined ? MIN_LONG : BigInt(range.min)
  const max = range.max === undefined || range.max >= MAX_LONG ? BigInt(MAX_LONG_TEXT) : BigInt(range.max)
  return (text) => {
    if (!INTEGER.test(text)) return undefined
    const value = BigInt(text.startsWith('+') ? text.slice(1) : text)
    return value >= min && value <= max ? { value: Number(value), text: value.toString() } : undefined
  }
}

/** A 64-bit integer. Values beyond 2^53 lose digits as numbers, never in the text. */
export function long(
  defaultValue: number | typeof MAX_LONG_TEXT,
  range: Range,
  doc: string,
  options: DefinitionOptions = {},
) {
  const allowed = `an integer ${describeRange(range, MIN_LONG.toString(), MAX_LONG_TEXT)}`
  return build('LONG', String(defaultValue), allowed, doc, options, readLong(range), Number(defaultValue))
}

export function optionalLong(range: Range, doc: string, options: DefinitionOptions = {}) {
  const allowed = `an integer ${describeRange(range, MIN_LONG.toString(), MAX_LONG_TEXT)}`
  return build<number | null>('LONG', null, allowed, doc, options, readLong(range), null)
}

export function double(defaultValue: number, range: Range, doc: string, options: DefinitionOptions = {}) {
  const print = (value: number): string => (Number.isInteger(value) ? `${value}.0` : String(value))
  const allowed = `a number ${describeRange(range, 'any', 'any')}`
  const read = (text: string): ParsedValue<number> | undefined => {
    const value = DECIMAL.test(text) ? Number(text) : NaN
    return value >= (range.min ?? -Infinity) && value <= (range.max ?? Infinity)
      ? { value, text: print(value) }
      : undefined
  }
  return build('DOUBLE', print(defaultValue), allowed, doc, options, read, defaultValue)
}

export function string(defaultValue: string, doc: string, options: DefinitionOptions = {}) {
  const read = (text: string): ParsedValue<string> => ({ value: text, text })
  return build('STRING', defaultValue, 'a text', doc, options, read, defaultValue)
}

export function optionalString(doc: string, options: DefinitionOptions = {}) {
  const read = (text: string): ParsedValue<string | null> => ({ value: text, text })
  return build<string | null>('STRING', null, 'a text', doc, options, read, null)
}

/**
 * A value that is never shown. It cannot be set at run time: the nodes of the metadata store keep values as they are.
 */
export function password(doc: string) {
  const read = (text: string): ParsedValue<Password | null> => ({ value: new Password(text), text: HIDDEN })
  return build<Password | null>('PASSWORD', null, 'a text', doc, {}, read, null)
}

export function oneOf<const Choice extends string>(
  defaultValue: Choice,
  choices: readonly Choice[],
  doc: string,
  options: DefinitionOptions = {},
) {
  const read = (text: string): ParsedValue<Choice> | undefined => {
    const found = choices.find((choice) => choice === text)
    return found === undefined ? undefined : { value: found, text: found }
  }
  const allowed = choices.length === 1 ? `${choices[0]}` : `one of ${choices.join(', ')}`
  return build('STRING', defaultValue, allowed, doc, options, read, defaultValue)
}

/** An integer out of a few: any in the range, or `extra` outside of it (a codec's "default level"). */
export function level(
  defaultValue: number,
  range: Range,
  extra: number,
  doc: string,
  options: DefinitionOptions = {},
) {
  const inRange = readInt(range)
  const read = (text: string): ParsedValue<number> | undefined =>
    text === String(extra) ? { value: extra, text } : inRange(text)
  const allowed = `an integer ${describeRange(range, '-2147483648', '2147483647')}, or ${extra}`
  return build('INT', String(defaultValue), allowed, doc, options, read, defaultValue)
}

export interface ListRules {
  /** Every element must be one of these. */
  readonly choices?: readonly string[]
  readonly atLeastOne?: boolean
}

/** Comma-separated; blanks around elements and empty elements do not count. */
export function list(defaultText: string, rules: ListRules, doc: string, options: DefinitionOptions = {}) {
  const allowed =
    rules.choices === undefined
      ? `a comma-separated list${rules.atLeastOne === true ? ' that is not empty' : ''}`
      : `a comma-separated list of ${rules.choices.join(', ')}`
  const read = (text: string): ParsedValue<readonly string[]> | undefined => {
    const value = splitList(text)
    if (rules.atLeastOne === true && value.length === 0) return undefined
    if (rules.choices !== undefined && value.some((element) => !rules.choices!.includes(element)))
      return undefined
    return { value, text: value.join(',') }
  }
  return build('LIST', defaultText, allowed, doc, options, read, splitList(defaultText))
}

export function splitList(text: string): readonly string[] {
  return text
    .split(',')
    .map((element) => element.trim())
    .filter((element) => element !== '')
}
