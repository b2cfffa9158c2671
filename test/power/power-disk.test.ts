import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, fsyncSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { runOrThrow } from '../support/processes.ts'
import { skipMissing } from '../support/requirements.ts'
import { Seeded } from '../support/seed.ts'
import { holdWriteback, mountProblem } from './mounts.ts'
import { PowerDisk } from './power-disk.ts'

const BYTES = 4 << 20

/** A file whose blocks exist, full of one letter, on the device. */
function writeDurably(path: string, letter: string): void {
  const file = openSync(path, constants.O_CREAT | constants.O_WRONLY)
  try {
    writeSync(file, Buffer.alloc(BYTES, letter))
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

/** Overwrites it past the page cache, and asks for no flush. */
async function overwriteDirectly(path: string, work: string): Promise<void> {
  const from = join(work, 'source')
  writeFileSync(from, Buffer.alloc(BYTES, 'b'))
  await runOrThrow('dd', [
    `if=${from}`,
    `of=${path}`,
    'bs=64k',
    'oflag=direct',
    'conv=notrunc',
    'status=none',
  ])
}

/**
 * Whatever else this machine does may have the kernel write back at any moment what nobody asked it to: then a cut loses
 * nothing. One that does must be among so many.
 */
const TRIES = 8

/** Cuts the power once. What is there afterwards of what was not flushed. */
async function cutOnce(
  cache: 'none' | 'volatile',
  random: Seeded,
): Promise<{ unsynced: boolean; overwritten: number }> {
  using _held = holdWriteback()
  await using disk = await PowerDisk.make({ sizeMb: 64, cache, commitSeconds: 300 })
  const at = (name: string): string => join(disk.directory, name)
  writeDurably(at('synced'), 'a')
  writeDurably(at('overwritten'), 'a')
  disk.sync()
  await overwriteDirectly(at('overwritten'), disk.directory)
  writeFileSync(at('unsynced'), Buffer.alloc(BYTES, 'a'))
  await disk.cut(random)
  assert.throws(() => writeDurably(at('late'), 'a'), 'nothing reaches the device after the cut')
  await disk.restore()

  assert.ok(readFileSync(at('synced')).equals(Buffer.alloc(BYTES, 'a')), 'what was synced is there')
  let unsynced = Buffer.alloc(0)
  try {
    unsynced = readFileSync(at('unsynced'))
  } catch {
    // Not even its name is there.
  }
  const overwritten = readFileSync(at('overwritten')).filter((byte) => byte === 0x62).length
  if (cache === 'none') assert.equal(overwritten, BYTES, 'what the device was given is there')
  return { unsynced: unsynced.equals(Buffer.alloc(BYTES, 'a')), overwritten }
}

for (const cache of ['none', 'volatile'] as const) {
  test(`a power cut of a device with ${cache === 'none' ? 'no' : 'a volatile'} cache`, async (t) => {
    const problem = await mountProblem()
    if (problem !== null) return skipMissing(t, problem)
    const random = new Seeded()
    t.diagnostic(`SAMSA_SEED=${random.seed}`)
    for (let left = TRIES; ; left--) {
      const { unsynced, overwritten } = await cutOnce(cache, random)
      t.diagnostic(`${overwritten} of ${BYTES} bytes that were not flushed are there`)
      // What was not synced is gone, and of what was not flushed a part.
      if (!unsynced && (cache === 'none' || overwritten < BYTES)) return
      assert.ok(left > 1, `in ${TRIES} cuts nothing was lost that could have been`)
    }
  })
}

test('power comes back although others had the mount in a namespace of their own', async (t) => {
  const problem = await mountProblem()
  if (problem !== null) return skipMissing(t, problem)
  await using disk = await PowerDisk.make({ sizeMb: 64, cache: 'none' })
  const container = spawn('unshare', ['--mount', 'sh', '-c', 'echo made; exec sleep 0.5'])
  await once(container.stdout, 'data')
  await disk.cut(new Seeded())
  await disk.restore()
  writeDurably(join(disk.directory, 'later'), 'a')
})
