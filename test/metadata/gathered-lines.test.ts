import assert from 'node:assert/strict'
import { test } from 'node:test'
import { GatheredLines } from '../../src/metadata/gathered-lines.ts'
import { SimLogger } from '../simulator/sim-logger.ts'
import { ManualClock } from '../support/manual-clock.ts'

test('what happens to thousands of partitions is a line for each reason, with their number and the first names', () => {
  const clock = new ManualClock()
  const logger = new SimLogger()
  const lines = new GatheredLines(clock, logger)
  let named = 0
  const name = (): string => `t-${named++}`
  for (let i = 0; i < 5_000; i++)
    lines.add('info', 'left', { broker: 1, because: i < 4_000 ? 'a' : 'b' }, name)
  lines.add('warn', 'leaderless', {}, () => 'u-0')
  assert.equal(logger.lines.length, 0)
  clock.advance(1_000)
  assert.deepEqual(
    logger.lines.map(({ level, message, fields }) => [level, message, fields['because'], fields['count']]),
    [
      ['info', 'left', 'a', 4_000],
      ['info', 'left', 'b', 1_000],
      ['warn', 'leaderless', undefined, 1],
    ],
  )
  assert.equal((logger.lines[0]!.fields['partitions'] as string[]).length, 10)
  assert.equal(named, 20, 'what is not shown is not put into words')
  assert.equal(clock.timerCount, 0)
})

test('what goes on for seconds is told at once, and then once a second', () => {
  const clock = new ManualClock()
  const logger = new SimLogger()
  const lines = new GatheredLines(clock, logger)
  const toldMs: number[] = []
  for (let ms = 0; ms < 3_000; ms += 10) {
    lines.add('info', 'left', { broker: 1 }, () => 't-0')
    clock.advance(10)
    if (logger.lines.length > toldMs.length) toldMs.push(ms + 10)
  }
  assert.deepEqual(toldMs, [100, 1_100, 2_100])
  clock.advance(1_000)
  const counts = logger.lines.map(({ fields }) => Number(fields['count']))
  assert.equal(
    counts.reduce((sum, count) => sum + count),
    300,
  )
  lines.add('info', 'left', { broker: 2 }, () => 't-0')
  clock.advance(90)
  assert.equal(logger.lines.length, counts.length, 'less than a second after the last line')
  clock.advance(5_000)
  lines.add('info', 'left', { broker: 3 }, () => 't-0')
  clock.advance(100)
  assert.equal(logger.lines.length, counts.length + 2)
})
