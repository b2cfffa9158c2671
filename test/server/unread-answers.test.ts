import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AnswerSizes } from '../../src/server/answer-sizes.ts'
import { Fixture, heartbeat, produce } from './connection-fixture.ts'

const MIN_RATE = 1_000
const PATIENCE_MS = 60_000

/** Seconds until the client is disconnected, which takes `taken(second)` bytes in each; null when it is not. */
function secondsUntilClosed(taken: (second: number) => number, patienceMs = PATIENCE_MS): number | null {
  const fixture = new Fixture({ 'samsa.response.min.rate': String(MIN_RATE) })
  fixture.connection.unsentBytes = 50_000_000
  for (let second = 0; second < 600; second++) {
    fixture.client.sweep(fixture.clock.monotonicMs(), patienceMs)
    if (fixture.connection.destroyed) {
      assert.equal(fixture.slowReaders, 1, 'it is counted')
      return second
    }
    fixture.clock.advance(1_000)
    fixture.connection.sentBytes += taken(second)
  }
  assert.equal(fixture.slowReaders, 0)
  return null
}

test('a client that came late is not slow since the broker started', () => {
  const fixture = new Fixture({ 'samsa.response.min.rate': String(MIN_RATE) })
  fixture.clock.advance(10 * PATIENCE_MS)
  fixture.connection.unsentBytes = 100
  fixture.client.sweep(fixture.clock.monotonicMs(), PATIENCE_MS)
  assert.ok(!fixture.connection.destroyed)
})

test('a client that takes its answers too slowly is disconnected, one that reads in bursts is not', () => {
  assert.equal(
    secondsUntilClosed(() => 0),
    61,
  )
  assert.equal(
    secondsUntilClosed((second) => (second % 60 === 0 ? 1 : 0)),
    61,
    'a byte a minute',
  )
  assert.equal(
    secondsUntilClosed(() => MIN_RATE - 1),
    61,
  )
  assert.equal(
    secondsUntilClosed(() => MIN_RATE),
    null,
  )
  assert.equal(
    secondsUntilClosed((second) => (second % 50 === 49 ? 50 * MIN_RATE : 0)),
    null,
  )
  assert.equal(
    secondsUntilClosed(() => 0, 3_000),
    4,
    'sooner while others wait for the memory',
  )
})

test('who has nothing to read is not slow', () => {
  const fixture = new Fixture()
  for (let second = 0; second < 500; second++) {
    fixture.client.sweep(fixture.clock.monotonicMs(), 3_000)
    fixture.clock.advance(1_000)
  }
  assert.ok(!fixture.connection.destroyed)
  fixture.connection.unsentBytes = 1
  fixture.client.sweep(fixture.clock.monotonicMs(), 3_000)
  assert.ok(!fixture.connection.destroyed, 'not for the time before')
})

test('what a client leaves unread counts against the answers of all', () => {
  const fixture = new Fixture()
  const { answers } = fixture.shared
  fixture.receive(heartbeat(1, 'g'))
  fixture.begun[0]!.respond()
  assert.equal(answers.usedBytes, fixture.connection.written[0]!.length)
  fixture.client.drained()
  assert.equal(answers.usedBytes, 0)
})

test('no request begins while the answers of others take all there is, and then it does', () => {
  const fixture = new Fixture()
  const { answers } = fixture.shared
  answers.take(1_000)
  fixture.receive(heartbeat(1, 'g'))
  fixture.receive(produce(2, 't', 10))
  assert.deepEqual(fixture.log, [])
  answers.give(1_000)
  fixture.clock.endTurn()
  assert.deepEqual(fixture.log, ['heartbeat g'])
  fixture.begun[0]!.respond()
  fixture.client.drained()
  assert.deepEqual(fixture.log, ['heartbeat g', 'produce t'])
})

test('a client that is gone does not stand in line', () => {
  const fixture = new Fixture()
  fixture.shared.answers.take(1_000)
  fixture.receive(heartbeat(1, 'g'))
  assert.equal(fixture.shared.answers.waitingCount, 1)
  fixture.client.closed('reset')
  assert.equal(fixture.shared.answers.waitingCount, 0)
})

test('large answers are expected before they are there, and forgotten with time', () => {
  const sizes = new AnswerSizes()
  const METADATA = 3
  sizes.observe(METADATA, 1_000_000)
  assert.equal(sizes.expectedBytes(METADATA, 100), 4_000_000)
  assert.equal(sizes.expectedBytes(METADATA, 1_000_000), 16_000_000, 'a long request has many elements')
  assert.equal(sizes.expectedBytes(0, 1_000_000), 0, 'unless it is of records')
  sizes.observe(METADATA, 100)
  assert.ok(sizes.expectedBytes(METADATA, 100) > 3_000_000)
  for (let i = 0; i < 100; i++) sizes.observe(METADATA, 100)
  assert.equal(sizes.expectedBytes(METADATA, 100), 0)
})

test('what is expected is held until the answer is there', () => {
  const fixture = new Fixture({}, 1_000_000, 1_000_000)
  const { answers, answerSizes } = fixture.shared
  answerSizes.observe(12, 100_000)
  fixture.receive(heartbeat(1, 'g'))
  assert.equal(answers.usedBytes, 400_000)
  fixture.begun[0]!.respond()
  assert.ok(answers.usedBytes < 100)
  fixture.client.closed('reset')
  assert.equal(answers.usedBytes, 0)
})

test('what is expected is given back when the client leaves first', () => {
  const fixture = new Fixture({}, 1_000_000, 1_000_000)
  const { answers, answerSizes } = fixture.shared
  answerSizes.observe(12, 100_000)
  fixture.receive(heartbeat(1, 'g'))
  fixture.client.closed('reset')
  assert.equal(answers.usedBytes, 0)
  fixture.begun[0]!.respond()
  assert.equal(answers.usedBytes, 0)
})
