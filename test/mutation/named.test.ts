import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { replaced } from './mutating-loader.ts'
import { NAMED } from './named.ts'

test('each named mutant is a change of one place in the code as it is now', () => {
  for (const { name, file, from, to } of NAMED) {
    const compiled = file.replace(/ts$/, 'js')
    const code = readFileSync(new URL(`../../${compiled}`, import.meta.url), 'utf8')
    assert.doesNotThrow(() => replaced(code, { file: compiled, from, to }), name)
  }
  assert.equal(new Set(NAMED.map(({ name }) => name)).size, NAMED.length)
})
