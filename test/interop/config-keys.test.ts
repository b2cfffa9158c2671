/**
 * What is known of Apache Kafka 4.3.1's keys, and what it allows topics, against itself. `test/core/config/kafka-keys`
 * compares our tables with the former.
 *
 * `SAMSA_TEST_PEER=kafka` shows that the values are right; with `SAMSA_RECORD=1` as well they are written anew.
 */
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { createTopicsRequest, createTopicsResponse } from '../../protocol/messages/19-create-topics.ts'
import { ErrorCode } from '../../protocol/errors.ts'
import { kafkaJars, runJava } from '../support/apache-kafka.ts'
import { peerIsKafka, startServer } from '../support/broker-process.ts'
import { javaClasses } from '../support/installs.ts'
import { repositoryRoot } from '../support/processes.ts'
import { RawClient } from '../support/raw-client.ts'

const KEYS = join(repositoryRoot, 'test/interop/golden/keys-kafka-4.3.1.txt')
const VALUES = join(repositoryRoot, 'test/interop/golden/topic-values-kafka-4.3.1.json')
const isRecording = process.env['SAMSA_RECORD'] === '1'

const jars = await kafkaJars()
const classes = jars === null ? null : await javaClasses(jars, ['KafkaKeys.java'])

test('the keys of Apache Kafka', { skip: classes === null }, async () => {
  const { code, stdout, stderr } = await runJava(jars!, 'KafkaKeys', [], { classPath: [classes!] })
  assert.equal(code, 0, stderr)
  if (isRecording) await writeFile(KEYS, stdout)
  assert.equal(await readFile(KEYS, 'utf8'), stdout)
})

type Values = Record<string, { readonly accepted: readonly string[]; readonly refused: readonly string[] }>

/** What Kafka takes and this broker does not, with the reason. */
const NOT_TAKEN: ReadonlyMap<string, readonly string[]> = new Map([
  // Internal, for tests: a segment has to hold the header of a batch at least.
  [
    'internal.segment.bytes',
    ['-2', '-1', '0', '1', '3', '4', '9', '10', '13', '-131072', '-131073', ' 7 ', '+7'],
  ],
  // Java's way to write numbers, and one that is none.
  ['min.cleanable.dirty.ratio', ['NaN', '0.5f']],
])

test('what Apache Kafka allows topics', { timeout: 60_000 }, async (t) => {
  await using server = await startServer({})
  const golden = JSON.parse(await readFile(VALUES, 'utf8')) as Values
  const client = await RawClient.connect(server.port)
  const call = { request: createTopicsRequest, response: createTopicsResponse, version: 5 } as const
  const seen: Record<string, { accepted: string[]; refused: string[] }> = {}
  for (const [key, { accepted, refused }] of Object.entries(golden)) {
    const values = [...accepted, ...refused]
    const topics = values.map((value, index) => ({
      name: `${key}-${index}`,
      numPartitions: 1,
      replicationFactor: 1,
      assignments: [],
      configs: [{ name: key, value }],
    }))
    const answer = await client.send(call, { topics, timeoutMs: 10_000, validateOnly: true })
    const codes = new Map(answer.topics.map(({ name, errorCode }) => [name, errorCode]))
    const errorOf = (index: number) => codes.get(`${key}-${index}`)
    seen[key] = {
      accepted: values.filter((_, index) => errorOf(index) === ErrorCode.NONE),
      refused: values.filter((_, index) => errorOf(index) === ErrorCode.INVALID_CONFIG),
    }
  }
  client.close()
  if (isRecording && peerIsKafka) {
    const lines = Object.entries(seen).map(
      ([key, value]) => `${JSON.stringify(key)}: ${JSON.stringify(value)}`,
    )
    await writeFile(VALUES, `{\n${lines.join(',\n')}\n}\n`)
  }
  for (const [key, { accepted, refused }] of Object.entries(golden)) {
    const not = peerIsKafka ? [] : (NOT_TAKEN.get(key) ?? [])
    await t.test(key, () => {
      assert.deepEqual(
        seen[key]!.accepted.toSorted(),
        accepted.filter((value) => !not.includes(value)).toSorted(),
      )
      assert.deepEqual(seen[key]!.refused.toSorted(), [...refused, ...not].toSorted())
    })
  }
})
