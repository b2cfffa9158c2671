import { Reach } from './reach.ts'
import { runTestFile } from './run-test-file.ts'
import type { Replacement } from './mutating-loader.ts'

/** One small bug in one compiled file. */
export interface Mutant extends Replacement {
  /** Where, for those who read the report. */
  readonly place: string
  readonly kind: string
  readonly at: number
}

export interface Fate {
  readonly mutant: Mutant
  readonly lives: boolean
  /** The test that killed it; for one that lives, how many test files ran it. */
  readonly why: string
}

/** A mutant that all these survive is not run by more: the score is of what the tests next to the code see. */
const MOST_TESTS_MS = 40_000

/** Test files that may fail without any mutant. */
const MOST_FAILED = 5

/** Runs `work` on every item, as many at a time as `workers`, until `untilMs` (of the monotonic clock). */
export async function forEach<T>(
  items: readonly T[],
  workers: number,
  work: (item: T) => Promise<void>,
  untilMs = Infinity,
): Promise<void> {
  const waiting = items.values()
  const worker = async (): Promise<void> => {
    for (const item of waiting) {
      if (performance.now() > untilMs) return
      await work(item)
    }
  }
  await Promise.all(Array.from({ length: workers }, worker))
}

export interface Reaches {
  readonly reaches: readonly Reach[]
  /** Test files that did not pass as the code is, take too long to be run for each mutant, or had no time left. */
  readonly leftOut: readonly string[]
}

/** Runs all test files as they are. On a busy machine a few may fail for another reason than the code; many may not. */
export async function reachesOf(
  testFiles: readonly string[],
  compiledRoot: string,
  workers: number,
  untilMs: number,
): Promise<Reaches> {
  const reaches = new Map<string, Reach>()
  const failed: string[] = []
  const run = async (testFile: string): Promise<void> => {
    let reach = await Reach.of(testFile, compiledRoot)
    if (reach === 'failed') reach = await Reach.of(testFile, compiledRoot)
    if (reach === 'failed') failed.push(testFile)
    else if (reach === 'slow') console.log(`${testFile} takes too long to be run for each mutant`)
    else reaches.set(testFile, reach)
  }
  await forEach(testFiles, workers, run, untilMs)
  if (failed.length > 0) console.log(`these fail without any mutant: ${failed.join(', ')}`)
  if (failed.length > MOST_FAILED) throw new Error('tests that fail as the code is say nothing of mutants')
  return { reaches: [...reaches.values()], leftOut: testFiles.filter((file) => !reaches.has(file)) }
}

/**
 * Runs the test files that reach the mutant until one fails: that of its file first, then those that are near it, then all
 * others, the cheap ones first.
 */
export async function fateOf(
  mutant: Mutant,
  reaches: readonly Reach[],
  isNear: (testFile: string, file: string) => boolean,
): Promise<Fate> {
  const distance = ({ testFile }: Reach): number => {
    if (isMirrorOf(testFile, mutant.file)) return 0
    return isNear(testFile, mutant.file) ? 1 : 2
  }
  const concerned = reaches
    .filter((reach) => reach.covers(mutant.file, mutant.at))
    .map((reach) => ({ reach, distance: distance(reach) }))
    .toSorted((a, b) => a.distance - b.distance || a.reach.costMs - b.reach.costMs)
  let leftMs = mutant.kind === 'named' ? Infinity : MOST_TESTS_MS
  let ran = 0
  for (const { reach } of concerned) {
    const { testFile, costMs, tookMs } = reach
    leftMs -= costMs
    if (leftMs < 0 && ran > 0) break
    ran += 1
    const env = { SAMSA_MUTANT: JSON.stringify(mutant) }
    const run = await runTestFile(testFile, env, 10_000 + 5 * tookMs)
    if (!run.passed) return { mutant, lives: false, why: `${testFile}: ${run.why}` }
  }
  return { mutant, lives: true, why: concerned.length === 0 ? 'no test runs it' : `${ran} test files ran it` }
}

/** Whether the tests are those of the file: test/api/00-produce-acks.test.js for src/api/00-produce.js. */
function isMirrorOf(testFile: string, file: string): boolean {
  const tested = testFile.replace(/^.*dist\/test\//, '').replace(/\.test\.js$/, '')
  return tested.startsWith(file.replace(/^src\//, '').replace(/\.js$/, ''))
}
