import assert from 'node:assert/strict'
import { it } from 'node:test'

import { resolveTopicConfig } from '../../src/core/config/topic-config.ts'
import { defaultLogConfig } from '../../src/log/log-config.ts'
import { toLogConfig } from '../../src/metadata/topic-log-config.ts'
import { brokerConfig } from './metadata-harness.ts'

it('gives logs the same defaults that they have themselves', () => {
  const broker = brokerConfig()
  assert.deepEqual(toLogConfig(resolveTopicConfig(new Map(), broker), broker), defaultLogConfig)
})

it('hands a topic its own values', () => {
  const broker = brokerConfig({ 'log.retention.hours': '1', 'producer.id.expiration.ms': '5' })
  const overrides = new Map([
    ['cleanup.policy', 'compact,delete'],
    ['flush.messages', '1'],
    ['retention.bytes', '9223372036854775807'],
    ['message.timestamp.type', 'LogAppendTime'],
  ])
  const config = toLogConfig(resolveTopicConfig(overrides, broker), broker)
  assert.deepEqual(config.cleanupPolicy, { delete: true, compact: true })
  assert.equal(config.flushMessages, 1)
  assert.equal(config.retentionBytes, Number.MAX_SAFE_INTEGER)
  assert.equal(config.retentionMs, 3_600_000)
  assert.equal(config.messageTimestampType, 'LogAppendTime')
  assert.equal(config.producerIdExpirationMs, 5)
})
