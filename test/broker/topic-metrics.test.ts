import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../protocol/errors.ts'
import type { ProduceRequest } from '../../protocol/messages/00-produce.ts'
import type { FetchedPartition } from '../../src/broker/fetch/fetch-operation.ts'
import type { ProducedPartition } from '../../src/broker/produce/produced-partition.ts'
import { TopicMetrics } from '../../src/broker/topic-metrics.ts'
import { makeBatch } from '../log/log-fixture.ts'
import { SimMetrics } from '../simulator/sim-metrics.ts'

const FIGURES = [
  'messagesin',
  'bytesin',
  'bytesout',
  'totalproducerequests',
  'totalfetchrequests',
  'failedproducerequests',
  'failedfetchrequests',
]

/** All figures by topic, in the order above. */
function figures(metrics: SimMetrics): Record<string, number[]> {
  const byTopic: Record<string, number[]> = {}
  for (const figure of FIGURES)
    for (const { labels, value } of metrics.samples(`kafka_server_brokertopicmetrics_${figure}_total`))
      (byTopic[labels?.['topic'] ?? ''] ??= []).push(value)
  return byTopic
}

function produced(topics: Record<string, (Buffer | null)[]>): ProduceRequest {
  const topicData = Object.entries(topics).map(([name, list]) => ({
    name,
    partitionData: list.map((records, index) => ({ index, records })),
  }))
  return { topicData } as unknown as ProduceRequest
}

const results = (...codes: number[]): ProducedPartition[] =>
  codes.map((errorCode) => ({ errorCode }) as ProducedPartition)

const fetched = (topic: string | null, errorCode: number, sizeBytes: number): FetchedPartition =>
  ({ topic, errorCode, sizeBytes }) as unknown as FetchedPartition

test('what was produced and fetched is counted for its topic', () => {
  const metrics = new SimMetrics()
  const topics = new TopicMetrics(metrics)
  assert.deepEqual(figures(metrics), {})
  topics.addTopic('a')
  topics.addTopic('b')
  assert.deepEqual(figures(metrics), { a: [0, 0, 0, 0, 0, 0, 0], b: [0, 0, 0, 0, 0, 0, 0] })
  const [three, one] = [makeBatch(3), makeBatch(1)]
  topics.produced(
    produced({ missing: [one], a: [three, one, null], b: [one, three] }),
    results(3, ErrorCode.NONE, ErrorCode.CORRUPT_MESSAGE, ErrorCode.NONE, ErrorCode.NONE, ErrorCode.NONE),
  )
  topics.fetched([
    fetched('a', ErrorCode.NONE, 100),
    fetched(null, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, 0),
    fetched('b', ErrorCode.OFFSET_OUT_OF_RANGE, 7),
    fetched('a', ErrorCode.NONE, 11),
    fetched('missing', ErrorCode.NONE, 5),
  ])
  assert.deepEqual(figures(metrics), {
    a: [3, three.length, 111, 3, 2, 2, 0],
    b: [4, one.length + three.length, 0, 2, 1, 0, 1],
  })
})

test('figures go with their topic, and stay when it is told of again', () => {
  const metrics = new SimMetrics()
  const topics = new TopicMetrics(metrics)
  topics.addTopic('a')
  topics.fetched([fetched('a', ErrorCode.NONE, 100)])
  topics.addTopic('a')
  assert.equal(figures(metrics)['a']?.[2], 100)
  topics.removeTopic('a')
  assert.deepEqual(figures(metrics), {})
  topics.addTopic('a')
  assert.equal(figures(metrics)['a']?.[2], 0)
})
