import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { NativeAddon } from '../../../src/system/native-addon.ts'
import { SystemDisk } from '../../../src/system/disk/system-disk.ts'
import { Turn } from '../../../src/system/turn.ts'
import { RingEngine } from '../../../src/system/uring/ring-engine.ts'
import { skipMissing } from '../../support/requirements.ts'
import { Seeded } from '../../support/seed.ts'
import { freshPaths, read, reserve, sync, write } from '../disk/disk-fixture.ts'
import { AdversaryRing, adversaryAddon } from './adversary-ring.ts'
import { quietLogger, ringMissing } from './ring-fixture.ts'

const paths = freshPaths()
/** A second device. */
const SHARED_MEMORY = '/dev/shm'

/** Takes all it is given and answers nothing. */
class HungRing extends AdversaryRing {
  override submit(): number {
    return 0
  }
}

function hasTwoDevices(): boolean {
  if (ringMissing !== null || !fs.existsSync(SHARED_MEMORY)) return false
  return fs.statSync(SHARED_MEMORY).dev !== fs.statSync(paths.directory).dev
}

test('a device that hangs stops its own files only', async (t) => {
  if (!hasTwoDevices()) return skipMissing(t, 'a second device in /dev/shm')
  const other = fs.mkdtempSync(join(SHARED_MEMORY, 'samsa-lanes-'))
  after(() => fs.rmSync(other, { recursive: true, force: true }))
  const random = new Seeded()
  const { addon: plain } = adversaryAddon(random)
  let rings = 0
  const addon: NativeAddon = {
    ...plain,
    Ring: class extends AdversaryRing {
      constructor(_entries: number, onCompletions: (count: number) => void) {
        super(random, onCompletions)
        // The first device that is used hangs.
        if (rings++ === 0) return new HungRing(random, onCompletions)
      }
    },
  }
  const turn = new Turn()
  const disk = new SystemDisk(turn, { ring: new RingEngine(addon, turn, quietLogger, 4 << 20) })
  // More writes, zeros and reads than are ever under way at once, with more bytes than there is memory for.
  for (let i = 0; i < 300; i++) {
    const hung = disk.open(paths.next(), 'create')
    const ignored = (): void => assert.fail('it hangs')
    hung.write(0, [Buffer.alloc(64 << 10, 1)], true, ignored)
    if (i % 3 === 0) disk.open(hung.path, 'update').reserve(1 << 20, ignored)
    if (i % 3 === 1) disk.open(hung.path, 'read').read(0, Buffer.alloc(10), ignored)
  }
  await new Promise((resolve) => setImmediate(resolve))
  const file = disk.open(join(other, 'file'), 'create')
  for (let at = 0; at < 1 << 20; at += 64 << 10) await write(file, at, [Buffer.alloc(64 << 10, 2)], true)
  await reserve(file, 2 << 20)
  await write(file, 0, [Buffer.from('hello')])
  await sync(file)
  assert.equal((await read(file, 0, 5)).toString(), 'hello')
})
