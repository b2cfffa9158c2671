import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { DirectoryLock } from '../../../src/system/disk/directory-lock.ts'

const base = fs.mkdtempSync(join(os.tmpdir(), 'samsa-lock-'))
after(() => fs.rmSync(base, { recursive: true, force: true }))

let names = 0
function freshDirectory(): string {
  const path = join(base, `d${names++}`)
  fs.mkdirSync(path)
  return path
}

const moduleUrl = new URL('../../../src/system/disk/directory-lock.js', import.meta.url).href

/** A process that tries to take the lock, prints how that went and stays until its input ends. */
function contender(path: string) {
  const script = `
    const { DirectoryLock } = await import(${JSON.stringify(moduleUrl)})
    try { DirectoryLock.acquire(${JSON.stringify(path)}); console.log('got it') } catch (error) { console.log(error.code) }
    process.stdin.resume()
  `
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const said = once(child.stdout, 'data').then(([chunk]) => String(chunk).trim())
  const exited = once(child, 'exit')
  return { child, said, exited }
}

test('one holder per directory in this process', () => {
  const path = freshDirectory()
  const lock = DirectoryLock.acquire(path)
  assert.throws(() => DirectoryLock.acquire(path), {
    code: 'EBUSY',
    message: new RegExp(`pid ${process.pid}`),
  })
  assert.throws(() => DirectoryLock.acquire(`${path}/../${path.split('/').at(-1)}`), { code: 'EBUSY' })
  lock.release()
  lock.release()
  assert.deepEqual(fs.readdirSync(path), [])
  DirectoryLock.acquire(path).release()
})

test('a living process keeps it; a killed one does not', async () => {
  const path = freshDirectory()
  const { child, said, exited } = contender(path)
  assert.equal(await said, 'got it')
  assert.throws(() => DirectoryLock.acquire(path), {
    code: 'EBUSY',
    message: new RegExp(`process ${child.pid}`),
  })
  child.kill('SIGKILL')
  await exited
  const lock = DirectoryLock.acquire(path)
  assert.deepEqual(fs.readdirSync(path), ['.lock'])
  lock.release()
})

test('of several processes that find a dead holder, one gets the directory', async () => {
  const path = freshDirectory()
  for (let round = 0; round < 2; round++) {
    // Process ids do not go that far, so nobody has this one.
    fs.writeFileSync(join(path, '.lock'), JSON.stringify({ token: `dead-${round}`, pid: 2 ** 30 }))
    const contenders = Array.from({ length: 4 }, () => contender(path))
    const answers = await Promise.all(contenders.map(({ said }) => said))
    assert.deepEqual(answers.sort(), ['EBUSY', 'EBUSY', 'EBUSY', 'got it'])
    for (const { child } of contenders) child.kill('SIGKILL')
    await Promise.all(contenders.map(({ exited }) => exited))
  }
  DirectoryLock.acquire(path).release()
  assert.deepEqual(fs.readdirSync(path), [])
})

test('a reused process id is not the holder', { skip: !fs.existsSync('/proc/self/stat') }, () => {
  const path = freshDirectory()
  const lock = DirectoryLock.acquire(path)
  const holder = fs.readFileSync(join(path, '.lock'), 'utf8')
  lock.release()
  const held: unknown = JSON.parse(holder)
  assert.ok(typeof held === 'object' && held !== null)
  fs.writeFileSync(join(path, '.lock'), JSON.stringify({ ...held, token: 'a', processStart: '1' }))
  DirectoryLock.acquire(path).release()
  fs.writeFileSync(join(path, '.lock'), JSON.stringify({ ...held, token: 'b', bootId: 'an earlier boot' }))
  DirectoryLock.acquire(path).release()
  fs.writeFileSync(
    join(path, '.lock'),
    JSON.stringify({ ...held, token: 'c', bootId: 'x', host: 'elsewhere' }),
  )
  assert.throws(() => DirectoryLock.acquire(path), { code: 'EBUSY', message: /elsewhere/ })
})

test('a holder in another container lives as long as it touches the file', () => {
  const path = freshDirectory()
  const file = join(path, '.lock')
  const lock = DirectoryLock.acquire(path)
  const held: unknown = JSON.parse(fs.readFileSync(file, 'utf8'))
  lock.release()
  assert.ok(typeof held === 'object' && held !== null)
  fs.writeFileSync(
    file,
    JSON.stringify({ ...held, token: 'd', pid: 1, pidNamespace: 'pid:[1]', host: 'container' }),
  )
  assert.throws(() => DirectoryLock.acquire(path), { code: 'EBUSY', message: /process 1 on container/ })
  const longAgo = new Date(Date.now() - 60_000)
  fs.utimesSync(file, longAgo, longAgo)
  DirectoryLock.acquire(path).release()
})

test('the holder keeps its file fresh', async () => {
  const path = freshDirectory()
  const file = join(path, '.lock')
  const lock = DirectoryLock.acquire(path)
  const longAgo = new Date(0)
  fs.utimesSync(file, longAgo, longAgo)
  while (fs.statSync(file).mtimeMs === 0) await new Promise((resolve) => setTimeout(resolve, 20))
  lock.release()
})

test('files that are no lock of ours do not bar anybody', () => {
  const path = freshDirectory()
  for (const content of ['', 'not json', '[]', '{"pid":"x"}', '{"pid":-1,"token":"../../x"}']) {
    fs.writeFileSync(join(path, '.lock'), content)
    DirectoryLock.acquire(path).release()
    assert.deepEqual(fs.readdirSync(path), [], content)
  }
})

test('a directory that cannot be used any more can still be let go of', () => {
  const path = freshDirectory()
  const lock = DirectoryLock.acquire(path)
  fs.rmSync(path, { recursive: true })
  // What was a directory is a file now: every access below it fails.
  fs.writeFileSync(path, '')
  lock.release()
  fs.rmSync(path)
})
