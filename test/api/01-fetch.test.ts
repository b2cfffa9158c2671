import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fetchRequest, fetchResponse } from '../../protocol/messages/01-fetch.ts'
import { Broker } from '../../src/index.ts'
import { RawClient } from '../support/raw-client.ts'

const fetch = { request: fetchRequest, response: fetchResponse, version: 11 } as const

test('a fetch that names a partition very many times does not wait for as long as it says', async () => {
  await using broker = await Broker.start()
  await broker.createTopics([{ name: 't', partitions: 1 }])
  const client = await RawClient.connect(broker.port)
  const partition = { partition: 0, fetchOffset: 0, partitionMaxBytes: 1 }
  const wants = (count: number, maxWaitMs: number) => ({
    replicaId: -1,
    maxWaitMs,
    minBytes: 1,
    maxBytes: 1,
    topics: [{ topic: 't', partitions: Array.from({ length: count }, () => partition) }],
  })
  const answered = await client.send(fetch, wants(5_000, 3_600_000))
  assert.deepEqual(
    answered.responses[0]?.partitions.map(({ errorCode, highWatermark }) => [errorCode, highWatermark]),
    [[0, 0]],
  )
  client.close()
})
