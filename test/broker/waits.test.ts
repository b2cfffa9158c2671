import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppendWaits } from '../../src/broker/waits.ts'

class Recorder {
  readonly settled: [tag: number, errorCode: number][] = []
  appendSettled(tag: number, errorCode: number): void {
    this.settled.push([tag, errorCode])
  }
}

test('settles in order, up to the offset reached', () => {
  const waits = new AppendWaits()
  const recorder = new Recorder()
  for (let offset = 1; offset <= 1000; offset++) waits.add(offset, recorder, offset)
  waits.reached(0)
  assert.deepEqual(recorder.settled, [])
  waits.reached(3)
  assert.deepEqual(recorder.settled, [
    [1, 0],
    [2, 0],
    [3, 0],
  ])
  waits.reached(700)
  assert.equal(recorder.settled.length, 700)
  assert.equal(waits.size, 300)
  waits.reached(1000)
  assert.equal(waits.size, 0)
  assert.deepEqual(recorder.settled.at(-1), [1000, 0])
})

test('a failure settles all that still wait, once', () => {
  const waits = new AppendWaits()
  const recorder = new Recorder()
  waits.add(1, recorder, 1)
  waits.add(2, recorder, 2)
  waits.reached(1)
  waits.fail(56)
  waits.fail(56)
  waits.reached(10)
  assert.deepEqual(recorder.settled, [
    [1, 0],
    [2, 56],
  ])
})

test('a wait behind a later one is settled with it, never before', () => {
  const waits = new AppendWaits()
  const recorder = new Recorder()
  waits.add(10, recorder, 10)
  waits.add(5, recorder, 5)
  waits.reached(7)
  assert.deepEqual(recorder.settled, [])
  waits.reached(10)
  assert.deepEqual(recorder.settled, [
    [10, 0],
    [5, 0],
  ])
})
