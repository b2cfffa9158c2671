import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Kafka, logLevel } from 'kafkajs'
import { startSamsa } from '../support/broker-process.ts'
import { until } from '../support/until.ts'

const ROUNDS = 3

async function fill(bootstrap: string): Promise<void> {
  const kafka = new Kafka({ brokers: [bootstrap], logLevel: logLevel.NOTHING })
  const producer = kafka.producer()
  await producer.connect()
  for (let i = 0; i < 20; i++)
    await producer.send({ topic: 't', messages: [{ key: 'k', value: 'x'.repeat(900_000) }] })
  await producer.disconnect()
}

test('a stop waits for a compaction that waits for its next slice', async () => {
  await using broker = await startSamsa({
    properties: {
      'num.partitions': '1',
      'log.cleanup.policy': 'compact',
      'log.segment.bytes': '2000000',
      'log.cleaner.backoff.ms': '50',
    },
  })
  const compacts = (): boolean =>
    readdirSync(join(broker.dataDir, 't-0')).some((name) => name.endsWith('.cleaned'))
  // Not every stop finds it waiting.
  for (let round = 0; round < ROUNDS; round++) {
    if (round > 0) await broker.start()
    await fill(broker.bootstrap)
    await until(compacts)
    // Fails unless the clean marker is there.
    await broker.stop()
  }
  assert.equal((await broker.log()).split('] stopped').length - 1, ROUNDS)
})
