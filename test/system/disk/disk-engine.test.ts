import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { parsePartitionName } from '../../../src/log/directory/log-directory.ts'
import { chooseEngine } from '../../../src/system/disk/disk-engine.ts'
import type { EngineChoice, IoMode } from '../../../src/system/disk/disk-engine.ts'
import { SystemDisk } from '../../../src/system/disk/system-disk.ts'
import { Turn } from '../../../src/system/turn.ts'
import { skipMissing } from '../../support/requirements.ts'
import { difference, freshPaths, reserve, write } from './disk-fixture.ts'
import { ringMissing, warningLogger } from '../uring/ring-fixture.ts'
import { until } from '../../support/until.ts'

const paths = freshPaths()

async function choose(
  mode: IoMode,
  directories: readonly string[],
  fault: string | null = null,
  warnings: string[] = [],
): Promise<EngineChoice> {
  if (fault !== null) process.env['SAMSA_RING_FAULT'] = fault
  try {
    const choice = await chooseEngine(new Turn(), { mode, directories, logger: warningLogger(warnings) })
    choice.ring?.close()
    return choice
  } finally {
    delete process.env['SAMSA_RING_FAULT']
  }
}

test('threads are taken when they are asked for', async () => {
  const { io, ring, description } = await choose('threads', [paths.next()])
  assert.equal(io, 'threads')
  assert.equal(ring, null)
  assert.match(description, /fdatasync.*samsa\.io=threads/)
})

test('io_uring is taken where a write and a read succeed, and nothing of the trial stays', async (t) => {
  if (ringMissing !== null) {
    skipMissing(t, `io_uring: ${ringMissing}`)
    return
  }
  for (const mode of ['auto', 'uring'] as const) {
    const directory = join(paths.next(), 'not/there/yet')
    const { io, description } = await choose(mode, [directory])
    assert.equal(io, 'uring')
    assert.match(description, /io_uring, in blocks of 4096 bytes/)
    assert.deepEqual(fs.readdirSync(directory), [])
  }
})

test('a crash during the trial leaves nothing that the next start takes for a partition', async (t) => {
  if (ringMissing !== null) {
    skipMissing(t, `io_uring: ${ringMissing}`)
    return
  }
  const directory = paths.next()
  fs.mkdirSync(directory, { recursive: true })
  const names = new Set<string>()
  using watcher = Object.assign(fs.watch(directory), {
    [Symbol.dispose]: () => watcher.close(),
  })
  watcher.on('change', (_event, name) => names.add(String(name)))
  await choose('uring', [directory])
  await until(() => names.size > 0)
  for (const name of names) assert.equal(parsePartitionName(name), null, name)
})

test('what is in the way is said, and is an error when io_uring was asked for', async (t) => {
  if (ringMissing !== null) {
    skipMissing(t, `io_uring: ${ringMissing}`)
    return
  }
  for (const [fault, reason] of [
    ['setup:EPERM:after=0', /seccomp.*\(EPERM\)/],
    ['setup:ENOSYS:after=0', /kernel has none \(ENOSYS\)/],
    ['setup:ENOMEM:after=0', /locked memory.*\(ENOMEM\)/],
    ['write:EINVAL:after=0', /past the page cache fails with EINVAL/],
    ['write:SHORT:after=0', /not what is read/],
    ['read:EIO:after=0', /EIO: read/],
  ] as const) {
    const directory = paths.next()
    const { io, ring, description } = await choose('auto', [directory], fault)
    assert.equal(io, 'threads', fault)
    assert.equal(ring, null)
    assert.match(description, reason)
    await assert.rejects(choose('uring', [directory], fault), { code: 'SAMSA_DISK_IO', message: reason })
    assert.deepEqual(fs.existsSync(directory) ? fs.readdirSync(directory) : [], [])
  }
})

test('one directory that cannot is enough to say so, and not enough to give io_uring up', async (t) => {
  if (ringMissing !== null) {
    skipMissing(t, `io_uring: ${ringMissing}`)
    return
  }
  const file = paths.next()
  fs.writeFileSync(file, '')
  const warnings: string[] = []
  const { io } = await choose('auto', [paths.next(), join(file, 'below')], null, warnings)
  assert.equal(io, 'uring')
  assert.equal(warnings.length, 1)
  assert.match(warnings[0] ?? '', /ENOTDIR/)
  await assert.rejects(choose('uring', [paths.next(), join(file, 'below')]), /ENOTDIR/)
  assert.equal((await choose('auto', [join(file, 'below')])).io, 'threads')
})

test('a file system without O_DIRECT', async (t) => {
  if (ringMissing !== null) {
    skipMissing(t, `io_uring: ${ringMissing}`)
    return
  }
  const directory = paths.next()
  fs.mkdirSync(directory)
  if (spawnSync('mount', ['-t', 'ramfs', 'ramfs', directory]).status !== 0) {
    skipMissing(t, 'mounting a ramfs, which needs root')
    return
  }
  after(() => spawnSync('umount', ['-l', directory]))
  const { io, description } = await choose('auto', [directory])
  assert.equal(io, 'threads')
  assert.match(description, /O_DIRECT/)
  const turn = new Turn()
  const warnings: string[] = []
  const engine = await chooseEngine(turn, {
    mode: 'auto',
    directories: [paths.directory, directory],
    logger: warningLogger(warnings),
  })
  assert.equal(engine.io, 'uring')
  const disk = new SystemDisk(turn, { ring: engine.ring })
  for (const path of [join(directory, 'there'), paths.next()]) {
    const file = disk.open(path, 'create')
    await reserve(file, 300_000)
    await write(file, 0, [Buffer.from('hello')], true)
    await write(file, 5, [Buffer.from(' world')], true)
    assert.equal(difference(path, Buffer.from('hello world')), null)
    file.close()
  }
  assert.equal(warnings.length, 1)
  engine.ring?.close()
})
