import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SegmentGone } from '../../../src/log/files/disk-problem.ts'
import { removePath } from '../../../src/log/files/disk-calls.ts'
import { RecentSegments } from '../../../src/log/segment/segment-cache.ts'
import { Segment } from '../../../src/log/segment/segment.ts'
import { SimWorld } from '../../simulator/sim-world.ts'

test('a segment that left the log is opened for nobody, and its file is not made again', async () => {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    const { world } = sim.start()
    const { disk } = world
    const directory = '/data/t-0'
    disk.makeDirectory(directory)
    const cache = new RecentSegments()
    const parts = { disk, cache, directory, baseOffset: 0, indexIntervalBytes: 4096, createdMs: 0 }
    const segment = new Segment(parts)
    segment.create()
    segment.become('retired')
    await removePath(disk, segment.path)
    assert.throws(() => segment.openFile(), SegmentGone)
    assert.throws(() => segment.hold(), SegmentGone)
    await assert.rejects(
      segment.whileHeld(() => Promise.resolve()),
      SegmentGone,
    )
    assert.deepEqual(disk.list(directory), [])
  })
})
