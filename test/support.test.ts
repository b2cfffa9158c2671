import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { run } from './support/processes.ts'
import { countsOf, leftOutOf } from './support/tap.ts'

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
