import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryBudget } from '../../src/server/memory-budget.ts'

class Waiter {
  readonly refusedBytes: number
  admitted = 0

  constructor(refusedBytes = 0) {
    this.refusedBytes = refusedBytes
  }

  budgetAvailable(): void {
    this.admitted += 1
  }
}

test('within the limit everybody reads on', () => {
  const budget = new MemoryBudget(100, () => {})
  assert.ok(budget.reserve(60, new Waiter()))
  assert.ok(budget.reserve(40, new Waiter()))
  assert.equal(budget.usedBytes, 100)
})

test('beyond the limit one may overdraw, the others wait until bytes come back', () => {
  const budget = new MemoryBudget(100, () => {})
  const [first, second, third] = [new Waiter(), new Waiter(), new Waiter()]
  assert.ok(budget.reserve(90, first))
  assert.ok(budget.reserve(20, second), 'the first beyond the limit overdraws')
  assert.ok(budget.reserve(50, second), 'and may finish its request')
  assert.ok(!budget.reserve(1, third))
  assert.ok(!budget.reserve(1, first))
  assert.equal(budget.waitingCount, 2)
  budget.release(90)
  assert.deepEqual([first.admitted, third.admitted], [1, 1])
})

test('when the overdrawing request is complete the next in line overdraws', () => {
  const budget = new MemoryBudget(100, () => {})
  const [first, second, third] = [new Waiter(), new Waiter(5), new Waiter(5)]
  budget.reserve(101, first)
  budget.release(95)
  budget.reserve(100, first)
  budget.release(90)
  budget.reserve(95, first)
  budget.reserve(5, second)
  budget.reserve(5, third)
  budget.release(90)
  budget.release(10)
  budget.completed(first)
  assert.deepEqual([second.admitted, third.admitted], [1, 1])
})

test('requests that are complete and keep what they overdrew let nobody else overdraw until it comes back', () => {
  const budget = new MemoryBudget(100, () => {})
  const waiters = Array.from({ length: 50 }, () => new Waiter(10))
  budget.reserve(100, new Waiter())
  for (const waiter of waiters) if (budget.reserve(10, waiter)) budget.completed(waiter)
  const admitted = (): number => waiters.filter((waiter) => waiter.admitted > 0).length
  for (const waiter of waiters) budget.completed(waiter)
  const first = admitted()
  assert.ok(first <= 3, `${first} overdraw by 10 each, with a budget of 100`)
  budget.release(10)
  for (const waiter of waiters) budget.completed(waiter)
  assert.equal(admitted(), first + 1, 'what came back lets the next one in')
})

test('bytes of many that were refused do not bar the way of the one whose turn it is', () => {
  const budget = new MemoryBudget(100, () => {})
  const [half, ...others] = Array.from({ length: 20 }, () => new Waiter(20))
  budget.reserve(101, half!)
  for (const other of others) budget.reserve(20, other)
  budget.rotate()
  budget.rotate()
  assert.equal(others[0]!.admitted, 1, 'who sends nothing gives way')
})

test('who was refused bytes comes before those that were only told to stop', () => {
  const budget = new MemoryBudget(100, () => {})
  const [first, idle, needy] = [new Waiter(), new Waiter(), new Waiter(5)]
  budget.reserve(101, first)
  budget.wait(idle)
  budget.reserve(5, needy)
  budget.completed(first)
  assert.deepEqual([idle.admitted, needy.admitted], [0, 1])
  budget.completed(needy)
  assert.equal(idle.admitted, 1)
  const late = new Waiter(5)
  budget.reserve(5, late)
  budget.rotate()
  assert.equal(late.admitted, 1, 'the idle one has nothing to send')
})

test('a waiter that goes away leaves the line', () => {
  const budget = new MemoryBudget(10, () => {})
  const [first, second] = [new Waiter(), new Waiter()]
  budget.reserve(11, first)
  budget.reserve(5, second)
  budget.leave(second)
  budget.release(5)
  budget.leave(first)
  budget.release(11)
  assert.equal(second.admitted, 0)
  assert.equal(budget.usedBytes, 0)
})

test('everybody is told once when the budget is spent', () => {
  let spent = 0
  const budget = new MemoryBudget(10, () => (spent += 1))
  const [first, second] = [new Waiter(), new Waiter()]
  budget.reserve(10, first)
  assert.equal(spent, 0)
  budget.reserve(1, first)
  budget.reserve(5, second)
  assert.equal(spent, 1)
  budget.release(16)
  budget.reserve(11, second)
  assert.equal(spent, 2)
})

test('the one that overdraws does not stand in line', () => {
  const budget = new MemoryBudget(10, () => {})
  const [first, second] = [new Waiter(), new Waiter()]
  budget.reserve(11, first)
  assert.equal(budget.wait(first), false)
  assert.equal(budget.wait(second), true)
})
