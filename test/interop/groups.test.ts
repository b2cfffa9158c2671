/**
 * The group coordinator, request by request, against what Apache Kafka 4.3.1 answered to the same requests.
 *
 * `SAMSA_TEST_PEER=kafka` plays the scenarios to Apache Kafka and shows that the transcripts are right;
 * with `SAMSA_RECORD=1` as well they are written anew.
 */
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { createTopicsRequest, createTopicsResponse } from '../../protocol/messages/19-create-topics.ts'
import { peerIsKafka, startServer } from '../support/broker-process.ts'
import { repositoryRoot } from '../support/processes.ts'
import { RawClient } from '../support/raw-client.ts'
import { groupScenarios } from './group-scenarios.ts'
import { GroupSession } from './group-session.ts'

const GOLDEN = join(repositoryRoot, 'test/interop/golden/groups-kafka-4.3.1.json')
const isRecording = peerIsKafka && process.env['SAMSA_RECORD'] === '1'

test('groups, as Apache Kafka answers', { timeout: 120_000 }, async (t) => {
  await using server = await startServer({
    properties: { 'group.min.session.timeout.ms': '500', 'auto.create.topics.enable': 'false' },
  })
  await createTopics(server.port)
  const played = await Promise.all(
    Object.entries(groupScenarios).map(async ([name, scenario], i) => {
      const group = new GroupSession(server.port, `scenario-${i}`)
      try {
        await group.ready()
        await scenario(group)
        return [name, group.transcript()] as const
      } catch (error) {
        throw new Error(`${name}, so far:\n${group.transcript().join('\n')}`, { cause: error })
      } finally {
        group.close()
      }
    }),
  )
  if (isRecording) await writeFile(GOLDEN, `${JSON.stringify(Object.fromEntries(played), null, 1)}\n`)
  const golden = JSON.parse(await readFile(GOLDEN, 'utf8')) as Record<string, string[]>
  for (const [name, transcript] of played) {
    await t.test(name, () => assert.deepEqual(transcript, golden[name]))
  }
})

async function createTopics(port: number): Promise<void> {
  const client = await RawClient.connect(port)
  const topics = ['topic', 'other'].map((name) => ({
    name,
    numPartitions: 3,
    replicationFactor: 1,
    assignments: [],
    configs: [],
  }))
  const call = { request: createTopicsRequest, response: createTopicsResponse, version: 5 }
  const created = await client.send(call, { topics, timeoutMs: 10_000 })
  for (const { errorCode } of created.topics) assert.equal(errorCode, 0)
  client.close()
}
