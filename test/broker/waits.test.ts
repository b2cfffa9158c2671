import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { AppendWaits, type FetchWait, FetchWaits } from '../../src/broker/waits.ts'
import { Seeded } from '../support/seed.ts'

class Recorder {
  readonly settled: [tag: number, errorCode: number][] = []
  readonly written: number[] = []
  appendWritten(tag: number): void {
    this.written.push(tag)
  }
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

test('who waits for more than the log here is told once that it has written, in order', () => {
  const waits = new AppendWaits()
  const recorder = new Recorder()
  const told = (): number[] => recorder.written.splice(0)
  for (let offset = 1; offset <= 1_000; offset++) waits.add(offset, recorder, offset)
  waits.written(2)
  assert.deepEqual(told(), [1, 2])
  waits.reached(4)
  waits.written(6)
  assert.deepEqual(told(), [5, 6])
  waits.reached(500)
  waits.written(502)
  assert.deepEqual(told(), [501, 502])
  waits.reached(501)
  waits.written(503)
  assert.deepEqual(told(), [503])
  waits.reached(1_000)
  waits.add(1_001, recorder, 1_001)
  waits.written(1_001)
  assert.deepEqual(told(), [1_001])
  waits.fail(7)
  waits.add(1_002, recorder, 1_002)
  waits.written(1_002)
  assert.deepEqual(told(), [1_002])
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

class Counter {
  bytes = 0
  changes = 0
  partitionAdvanced(bytes: number): void {
    this.bytes += bytes
  }
  partitionChanged(): void {
    this.changes += 1
  }
}

test('every long poll hears of what comes while it waits, and of nothing else', (t) => {
  const random = new Seeded()
  t.diagnostic(`SAMSA_SEED=${random.seed}`)
  const waits = new FetchWaits()
  const waiting = new Map<FetchWait, Counter>()
  const expected = new Map<Counter, [bytes: number, changes: number]>()
  for (let step = 0; step < 5_000; step++) {
    const dice = random.between(0, 99)
    if (dice < 45) {
      const counter = new Counter()
      waiting.set(waits.add(counter), counter)
      expected.set(counter, [0, 0])
    } else if (dice < 85 && waiting.size > 0) {
      const wait = [...waiting.keys()][random.between(0, waiting.size - 1)]!
      wait.end()
      wait.end()
      waiting.delete(wait)
    } else if (dice < 99) {
      waits.advanced(dice)
      for (const counter of waiting.values()) expected.get(counter)![0] += dice
    } else {
      waits.changed()
      for (const [wait, counter] of waiting) {
        expected.get(counter)![1] += 1
        wait.end()
      }
      waiting.clear()
    }
  }
  for (const [{ bytes, changes }, heard] of expected) assert.deepEqual([bytes, changes], heard)
})

test('who waited and is gone is garbage at the next small collection, however old the list is', () => {
  const program = `
    const [waits, deadlines, queue] = await Promise.all(process.argv.slice(1).map((url) => import(url)))
    const { getHeapSpaceStatistics } = await import('node:v8')
    const polls = new waits.FetchWaits()
    const due = new deadlines.Deadlines({
      monotonicMs: () => performance.now(), nowMs: Date.now, after: () => ({ cancel() {} }),
    })
    const parked = []
    const park = () => {
      const poll = { answer: new Array(1000).fill(0), partitionAdvanced() {}, partitionChanged() {}, expired() {} }
      poll.deadline = new queue.Deadline(poll)
      due.arm(poll.deadline, 500)
      poll.wait = polls.add(poll)
      parked.push(poll)
    }
    const leave = () => {
      const poll = parked.shift()
      due.cancel(poll.deadline)
      poll.wait.end()
    }
    for (let i = 0; i < 16; i++) park()
    // All that there is becomes old.
    global.gc()
    global.gc()
    for (let i = 0; i < 5000; i++) { park(); leave() }
    global.gc({ type: 'minor' })
    const young = getHeapSpaceStatistics().find((space) => space.space_name === 'new_space').space_used_size
    const all = process.memoryUsage().heapUsed
    global.gc()
    console.log(JSON.stringify([young, all - process.memoryUsage().heapUsed]))`
  const urls = ['broker/waits.js', 'broker/deadlines.js', 'core/deadline-queue.js'].map(
    (path) => new URL(`../../src/${path}`, import.meta.url).href,
  )
  const output = execFileSync(
    process.execPath,
    ['--expose-gc', '--input-type=module', '-e', program, ...urls],
    { encoding: 'utf8' },
  )
  // 5,000 polls took 40 MB. Sixteen wait.
  const [young, garbageLeft]: number[] = JSON.parse(output)
  assert.ok(young! < 1_000_000 && garbageLeft! < 1_000_000, output)
})
