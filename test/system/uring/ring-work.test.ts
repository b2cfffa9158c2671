import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import { describe, test } from 'node:test'
import type { DiskError } from '../../../src/ports.ts'
import { ReadAhead } from '../../../src/system/uring/ring-reader.ts'
import { SystemDisk } from '../../../src/system/disk/system-disk.ts'
import { Turn } from '../../../src/system/turn.ts'
import { skipMissing } from '../../support/requirements.ts'
import { Seeded } from '../../support/seed.ts'
import { freshPaths, randomBytes, read, sync, write } from '../disk/disk-fixture.ts'
import { faultyRing, ringMissing, ringOf } from './ring-fixture.ts'
import { until } from '../../support/until.ts'

const MIB = 1 << 20
const paths = freshPaths()

test('reads, writeback and the life of the process with io_uring are tested', (t) => {
  if (ringMissing !== null) skipMissing(t, `io_uring: ${ringMissing}`)
})

test('a reader from one end to the other is read ahead of, a jumping one is not', () => {
  const ahead = new ReadAhead()
  const size = 100 * MIB
  assert.equal(ahead.next(0, MIB, size), 0, 'one read says nothing')
  assert.equal(ahead.next(MIB, MIB, size), MIB)
  assert.equal(ahead.toldEnd, 3 * MIB)
  assert.equal(ahead.next(2 * MIB, MIB / 4, size), 0)
  assert.equal(ahead.next(2.25 * MIB - 100, MIB / 2 + 100, size), 0.75 * MIB, 'what was cut off comes again')
  assert.equal(ahead.toldEnd, 3.75 * MIB)
  assert.equal(ahead.next(50 * MIB, MIB, size), 0)
  assert.equal(ahead.next(51 * MIB, MIB, size), MIB)
  assert.equal(ahead.next(52 * MIB, MIB, 53 * MIB), 0, 'not behind the end')
})

describe('with io_uring', { skip: ringMissing !== null }, () => {
  test('many large reads at once, cold ones too', async () => {
    const random = new Seeded(4)
    const turn = new Turn()
    const disk = new SystemDisk(turn, { ring: ringOf(turn) })
    const bytes = randomBytes(random, 9 * MIB)
    const path = paths.next()
    const file = disk.open(path, 'create')
    // Past the page cache, so that nothing of it is in memory but the tail.
    for (let at = 0; at < bytes.length; at += MIB) await write(file, at, [bytes.subarray(at, at + MIB)], true)
    const again = disk.open(path, 'read')
    const reads = Array.from({ length: 60 }, (_, i) => {
      const position = i < 20 ? i * 400_000 : random.between(0, bytes.length)
      return { position, length: random.between(1, 2 * MIB) }
    })
    const answers = await Promise.all(reads.map(({ position, length }) => read(again, position, length)))
    for (const [i, { position, length }] of reads.entries()) {
      const expected = bytes.subarray(position, position + length)
      assert.ok(answers[i]!.subarray(0, expected.length).equals(expected), `${position}, ${length}`)
    }
    assert.equal((await read(again, 20 * MIB, 10)).length, 0)
    file.close()
    again.close()
  })

  test('a failed read says so', async () => {
    const turn = new Turn()
    const disk = new SystemDisk(turn, { ring: faultyRing(turn, 'read:EIO:after=0') })
    const path = paths.next()
    fs.writeFileSync(path, 'hello')
    const file = disk.open(path, 'read')
    await assert.rejects(read(file, 0, 5), (error: DiskError) => error.code === 'EIO')
    assert.equal((await read(file, 0, 5)).toString(), 'hello')
    file.close()
  })

  test('page-cache writes start on their way to the device before anybody asks', async () => {
    const turn = new Turn()
    const ring = ringOf(turn)
    const disk = new SystemDisk(turn, { ring })
    const file = disk.open(paths.next(), 'create')
    const { writeback } = ring.lane(fs.statSync(file.path).dev)
    let started = false
    for (let at = 0; at < 12 * MIB; at += MIB) {
      await write(file, at, [Buffer.alloc(MIB, 1)])
      started ||= writeback.underWay > 0
    }
    assert.ok(started)
    file.close()
    // The descriptor stays open for it.
    await until(() => !file.busy)
    assert.equal(writeback.underWay, 0)
  })

  test('little is left to the system, and a file that is flushed is whole', async () => {
    const turn = new Turn()
    const disk = new SystemDisk(turn, { ring: ringOf(turn) })
    const path = paths.next()
    const file = disk.open(path, 'create')
    await write(file, 0, [Buffer.alloc(MIB, 1)])
    assert.equal(file.busy, false)
    await sync(file)
    assert.equal(fs.statSync(path).size, MIB)
    file.close()
  })

  test('the process lives as long as something is under way, and no longer', async () => {
    const script = `
      import { ringOf } from ${JSON.stringify(new URL('./ring-fixture.js', import.meta.url).href)}
      import { SystemDisk } from ${JSON.stringify(new URL('../../../src/system/disk/system-disk.js', import.meta.url).href)}
      import { Turn } from ${JSON.stringify(new URL('../../../src/system/turn.js', import.meta.url).href)}
      const turn = new Turn()
      const disk = new SystemDisk(turn, { ring: ringOf(turn) })
      const file = disk.open(${JSON.stringify(paths.next())}, 'create')
      file.write(0, [Buffer.from('hello')], true, (error) => {
        console.log('written', error)
        file.reserve(300_000, (error) => console.log('reserved', error))
      })
    `
    const child = spawn(process.execPath, ['--input-type=module', '-e', script])
    let output = ''
    child.stdout.on('data', (chunk) => (output += String(chunk)))
    child.stderr.on('data', (chunk) => (output += String(chunk)))
    const code = await new Promise((resolve) => child.once('close', resolve))
    assert.equal(output, 'written null\nreserved null\n')
    assert.equal(code, 0)
  })
})
