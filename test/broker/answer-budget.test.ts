import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AnswerBudget } from '../../src/broker/answer-budget.ts'
import type { AnswerWaiter } from '../../src/broker/answer-budget.ts'
import { ManualClock } from '../support/manual-clock.ts'

/** Takes as much as it wants as soon as it may. */
class Asker implements AnswerWaiter {
  readonly #budget: AnswerBudget
  readonly #bytes: number
  readonly #isDebtor: boolean
  has = 0

  constructor(budget: AnswerBudget, bytes: number, isDebtor = false) {
    this.#budget = budget
    this.#bytes = bytes
    this.#isDebtor = isDebtor
  }

  ask(): this {
    if (this.#budget.admits(this.#isDebtor)) {
      this.has += this.#bytes
      this.#budget.take(this.#bytes)
    } else {
      this.#budget.wait(this, this.#isDebtor)
    }
    return this
  }

  answersAvailable(): void {
    this.ask()
  }

  giveAll(): void {
    this.#budget.give(this.has)
    this.has = 0
  }
}

function setUp(limitBytes: number) {
  const clock = new ManualClock()
  return { clock, budget: new AnswerBudget(limitBytes, clock) }
}

test('nothing begins while it is spent; who waited goes on in the order they came', () => {
  const { clock, budget } = setUp(100)
  const first = new Asker(budget, 100).ask()
  const others = [1, 2, 3].map(() => new Asker(budget, 60).ask())
  clock.endTurn()
  assert.deepEqual(
    others.map(({ has }) => has),
    [0, 0, 0],
  )
  assert.equal(budget.pressure, 'spent')
  first.giveAll()
  assert.equal(others[0]!.has, 0, 'not in the middle of a turn')
  clock.endTurn()
  assert.deepEqual(
    others.map(({ has }) => has),
    [60, 60, 0],
    'one overdraws at most',
  )
  others[0]!.giveAll()
  const late = new Asker(budget, 10).ask()
  assert.equal(late.has, 0, 'nobody overtakes')
  clock.endTurn()
  assert.deepEqual([others[2]!.has, late.has], [60, 0])
})

test('clients that owe a read leave half of it to the others', () => {
  const { clock, budget } = setUp(100)
  for (let i = 0; i < 20; i++) new Asker(budget, 10, true).ask()
  assert.equal(budget.usedBytes, 50)
  assert.equal(budget.pressure, 'debtors-wait')
  const reader = new Asker(budget, 40).ask()
  assert.equal(reader.has, 40)
  reader.giveAll()
  clock.endTurn()
  assert.equal(budget.usedBytes, 50)
})

test('an answer larger than all of it comes alone', () => {
  const { budget } = setUp(100)
  assert.ok(budget.admits(false, 1_000))
  budget.take(1)
  assert.ok(!budget.admits(false, 1_000))
  assert.ok(budget.admits(false, 50))
})

test('what comes back while they are asked is not lost on those that were asked before', () => {
  const { clock, budget } = setUp(100)
  budget.take(100)
  const picky = { asked: 0, answersAvailable: () => (picky.asked++, budget.wait(picky, false)) }
  budget.wait(picky, false)
  const releasing = { answersAvailable: () => budget.give(60) }
  budget.wait(releasing, false)
  budget.give(40)
  clock.endTurn()
  assert.ok(picky.asked >= 2, `${picky.asked}`)
  budget.leave(picky)
  assert.equal(budget.waitingCount, 0)
})

test('one fetch takes a part of what is left', () => {
  const { budget } = setUp(1_000)
  assert.equal(budget.fetchBytes, 250)
  budget.take(600)
  assert.equal(budget.fetchBytes, 100)
  budget.take(600)
  assert.equal(budget.fetchBytes, 0)
})
