import assert from 'node:assert/strict'
import { readdirSync, readlinkSync } from 'node:fs'
import { test } from 'node:test'
import { Kafka, logLevel } from 'kafkajs'
import type { Admin, Producer } from 'kafkajs'
import { startSamsa } from '../support/broker-process.ts'
import { until } from '../support/until.ts'

const LIMIT = 512
/** Nearly as many as that limit allows: not all can have two segments open at once. */
const PARTITIONS = 370
/** The last of them begins a segment in every partition. */
const ROUNDS = 3

/** Descriptors of the process that are files of partitions. */
function partitionFiles(pid: number, dataDir: string): number {
  return readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith(`${dataDir}/t`)
    } catch {
      return false
    }
  }).length
}

async function withClients(
  bootstrap: string,
  run: (admin: Admin, producer: Producer) => Promise<void>,
): Promise<void> {
  const kafka = new Kafka({ brokers: [bootstrap], logLevel: logLevel.NOTHING })
  const admin = kafka.admin({ retry: { retries: 0 } })
  // A segment that could not be started for want of a descriptor is refused with an error that is tried again.
  const producer = kafka.producer({ retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 60 } })
  await Promise.all([admin.connect(), producer.connect()])
  try {
    await run(admin, producer)
  } finally {
    await Promise.all([admin.disconnect(), producer.disconnect()])
  }
}

const everyPartition = (value: string) =>
  Array.from({ length: PARTITIONS }, (_, partition) => ({ partition, value }))

for (const flushMessages of ['1', '9223372036854775807'])
  test(
    `more partitions than descriptors (flush.messages=${flushMessages})`,
    { skip: process.platform !== 'linux' },
    async () => {
      await using broker = await startSamsa({
        openFiles: LIMIT,
        properties: { 'log.flush.interval.messages': flushMessages, 'internal.segment.bytes': '2000' },
      })
      await withClients(broker.bootstrap, async (admin, producer) => {
        const create = (topic: string): Promise<boolean> =>
          admin.createTopics({ topics: [{ topic, numPartitions: PARTITIONS }] })
        await create('t1')
        await assert.rejects(create('t2'), ({ errors }: { errors: Error[] }) =>
          /policy/i.test(errors[0]!.message),
        )
        for (let round = 0; round < ROUNDS; round++)
          await producer.send({ topic: 't1', messages: everyPartition('x'.repeat(800)) })
      })
      if (flushMessages === '1') await until(() => partitionFiles(broker.pid, broker.dataDir) === 0)
      await broker.kill()
      for (const openFiles of [256, 128]) {
        await broker.start({ openFiles })
        await withClients(broker.bootstrap, async (admin, producer) => {
          await producer.send({ topic: 't1', messages: everyPartition('again') })
          const offsets = await admin.fetchTopicOffsets('t1')
          assert.equal(offsets.length, PARTITIONS)
          assert.ok(offsets.every(({ high }) => Number(high) > ROUNDS))
        })
        await broker.stop()
      }
      assert.doesNotMatch(await broker.log(), /offline|log failed/)
    },
  )
