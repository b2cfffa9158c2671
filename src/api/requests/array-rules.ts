/**
 * What each array of a request may ask for. An API cannot be defined without a rule for every array of its request,
 * and the rules are applied before its handler runs: limits are declared and not remembered.
 */
import type { Steps } from '../../../protocol/compile.ts'
import type { Broker } from '../../broker/broker.ts'
import type { Outcome } from '../../metadata/layout/outcome.ts'
import { MAX_COST } from './request-limits.ts'

/** A rule for each array of `T`, and inside for each array of its elements. */
export type ArrayRules<T> = { readonly [Name in ArrayNames<T>]: ArrayRule<ElementOf<T[Name]>> }

export type ArrayNames<T> = {
  [Name in keyof T & string]: NonNullable<T[Name]> extends readonly unknown[] ? Name : never
}[keyof T & string]

export type ElementOf<A> = NonNullable<A> extends readonly (infer Element)[] ? Element : never

type ArrayRule<Element> = Repeats<Element> &
  Cost<Element> &
  (Element extends object
    ? [ArrayNames<Element>] extends [never]
      ? unknown
      : { readonly inside: ArrayRules<Element> }
    : { readonly emptyAsksForAll?: true })

/** What tells elements of an array apart; numbers and strings are themselves. */
type Key<Element> = Element extends object
  ? { readonly key: (element: Element) => string | number }
  : { readonly key?: never }

/**
 * Elements with the same key: all are kept, the last one is answered once, what is inside them is merged into one (null
 * asks for everything), or none of them is looked at and the handler is told once.
 */
type Repeats<Element> =
  | { readonly repeats: 'kept' }
  | ({ readonly repeats: 'once' } & Key<Element>)
  | ({ readonly repeats: 'merged' } & Key<Element>)
  | ({ readonly repeats: 'refused'; readonly repeated: Outcome } & Key<Element>)

/**
 * What an element makes the broker do. 0: no more than to say something about it, which happens in slices, for as many
 * as a message can hold. Else a share of what one request may ask for: of a request that wants more, all elements are
 * refused when it changes something, and those in excess when it only asks.
 */
type Cost<Element> =
  | { readonly cost: 0 }
  | {
      readonly cost: 1 | ((element: Element, broker: Broker) => number)
      readonly beyond: 'refuse all' | 'refuse the rest'
      readonly excess: Outcome
    }

/** Topics by name, and in each the indexes of partitions: what is named twice is asked once. */
export const PARTITIONS_BY_TOPIC = {
  repeats: 'merged',
  key: ({ name }: { readonly name: string }) => name,
  cost: 0,
  inside: { partitionIndexes: { repeats: 'once', cost: 0 } },
} as const

export interface Refused<Element> {
  readonly element: Element
  readonly outcome: Outcome
}

/** Elements that were taken out of a request: its answer tells why. */
export class Refusals {
  readonly #byParent = new Map<object, Map<string, Refused<unknown>[]>>()

  of<Parent extends object, Name extends ArrayNames<Parent>>(
    parent: Parent,
    name: Name,
  ): readonly Refused<ElementOf<Parent[Name]>>[] {
    const refused = this.#byParent.get(parent)?.get(name) ?? []
    return refused as Refused<ElementOf<Parent[Name]>>[]
  }

  add(parent: object, name: string, element: unknown, outcome: Outcome): void {
    const arrays = this.#byParent.get(parent) ?? new Map<string, Refused<unknown>[]>()
    this.#byParent.set(parent, arrays)
    const refused = arrays.get(name) ?? []
    arrays.set(name, refused)
    // Only the first ones say why: an answer to very many is long as it is.
    const { errorCode } = outcome
    refused.push({
      element,
      outcome: refused.length < MAX_EXPLAINED ? outcome : { errorCode, errorMessage: null },
    })
  }
}

const MAX_EXPLAINED = 1_000
/** Elements between two chances for others. */
const STEP_MASK = 127

/** A rule without its types: what the functions below go by. */
interface AnyRule {
  readonly repeats: 'kept' | 'once' | 'merged' | 'refused'
  readonly key?: (element: never) => string | number
  readonly repeated?: Outcome
  readonly cost: 0 | 1 | ((element: never, broker: Broker) => number)
  readonly beyond?: 'refuse all' | 'refuse the rest'
  readonly excess?: Outcome
  readonly inside?: AnyRules
  readonly emptyAsksForAll?: true
}

export type AnyRules = Readonly<Record<string, AnyRule>>
type Arrays = Record<string, unknown[] | null>

/** Whether the rules change no request, whatever it holds. */
export function letsAllPass(rules: AnyRules): boolean {
  return Object.values(rules).every(
    ({ repeats, cost, inside }) =>
      repeats === 'kept' && cost === 0 && (inside === undefined || letsAllPass(inside)),
  )
}

