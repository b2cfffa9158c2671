/**
 * A fetch session is continued from any connection with a request of a few bytes, which stands for all that the session
 * remembers.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fetchRequest, fetchResponse } from '../../protocol/messages/01-fetch.ts'
import { createTopicsRequest, createTopicsResponse } from '../../protocol/messages/19-create-topics.ts'
import { deleteTopicsRequest, deleteTopicsResponse } from '../../protocol/messages/20-delete-topics.ts'
import { RawClient } from '../support/raw-client.ts'
import { Attacker, requestFrame } from './attacker.ts'
import { startWatchedTarget, within } from './target.ts'
import type { WatchedTarget } from './target.ts'

const createTopics = { request: createTopicsRequest, response: createTopicsResponse, version: 7 } as const
const deleteTopics = { request: deleteTopicsRequest, response: deleteTopicsResponse, version: 5 } as const
const fetch = { request: fetchRequest, response: fetchResponse, version: 11 } as const

/** Of a loop that others compete with for the processors: the broker that looked at everything at once took 500 and more. */
const MAX_PIECE_MS = 250
/** Of each partition some files are renamed, with other work in between. */
const DELETED_WITHIN_MS = 60_000
const LONGEST_WAIT_MS = 2 ** 31 - 1

let target: WatchedTarget
let client: RawClient

before(async () => {
  target = await startWatchedTarget()
  client = await RawClient.connect(target.port)
})

after(async () => {
  client.close()
  await target[Symbol.asyncDispose]()
})

async function openSession(topic: string, partitions: number): Promise<number> {
  const all = Array.from({ length: partitions }, (_, partition) => ({
    partition,
    fetchOffset: 0,
    partitionMaxBytes: 1_000,
  }))
  const { errorCode, sessionId } = await within(
    client.send(fetch, {
      replicaId: -1,
      maxWaitMs: 0,
      minBytes: 1,
      sessionEpoch: 0,
      topics: [{ topic, partitions: all }],
    }),
  )
  assert.equal(errorCode, 0)
  assert.notEqual(sessionId, 0)
  return sessionId
}

interface Continued {
  readonly attackers: Attacker[]
  readonly answers: Promise<void>[]
}

/** Each continues the session once. */
async function continueFrom(connections: number, sessionId: number, maxWaitMs: number): Promise<Continued> {
  const attackers: Attacker[] = []
  const answers: Promise<void>[] = []
  for (let sessionEpoch = 1; sessionEpoch <= connections; sessionEpoch++) {
    const attacker = await Attacker.connect(target.port)
    attackers.push(attacker)
    answers.push(attacker.oneAnswer())
    answers.at(-1)!.catch(() => {})
    const body = { replicaId: -1, maxWaitMs, minBytes: 1, sessionId, sessionEpoch, topics: [] }
    await attacker.flush(requestFrame(fetchRequest, 11, body, sessionEpoch))
  }
  return { attackers, answers }
}

test('a session of very many partitions that many connections continue', async () => {
  await target.survives(async () => {
    const sessionId = await openSession('nowhere', 90_000)
    const { attackers, answers } = await continueFrom(80, sessionId, 0)
    await Promise.race([Promise.allSettled(answers), sleep(7_000)])
    for (const attacker of attackers) attacker.destroy()
    await sleep(1_000)
  })
})

test('a topic is deleted while many fetches wait at its many partitions', async () => {
  const topic = { name: 'wide', numPartitions: 4_000, replicationFactor: 1, assignments: [], configs: [] }
  const { topics } = await within(client.send(createTopics, { topics: [topic], timeoutMs: 20_000 }))
  assert.equal(topics[0]?.errorCode, 0)
  await target.survives(async () => {
    const sessionId = await openSession('wide', 4_000)
    target.longestPieceMs()
    const { attackers, answers } = await continueFrom(400, sessionId, LONGEST_WAIT_MS)
    const { responses } = await within(
      client.send(deleteTopics, { topicNames: ['wide'], timeoutMs: 20_000 }),
      DELETED_WITHIN_MS,
    )
    assert.equal(responses[0]?.errorCode, 0)
    await within(answers[0]!)
    await sleep(1_000)
    for (const attacker of attackers) attacker.destroy()
    await sleep(1_000)
    const heldMs = target.longestPieceMs()
    assert.ok(heldMs <= MAX_PIECE_MS, `the loop was held for ${heldMs} ms`)
  })
})
