import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { createInterface } from 'node:readline'
import { after, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { LockEvents } from '../../../src/ports.ts'
import { DirectoryLock } from '../../../src/system/disk/directory-lock.ts'
import { loadNativeAddon } from '../../../src/system/native-addon.ts'
import { skipMissing } from '../../support/requirements.ts'
import { until } from '../../support/until.ts'

const base = fs.mkdtempSync(join(os.tmpdir(), 'samsa-lock-'))
after(() => fs.rmSync(base, { recursive: true, force: true }))

let names = 0
function freshDirectory(): string {
  const path = join(base, `d${names++}`)
  fs.mkdirSync(path)
  return path
}

const { addon } = loadNativeAddon()
/** The lock is the kernel's where there is an addon; without it the file is all there is. */
const ways = addon === null ? (['file'] as const) : (['kernel', 'file'] as const)
type Way = (typeof ways)[number]

const quiet: LockEvents = { waiting: () => {}, lost: () => {} }

function acquire(path: string, way: Way, events = quiet): Promise<DirectoryLock> {
  return DirectoryLock.acquire(path, way === 'kernel' ? addon : null, events)
}

async function acquireAndRelease(path: string, way: Way): Promise<void> {
  const lock = await acquire(path, way)
  lock.release()
}

/** What is there without the file that stays, as Apache Kafka's does. */
function namesIn(path: string): string[] {
  return fs.readdirSync(path).filter((name) => name !== '.lock')
}

const source = (name: string): string =>
  JSON.stringify(new URL(`../../../src/system/${name}.js`, import.meta.url).href)

/** A program that tries to take the lock, prints how that went and stays until its input ends. */
function contenderScript(path: string): string {
  return `
    const { DirectoryLock } = await import(${source('disk/directory-lock')})
    const { loadNativeAddon } = await import(${source('native-addon')})
    const { addon } = loadNativeAddon()
    const events = { waiting() {}, lost() { console.log('lost') } }
    try { await DirectoryLock.acquire(${JSON.stringify(path)}, addon, events); console.log('got it', process.pid) }
    catch (error) { console.log(error.code) }
    process.stdin.resume()
  `
}

const nodeArguments = (path: string): string[] => ['--input-type=module', '-e', contenderScript(path)]

function contender(path: string, way: Way, command: readonly string[] = []) {
  const [program, ...rest] = [...command, process.execPath, ...nodeArguments(path)]
  const env = { ...process.env, ...(way === 'file' ? { SAMSA_NATIVE: 'off' } : {}) }
  const child = spawn(program!, rest, { stdio: ['pipe', 'pipe', 'inherit'], env })
  const lines = createInterface(child.stdout)
  const said = once(lines, 'line').then(([line]) => String(line))
  const exited = once(child, 'exit')
  return { child, lines, said, exited }
}

/** The tests mostly wait, each in directories of its own: all of them do so at once. */
describe('the lock of a directory', { concurrency: true }, () => {
  for (const way of ways) {
    test(`one holder per directory in this process (${way})`, async () => {
      const path = freshDirectory()
      const lock = await acquire(path, way)
      await assert.rejects(acquire(path, way), { code: 'EBUSY', message: new RegExp(`pid ${process.pid}`) })
      await assert.rejects(acquire(`${path}/../${path.split('/').at(-1)}`, way), { code: 'EBUSY' })
      lock.release()
      lock.release()
      assert.deepEqual(namesIn(path), [])
      await acquireAndRelease(path, way)
    })

    test(`a living process keeps it, however silent; a killed one does not (${way})`, async () => {
      const path = freshDirectory()
      const { child, said, exited } = contender(path, way)
      assert.equal(await said, `got it ${child.pid}`)
      child.kill('SIGSTOP')
      const busy = { code: 'EBUSY', message: new RegExp(`process ${child.pid} on`) }
      for (const other of ways) await assert.rejects(acquire(path, other), busy)
      child.kill('SIGKILL')
      await exited
      const lock = await acquire(path, way)
      assert.deepEqual(namesIn(path), ['.samsa.lock'])
      lock.release()
    })

    test(`of several processes that find a dead holder, one gets the directory (${way})`, async () => {
      const path = freshDirectory()
      for (let round = 0; round < 2; round++) {
        // Process ids do not go that far, so nobody has this one.
        fs.writeFileSync(join(path, '.samsa.lock'), JSON.stringify({ token: `dead-${round}`, pid: 2 ** 30 }))
        const contenders = Array.from({ length: 4 }, () => contender(path, way))
        const answers = await Promise.all(contenders.map(({ said }) => said))
        assert.deepEqual(answers.map((answer) => answer.replace(/ \d+/, '')).sort(), [
          'EBUSY',
          'EBUSY',
          'EBUSY',
          'got it',
        ])
        for (const { child } of contenders) child.kill('SIGKILL')
        await Promise.all(contenders.map(({ exited }) => exited))
      }
      await acquireAndRelease(path, way)
      assert.deepEqual(namesIn(path), [])
    })

    test(`a process that was killed and nobody has waited for is dead (${way})`, async (t) => {
      if (process.platform !== 'linux') return skipMissing(t, 'zombies of Linux')
      const path = freshDirectory()
      // What replaces the shell never asks for its child.
      const keeper = `"$@" <&3 & exec 3<&-; exec sleep 1000`
      const { child, said, exited } = contender(path, way, ['bash', '-c', `exec 3<&0; ${keeper}`, 'bash'])
      try {
        const pid = Number(/^got it (\d+)$/.exec(await said)?.[1])
        process.kill(pid, 'SIGKILL')
        const startMs = performance.now()
        const lock = await acquire(path, way)
        const tookMs = performance.now() - startMs
        assert.match(fs.readFileSync(`/proc/${pid}/stat`, 'utf8'), /\) Z /)
        assert.ok(tookMs < 9000, `it took ${tookMs} ms`)
        lock.release()
      } finally {
        child.kill('SIGKILL')
        await exited
      }
    })

    test(
      `a reused process id is not the holder (${way})`,
      { skip: !fs.existsSync('/proc/self/stat') },
      async () => {
        const path = freshDirectory()
        const held = await heldBy(path, 'file')
        const pretend = (fields: object): void =>
          fs.writeFileSync(join(path, '.samsa.lock'), JSON.stringify({ ...held, ...fields }))
        pretend({ token: 'a', processStart: '1' })
        await acquireAndRelease(path, way)
        pretend({ token: 'b', bootId: 'an earlier boot' })
        await acquireAndRelease(path, way)
      },
    )

    test(`a holder that cannot be seen lives as long as it touches the file (${way})`, async () => {
      const elsewheres = [{ pidNamespace: 'pid:[1]' }, { bootId: 'of another machine' }]
      await Promise.all(elsewheres.map((elsewhere) => livesByItsTouch(way, elsewhere)))
    })

    test(`a container takes the directory of its dead predecessor, and of no living one (${way})`, async (t) => {
      const unshare = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc', '--uts']
      const inContainer = (host: string): string[] => [
        ...unshare,
        'sh',
        '-c',
        `hostname ${host}; exec "$@"`,
        'sh',
      ]
      const [program, ...rest] = inContainer('try')
      if (spawnSync(program!, [...rest, 'true']).status !== 0) return skipMissing(t, 'unshare as root')
      if (way === 'file') return
      const path = freshDirectory()
      const first = contender(path, way, inContainer('first'))
      assert.equal(await first.said, 'got it 1')
      const longAgo = new Date(Date.now() - 60_000)
      fs.utimesSync(join(path, '.samsa.lock'), longAgo, longAgo)
      const second = contender(path, way, inContainer('second'))
      assert.equal(await second.said, 'EBUSY')
      first.child.kill('SIGKILL')
      await first.exited
      const third = contender(path, way, inContainer('third'))
      assert.equal(await third.said, 'got it 1')
      for (const { child } of [second, third]) child.kill('SIGKILL')
      await Promise.all([second.exited, third.exited])
    })

    test(`Apache Kafka and Samsa exclude each other (${way})`, async (t) => {
      const path = freshDirectory()
      // The lock that Java's FileChannel takes.
      const script = `
import fcntl, sys
file = open(sys.argv[1] + '/.lock', 'a+')
try:
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    print('got it', flush=True)
except OSError as error:
    print('busy', flush=True)
sys.stdin.read()
`
      if (spawnSync('python3', ['--version']).status !== 0) return skipMissing(t, 'python3')
      const kafka = (): {
        child: ReturnType<typeof spawn>
        said: Promise<string>
        exited: Promise<unknown>
      } => {
        const child = spawn('python3', ['-c', script, path], { stdio: ['pipe', 'pipe', 'inherit'] })
        const said = once(child.stdout, 'data').then(([chunk]) => String(chunk).trim())
        return { child, said, exited: once(child, 'exit') }
      }
      const first = kafka()
      assert.equal(await first.said, 'got it')
      await assert.rejects(acquire(path, way), {
        code: 'EBUSY',
        message: new RegExp(`process ${first.child.pid}`),
      })
      first.child.kill('SIGKILL')
      await first.exited
      const lock = await acquire(path, way)
      if (way === 'kernel') {
        const second = kafka()
        assert.equal(await second.said, 'busy')
        second.child.kill('SIGKILL')
        await second.exited
      }
      lock.release()
    })

    test(`files that are no lock of ours do not bar anybody (${way})`, async () => {
      const path = freshDirectory()
      for (const content of ['', 'not json', '[]', '{"pid":"x"}', '{"pid":-1,"token":"../../x"}']) {
        fs.writeFileSync(join(path, '.samsa.lock'), content)
        await acquireAndRelease(path, way)
        assert.deepEqual(namesIn(path), [], content)
      }
    })

    test(`a directory that cannot be used any more can still be let go of (${way})`, async () => {
      const path = freshDirectory()
      const lock = await acquire(path, way)
      fs.rmSync(path, { recursive: true })
      // What was a directory is a file now: every access below it fails.
      fs.writeFileSync(path, '')
      lock.release()
      fs.rmSync(path)
    })
  }

  test('whoever was taken for dead learns of it', async () => {
    const path = freshDirectory()
    const { child, lines, said, exited } = contender(path, 'file')
    assert.equal(await said, `got it ${child.pid}`)
    const heard = once(lines, 'line')
    fs.writeFileSync(
      join(path, '.samsa.lock'),
      JSON.stringify({ token: 'e', pid: process.pid, host: 'here' }),
    )
    assert.deepEqual(await heard, ['lost'])
    child.kill('SIGKILL')
    await exited
  })

  test('the holder keeps its file fresh', async () => {
    const path = freshDirectory()
    const file = join(path, '.samsa.lock')
    const lock = await acquire(path, 'file')
    const longAgo = new Date(0)
    fs.utimesSync(file, longAgo, longAgo)
    await until(() => fs.statSync(file).mtimeMs > 0)
    lock.release()
  })
})

