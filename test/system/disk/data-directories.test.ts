import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { checkDirectories } from '../../../src/system/disk/data-directories.ts'
import { SystemDisk } from '../../../src/system/disk/system-disk.ts'
import { Turn } from '../../../src/system/turn.ts'
import { skipMissing } from '../../support/requirements.ts'
import { freshPaths } from './disk-fixture.ts'

const paths = freshPaths()
const posix = process.getuid !== undefined
const modeOf = (path: string): number => fs.statSync(path).mode & 0o7777

/** What keeps a directory from being used; '' for nothing. */
async function problemOf(path: string, answerMs?: number): Promise<string> {
  return (await checkDirectories([path], answerMs)).get(path)?.message ?? ''
}

test('what is missing is made, for nobody else to read', { skip: !posix }, async () => {
  const top = paths.next()
  const directory = join(top, 'a', 'b')
  assert.equal(await problemOf(directory), '')
  for (const path of [top, join(top, 'a'), directory]) assert.equal(modeOf(path), 0o700)
  assert.deepEqual(fs.readdirSync(directory), [])
  const disk = new SystemDisk(new Turn())
  disk.makeDirectory(join(directory, 't-0'))
  disk.open(join(directory, 't-0', 'file'), 'create').close()
  assert.equal(modeOf(join(directory, 't-0')), 0o700)
  assert.equal(modeOf(join(directory, 't-0', 'file')), 0o600)
})

test('a directory that Apache Kafka made is as good', { skip: !posix }, async () => {
  const directory = paths.next()
  fs.mkdirSync(directory, { mode: 0o755 })
  assert.equal(await problemOf(directory), '')
})

test(
  'a directory that others may write is refused, with the command that mends it',
  { skip: !posix },
  async () => {
    const parent = join(paths.next(), "it's")
    const directory = join(parent, 'data')
    fs.mkdirSync(directory, { recursive: true })
    for (const [path, mode] of [
      [directory, 0o777],
      [parent, 0o777],
      [parent, 0o757],
    ] as const) {
      fs.chmodSync(path, mode)
      const problem = await problemOf(directory)
      const remedy = /: (chmod .*)$/.exec(problem)?.[1]
      assert.ok(remedy !== undefined, problem)
      assert.match(problem, /may be written by everybody/)
      assert.equal(spawnSync('sh', ['-c', remedy]).status, 0)
      assert.equal(await problemOf(directory), '', remedy)
    }
    // In a directory like /tmp nobody can put another one in its place. It stays as it is, for others need it.
    fs.chmodSync(parent, 0o1777)
    assert.equal(await problemOf(directory), '')
    const below = / use a directory in it, for example (.*)$/.exec(await problemOf(parent))?.[1]
    assert.equal(below, join(parent, 'samsa-data'))
    assert.equal(await problemOf(below), '')
  },
)

test('what keeps a directory from being used is said in a few words', { skip: !posix }, async () => {
  const file = paths.next()
  fs.writeFileSync(file, '')
  assert.match(await problemOf(file), /^it is no directory: EEXIST$/)
  assert.match(await problemOf(join(file, 'below')), /is no directory: ENOTDIR/)
  const link = paths.next()
  fs.symlinkSync(join(file, 'nowhere'), link)
  assert.match(await problemOf(link), /is no directory: ENOTDIR/)
  // Node's own `recursive` tries for ever there.
  for (const path of ['/proc/samsa', '/proc/samsa/data'])
    if (fs.existsSync('/proc/self')) assert.match(await problemOf(path), /^it cannot be made there: ENOENT/)
  const unusable = await checkDirectories([file])
  const disk = new SystemDisk(new Turn(), { unusable })
  // Of what may never answer nobody even asks whether it is there.
  assert.throws(() => disk.exists(file), /is no directory/)
  assert.throws(() => disk.makeDirectory(file), /is no directory/)
})

test('who may not make it there is told so', { skip: process.geteuid?.() !== 0 }, () => {
  const parent = paths.next()
  fs.mkdirSync(parent, { mode: 0o755 })
  fs.chmodSync(dirname(parent), 0o755)
  const script = `
    process.setegid(65534)
    process.seteuid(65534)
    const found = await checkDirectories([process.argv[1]])
    process.stdout.write([...found.values()].map(({ message }) => message).join())`
  const module = new URL('../../../src/system/disk/data-directories.js', import.meta.url)
  const source = `import { checkDirectories } from '${module.href}'; ${script}`
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', source, join(parent, 'data')], {
    encoding: 'utf8',
  })
  assert.match(child.stdout, /^permission denied for user \w+: EACCES/, child.stderr)
})

test('links are not followed, and pipes are not waited for', { skip: !posix }, () => {
  const directory = paths.next()
  fs.mkdirSync(directory)
  const victim = paths.next()
  fs.writeFileSync(victim, 'precious')
  const disk = new SystemDisk(new Turn())
  const at = (name: string): string => join(directory, name)
  fs.symlinkSync(victim, at('link'))
  fs.symlinkSync(paths.next(), at('dangling'))
  for (const name of ['link', 'dangling']) {
    for (const mode of ['read', 'update', 'create'] as const)
      assert.throws(() => disk.open(at(name), mode), { code: 'ELOOP', message: /symbolic link/ })
    assert.throws(() => disk.readFile(at(name)), { code: 'ELOOP' })
  }
  fs.mkdirSync(at('directory'))
  for (const read of [() => disk.readFile(at('directory')), () => disk.open(at('directory'), 'read')])
    assert.throws(read, { code: 'EISDIR', message: `EISDIR: ${at('directory')} is a directory, and no file` })
  // What is made anew takes the place of the link, and of a second name of the file.
  fs.linkSync(victim, at('hard'))
  for (const name of ['link', 'dangling', 'hard']) {
    disk.open(at(name), 'replace').close()
    assert.ok(fs.lstatSync(at(name)).isFile())
    assert.equal(fs.statSync(at(name)).size, 0)
  }
  assert.equal(fs.readFileSync(victim, 'utf8'), 'precious')
  if (spawnSync('mkfifo', [at('pipe')]).status !== 0) return
  for (const mode of ['read', 'update', 'create'] as const)
    assert.throws(() => disk.open(at('pipe'), mode), { code: 'EINVAL', message: /no regular file/ })
  assert.throws(() => disk.readFile(at('pipe')), { code: 'EINVAL' })
})

/** Mounts a file system in user space whose program never answers, says so, and stays. */
const SILENT_MOUNT = `
import ctypes, os, sys
fd = os.open('/dev/fuse', os.O_RDWR)
libc = ctypes.CDLL(None, use_errno=True)
options = f'fd={fd},rootmode=40000,user_id=0,group_id=0'.encode()
print(libc.mount(b'silent', sys.argv[1].encode(), b'fuse', 0, options), flush=True)
sys.stdin.read()
`

test('a file system that does not answer is given up', async (t) => {
  const point = paths.next()
  fs.mkdirSync(point)
  const mounting = spawn('python3', ['-c', SILENT_MOUNT, point], { stdio: ['pipe', 'pipe', 'ignore'] })
  mounting.on('error', () => {})
  const [said] = await Promise.race([once(mounting.stdout, 'data'), once(mounting, 'close')])
  if (String(said).trim() !== '0') return skipMissing(t, 'FUSE as root')
  try {
    const directory = join(point, 'data')
    assert.match(await problemOf(directory, 500), /has not answered for 0.5 s/)
  } finally {
    mounting.kill('SIGKILL')
    await once(mounting, 'close')
    spawnSync('umount', ['-l', point])
  }
})
