import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as batch from '../../../protocol/records/record-batch.ts'
import { writeWhole } from '../../../src/log/files/disk-calls.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import { segmentNames, TestLog, writeTwelve } from '../log-fixture.ts'

const CONFIG = { segmentBytes: 700, indexIntervalBytes: 150 }
const HOME = '/data/t-0'

/** Of a log whose second segment has a `.log.swap` beside it. `of`: the content of its segments. */
const SWAPS: readonly (readonly [what: string, swap: (of: readonly Buffer[]) => Buffer, problem: RegExp])[] =
  [
    ['is empty', () => Buffer.alloc(0), /it is empty/],
    ['is garbage', () => Buffer.alloc(5000, 7), /./],
    ['is all zeros', () => Buffer.alloc(5000), /./],
    ['is cut in a batch', ([, second]) => second!.subarray(0, second!.length - 3), /./],
    ['has a flipped bit', ([, second]) => flipped(second!), /checksum|crc/i],
    ['is of an earlier segment', ([first]) => first!, /offset 0 where at least \d+ is due/],
    ['is of a later segment', ([, , third]) => third!, /a gap that ends at \d+, and compaction went to 0/],
  ]

function flipped(bytes: Buffer): Buffer {
  const changed = Buffer.from(bytes)
  changed[batch.BATCH_OVERHEAD + 20]! ^= 4
  return changed
}

for (const [what, swap, problem] of SWAPS) {
  test(`a .swap that ${what} replaces nothing, and is said`, async () => {
    const sim = new SimWorld(3)
    await sim.run(async () => {
      const { world } = sim.start()
      const all = await writeTwelve(world, HOME, CONFIG)
      const names = segmentNames(world, HOME)
      const of = names.map((name) => Buffer.from(world.disk.readFile(`${HOME}/${name}`)))
      await writeWhole(world.disk, `${HOME}/${names[1]}.swap`, swap(of), true)
      const next = sim.start()
      const known = { cleanShutdown: true, recoveryPoint: 12 }
      const again = await TestLog.open(next.world, HOME, CONFIG, known)
      assert.deepEqual(await again.readAll(), all)
      assert.deepEqual(again.log.recovery?.problems ?? [], [])
      assert.deepEqual(segmentNames(next.world, HOME, '.swap'), [])
      const said = next.logger.lines.find(({ message }) =>
        message.startsWith('a compacted segment is damaged'),
      )
      assert.match(String(said?.fields['problem']), problem)
      await again.log.close(true)
    })
  })
}

test('a .swap of which nothing is left to be kept instead takes its place, whatever it is', async () => {
  const sim = new SimWorld(4)
  await sim.run(async () => {
    const { world } = sim.start()
    await writeTwelve(world, HOME, CONFIG)
    const [, second] = segmentNames(world, HOME)
    world.disk.rename(`${HOME}/${second}`, `${HOME}/${second}.swap`)
    const known = { cleanShutdown: true, recoveryPoint: 12 }
    const again = await TestLog.open(sim.start().world, HOME, CONFIG, known)
    assert.equal((await again.readAll()).length, 12)
    await again.log.close(true)
  })
})
