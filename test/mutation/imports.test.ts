import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Imports } from './imports.ts'

test('the steps from a file to what it loads', () => {
  const loads: Record<string, string[]> = { a: ['b', 'c'], b: ['a', 'd'], c: ['e'], d: [], e: ['d'], f: [] }
  const imports = new Imports((file) => loads[file]!)
  const steps = (from: string, ...files: string[]): number => imports.steps(from, new Set(files))
  assert.deepEqual(
    [
      steps('a', 'a'),
      steps('a', 'c'),
      steps('a', 'd'),
      steps('c', 'd', 'e'),
      steps('d', 'a'),
      steps('a', 'f'),
    ],
    [0, 1, 2, 1, Infinity, Infinity],
  )
})
