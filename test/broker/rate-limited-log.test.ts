import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RateLimitedLog } from '../../src/broker/rate-limited-log.ts'
import { silentLogger } from '../../src/system/pino-logger.ts'
import type { LogFields } from '../../src/ports.ts'
import { ManualClock } from '../support/manual-clock.ts'

test('so many lines in a second, and what was left out is told with the next one', () => {
  const clock = new ManualClock()
  const lines: [string, LogFields][] = []
  const write = (level: string) => (fields: LogFields) => void lines.push([level, fields])
  const limited = new RateLimitedLog({ ...silentLogger, info: write('info'), warn: write('warn') }, clock, 3)
  for (let n = 0; n < 10; n++) limited.log('info', { n }, 'joined')
  assert.deepEqual(
    lines.map(([, { n }]) => n),
    [0, 1, 2],
  )
  clock.advance(1_000)
  limited.warn({ n: 10 }, 'refused')
  limited.log('info', { n: 11 }, 'joined')
  assert.deepEqual(lines.slice(3), [
    ['warn', { n: 10, suppressedLines: 7 }],
    ['info', { n: 11 }],
  ])
})
