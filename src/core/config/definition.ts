/**
 * What a configuration key is: its type, default, allowed values and a sentence about it. The tables in this
 * folder are written with the builders below, so a key's TypeScript type follows from the row that defines it.
 */

import { HIDDEN } from './secrets.ts'

/** Kafka's names for the types of configuration values. */
export type ConfigType =
  | 'BOOLEAN'
  | 'STRING'
  | 'INT'
  | 'SHORT'
  | 'LONG'
  | 'DOUBLE'
  | 'LIST'
  | 'CLASS'
  | 'PASSWORD'

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
  /** Kafka's internal keys: described only where they are set. */
  readonly hidden: boolean
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
  /** 0 is not allowed, though it lies within. */
  readonly notZero?: boolean
}

export interface DefinitionOptions {
  readonly update?: UpdateMode
  readonly hidden?: boolean
}

export const MAX_INT = 2_147_483_647
/** Kafka's, since 4.0 (KIP-1030). */
export const MIN_SEGMENT_BYTES = 1_048_576
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
  const { update = 'read-only', hidden = false } = options
  return { type, defaultText, allowed, doc, update, hidden, read, absent }
}

export function boolean(defaultValue: boolean, doc: string, options: DefinitionOptions = {}) {
  const read = (text: string): ParsedValue<boolean> | undefined => {
    const lower = text.toLowerCase()
    return lower === 'true' || lower === 'false' ? { value: lower === 'true', text: lower } : undefined
  }
  return build('BOOLEAN', String(defaultValue), 'true or false', doc, options, read, defaultValue)
}

/** A switch for something that this broker does not have: it may be off. */
export function never(doc: string) {
  const read = (text: string): ParsedValue<false> | undefined =>
    text.toLowerCase() === 'false' ? { value: false, text: 'false' } : undefined
  return build<false>('BOOLEAN', 'false', 'false', doc, {}, read, false)
}

function describeRange(range: Range, lowest: string, highest: string): string {
  const from = `from ${range.min ?? lowest}`
  const to = `to ${range.max === undefined || range.max >= MAX_LONG ? highest : range.max}`
  return range.notZero === true ? `${from} ${to}, but not 0` : `${from} ${to}`
}

