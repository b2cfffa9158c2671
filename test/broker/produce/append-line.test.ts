import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppendLine } from '../../../src/broker/produce/append-line.ts'

test('who is ready waits for those before it', () => {
  const line = new AppendLine()
  const appended: string[] = []
  assert.equal(line.isEmpty, true)
  const places = ['a', 'b', 'c', 'd'].map((name) => ({ name, place: line.enter() }))
  const ready = (index: number): void => {
    const { name, place } = places[index]!
    place.ready(() => appended.push(name))
  }
  ready(2)
  ready(1)
  assert.deepEqual(appended, [])
  ready(0)
  assert.deepEqual(appended, ['a', 'b', 'c'])
  assert.equal(line.isEmpty, false)
  ready(3)
  assert.deepEqual(appended, ['a', 'b', 'c', 'd'])
  assert.equal(line.isEmpty, true)
})

test('who comes while one appends is behind those that wait, and alone it need not enter', () => {
  const line = new AppendLine()
  const appended: string[] = []
  const first = line.enter()
  line.enter().ready(() => appended.push('second'))
  first.ready(() => {
    appended.push('first')
    assert.equal(line.isEmpty, false)
    line.enter().ready(() => appended.push('third'))
  })
  assert.deepEqual(appended, ['first', 'second', 'third'])
  assert.equal(line.isEmpty, true)
})
