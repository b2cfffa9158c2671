import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../../protocol/errors.ts'
import { admit, isPlain, letsAllPass } from '../../../src/api/requests/array-rules.ts'
import type { AnyRules, ArrayRules, Refusals } from '../../../src/api/requests/array-rules.ts'
import type { Broker } from '../../../src/broker/broker.ts'
import { apis } from '../../../src/api/table.ts'
import { isScalar, isStruct } from '../../../protocol/schema-layout.ts'
import type { Fields } from '../../../protocol/schema.ts'
import { refused } from '../../../src/metadata/layout/outcome.ts'
import { finished } from '../../support/steps.ts'

interface Topic {
  readonly name: string
  readonly partitions: number[] | null
}

interface Request {
  readonly topics: Topic[]
}

const TWICE = refused(ErrorCode.INVALID_REQUEST, 'twice')
const MANY = refused(ErrorCode.POLICY_VIOLATION, 'many')
const broker = {} as Broker

/** What is left of the request, and what was refused. */
function admitted(rules: ArrayRules<Request>, request: Request): { request: Request; refusals: Refusals } {
  return { request, refusals: finished(admit(rules as AnyRules, request, broker)) }
}

function topic(name: string, ...partitions: number[]): Topic {
  return { name, partitions }
}

const merged: ArrayRules<Request> = {
  topics: {
    repeats: 'merged',
    key: ({ name }) => name,
    cost: 0,
    inside: { partitions: { repeats: 'once', cost: 0 } },
  },
}

test('every array of every request has a rule', () => {
  const missing: string[] = []
  const look = (fields: Fields, rules: AnyRules, path: string): void => {
    for (const [name, { type }] of Object.entries(fields)) {
      if (isScalar(type)) continue
      if (isStruct(type)) {
        look(type.struct, {}, `${path}.${name}`)
        continue
      }
      const rule = rules[name]
      if (rule === undefined) missing.push(`${path}.${name}`)
      if (!isScalar(type.array) && isStruct(type.array))
        look(type.array.struct, rule?.inside ?? {}, `${path}.${name}`)
    }
  }
  for (const api of apis.values()) look(api.request.fields, api.arrays, api.name)
  assert.deepEqual(missing, [])
})

test('elements that are named twice are merged, with what is inside them once', () => {
  const { request } = admitted(merged, {
    topics: [topic('a', 1, 1, 2), topic('b', 1), topic('a', 2, 3), topic('c')],
  })
  assert.deepEqual(request.topics, [topic('a', 1, 2, 3), topic('b', 1), topic('c')])
})

test('null asks for everything, and swallows what is asked for beside it', () => {
  const all = { name: 'a', partitions: null }
  for (const topics of [
    [all, topic('a', 1)],
    [topic('a', 1), all],
  ])
    assert.deepEqual(admitted(merged, { topics }).request.topics, [all])
})

test('of elements that count once it is the last that counts', () => {
  const rules: ArrayRules<Request> = {
    topics: {
      repeats: 'once',
      key: ({ name }) => name,
      cost: 0,
      inside: { partitions: { repeats: 'kept', cost: 0 } },
    },
  }
  const { request } = admitted(rules, { topics: [topic('a', 1), topic('b', 1, 1), topic('a', 2)] })
  assert.deepEqual(request.topics, [topic('a', 2), topic('b', 1, 1)])
})

test('elements that may not be repeated are taken out, and told once', () => {
  const rules: ArrayRules<Request> = {
    topics: {
      repeats: 'refused',
      key: ({ name }) => name,
      repeated: TWICE,
      cost: 0,
      inside: { partitions: { repeats: 'kept', cost: 0 } },
    },
  }
  const { request, refusals } = admitted(rules, {
    topics: [topic('a', 1), topic('b'), topic('a', 2), topic('a', 3)],
  })
  assert.deepEqual(request.topics, [topic('b')])
  assert.deepEqual(
    refusals.of(request, 'topics').map(({ element, outcome }) => [element.name, outcome]),
    [['a', TWICE]],
  )
  assert.deepEqual(refusals.of(topic('x'), 'partitions'), [])
})

