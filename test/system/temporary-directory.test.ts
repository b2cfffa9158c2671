import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, beforeEach, test } from 'node:test'
import { thisProcess } from '../../src/system/disk/lock-holder.ts'
import { removeLeftovers, TemporaryDirectory } from '../../src/system/temporary-directory.ts'

const base = fs.mkdtempSync(path.join(os.tmpdir(), 'samsa-test-'))
after(() => fs.rmSync(base, { recursive: true, force: true }))

let parent = ''
beforeEach(() => {
  parent = fs.mkdtempSync(path.join(base, 'tmp-'))
  process.env['TMPDIR'] = parent
})

const modeOf = (file: string): number => fs.statSync(file).mode & 0o777

/** A directory as a run leaves it whose process was `owner`. */
function leave(owner: object | string | null): string {
  const directory = new TemporaryDirectory().path
  fs.mkdirSync(path.join(directory, 'data'))
  const file = path.join(directory, 'owner.json')
  fs.rmSync(file)
  if (owner !== null) fs.writeFileSync(file, typeof owner === 'string' ? owner : JSON.stringify(owner))
  return directory
}

async function deadPid(): Promise<number> {
  const child = spawn(process.execPath, ['-e', '0'])
  await once(child, 'exit')
  return child.pid ?? 0
}

test('only its user may enter, and it goes with what is in it', async () => {
  const directory = new TemporaryDirectory()
  assert.equal(path.dirname(directory.path), parent)
  assert.equal(modeOf(directory.path), 0o700)
  assert.equal(modeOf(path.join(directory.path, 'owner.json')), 0o600)
  fs.mkdirSync(directory.dataDir)
  await directory.remove()
  assert.deepEqual(fs.readdirSync(parent), [])
})

test(
  'what a kill -9 left is removed, what is in use is not',
  { skip: process.platform !== 'linux' },
  async () => {
    const module = new URL('../../src/system/temporary-directory.js', import.meta.url).href
    const code = `import { TemporaryDirectory } from '${module}'
    console.log(new TemporaryDirectory().path)
    setInterval(() => {}, 1000)`
    const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line]: Buffer[] = await once(child.stdout, 'data')
    const directory = String(line).trim()
    const own = new TemporaryDirectory()
    await removeLeftovers()
    assert.deepEqual(
      fs.readdirSync(parent).toSorted(),
      [directory, own.path].map((each) => path.basename(each)).toSorted(),
    )
    child.kill('SIGKILL')
    await once(child, 'exit')
    await removeLeftovers()
    assert.deepEqual(fs.readdirSync(parent), [path.basename(own.path)])
  },
)

test('nothing is removed where death is not certain', { skip: process.platform !== 'linux' }, async () => {
  const me = thisProcess(false)
  const dead = { ...me, pid: await deadPid() }
  const kept = [
    leave(me),
    leave(null),
    leave('{"pid":'),
    // Another container, another machine: nobody here can see that process.
    leave({ ...dead, pidNamespace: 'pid:[1]' }),
    leave({ ...dead, bootId: 'another boot', host: 'another host' }),
    leave({ ...dead, pid: -1 }),
  ]
  const open = leave(dead)
  fs.chmodSync(open, 0o770)
  const target = leave(dead)
  const hidden = path.join(base, `hidden-${path.basename(parent)}`)
  fs.renameSync(target, hidden)
  fs.symlinkSync(hidden, target)
  if (process.geteuid?.() === 0) {
    const foreign = leave(dead)
    fs.chownSync(foreign, 65534, 65534)
    kept.push(foreign)
  }
  const before = fs.readdirSync(parent).toSorted()
  assert.equal(before.length, kept.length + 2)
  await removeLeftovers()
  assert.deepEqual(fs.readdirSync(parent).toSorted(), before)
  assert.ok(fs.existsSync(hidden))

  const gone = [leave(dead), leave({ ...me, processStart: '1' }), leave({ ...me, bootId: 'another boot' })]
  await removeLeftovers()
  for (const each of gone) assert.ok(!fs.existsSync(each), each)
  assert.deepEqual(fs.readdirSync(parent).toSorted(), before)
})
