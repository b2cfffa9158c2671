import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mutantsOf } from './generate.ts'
import { replaced } from './mutating-loader.ts'

const mutated = (code: string): string[] =>
  mutantsOf('src/a.js', code).map((mutant) => `${mutant.kind}: ${replaced(code, mutant)}`)

test('a mutant is one small bug, and the same text has the same ones', () => {
  assert.deepEqual(mutated('f(a < b)'), ['call: ;', 'boundary: f(a <= b)', 'relation: f(a >= b)'])
  assert.deepEqual(mutated('x = a === b'), ['relation: x = a !== b'])
  assert.deepEqual(mutated('x = a && (b || c)'), ['logic: x = a || (b || c)', 'logic: x = a && (b && c)'])
  assert.deepEqual(mutated('x = a + 1'), ['arithmetic: x = a - 1', 'constant: x = a + (1 + 1)'])
  assert.deepEqual(mutated('x = true'), ['constant: x = false'])
  assert.deepEqual(mutated('x = 65'), ['constant: x = 0'])
  assert.deepEqual(mutated('x = y ? 3n : z'), ['negation: x = !(y) ? 3n : z'])
  assert.deepEqual(mutated('while (1) { if (a.b) { continue } }'), [
    'constant: while ((1 + 1)) { if (a.b) { continue } }',
    'negation: while (1) { if (!(a.b)) { continue } }',
    'guard: while (1) { ; }',
  ])
  assert.deepEqual(mutated('x = ErrorCode.NONE; y = ErrorCode.INVALID_REQUEST'), [
    'error code: x = ErrorCode.UNKNOWN_SERVER_ERROR; y = ErrorCode.INVALID_REQUEST',
    'error code: x = ErrorCode.NONE; y = ErrorCode.NONE',
  ])
})

test('the first size of what grows is left alone, its last one is not', () => {
  assert.deepEqual(mutated('x = new GrowingBuffer(a * 4, 2)'), [
    'constant: x = new GrowingBuffer(a * 4, (2 + 1))',
  ])
  assert.deepEqual(mutated('x = new Writer(128)'), [])
})

test('texts, assertions and log lines are left alone', () => {
  for (const code of [
    "x = 'a' + b + 'c'",
    'x = `${a}` + b',
    'assert(a < b, "never")',
    'assert.ok(!a)',
    "logger.warn({ count: 1 }, 'many')",
    "throw new BrokenInvariant('1 < 2')",
    'const rules = { cost: 1 }',
    'const options = { ignorable: true }',
  ])
    assert.deepEqual(mutated(code), [], code)
})

test('a place that is not what it was is no mutant', () => {
  const [mutant] = mutantsOf('src/a.js', 'x = a === b')
  assert.throws(() => replaced('x = abc === b', mutant!), /not what it was/)
  assert.throws(() => replaced('x = 1; x = 1', { file: 'a', from: 'x = 1', to: '' }), /has 2 times/)
})
