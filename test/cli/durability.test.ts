import assert from 'node:assert/strict'
import { test } from 'node:test'
import { durabilityOf } from '../../src/cli/durability.ts'
import { loadConfig } from '../../src/cli/load-config.ts'

function promise(...set: [string, string][]): string {
  const { mode, promise: text } = durabilityOf(loadConfig({ set }, {}).config)
  return `${mode}: ${text}`
}

test('the flush settings and what they promise', () => {
  assert.match(promise(), /^os: .*valid prefix/)
  assert.match(promise(['log.flush.interval.messages', '9223372036854775807']), /^os/)
  assert.match(promise(['log.flush.interval.messages', '1']), /^durable: .*power loss/)
  assert.match(promise(['log.flush.interval.ms', '500']), /^interval: .*the last 500 ms$/)
  assert.match(promise(['log.flush.scheduler.interval.ms', '700']), /^interval: .*the last 700 ms$/)
  assert.match(
    promise(['log.flush.interval.messages', '100'], ['log.flush.interval.ms', '500']),
    /^interval: .*the last 100 records of a partition or 500 ms$/,
  )
})
