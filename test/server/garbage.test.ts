import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

/** Where what one leaves is held by what the one before left, it is from 900 to 2,500. */
const MAX_BYTES_PER_REQUEST = 400
const REQUESTS = 1_500 * 5

test('what a request leaves is gone with the next small collection', (t) => {
  const program = fileURLToPath(new URL('./garbage-load.js', import.meta.url))
  const output = execFileSync(process.execPath, ['--expose-gc', program], { encoding: 'utf8' })
  t.diagnostic(output.trim())
  const { garbageBytes }: { garbageBytes: number } = JSON.parse(output)
  assert.ok(garbageBytes < REQUESTS * MAX_BYTES_PER_REQUEST, output)
})