/** Whether a request is so small that the rules do not change it. */
export function isPlain(rules: AnyRules, request: unknown): boolean {
  for (const name in rules) {
    const elements = (request as Arrays)[name]
    if (!Array.isArray(elements)) continue
    const { repeats, key, cost, inside } = rules[name]!
    if (elements.length > FEW || typeof cost === 'function') return false
    if (repeats !== 'kept' && !areDistinct(elements, key)) return false
    if (inside !== undefined && !elements.every((element) => isPlain(inside, element))) return false
  }
  return true
}

/** As many as are compared with each other in less time than it takes to begin with steps. */
const FEW = 16

function areDistinct(elements: readonly unknown[], key: AnyRule['key']): boolean {
  for (let at = 1; at < elements.length; at++) {
    const one = keyOf(elements[at], key)
    for (let before = 0; before < at; before++) if (keyOf(elements[before], key) === one) return false
  }
  return true
}

/** Numbers and strings are themselves. */
function keyOf(element: unknown, key: AnyRule['key']): unknown {
  return key === undefined ? element : key(element as never)
}

/** Applies the rules to a decoded request, in steps: what they do not admit is in the refusals. */
export function* admit(rules: AnyRules, request: unknown, broker: Broker): Steps<Refusals> {
  const refusals = new Refusals()
  yield* admitArrays(rules, request as Arrays, { broker, refusals, left: MAX_COST })
  return refusals
}

interface Admission {
  readonly broker: Broker
  readonly refusals: Refusals
  /** Of what the request may cost. */
  left: number
}

function* admitArrays(rules: AnyRules, parent: Arrays, admission: Admission): Steps<void> {
  for (const name in rules) {
    const rule = rules[name]!
    if (!Array.isArray(parent[name])) continue
    if (rule.repeats !== 'kept' && parent[name].length > 1) yield* sortOut(rule, parent, name, admission)
    if (rule.inside !== undefined) {
      let steps = 0
      for (const element of parent[name] as Arrays[]) {
        yield* admitArrays(rule.inside, element, admission)
        if ((++steps & STEP_MASK) === 0) yield
      }
    }
    if (rule.cost !== 0) yield* charge(rule, parent, name, admission)
  }
}

/** Deals with elements that have the same key. Without any the array stays as it is. */
function* sortOut(rule: AnyRule, parent: Arrays, name: string, { refusals }: Admission): Steps<void> {
  const elements = parent[name]!
  const keyOf = (rule.key ?? ((element: unknown) => element)) as (element: unknown) => unknown
  const indices = new Map<unknown, number>()
  const distinct: unknown[] = []
  const repeated = new Set<number>()
  let steps = 0
  for (const element of elements) {
    const key = keyOf(element)
    const index = indices.get(key)
    if (index === undefined) {
      indices.set(key, distinct.length)
      distinct.push(element)
    } else {
      repeated.add(index)
      if (rule.repeats === 'merged')
        yield* merge(rule.inside ?? {}, distinct[index] as Arrays, element as Arrays)
      else distinct[index] = element
    }
    if ((++steps & STEP_MASK) === 0) yield
  }
  if (repeated.size === 0) return
  if (rule.repeats !== 'refused') {
    parent[name] = distinct
    return
  }
  parent[name] = distinct.filter((_, index) => !repeated.has(index))
  for (const index of repeated) refusals.add(parent, name, distinct[index], rule.repeated!)
}

/** Adds what the arrays of `other` hold to those of `one`. */
function* merge(rules: AnyRules, one: Arrays, other: Arrays): Steps<void> {
  let steps = 0
  for (const name in rules) {
    const into = one[name] ?? null
    const from = other[name] ?? null
    const isAll = (elements: unknown[] | null): boolean =>
      elements === null || (rules[name]!.emptyAsksForAll === true && elements.length === 0)
    if (isAll(into)) continue
    if (isAll(from)) {
      one[name] = from
      continue
    }
    for (const element of from!) {
      into!.push(element)
      if ((++steps & STEP_MASK) === 0) yield
    }
  }
}

function* charge(rule: AnyRule, parent: Arrays, name: string, admission: Admission): Steps<void> {
  const elements = parent[name]!
  const costOf = rule.cost as 1 | ((element: unknown, broker: Broker) => number)
  let admitted = 0
  for (const element of elements) {
    admission.left -= costOf === 1 ? 1 : costOf(element, admission.broker)
    if (admission.left < 0) break
    if ((++admitted & STEP_MASK) === 0) yield
  }
  if (admission.left >= 0) return
  if (rule.beyond === 'refuse all') admitted = 0
  parent[name] = elements.slice(0, admitted)
  let steps = 0
  for (let at = admitted; at < elements.length; at++) {
    admission.refusals.add(parent, name, elements[at], rule.excess!)
    if ((++steps & STEP_MASK) === 0) yield
  }
}
