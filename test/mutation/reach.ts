import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runTestFile } from './run-test-file.ts'

const MOST_MS = 90_000

/** What V8 writes of a process (`NODE_V8_COVERAGE`), as far as it is read here. */
interface CoverageReport {
  readonly result: readonly { readonly url: string; readonly functions: readonly CoveredFunction[] }[]
}

interface CoveredFunction {
  readonly ranges: readonly CoveredRange[]
}

interface CoveredRange {
  readonly startOffset: number
  readonly endOffset: number
  readonly count: number
}

/** Which places of the compiled files one test file runs, and how long it takes. */
export class Reach {
  readonly testFile: string
  /** By the clock. */
  readonly tookMs: number
  /** What the machine had to do for it, whatever else it had to do meanwhile; waiting counts, but not as much. */
  costMs: number
  /** By compiled file, one list for each process that loaded it. */
  readonly #ranges = new Map<string, CoveredRange[][]>()

  private constructor(testFile: string, tookMs: number) {
    this.testFile = testFile
    this.tookMs = tookMs
    this.costMs = tookMs / 4
  }

  /** Runs a test file as it is. One that fails without any mutant can prove nothing, and one that takes minutes is no use here. */
  static async of(testFile: string, compiledRoot: string): Promise<Reach | 'failed' | 'slow'> {
    const directory = mkdtempSync(join(tmpdir(), 'samsa-coverage-'))
    try {
      const { passed, ms } = await runTestFile(testFile, { NODE_V8_COVERAGE: directory }, MOST_MS)
      if (!passed) return ms >= MOST_MS ? 'slow' : 'failed'
      const reach = new Reach(testFile, ms)
      for (const name of readdirSync(directory)) {
        const text = readFileSync(join(directory, name), 'utf8')
        if (name.startsWith('cpu-')) reach.costMs += Number(text)
        else reach.#add(JSON.parse(text) as CoverageReport, compiledRoot)
      }
      return reach
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  }

  /** Whether the test file runs what stands at `offset` of a compiled file. */
  covers(file: string, offset: number): boolean {
    return (this.#ranges.get(file) ?? []).some((ranges) => innermost(ranges, offset)?.count !== 0)
  }

  #add({ result }: CoverageReport, compiledRoot: string): void {
    for (const { url, functions } of result) {
      if (!url.startsWith('file:')) continue
      const path = fileURLToPath(url)
      if (!path.startsWith(`${compiledRoot}/`)) continue
      const file = path.slice(compiledRoot.length + 1)
      const processes = this.#ranges.get(file) ?? []
      this.#ranges.set(file, processes)
      processes.push(functions.flatMap(({ ranges }) => ranges))
    }
  }
}

/** Ranges nest; the smallest one around a place counts it. */
function innermost(ranges: readonly CoveredRange[], offset: number): CoveredRange | undefined {
  let found: CoveredRange | undefined
  for (const range of ranges) {
    if (range.startOffset > offset || range.endOffset <= offset) continue
    if (found === undefined || range.endOffset - range.startOffset < found.endOffset - found.startOffset)
      found = range
  }
  return found
}
