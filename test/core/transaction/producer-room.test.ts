import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DUPLICATE, ProducerState } from '../../../src/core/transaction/producer-state.ts'
import { ProducerRoom } from '../../../src/core/transaction/producer-room.ts'

function logsThatShare(count: number, maxProducers: number) {
  const logs: ProducerState[] = []
  const forgotten = new Map<string, number>()
  const room = new ProducerRoom(
    maxProducers,
    () => logs.map((producers, index) => ({ name: `t-${index}`, producers })),
    (log, producers) => forgotten.set(log, (forgotten.get(log) ?? 0) + producers),
  )
  for (let n = 0; n < count; n++) logs.push(new ProducerState(room))
  return { logs, room, forgotten }
}

const remember = (log: ProducerState, producerId: number): void =>
  log.appended(producerId, 0, 0, producerId, producerId, 1, false, producerId)
const knows = (log: ProducerState, producerId: number): boolean =>
  log.check(producerId, 0, 0, 0, false) === DUPLICATE

test('one log may have all the room', () => {
  const { logs, room, forgotten } = logsThatShare(3, 20_000)
  for (let producerId = 0; producerId < 20_000; producerId++) remember(logs[0]!, producerId)
  for (let producerId = 0; producerId < 20_000; producerId++) assert.ok(knows(logs[0]!, producerId))
  assert.deepEqual([room.count(), forgotten.size], [20_000, 0])
  remember(logs[0]!, 20_000)
  assert.ok(room.count() <= 20_000 && room.count() >= 19_700)
  assert.deepEqual([...forgotten], [['t-0', 20_001 - room.count()]])
  assert.ok(!knows(logs[0]!, 0) && knows(logs[0]!, 300) && knows(logs[0]!, 20_000))
})

test('invented producers of many logs push out their own, and others are remembered', () => {
  const { logs, room, forgotten } = logsThatShare(50, 20_000)
  const [quiet, ...flooded] = logs
  for (let producerId = 0; producerId < 20; producerId++) remember(quiet!, producerId)
  for (let producerId = 0; producerId < 3_000; producerId++) {
    for (const log of flooded) remember(log, producerId)
    assert.ok(room.count() <= 20_000)
  }
  for (let producerId = 20; producerId < 350; producerId++) remember(quiet!, producerId)
  for (let producerId = 0; producerId < 350; producerId++) assert.ok(knows(quiet!, producerId))
  assert.ok(flooded.every((log) => knows(log, 2_999) && knows(log, 2_700) && !knows(log, 0)))
  assert.ok(
    flooded.every(({ size }) => size > 350),
    'they have the same',
  )
  assert.equal(forgotten.get('t-0'), undefined)
})

test('when logs go there is room again', () => {
  const { logs, forgotten } = logsThatShare(5, 10_000)
  for (let producerId = 0; producerId < 2_000; producerId++) for (const log of logs) remember(log, producerId)
  logs.splice(1)
  for (let producerId = 2_000; producerId < 10_000; producerId++) remember(logs[0]!, producerId)
  assert.equal(forgotten.size, 0)
  for (let producerId = 0; producerId < 10_000; producerId++) assert.ok(knows(logs[0]!, producerId))
})

test('what a snapshot brings counts too', () => {
  const alone = new ProducerState()
  for (let producerId = 0; producerId < 3_000; producerId++) remember(alone, producerId)
  const { logs, room } = logsThatShare(2, 2_000)
  for (let producerId = 0; producerId < 500; producerId++) remember(logs[1]!, producerId)
  assert.ok(logs[0]!.loadSnapshot(alone.encodeSnapshot(), 0))
  assert.ok(room.count() <= 2_000)
  assert.ok(knows(logs[0]!, 2_999) && !knows(logs[0]!, 0))
  for (let producerId = 0; producerId < 500; producerId++) assert.ok(knows(logs[1]!, producerId))
})

test('who forgets nobody is not told to have', () => {
  const told: [string, number][] = []
  const logs = [
    { name: 'stubborn', producers: { size: 12, forgetOldest: () => 0 } },
    { name: 'one', producers: { size: 11, forgetOldest: () => 1 } },
  ]
  const room = new ProducerRoom(
    20,
    () => logs,
    (log, producers) => told.push([log, producers]),
  )
  room.added(23)
  assert.deepEqual(told, [['one', 1]])
})
