import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Fate } from './campaign.ts'
import { failuresOf, scoreOf } from './verdict.ts'

const DEMANDS = { least: 60, fewest: 20, complete: false }

function fates(dead: number, living: number): Fate[] {
  const mutant = { file: 'src/a.js', place: 'src/a.ts:1', kind: 'guard', at: 0, from: 'a', to: 'b' }
  return Array.from({ length: dead + living }, (_, index) => ({ mutant, lives: index >= dead, why: '' }))
}

test('a named mutant that lives is a failure', () => {
  assert.deepEqual(failuresOf({ named: fates(17, 1), others: [], leftOut: [] }, DEMANDS), [
    'named mutants live: 1',
  ])
  assert.deepEqual(failuresOf({ named: fates(18, 0), others: [], leftOut: [] }, DEMANDS), [])
})

test('a score too low is a failure, that of very few mutants is none', () => {
  const failuresWith = (others: Fate[]) => failuresOf({ named: [], others, leftOut: [] }, DEMANDS)
  assert.deepEqual(failuresWith(fates(11, 9)), ['of 20 other mutants died 55.0 %, which is less than 60 %'])
  assert.deepEqual(failuresWith(fates(12, 8)), [])
  assert.deepEqual(failuresWith(fates(0, 19)), [])
  assert.deepEqual(failuresWith([]), [])
  assert.equal(scoreOf([]), 100)
  assert.equal(scoreOf(fates(1, 3)), 25)
})

test('where test files could not be run nothing is proved, and that is a failure where all have to be', () => {
  const outcome = { named: fates(17, 1), others: fates(0, 20), leftOut: ['a.test.js', 'b.test.js'] }
  assert.deepEqual(failuresOf(outcome, DEMANDS), [])
  assert.deepEqual(failuresOf(outcome, { ...DEMANDS, complete: true }), [
    'test files left out: a.test.js, b.test.js',
  ])
})
