import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { SAME_WISH_MS, StopWishes } from '../../src/cli/stop-signals.ts'
import type { StopSignal } from '../../src/cli/stop-signals.ts'
import { repositoryRoot } from '../support/processes.ts'
import { skipMissing } from '../support/requirements.ts'
import { terminalCommand } from '../support/terminal.ts'
import { freshPath, Samsa, startSamsa } from './samsa-process.ts'

const clean = '[KafkaServer id=0] stopped'

test('Ctrl-C on a terminal under npm start: one wish, a clean stop', async (t) => {
  const terminal = await terminalCommand()
  if (terminal === null) return skipMissing(t, 'script(1) of util-linux, which makes terminals')
  // The terminal's signal and npm's copy of it come in either order and a few milliseconds apart.
  for (let round = 0; round < 4; round++) {
    const dataDir = freshPath()
    // Without the scripts that run before: they would build what the other tests are running.
    const start = 'npm start --ignore-scripts --'
    const samsa = new Samsa([], {
      command: terminal(`${start} --set listeners=PLAINTEXT://127.0.0.1:0 --set log.dirs=${dataDir}`),
      cwd: repositoryRoot,
    })
    await samsa.says('[KafkaServer id=0] started')
    samsa.child.stdin?.write('\x03')
    assert.deepEqual(await samsa.exited, [0, null], samsa.stdout)
    assert.ok(samsa.stdout.includes(clean), samsa.stdout)
    assert.ok(!samsa.stdout.includes('second signal'), samsa.stdout)
    assert.ok(existsSync(join(dataDir, '.kafka_cleanshutdown')))
  }
})

/** All are waiting when the process wakes up, so that none can come after its end. */
function sendTogether(samsa: Samsa, ...signals: StopSignal[]): void {
  samsa.child.kill('SIGSTOP')
  for (const signal of signals) samsa.child.kill(signal)
  samsa.child.kill('SIGCONT')
}

test('the same signal twice is one wish', async () => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    const samsa = await startSamsa(freshPath())
    samsa.child.kill(signal)
    await sleep(3)
    samsa.child.kill(signal)
    assert.deepEqual(await samsa.exited, [0, null], samsa.stdout)
    assert.ok(samsa.stdout.includes(clean), samsa.stdout)
  }
})

test('SIGHUP beside SIGTERM, as service managers send them, is one wish', async () => {
  const samsa = await startSamsa(freshPath())
  sendTogether(samsa, 'SIGTERM', 'SIGHUP')
  assert.deepEqual(await samsa.exited, [0, null], samsa.stdout)
})

test('another signal ends it at once', async () => {
  const samsa = await startSamsa(freshPath())
  sendTogether(samsa, 'SIGINT', 'SIGTERM')
  const [code, signal] = await samsa.exited
  assert.equal(signal, null)
  assert.ok(code === 130 || code === 143, String(code))
  assert.ok(samsa.stdout.includes('second signal'))
})

test('what is an echo and what a second wish', () => {
  const meanings = (...taken: [StopSignal, number][]): string[] => {
    const wishes = new StopWishes()
    return taken.map(([signal, atMs]) => wishes.take(signal, atMs))
  }
  assert.deepEqual(meanings(['SIGINT', 0], ['SIGINT', 4], ['SIGINT', SAME_WISH_MS - 1]), [
    'first',
    'echo',
    'echo',
  ])
  assert.deepEqual(meanings(['SIGINT', 0], ['SIGINT', SAME_WISH_MS]), ['first', 'again'])
  assert.deepEqual(meanings(['SIGTERM', 7], ['SIGINT', 8]), ['first', 'again'])
  assert.deepEqual(meanings(['SIGHUP', 0], ['SIGTERM', 5], ['SIGTERM', 2 * SAME_WISH_MS]), [
    'first',
    'echo',
    'again',
  ])
  assert.deepEqual(meanings(['SIGTERM', 0], ['SIGHUP', 5]), ['first', 'echo'])
})