test('what costs more than a request may: all of it is refused, or what is in excess', () => {
  const costly = (beyond: 'refuse all' | 'refuse the rest'): ArrayRules<Request> => ({
    topics: {
      repeats: 'kept',
      cost: ({ partitions }) => partitions!.length,
      beyond,
      excess: MANY,
      inside: { partitions: { repeats: 'kept', cost: 0 } },
    },
  })
  const request = (): Request => ({
    topics: Array.from({ length: 2_500 }, (_, i) => topic(`t${i}`, 1, 2, 3, 4, 5)),
  })
  const rest = admitted(costly('refuse the rest'), request())
  assert.equal(rest.request.topics.length, 2_000)
  assert.equal(rest.refusals.of(rest.request, 'topics').length, 500)
  const all = admitted(costly('refuse all'), request())
  assert.deepEqual(all.request.topics, [])
  const told = all.refusals.of(all.request, 'topics')
  assert.equal(told.length, 2_500)
  assert.deepEqual(told[0]!.outcome, MANY)
  assert.deepEqual(told.at(-1)!.outcome, { errorCode: MANY.errorCode, errorMessage: null })
})

test('the arrays inside all elements cost together', () => {
  const rules: ArrayRules<Request> = {
    topics: {
      ...merged.topics,
      inside: { partitions: { repeats: 'once', cost: 1, beyond: 'refuse the rest', excess: MANY } },
    },
  }
  const partitions = Array.from({ length: 6_000 }, (_, i) => i)
  const { request, refusals } = admitted(rules, {
    topics: [topic('a', ...partitions), topic('b', ...partitions), topic('c', 1)],
  })
  assert.deepEqual(
    request.topics.map((each) => each.partitions!.length),
    [6_000, 4_000, 0],
  )
  assert.deepEqual(
    request.topics.map((each) => refusals.of(each, 'partitions').length),
    [0, 2_000, 1],
  )
})

test('a small request is known to be in order without the rules being applied', () => {
  const rules = merged as AnyRules
  assert.ok(isPlain(rules, { topics: [topic('a', 1)] }))
  assert.ok(isPlain(rules, { topics: [{ name: 'a', partitions: null }] }))
  assert.ok(!isPlain(rules, { topics: [topic('a', 1), topic('a', 2)] }))
  assert.ok(!isPlain(rules, { topics: [topic('a', 1, 1)] }))
  assert.ok(!letsAllPass(rules))
  assert.ok(letsAllPass(apis.get(0)!.arrays), 'the hot path of producers has no rules to apply')
})

test('hundreds of thousands of elements are sorted out in many steps', () => {
  const many = Array.from({ length: 260_000 }, () => 0)
  const request = { topics: [{ name: 'a', partitions: many }] }
  const steps = [...admit(merged as AnyRules, request, broker)]
  assert.ok(steps.length > 2_000)
  assert.deepEqual(request.topics, [topic('a', 0)])
})

test('others get their turn every 128 elements, whatever is done with these', () => {
  const turns = (rules: ArrayRules<Request>, request: Request): number => {
    const steps = admit(rules as AnyRules, request, broker)
    let count = 0
    while (steps.next().done !== true) count += 1
    return count
  }
  const many = (count: number): Topic[] => Array.from({ length: count }, (_, i) => topic(`${i}`))
  const numbers = Array.from({ length: 1_280 }, (_, i) => i)
  const inside = { partitions: { repeats: 'kept', cost: 0 } } as const
  const key = ({ name }: Topic): string => name
  const sorted: ArrayRules<Request> = { topics: { repeats: 'once', key, cost: 0, inside } }
  // Once to sort them out, and once for what is inside.
  assert.equal(turns(sorted, { topics: many(1_280) }), 20)
  assert.equal(turns(sorted, { topics: many(127) }), 0)
  const kept: ArrayRules<Request> = { topics: { repeats: 'kept', cost: 0, inside } }
  assert.equal(turns(kept, { topics: many(1_280) }), 10)
  const joined: ArrayRules<Request> = { topics: { repeats: 'merged', key, cost: 0, inside } }
  assert.equal(turns(joined, { topics: [topic('a', 1), topic('a', ...numbers)] }), 10)
  const costly = (cost: number): ArrayRules<Request> => ({
    topics: { repeats: 'kept', cost: () => cost, beyond: 'refuse the rest', excess: MANY, inside },
  })
  assert.equal(turns(costly(1), { topics: many(1_280) }), 20)
  // Of 1,281 there is room for one.
  assert.equal(turns(costly(10_000), { topics: many(1_281) }), 20)
})
