import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryBudget } from '../../src/server/memory-budget.ts'

class Waiter {
  admitted = 0
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
  const budget = new MemoryBudget(10, () => {})
  const [first, second, third] = [new Waiter(), new Waiter(), new Waiter()]
  budget.reserve(11, first)
  budget.reserve(5, second)
  budget.reserve(5, third)
  budget.settle(first)
  assert.deepEqual([second.admitted, third.admitted], [1, 0], 'one at a time, in order')
  budget.settle(second)
  assert.equal(third.admitted, 1)
})

test('a waiter that goes away leaves the line', () => {
  const budget = new MemoryBudget(10, () => {})
  const [first, second] = [new Waiter(), new Waiter()]
  budget.reserve(11, first)
  budget.reserve(5, second)
  budget.settle(second)
  budget.release(5)
  budget.settle(first)
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
