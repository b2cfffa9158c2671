import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Steps } from '../../protocol/compile.ts'
import { Slices } from '../../src/broker/slices.ts'
import type { StepsOwner } from '../../src/broker/slices.ts'
import { StepClock } from '../support/step-clock.ts'

function* counting(steps: number, seen: (step: number) => void): Steps<number> {
  for (let step = 0; step < steps; step++) {
    seen(step)
    yield
  }
  return steps
}

interface Waiting<Result> extends StepsOwner<Result> {
  readonly result: Promise<Result>
  leave(): void
}

function waiting<Result>(): Waiting<Result> {
  let hasLeft = false
  let owner!: StepsOwner<Result>
  const result = new Promise<Result>((resolve, reject) => {
    owner = { gone: () => hasLeft, done: resolve, failed: reject }
  })
  return Object.assign(owner, { result, leave: () => void (hasLeft = true) })
}

test('a little work is done at once, much of it over many turns', async () => {
  const clock = new StepClock(1)
  const slices = new Slices(clock)
  const little = waiting<number>()
  let done = 0
  slices.finish(
    counting(2, () => (done += 1)),
    little,
  )
  assert.equal(done, 2)
  assert.equal(await little.result, 2)
  assert.equal(clock.turns, 0)

  const much = waiting<number>()
  slices.finish(
    counting(500, () => {}),
    much,
  )
  assert.equal(await much.result, 500)
  assert.ok(clock.turns > 50, `${clock.turns} turns`)
})

test('however many work at once, a turn is short and each has its share', async () => {
  const clock = new StepClock(1)
  const slices = new Slices(clock)
  const WORKS = 40
  const perTurn = new Map<number, number>()
  const finished: number[] = []
  const works = Array.from({ length: WORKS }, (_, work) => {
    const owner = waiting<number>()
    const seen = (): void => void perTurn.set(clock.turns, (perTurn.get(clock.turns) ?? 0) + 1)
    slices.finish(counting(work === 0 ? 1_000 : 20, seen), owner)
    return owner.result.then(() => finished.push(work))
  })
  await Promise.all(works)
  const longest = Math.max(...perTurn.values())
  // The first step of each, the slice, and a moment for those that come when it is spent.
  assert.ok(longest <= WORKS + 20, `${longest} steps of a millisecond in one turn`)
  assert.equal(finished.at(-1), 0, 'the long one did not keep the others')
})

test('work that nobody waits for stops, and its failure is told', async () => {
  const slices = new Slices(new StepClock(1))
  const left = waiting<number>()
  let steps = 0
  slices.finish(
    counting(1_000, (step) => {
      steps = step
      if (step === 100) left.leave()
    }),
    left,
  )
  const failing = waiting<number>()
  slices.finish(
    counting(1_000, (step) => {
      if (step === 900) throw new Error('it went wrong')
    }),
    failing,
  )
  await assert.rejects(failing.result, /it went wrong/)
  assert.ok(steps >= 100 && steps < 110, `${steps} steps`)
})

test('one piece of work runs at once when there is time for it, else after those before it, and never within another', async () => {
  const clock = new StepClock(1)
  const slices = new Slices(clock)
  const order: string[] = []
  const work =
    (name: string, looks = 0, inside = (): void => {}) =>
    (): void => {
      for (let look = 0; look < looks; look++) clock.monotonicMs()
      order.push(`${name}${clock.turns}`)
      inside()
    }
  const last = new Promise<void>((resolve) => {
    slices.run(work('a', 0, () => slices.run(work('b', 10))))
    slices.run(work('c', 10))
    slices.later(work('d', 0, resolve))
  })
  assert.deepEqual(order, ['a0'])
  await last
  assert.deepEqual(order, ['a0', 'b1', 'c2', 'd3'])
})

test('who asks for the next turn gets one, in order', async () => {
  const clock = new StepClock(1)
  const slices = new Slices(clock)
  const order: string[] = []
  await Promise.all(
    ['a', 'b', 'c'].map(async (name) => {
      await slices.next()
      order.push(`${name}${clock.turns}`)
    }),
  )
  assert.deepEqual(order, ['a1', 'b2', 'c3'])
})

test('work without a stop is done at once, whatever the turn has had, and what comes of it is not counted', async () => {
  const clock = new StepClock(1)
  const slices = new Slices(clock)
  const long = waiting<number>()
  slices.finish(
    counting(100, () => {}),
    long,
  )
  for (let i = 0; i < 50; i++) {
    const short = waiting<number>()
    let done = 0
    slices.finish(
      counting(0, () => {}),
      {
        gone: () => false,
        done: () => {
          for (let looks = 0; looks < 100; looks++) clock.monotonicMs()
          done += 1
        },
        failed: (error) => short.failed(error),
      },
    )
    assert.equal(done, 1)
  }
  assert.equal(await long.result, 100)
})
