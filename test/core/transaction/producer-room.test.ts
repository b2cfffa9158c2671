import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DUPLICATE, ProducerState } from '../../../src/core/transaction/producer-state.ts'
import { ProducerRoom } from '../../../src/core/transaction/producer-room.ts'

function logsThatShare(count: number, maxProducers: number) {
  const logs: ProducerState[] = []
  const held = (): number => logs.reduce((sum, { size }) => sum + size, 0)
  const room = new ProducerRoom(maxProducers, held)
  for (let n = 0; n < count; n++) logs.push(new ProducerState(5_000, room))
  return { logs, room, held }
}

const remember = (log: ProducerState, producerId: number): void =>
  log.appended(producerId, 0, 0, producerId, producerId, 1, false, producerId)
const knows = (log: ProducerState, producerId: number): boolean =>
  log.check(producerId, 0, 0, 0, false) === DUPLICATE

test('invented producers of many logs push out their own, and others are remembered', () => {
  const { logs, held } = logsThatShare(50, 20_000)
  const [quiet, ...flooded] = logs
  for (let producerId = 0; producerId < 20; producerId++) remember(quiet!, producerId)
  for (let producerId = 0; producerId < 3_000; producerId++) {
    for (const log of flooded) remember(log, producerId)
  }
  assert.ok(held() <= 20_000 + 10_000 + 100 * logs.length, `${held()} producers`)
  for (let producerId = 0; producerId < 20; producerId++) assert.ok(knows(quiet!, producerId))
  for (let producerId = 20; producerId < 90; producerId++) remember(quiet!, producerId)
  for (let producerId = 0; producerId < 90; producerId++) assert.ok(knows(quiet!, producerId))
  assert.ok(flooded.every((log) => knows(log, 2_999) && !knows(log, 0)))
})

test('when logs go there is room again', () => {
  const { logs, room, held } = logsThatShare(5, 10_000)
  for (let producerId = 0; producerId < 5_000; producerId++) for (const log of logs) remember(log, producerId)
  assert.ok(room.isFull)
  logs.splice(1).forEach((log) => log.clear())
  for (let producerId = 5_000; producerId < 20_000; producerId++) remember(logs[0]!, producerId)
  assert.ok(!room.isFull)
  assert.equal(held(), 5_000)
})
