/** The runner behind `npm test`: every compiled test file under node's own test runner. */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { countsOf, leftOutOf, skippedLine } from './support/tap.ts'

const USAGE = `Usage: npm test -- [word ...]

  npm test                     everything
  npm test -- kafkajs log/     only files whose path contains one of the words
  npm test -- --fetch          no tests: only fetches what they need from package registries
  npm test -- --node 24        no tests: prints where a Node.js of that line is, fetched if need be
  npm test -- --record-golden  no tests: writes anew what Apache Kafka answers to the scenarios of difference/; words
                               choose among them
  npm test -- --write-differences  no tests: the README's table of differences, from difference/intended.ts

What a machine lacks (kcat, java, a client's package) is skipped with one line that says how to get it;
SAMSA_DOWNLOAD=1 fetches what can be fetched. With SAMSA_REQUIRE_ALL=1, as in CI, whatever is skipped fails the run.`

/** Nothing may be skipped; and as many seeds run as CI has time for. */
const isComplete = process.env['SAMSA_REQUIRE_ALL'] === '1'

/** The suite may not take this long; a hanging run must still end with a report. */
const deadlineMs = (isComplete ? 30 : 15) * 60_000

/** Many tests wait most of their time: one more than there are processors keeps these at work. */
const filesAtOnce = Math.max(2, availableParallelism()) + 1

/** Nor may one file: the run goes on without it, and says which one it was. */
const fileDeadlineMs = (isComplete ? 20 : 10) * 60_000

const compiled = dirname(fileURLToPath(import.meta.url))

/** Compiled test files that still have a source, the slow ones (whole brokers and clients) first. */
function testFiles(words: readonly string[]): string[] {
  const source = join(compiled, '../../test')
  const slow = (path: string): number => (path.startsWith('interop/') ? 0 : 1)
  return readdirSync(compiled, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.test.js'))
    .filter((path) => existsSync(join(source, path.replace(/\.js$/, '.ts'))))
    .filter((path) => words.length === 0 || words.some((word) => path.includes(word)))
    .toSorted((a, b) => slow(a) - slow(b) || (a < b ? -1 : 1))
    .map((path) => relative(process.cwd(), join(compiled, path)))
}

async function fetchAsAsked([what, line]: readonly string[]): Promise<boolean> {
  if (what === '--fetch') return (await import('./support/install.ts')).fetchAll()
  const program = await (await import('./support/installs.ts')).nodeOfLine(Number(line))
  if (program !== null) console.log(program)
  return program !== null
}

async function main(): Promise<void> {
  const words = process.argv.slice(2)
  if (words[0] === '--record-golden') {
    await (await import('./difference/record.ts')).recordGolden(words.slice(1))
    return
  }
  if (words[0] === '--write-differences') {
    ;(await import('./difference/readme-table.ts')).writeReadmeTable()
    return
  }
  if (words[0] === '--fetch' || words[0] === '--node') {
    process.env['SAMSA_DOWNLOAD'] = '1'
    process.exitCode = (await fetchAsAsked(words)) ? 0 : 1
    return
  }
  if (words[0]?.startsWith('-') === true) {
    const asked = words[0] === '--help' || words[0] === '-h'
    if (asked) console.log(USAGE)
    else console.error(`unknown option '${words[0]}'\n\n${USAGE}`)
    process.exitCode = asked ? 0 : 1
    return
  }
  const files = testFiles(words)
  if (files.length === 0) {
    console.error(`no test file matches: ${words.join(' ')}`)
    process.exitCode = 1
    return
  }
  const work = mkdtempSync(join(tmpdir(), 'samsa-tests-'))
  const tap = join(work, 'tap')
  const child = spawn(
    process.execPath,
    [
      '--enable-source-maps',
      '--test',
      `--test-timeout=${fileDeadlineMs}`,
      `--test-concurrency=${filesAtOnce}`,
      '--test-reporter=spec',
      '--test-reporter-destination=stdout',
      '--test-reporter=tap',
      `--test-reporter-destination=${tap}`,
      ...files,
    ],
    { stdio: 'inherit' },
  )
  const deadline = setTimeout(() => {
    console.error(`the tests did not end within ${deadlineMs / 60_000} minutes`)
    child.kill('SIGTERM')
  }, deadlineMs)
  process.on('SIGINT', () => child.kill('SIGINT'))
  process.on('SIGTERM', () => child.kill('SIGTERM'))
  child.once('close', (code) => {
    clearTimeout(deadline)
    const report = existsSync(tap) ? readFileSync(tap, 'utf8') : ''
    // Scripts that count tests read node's plain summary, which a terminal has seen in a nicer form.
    if (process.stdout.isTTY !== true) for (const line of countsOf(report)) console.log(line)
    rmSync(work, { recursive: true, force: true })
    process.exitCode = code ?? 1
    const skipped = skippedLine(report)
    const leftOut = isComplete ? leftOutOf(report) : []
    for (const line of leftOut) console.error(`not run, and SAMSA_REQUIRE_ALL=1: ${line}`)
    if (leftOut.length > 0) process.exitCode = 1
    if (skipped !== null) console.log(skipped)
  })
}

await main()
