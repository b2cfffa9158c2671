import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ReadPiece } from '../../src/log/read/read-buffers.ts'
import { Fixture, heartbeat } from './connection-fixture.ts'

test('an answer of 200,000 partitions with data is put together in linear time', () => {
  const fixture = new Fixture()
  fixture.receive(heartbeat(1, 'g'))
  const { context } = fixture.begun[0]!
  let releases = 0
  const piece: ReadPiece = { length: 1, release: () => (releases += 1) }
  const startedMs = performance.now()
  for (let i = 0; i < 200_000; i++) context.attach([piece])
  const took = performance.now() - startedMs
  assert.ok(took < 5_000, `${Math.round(took)} ms`)
  fixture.client.closed('reset')
  assert.equal(releases, 200_000)
})

test('requests that are held back begin one by one in linear time', () => {
  const COUNT = 20_000
  const fixture = new Fixture({}, 100_000_000, 100_000_000)
  fixture.receive(Buffer.concat(Array.from({ length: COUNT }, (_, i) => heartbeat(i, 'g'.repeat(100)))))
  const startedMs = performance.now()
  for (let i = 0; i < COUNT; i++) {
    fixture.begun[i]!.respond()
    fixture.clock.endTurn()
    fixture.clock.advance(1)
  }
  const took = performance.now() - startedMs
  assert.equal(fixture.answered.length, COUNT)
  assert.equal(fixture.budget.usedBytes, 0)
  assert.ok(took < 5_000, `${Math.round(took)} ms`)
})
