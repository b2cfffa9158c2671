import assert from 'node:assert/strict'
import { test } from 'node:test'
import { some } from '../../../src/core/group/answers.ts'

test('of many names the first ten are told, and how many more there are', () => {
  const names = Array.from({ length: 12 }, (_, i) => `n${i}`)
  assert.equal(some([]), '')
  assert.equal(some(names.slice(0, 1)), 'n0')
  assert.equal(some(names.slice(0, 10)), 'n0, n1, n2, n3, n4, n5, n6, n7, n8, n9')
  assert.equal(some(names.slice(0, 11)), 'n0, n1, n2, n3, n4, n5, n6, n7, n8, n9 and 1 more')
  assert.equal(some(names), 'n0, n1, n2, n3, n4, n5, n6, n7, n8, n9 and 2 more')
  assert.equal(some(['x'.repeat(100)]), 'x'.repeat(100))
  assert.match(some(['x'.repeat(101)]), /^x+…\(101 characters\)…x+$/)
})
