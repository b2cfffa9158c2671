import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CachedSegment } from '../../../src/log/log-types.ts'
import { RecentSegments } from '../../../src/log/segment/segment-cache.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import { makeBatch, TestLog } from '../log-fixture.ts'

class Fake implements CachedSegment {
  cachedBytes: number
  evictions = 0

  constructor(cachedBytes: number) {
    this.cachedBytes = cachedBytes
  }

  evict(): void {
    this.evictions++
  }
}

test('the least recently used go first, by number and by bytes', () => {
  const cache = new RecentSegments(3, 100)
  const [a, b, c, d] = [new Fake(10), new Fake(10), new Fake(10), new Fake(10)]
  for (const segment of [a, b, c, a, d]) cache.touch(segment)
  assert.deepEqual(
    [a, b, c, d].map((segment) => segment.evictions),
    [0, 1, 0, 0],
  )
  d.cachedBytes = 95
  cache.touch(d)
  assert.equal(cache.size, 1)
  d.cachedBytes = 500
  cache.touch(d)
  assert.equal(d.evictions, 0, 'what is in use stays, however large')
  cache.forget(d)
  cache.forget(d)
  assert.equal(cache.size, 0)
})

test('a log with more segments than may be open serves all of them', async () => {
  const sim = new SimWorld(8)
  await sim.run(async () => {
    const { world } = sim.start()
    const segmentCache = new RecentSegments(2, 1 << 20)
    const config = { segmentBytes: 400, indexIntervalBytes: 100 }
    const test = await TestLog.open(world, '/data/t-0', config, { segmentCache })
    for (let i = 0; i < 60; i++) await test.append(makeBatch(1, 100))
    await test.flush()
    assert.ok(test.log.segmentCount > 20)
    assert.ok(segmentCache.size <= 2)
    const reads = Array.from({ length: 60 }, (_, i) => test.read((i * 37) % 60))
    const results = await Promise.all(reads)
    results.forEach((result, i) => assert.ok(result.nextOffset > (i * 37) % 60 && result.errorCode === 0))
    assert.ok(segmentCache.size <= 2)
    await test.log.close(true)
  })
})
