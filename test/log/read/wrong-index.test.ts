import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../../protocol/errors.ts'
import * as batch from '../../../protocol/records/record-batch.ts'
import { writeWhole } from '../../../src/log/files/disk-calls.ts'
import type { SimProcess } from '../../simulator/sim-machine.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import { makeBatch, NOW, segmentNames, TestLog } from '../log-fixture.ts'

/** An index is a help to find batches; when it leads astray the batches are found all the same. */

const HOME = '/data/t-0'
const CONFIG = { segmentBytes: 4000, indexIntervalBytes: 200 }
const COUNT = 40
const SAID = /index does not lead to what was asked for/

async function filled(sim: SimWorld): Promise<Buffer[]> {
  const { world } = sim.start()
  const log = await TestLog.open(world, HOME, CONFIG)
  for (let i = 0; i < COUNT; i++) await log.append(makeBatch(1, 100, { timestampMs: NOW + i }))
  const all = await log.readAll()
  await log.log.close(true)
  return all
}

async function change(process: SimProcess, path: string, how: (bytes: Buffer) => void): Promise<void> {
  const { disk } = process.world
  const bytes = Buffer.from(disk.readFile(path))
  how(bytes)
  await writeWhole(disk, path, bytes, true)
}

/** The middle entries, as byte positions of what they say of the place. */
function middle(index: Buffer): number[] {
  const entries = index.length / 8
  assert(entries >= 5)
  return Array.from({ length: entries - 3 }, (_, i) => (i + 1) * 8 + 4)
}

const WRONG: readonly (readonly [what: string, change: (index: Buffer) => void])[] = [
  [
    'into batches',
    (index) => {
      for (const at of middle(index)) index.writeInt32BE(index.readInt32BE(at) + 4, at)
    },
  ],
  [
    'beyond the offset',
    (index) => {
      for (const at of middle(index)) index.writeInt32BE(index.readInt32BE(at + 8), at)
      index.writeInt32BE(index.readInt32BE(index.length - 12) + 1, index.length - 12)
    },
  ],
]

for (const [what, wrong] of WRONG) {
  for (const which of ['closed', 'active'] as const) {
    test(`an index of the ${which} segment that leads ${what} hides no record, and is made anew`, async () => {
      const sim = new SimWorld(5)
      await sim.run(async () => {
        const all = await filled(sim)
        const process = sim.start()
        const { world, logger } = process
        const path = `${HOME}/${segmentNames(world, HOME, '.index').at(which === 'closed' ? 0 : -1)}`
        const good = Buffer.from(world.disk.readFile(path))
        await change(process, path, wrong)
        const log = await TestLog.open(world, HOME, CONFIG, { cleanShutdown: true, recoveryPoint: COUNT })
        // Backwards: who reads on needs no index.
        for (let offset = COUNT - 1; offset >= 0; offset--) {
          const { errorCode, buffers } = await log.read(offset, 1)
          assert.equal(errorCode, ErrorCode.NONE)
          assert.deepEqual(buffers[0], all[offset])
        }
        assert.deepEqual(logger.messages('error'), [])
        assert.equal(logger.messages('warn').filter((line) => SAID.test(line)).length, 1)
        for (let i = 0; i < 3; i++) await log.append(makeBatch(1, 100))
        await log.log.close(true)
        const now = world.disk.readFile(path)
        assert.deepEqual(now.subarray(0, good.length), good)
      })
    })
  }
}

test('a lookup by time finds what a wrong index hides', async () => {
  const sim = new SimWorld(6)
  await sim.run(async () => {
    await filled(sim)
    const process = sim.start()
    const [name] = segmentNames(process.world, HOME, '.index')
    await change(process, `${HOME}/${name}`, WRONG[0]![1])
    const log = await TestLog.open(process.world, HOME, CONFIG, {
      cleanShutdown: true,
      recoveryPoint: COUNT,
    })
    const work = { abandoned: false, vainBytesLeft: 1 << 20, decompress: plain }
    for (let offset = 0; offset < COUNT; offset++)
      assert.equal((await log.log.offsetForTimestamp(NOW + offset, Infinity, work))?.offset, offset)
    await log.log.close(true)
  })
})

function plain(_codec: number, data: Buffer, piece: (bytes: Buffer) => boolean): Promise<void> {
  piece(data)
  return Promise.resolve()
}

test('damage of a batch is still blamed on the batch, and what the index finds behind it can be read', async () => {
  const sim = new SimWorld(8)
  await sim.run(async () => {
    const all = await filled(sim)
    const process = sim.start()
    const { world, logger } = process
    const [name] = segmentNames(world, HOME)
    const at = all.slice(0, 8).reduce((sum, bytes) => sum + bytes.length, 0)
    await change(process, `${HOME}/${name}`, (bytes) => bytes.fill(0, at, at + batch.BATCH_OVERHEAD))
    const log = await TestLog.open(world, HOME, CONFIG, { cleanShutdown: true, recoveryPoint: COUNT })
    for (let i = 0; i < 2; i++) {
      assert.equal((await log.read(8, 1)).errorCode, ErrorCode.CORRUPT_MESSAGE)
      assert.deepEqual((await log.read(14, 1)).buffers[0], all[14])
    }
    assert.match(logger.messages('error').join(), /a stored batch does not read back/)
    assert.equal(logger.messages('warn').filter((line) => SAID.test(line)).length, 0)
    await log.log.close(true)
  })
})
