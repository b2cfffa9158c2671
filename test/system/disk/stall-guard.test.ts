import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newStallState, StallGuard } from '../../../src/system/disk/stall-guard.ts'

const DEVICE = 1

test('a turn writes so many bytes and so long, then the rest goes to the pool', () => {
  const guard = new StallGuard(100, 10, () => 0)
  const file = newStallState(DEVICE)
  assert.equal(guard.allows(file, 1, 60), true)
  guard.took(file, 1, 60)
  assert.equal(guard.allows(file, 1, 60), false)
  assert.equal(guard.allows(file, 2, 60), true)
  for (let i = 0; i < 3; i++) guard.took(file, 5, 1)
  assert.equal(guard.allows(file, 2, 1), false, 'many short writes of one turn add up')
  assert.equal(guard.allows(file, 3, 1), true)
})

test('a slow write sends its own file to the pool, longer each time, and no other file', () => {
  let nowMs = 1000
  const guard = new StallGuard(1000, 10, () => nowMs)
  const slow = newStallState(DEVICE)
  const other = newStallState(DEVICE)
  let turn = 0
  guard.allows(slow, ++turn, 1)
  guard.took(slow, 11, 1)
  assert.equal(guard.allows(slow, ++turn, 1), false)
  assert.equal(guard.allows(other, turn, 1), true)
  nowMs += 50
  assert.equal(guard.allows(slow, ++turn, 1), true)
  guard.took(slow, 11, 1)
  nowMs += 99
  assert.equal(guard.allows(slow, ++turn, 1), false, 'twice as long the second time')
  nowMs += 1
  assert.equal(guard.allows(slow, ++turn, 1), true)
  nowMs += 5000
  guard.took(slow, 11, 1)
  nowMs += 50
  assert.equal(guard.allows(slow, ++turn, 1), true, 'long ago is forgotten')
})

test('a second slow file of a device sends all files of that device to the pool, and no other device', () => {
  let nowMs = 1000
  const guard = new StallGuard(1000, 10, () => nowMs)
  const [one, two, three] = [newStallState(DEVICE), newStallState(DEVICE), newStallState(DEVICE)]
  const elsewhere = newStallState(2)
  guard.allows(one, 1, 1)
  guard.took(one, 20, 1)
  nowMs += 10
  assert.equal(guard.allows(two, 2, 1), true)
  guard.took(two, 20, 1)
  assert.equal(guard.allows(three, 3, 1), false)
  assert.equal(guard.allows(elsewhere, 3, 1), true)
  nowMs += 50
  assert.equal(guard.allows(three, 4, 1), true)
})
