import assert from 'node:assert/strict'
import { test } from 'node:test'

import { produceRequest, produceResponse } from '../../../protocol/messages/00-produce.ts'
import { type SimBroker, withSimBroker } from '../../api/sim-broker.ts'
import { makeBatch } from '../../log/log-fixture.ts'

/** The base offset that the first batch of each producer is told. */
async function produceFrom(broker: SimBroker, producerIds: Iterable<number>): Promise<number[]> {
  const answers: Promise<number>[] = []
  for (const producerId of producerIds) {
    const records = makeBatch(1, 1, { producerId, producerEpoch: 0, baseSequence: 0 })
    const topicData = [{ name: 't', partitionData: [{ index: 0, records }] }]
    const body = { acks: 1, timeoutMs: 1_000, topicData }
    const sent = broker.send([produceRequest, produceResponse], 9, body)
    answers.push(sent.then(({ responses }) => responses[0]!.partitionResponses[0]!.baseOffset))
    if (answers.length % 500 === 0) await sent
  }
  return Promise.all(answers)
}

function* idsFrom(first: number, count: number): Generator<number> {
  for (let n = 0; n < count; n++) yield first + n
}

test('what comes again is recognised however many producers wrote since', async () => {
  await withSimBroker(async (broker) => {
    await broker.createTopics({ name: 't', partitions: 1 })
    const count = 6_000
    const first = await produceFrom(broker, idsFrom(1_000, count))
    assert.equal(new Set(first).size, count)
    assert.deepEqual(await produceFrom(broker, idsFrom(1_000, count)), first)
    assert.equal(broker.running.broker.partitions.get('t', 0)!.highWatermark, count)
  })
})

test('beyond samsa.max.producers those silent for longest are forgotten, and that is told', async () => {
  await withSimBroker(
    async (broker) => {
      await broker.createTopics({ name: 't', partitions: 1 })
      await produceFrom(broker, idsFrom(0, 1_000))
      const { metrics, logger } = broker.process
      const remembered = (): number => metrics.samples('samsa_log_producers')[0]!.value
      assert.equal(remembered(), 1_000)
      assert.equal(metrics.count('samsa_log_forgotten_producers_total'), 0)
      await produceFrom(broker, idsFrom(1_000, 500))
      const forgotten = metrics.count('samsa_log_forgotten_producers_total')
      assert.ok(forgotten >= 500 && forgotten < 520, `${forgotten} are forgotten`)
      assert.equal(remembered(), 1_500 - forgotten)
      const lines = logger.lines.filter(({ message }) => message.startsWith('samsa.max.producers is reached'))
      assert.deepEqual(
        lines.map(({ level, fields }) => [level, fields['partition']]),
        [['warn', 't-0']],
      )
      const newest = broker.running.broker.partitions.get('t', 0)!.highWatermark
      assert.deepEqual(await produceFrom(broker, idsFrom(600, 900)), [...idsFrom(600, 900)])
      assert.equal(broker.running.broker.partitions.get('t', 0)!.highWatermark, newest)
    },
    { 'samsa.max.producers': '1000' },
  )
})
