/**
 * The runner behind `npm test`: every compiled test file under node's own test runner.
 *
 *   npm test                     everything
 *   npm test -- kafkajs log/     only files whose path contains one of the words
 *   npm test -- --fetch          no tests: only fetches what they need from package registries
 *
 * What a machine lacks (kcat, java, a client's package) is skipped with one line that says how to get it;
 * `SAMSA_DOWNLOAD=1` fetches what can be fetched, `SAMSA_REQUIRE_ALL=1` fails instead of skipping.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

/** No part of the suite may take this long; a hanging run must still end with a report. */
const deadlineMs = 15 * 60_000

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

async function main(): Promise<void> {
  const words = process.argv.slice(2)
  if (words[0] === '--fetch') {
    process.env['SAMSA_DOWNLOAD'] = '1'
    const { fetchAll } = await import('./support/install.ts')
    process.exitCode = (await fetchAll()) ? 0 : 1
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
      `--test-concurrency=${Math.max(2, availableParallelism())}`,
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
    // Scripts that count tests read node's plain summary, which a terminal has seen in a nicer form.
    if (process.stdout.isTTY !== true) process.stdout.write(summary(tap))
    rmSync(work, { recursive: true, force: true })
    process.exitCode = code ?? 1
  })
}

function summary(tap: string): string {
  if (!existsSync(tap)) return ''
  return readFileSync(tap, 'utf8')
    .split('\n')
    .filter((line) => /^# (tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/.test(line))
    .map((line) => `${line}\n`)
    .join('')
}

await main()