function readInt(range: Range): (text: string) => ParsedValue<number> | undefined {
  const min = range.min ?? -MAX_INT - 1
  const max = range.max ?? MAX_INT
  return (text) => {
    const value = INTEGER.test(text) ? Number(text) : NaN
    if (range.notZero === true && value === 0) return undefined
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

const MAX_SHORT = 32_767

export function short(defaultValue: number, range: Range, doc: string, options: DefinitionOptions = {}) {
  const within = { min: range.min ?? -MAX_SHORT - 1, max: range.max ?? MAX_SHORT }
  const allowed = `an integer ${describeRange(within, '-32768', '32767')}`
  return build('SHORT', String(defaultValue), allowed, doc, options, readInt(within), defaultValue)
}

function readLong(range: Range): (text: string) => ParsedValue<number> | undefined {
  const min = range.min === undefined ? MIN_LONG : BigInt(range.min)
  const max = range.max === undefined || range.max >= MAX_LONG ? BigInt(MAX_LONG_TEXT) : BigInt(range.max)
  return (text) => {
    if (!INTEGER.test(text)) return undefined
    const value = BigInt(text.startsWith('+') ? text.slice(1) : text)
    if (range.notZero === true && value === 0n) return undefined
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

/** As Java prints a double. */
function printDouble(value: number): string {
  if (value !== 0 && (Math.abs(value) >= 1e7 || Math.abs(value) < 1e-3)) {
    const [digits = '', exponent = ''] = value.toExponential().split('e')
    return `${digits.includes('.') ? digits : `${digits}.0`}E${exponent.replace('+', '')}`
  }
  return Number.isInteger(value) ? `${value}.0` : String(value)
}

export function double(defaultValue: number, range: Range, doc: string, options: DefinitionOptions = {}) {
  const allowed = `a number ${describeRange(range, 'any', 'any')}`
  const read = (text: string): ParsedValue<number> | undefined => {
    const value = DECIMAL.test(text) ? Number(text) : NaN
    return value >= (range.min ?? -Infinity) && value <= (range.max ?? Infinity)
      ? { value, text: printDouble(value) }
      : undefined
  }
  return build('DOUBLE', printDouble(defaultValue), allowed, doc, options, read, defaultValue)
}

export function string(defaultValue: string, doc: string, options: DefinitionOptions = {}) {
  const read = (text: string): ParsedValue<string> => ({ value: text, text })
  return build('STRING', defaultValue, 'a text', doc, options, read, defaultValue)
}

export function optionalString(doc: string, options: DefinitionOptions = {}) {
  const read = (text: string): ParsedValue<string | null> => ({ value: text, text })
  return build<string | null>('STRING', null, 'a text', doc, options, read, null)
}

/** The name of a class of Java, which cannot be loaded here. */
export function javaClass(defaultName: string | null, doc: string, options: DefinitionOptions = {}) {
  const read = (text: string): ParsedValue<string | null> => ({ value: text, text })
  return build<string | null>('CLASS', defaultName, 'the name of a class', doc, options, read, defaultName)
}

/** A value that is never shown, and that nothing reads: there is no encryption and no login in this version. */
export function password(doc: string) {
  return build<null>('PASSWORD', null, 'a text', doc, {}, () => ({ value: null, text: HIDDEN }), null)
}

/** A value that is read and never shown. */
export function secret(doc: string) {
  const read = (text: string): ParsedValue<string | null> => ({ value: text, text: HIDDEN })
  return build<string | null>('PASSWORD', null, 'a text', doc, {}, read, null)
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
  const named = choices.map((choice) => (choice === '' ? 'empty' : choice))
  const allowed = named.length === 1 ? `${named[0]}` : `one of ${named.join(', ')}`
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
  /** Every element must be one of these, and none may be missing between two commas. */
  readonly choices?: readonly string[]
  readonly atLeastOne?: boolean
}

function readList({ choices, atLeastOne = false }: ListRules) {
  return (text: string): ParsedValue<readonly string[]> | undefined => {
    const value = splitList(text)
    if (atLeastOne && value.length === 0) return undefined
    if (choices !== undefined) {
      const gaps = text !== '' && value.length < text.split(',').length
      if (gaps || value.some((element) => !choices.includes(element))) return undefined
    }
    return { value, text: value.join(',') }
  }
}

function allowedIn({ choices, atLeastOne = false }: ListRules): string {
  if (choices !== undefined) return `a comma-separated list of ${choices.join(', ')}`
  return `a comma-separated list${atLeastOne ? ' that is not empty' : ''}`
}

/** Comma-separated; blanks around elements and empty elements do not count. */
export function list(defaultText: string, rules: ListRules, doc: string, options: DefinitionOptions = {}) {
  const read = readList(rules)
  return build('LIST', defaultText, allowedIn(rules), doc, options, read, splitList(defaultText))
}

/** One without a default, which reads as an empty one. */
export function optionalList(doc: string, options: DefinitionOptions = {}) {
  return build('LIST', null, allowedIn({}), doc, options, readList({}), [])
}

/** A list that Kafka calls a text, and shows as it was written. */
export function listInText(defaultText: string, doc: string, options: DefinitionOptions = {}) {
  const read = (text: string): ParsedValue<readonly string[]> => ({ value: splitList(text), text })
  return build('STRING', defaultText, allowedIn({}), doc, options, read, splitList(defaultText))
}

const REPLICAS = /^[0-9]+:[0-9]+$/

/** Replicas as tools name them for a reassignment: all (`*`), or partition:broker of each. */
export function replicas(doc: string, options: DefinitionOptions = {}) {
  const read = (text: string): ParsedValue<readonly string[]> | undefined => {
    const value = splitList(text)
    const all = value.length === 1 && value[0] === '*'
    return all || value.every((element) => REPLICAS.test(element))
      ? { value, text: value.join(',') }
      : undefined
  }
  const allowed = '* or a comma-separated list of partition:broker'
  return build('LIST', '', allowed, doc, options, read, [])
}

export function splitList(text: string): readonly string[] {
  return text
    .split(',')
    .map((element) => element.trim())
    .filter((element) => element !== '')
}
