import assert from 'node:assert/strict'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { freePort, repositoryRoot, run } from './support/processes.ts'
import { countsOf, leftOutOf, skippedLine } from './support/tap.ts'

test('what was skipped is seen, by whatever means', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'samsa-test-'))
  try {
    const file = join(directory, 'some.test.mjs')
    writeFileSync(
      file,
      `import { describe, it, test } from 'node:test'
      test('runs', () => {})
      test('one # SKIP by its name only', () => {})
      test('option', { skip: true }, () => {})
      test('option with a reason', { skip: 'no terminal' }, () => {})
      test('called', (t) => t.skip('no java'))
      test('to do', { todo: true }, () => { throw new Error('fails') })
      describe('suite', () => { it.skip('within', () => {}); it('runs too', () => {}) })
      describe('whole suite', { skip: true }, () => { it('never seen', () => {}) })
      `,
    )
    // A runner within a runner would report to the outer one.
    const alone = ['-u', 'NODE_TEST_CONTEXT', process.execPath]
    const { stdout } = await run('env', [...alone, '--test', '--test-reporter=tap', file])
    const leftOut = leftOutOf(stdout).map((line) => /ok \d+ - (.*?) # /.exec(line)?.[1] ?? line)
    const names = ['option', 'option with a reason', 'called', 'to do', 'within', 'whole suite']
    assert.deepEqual(leftOut, [...names, 'skipped: 4', 'todo: 1'])
    assert.equal(
      skippedLine(stdout),
      'skipped 6: option; option with a reason (no terminal); called (no java); to do; within; whole suite',
    )
    assert.ok(countsOf(stdout).some((line) => /^# skipped \d+$/.test(line)))
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})

test('a report without counts is no report of a complete run', () => {
  const counts = ['skipped', 'todo', 'cancelled'].map((kind) => `# ${kind} 0`)
  assert.deepEqual(leftOutOf(['TAP version 13', ...counts].join('\n')), [])
  assert.equal(leftOutOf('').length, 3)
  for (const missing of counts)
    assert.equal(leftOutOf(counts.filter((line) => line !== missing).join('\n')).length, 1)
  assert.deepEqual(leftOutOf(counts.join('\n').replace('skipped 0', 'skipped 12')), ['skipped: 12'])
})

test('npm test says in its last line what it skipped, which fails where nothing may be', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'samsa-test-'))
  try {
    const compiled = join(directory, 'dist/test')
    cpSync(join(repositoryRoot, 'dist/test/run.js'), join(compiled, 'run.js'))
    cpSync(join(repositoryRoot, 'dist/test/support'), join(compiled, 'support'), { recursive: true })
    writeFileSync(join(directory, 'package.json'), '{ "type": "module" }')
    mkdirSync(join(directory, 'test'))
    const some = (name: string, source: string): void => {
      writeFileSync(join(compiled, `${name}.test.js`), `import { test } from 'node:test'\n${source}`)
      writeFileSync(join(directory, 'test', `${name}.test.ts`), '')
    }
    some('runs', `test('runs', () => {})`)
    some('kafka', `test('a client # 1', (t) => t.skip('no java: apt-get install it'))`)
    const runner = async (requireAll: string, ...words: string[]) => {
      const env = ['-u', 'NODE_TEST_CONTEXT', `SAMSA_REQUIRE_ALL=${requireAll}`]
      return run('env', [...env, process.execPath, join(compiled, 'run.js'), ...words], { cwd: directory })
    }
    const skipped = 'skipped 1: a client # 1 (no java: apt-get install it)'
    const lenient = await runner('0')
    assert.equal(lenient.code, 0, lenient.stdout + lenient.stderr)
    assert.equal(lenient.stdout.trimEnd().split('\n').at(-1), skipped)
    const strict = await runner('1')
    assert.equal(strict.code, 1)
    assert.equal(strict.stdout.trimEnd().split('\n').at(-1), skipped)
    assert.match(strict.stderr, /not run, and SAMSA_REQUIRE_ALL=1: ok 1 - a client/)
    const all = await runner('1', 'runs')
    assert.equal(all.code, 0, all.stdout + all.stderr)
    assert.match(all.stdout.trimEnd().split('\n').at(-1) ?? '', /^# duration_ms/)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})

test('the gate runs where nothing may be skipped', async () => {
  const script = (await run('cat', [join(repositoryRoot, '.ci/run')])).stdout
  assert.match(script, /^set -euo pipefail$/m)
  assert.match(script, /^export SAMSA_REQUIRE_ALL=1 /m)
  for (const word of ['unset SAMSA_REQUIRE_ALL', 'SAMSA_REQUIRE_ALL=0', 'npm test ||', 'npm test |'])
    assert.ok(!script.includes(word), word)
})

test('a free port is given once', async () => {
  const ports = new Set<number>()
  for (let i = 0; i < 1_000; i++) ports.add(await freePort())
  assert.equal(ports.size, 1_000)
})

const OUTSIDE_OF_TESTS = ['test/mutation/main.js', 'test/power/main.js', 'test/run.js', 'bench/main.js']

test('what npm runs tells its usage, and what it does not know', async () => {
  await Promise.all(
    OUTSIDE_OF_TESTS.map(async (file) => {
      const tell = (option: string) => run(process.execPath, [join(repositoryRoot, 'dist', file), option])
      const help = await tell('--help')
      assert.equal(help.code, 0, file)
      assert.match(help.stdout, /^Usage: npm /, file)
      assert.equal(help.stderr, '', file)
      const unknown = await tell('--no-such-option')
      assert.ok(unknown.code !== 0, file)
      assert.match(unknown.stderr, /no-such-option/, file)
      assert.doesNotMatch(unknown.stderr, /\n\s+at /, file)
    }),
  )
})

test('numbers that make no sense end a campaign before it begins', async () => {
  for (const args of [
    ['test/mutation/main.js', '--count', 'many'],
    ['test/mutation/main.js', '--changed', 'no-such-commit'],
    ['test/mutation/main.js', 'no/such/file'],
    ['test/power/main.js', '--rounds', 'many'],
    ['test/power/main.js', '--target', 'redpanda'],
  ]) {
    const [file, ...rest] = args
    const { code, stderr, stdout } = await run(process.execPath, [
      join(repositoryRoot, 'dist', file!),
      ...rest,
    ])
    assert.ok(code !== 0, args.join(' '))
    assert.ok(stderr.includes(rest.at(-1)!), `${args.join(' ')}\n${stdout}\n${stderr}`)
    assert.doesNotMatch(stderr, /\n\s+at /, args.join(' '))
  }
})