/** What this process writes into its file. */
async function heldBy(path: string, way: Way): Promise<object> {
  const lock = await acquire(path, way)
  const held: unknown = JSON.parse(fs.readFileSync(join(path, '.samsa.lock'), 'utf8'))
  lock.release()
  assert.ok(typeof held === 'object' && held !== null)
  return held
}

async function livesByItsTouch(way: Way, elsewhere: object): Promise<void> {
  const path = freshDirectory()
  const file = join(path, '.samsa.lock')
  const held = await heldBy(path, 'file')
  const content = JSON.stringify({ ...held, ...elsewhere, token: 'd', pid: 1, host: 'container' })
  fs.writeFileSync(file, content)
  const touch = (ago: number): void => fs.utimesSync(file, Date.now() / 1000 - ago, Date.now() / 1000 - ago)
  // Silent for longer than two heartbeats, which proves nothing.
  touch(6)
  const heard: string[] = []
  const events = { waiting: (holder: string) => heard.push(holder), lost: () => {} }
  const trying = acquire(path, way, events)
  const early = await Promise.race([trying.catch(() => {}), delay(4000, 'waits')])
  assert.equal(early, 'waits')
  assert.deepEqual(heard, ['process 1 on container, which cannot be seen from here'])
  touch(0)
  await assert.rejects(trying, { code: 'EBUSY', message: /process 1 on container/ })
  touch(60)
  await acquireAndRelease(path, way)
}
