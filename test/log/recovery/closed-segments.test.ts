import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as batch from '../../../protocol/records/record-batch.ts'
import { writeWhole } from '../../../src/log/files/disk-calls.ts'
import type { LogOptions } from '../../../src/log/log-types.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import { makeBatch, segmentNames, TestLog, writeTwelve } from '../log-fixture.ts'

/** Below the recovery point nothing is scanned, and yet a closed segment has to end where the next one begins. */

const CONFIG = { segmentBytes: 700, indexIntervalBytes: 150 }
const HOME = '/data/t-0'

interface Found {
  readonly offsets: number[]
  readonly problems: readonly string[]
  readonly errors: readonly string[]
  readonly warnings: readonly string[]
  /** What was kept aside. */
  readonly kept: readonly Buffer[]
}

/** A log of 12 batches of one record, closed cleanly; then the bytes of its second segment become what `change` says. */
async function openChanged(
  change: (bytes: Buffer) => Buffer | null,
  more: Partial<LogOptions> = {},
  index: 'kept' | 'lost' = 'kept',
): Promise<Found & { all: number[]; second: number[] }> {
  const sim = new SimWorld(11)
  let result: (Found & { all: number[]; second: number[] }) | null = null
  await sim.run(async () => {
    const { world } = sim.start()
    const first = await TestLog.open(world, HOME, CONFIG)
    for (let i = 0; i < 12; i++) await first.append(makeBatch(1, 100 + i))
    const all = (await first.readAll()).map((bytes) => batch.baseOffset(bytes, 0))
    const [, second, third] = first.log.segments.map(({ baseOffset }) => baseOffset)
    assert(second !== undefined && third !== undefined)
    await first.log.close(true)
    const path = `${HOME}/${segmentNames(world, HOME)[1]}`
    const changed = change(Buffer.from(world.disk.readFile(path)))
    const remove = (name: string): Promise<unknown> =>
      new Promise((resolve) => world.disk.remove(name, resolve))
    if (changed !== null) await writeWhole(world.disk, path, changed, true)
    else await remove(path)
    if (index === 'lost') await remove(path.replace('.log', '.index'))
    const next = sim.start()
    const again = await TestLog.open(next.world, HOME, CONFIG, {
      cleanShutdown: true,
      recoveryPoint: 12,
      ...more,
    })
    const read = await again.readAll()
    const names = segmentNames(next.world, HOME, '').filter((name) => name.includes('.corrupt-'))
    result = {
      all,
      second: all.filter((offset) => offset >= second && offset < third),
      offsets: read.map((bytes) => batch.baseOffset(bytes, 0)),
      problems: again.log.recovery?.problems ?? [],
      errors: next.logger.messages('error'),
      warnings: next.logger.messages('warn'),
      kept: names.map((name) => Buffer.from(next.world.disk.readFile(`${HOME}/${name}`))),
    }
  })
  return result!
}

for (const index of ['kept', 'lost'] as const) {
  test(`zeros behind the end of a closed segment are cut, and readers go on (index ${index})`, async () => {
    const zeros = Buffer.alloc(5000)
    const found = await openChanged((bytes) => Buffer.concat([bytes, zeros]), {}, index)
    assert.deepEqual(found.offsets, found.all)
    assert.deepEqual([found.problems, found.errors, found.kept], [[], [], []])
    assert.match(found.warnings.join(), /cut zeros behind the end of a closed segment/)
  })

  test(`garbage there is cut and kept aside, loudly (index ${index})`, async () => {
    const garbage = Buffer.alloc(3000, 0x5a)
    const found = await openChanged((bytes) => Buffer.concat([bytes, garbage]), {}, index)
    assert.deepEqual(found.offsets, found.all)
    assert.deepEqual(found.kept, [garbage])
    assert.match(found.problems.join(), /is damaged at \d+/)
    assert.match(found.errors.join(), /CORRUPTION at the end of a closed segment/)
  })

  test(`a closed segment that lost its last batch says so, and readers go on (index ${index})`, async () => {
    for (const zeros of [true, false]) {
      const found = await openChanged(
        (bytes) => {
          const end = batch.batchSizeBytes(bytes, 0)
          return zeros
            ? Buffer.concat([bytes.subarray(0, end), Buffer.alloc(bytes.length - end)])
            : bytes.subarray(0, end)
        },
        {},
        index,
      )
      const lost = found.second.slice(1)
      assert(lost.length > 0)
      assert.deepEqual(
        found.offsets,
        found.all.filter((offset) => !lost.includes(offset)),
      )
      assert.match(found.problems.join(), new RegExp(`offset ${lost[0]} is missing`))
    }
  })
}

test('a closed segment that is gone is missed at a clean start too, unless compaction may have taken it', async () => {
  const found = await openChanged(() => null)
  const left = found.all.filter((offset) => !found.second.includes(offset))
  assert.deepEqual(found.offsets, left)
  assert.match(found.problems.join(), new RegExp(`offset ${found.second[0]} is missing`))
  assert.match(found.errors.join(), /RECORDS ARE MISSING/)
  const compacted = await openChanged(() => null, { gapLimit: 100 })
  assert.deepEqual([compacted.offsets, compacted.problems], [left, []])
  const deleted = await openChanged(() => null, { logStartOffset: found.second.at(-1)! + 1 })
  assert.deepEqual(deleted.problems, [])
})

test('an index that ends beyond its segment, or where no batch begins, is made anew', async () => {
  const cut = await openChanged((bytes) => bytes.subarray(0, batch.batchSizeBytes(bytes, 0)))
  assert.match(cut.warnings.join(), /index missing or damaged/)
  assert.match(cut.problems.join(), /is missing/)
  assert.deepEqual(cut.offsets.includes(cut.second[0]!), true)
})

test('what stands twice in the last segment after a clean stop is served once, and kept aside', async () => {
  const sim = new SimWorld(12)
  await sim.run(async () => {
    const { world } = sim.start()
    const all = await writeTwelve(world, HOME, CONFIG)
    const path = `${HOME}/${segmentNames(world, HOME).at(-1)}`
    const last = Buffer.from(world.disk.readFile(path))
    await writeWhole(world.disk, path, Buffer.concat([last, last]), true)
    const next = sim.start()
    const known = { cleanShutdown: true, recoveryPoint: 12 }
    const again = await TestLog.open(next.world, HOME, CONFIG, known)
    assert.deepEqual(await again.readAll(), all)
    assert.match(next.logger.messages('error').join(), /CORRUPTION in the middle of the log/)
    const [aside] = segmentNames(next.world, HOME, '').filter((name) => name.includes('.corrupt-'))
    assert.deepEqual(next.world.disk.readFile(`${HOME}/${aside}`), last)
    assert.equal(await again.append(makeBatch(1)), 12)
    await again.log.close(true)
  })
})
