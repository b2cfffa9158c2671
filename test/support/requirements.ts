/**
 * What a test needs beyond Node.js. On a user's machine a missing part is skipped with one line that says how to
 * get it; with `SAMSA_REQUIRE_ALL=1`, as in CI, it fails.
 */
import type { TestContext } from 'node:test'

import { requireAll } from './cache.ts'

export function skipMissing(t: TestContext, what: string): void {
  if (requireAll) throw new Error(`missing, and SAMSA_REQUIRE_ALL=1: ${what}`)
  t.skip(what)
}

/** How to get what comes from a package registry. */
export const fetchHint = 'not in the cache: SAMSA_DOWNLOAD=1 npm test fetches it'
