/**
 * Options as tables: for each name what may be given for it. Callers without a compiler, or with casts, are told what
 * is wrong in words of their own call.
 */
import { excerpt, printable } from '../printable.ts'
import { SamsaError } from '../samsa-error.ts'
import { didYouMean } from './suggestion.ts'

/** Everything that is wrong with what was given under a name: sentences that begin with where. */
export type Rule = (given: unknown, where: string) => readonly string[]

export interface Option {
  readonly rule: Rule
  readonly required?: boolean
}

export interface OptionTable {
  readonly options: Readonly<Record<string, Option>>
  /** What to say of names that other libraries have. */
  readonly foreign?: Readonly<Record<string, string>>
}

/** One for each name that a type has, and no other. */
export type OptionsOf<Type> = Readonly<Record<keyof Type, Option>>

const MAX_SHOWN_LENGTH = 200

/** A value in a message. What may be a secret is not shown by whoever asks `kindOf` instead. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return `'${printable(excerpt(value, MAX_SHOWN_LENGTH))}'`
  return kindOf(value)
}

/** What a value is, without its text. */
export function kindOf(value: unknown): string {
  if (typeof value === 'string') return 'a string'
  if (typeof value === 'function') return 'a function'
  if (typeof value === 'bigint') return `the bigint ${value}`
  if (typeof value === 'symbol' || value === null || typeof value !== 'object') return String(value)
  if (Array.isArray(value)) return 'an array'
  const kind = Object.prototype.toString.call(value).slice('[object '.length, -1)
  return `${/^[AEIO]/.test(kind) ? 'an' : 'a'} ${kind === 'Object' ? 'object' : kind}`
}

function wrong(where: string, allowed: string, given: unknown): readonly string[] {
  return [`${where}: must be ${allowed}, not ${shown(given)}`]
}

export function integer(min: number, max: number): Rule {
  return (given, where) => {
    const fits = typeof given === 'number' && Number.isInteger(given) && given >= min && given <= max
    return fits ? [] : wrong(where, `an integer from ${min} to ${max}`, given)
  }
}

export function text(pattern: RegExp, allowed: string): Rule {
  return (given, where) =>
    typeof given === 'string' && pattern.test(given) ? [] : wrong(where, allowed, given)
}

export function oneOf(values: readonly string[]): Rule {
  return (given, where) =>
    typeof given === 'string' && values.includes(given)
      ? []
      : wrong(where, `one of ${values.join(', ')}`, given)
}

/** Keys and values as a configuration file has them. `keyProblem` ends the sentence about a key that means nothing. */
export function configuration(keyProblem: (key: string) => string | null): Rule {
  return (given, where) => {
    if (!isRecord(given)) return wrong(where, 'an object of keys and values', given)
    return Object.entries(given).flatMap(([key, value]) => {
      const place = `${where}['${printable(excerpt(key, MAX_SHOWN_LENGTH))}']`
      const problem = keyProblem(key)
      if (problem !== null) return [`${place}: ${problem}`]
      const fits =
        typeof value === 'string' ||
        typeof value === 'boolean' ||
        (typeof value === 'number' && Number.isFinite(value))
      return fits ? [] : [`${place}: must be a string, a number or a boolean, not ${kindOf(value)}`]
    })
  }
}

export function listOf(table: OptionTable, what: string): Rule {
  return (given, where) =>
    Array.isArray(given)
      ? // Not flatMap, which skips the holes of an array.
        Array.from(given, (each: unknown, i) => problemsOf(each, table, `${where}[${i}]`, what)).flat()
      : wrong(where, `an array of ${what}s`, given)
}

/** Everything that is wrong with an object of options. `place` stands before their names; empty for none. */
export function problemsOf(
  given: unknown,
  table: OptionTable,
  place: string,
  what: string,
): readonly string[] {
  if (!isRecord(given)) return wrong(place === '' ? what : place, `an object`, given)
  const { options, foreign = {} } = table
  const names = Object.keys(options)
  const where = (name: string): string => (place === '' ? name : `${place}.${name}`)
  const unknown = Object.keys(given)
    .filter((name) => !Object.hasOwn(options, name))
    .map((name) => {
      const advice = Object.hasOwn(foreign, name) ? `; ${foreign[name]}` : didYouMean(name, names)
      const hint = advice === '' ? `; there are ${names.join(', ')}` : advice
      return `${where(printable(excerpt(name, MAX_SHOWN_LENGTH)))}: there is no such option${hint}`
    })
  const wrongs = Object.entries(options).flatMap(([name, { rule, required }]) => {
    const value = given[name]
    if (value !== undefined) return rule(value, where(name))
    return required === true ? [`${where(name)}: must be given`] : []
  })
  return [...unknown, ...wrongs]
}

/** Throws SAMSA_CONFIG with all that is wrong. */
export function refuse(problems: readonly string[]): void {
  if (problems.length > 0) throw new SamsaError('SAMSA_CONFIG', problems.join('; '))
}

/** An object whose own names say it all: no array, no Map, no class of another library. */
function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  return Object.prototype.toString.call(value) === '[object Object]'
}
