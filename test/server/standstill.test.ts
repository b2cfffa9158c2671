import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryBudget } from '../../src/server/memory-budget.ts'
import type { BudgetWaiter } from '../../src/server/memory-budget.ts'
import { Standstill } from '../../src/server/standstill.ts'
import type { IncompleteRequest } from '../../src/server/standstill.ts'

const LIMIT_BYTES = 64_000

/** A client in the middle of a request; what it has sent counts until it is closed. */
class Client implements BudgetWaiter, IncompleteRequest {
  readonly refusedBytes = 0
  incompleteBytes = 0
  closedFor: string | null = null
  readonly #budget: MemoryBudget

  constructor(budget: MemoryBudget, bytes: number) {
    this.#budget = budget
    this.sends(bytes)
  }

  sends(bytes: number): void {
    this.#budget.reserve(bytes, this)
    this.incompleteBytes += bytes
  }

  /** It is a request now, which waits for a disk. */
  whole(): void {
    this.#budget.completed(this)
    this.incompleteBytes = 0
  }

  budgetAvailable(): void {}

  abort(reason: string): void {
    this.closedFor = reason
    this.#budget.leave(this)
    this.#budget.release(this.incompleteBytes)
    this.incompleteBytes = 0
  }
}

function make(...bytes: number[]) {
  const budget = new MemoryBudget(LIMIT_BYTES, () => {})
  const clients = bytes.map((each) => new Client(budget, each))
  const standstill = new Standstill(budget)
  let nowMs = 0
  /** Who is closed by then. */
  const after = (seconds: number, each: () => void = () => {}): number[] => {
    for (let i = 0; i < seconds; i++) {
      each()
      standstill.look((nowMs += 1_000), clients)
    }
    return clients.flatMap(({ closedFor }, index) => (closedFor === null ? [] : [index]))
  }
  return { budget, clients, after }
}

test('those that hold the memory make room for who waits', () => {
  const { budget, clients, after } = make(20_000, 30_000, 15_000, 1_000, 60)
  assert.ok(budget.anyRefused)
  assert.deepEqual(after(3), [])
  assert.deepEqual(after(1), [0, 1, 2, 3])
  assert.match(String(clients[1]!.closedFor), /others wait/)
  assert.ok(!budget.isSpent)
  assert.deepEqual(after(10), [0, 1, 2, 3])
})

test('not while nobody waits', () => {
  const { budget, after } = make(20_000, 45_000)
  assert.ok(budget.isSpent && budget.waitingCount === 0)
  assert.deepEqual(after(10), [])
})

test('not while bytes come or go', () => {
  const { clients, after } = make(20_000, 45_000, 5_000)
  assert.deepEqual(
    after(20, () => clients[1]!.sends(400)),
    [],
  )
  assert.deepEqual(after(5), [0, 1, 2])
})

test('not for requests that are whole, and wait for a disk', () => {
  const { clients, after } = make(30_000, 36_000, 5_000, 5_000)
  for (const client of clients.slice(0, 2)) client.whole()
  assert.deepEqual(after(20), [])
})

test('what stands still for a moment only goes on', () => {
  const { budget, clients, after } = make(20_000, 45_000, 5_000)
  after(2)
  clients[2]!.abort('left')
  budget.release(0)
  assert.deepEqual(after(2), [2])
  clients.push(new Client(budget, 5_000))
  assert.deepEqual(after(3), [2])
  assert.deepEqual(after(1), [0, 1, 2, 3])
})
