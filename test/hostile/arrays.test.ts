/**
 * Every array of every request in every version, as long as a message can hold it, and what asks for everything there
 * is. Nothing is configured: a broker as users have it must keep its loop free, its memory bounded and others answered.
 *
 * CI sends the newest version at its full length, other versions a part of it; `npm test` of a user a part of all;
 * `SAMSA_HOSTILE=full` sends every version at its full length.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { layoutOf } from '../../protocol/schema-layout.ts'
import { produceRequest, produceResponse } from '../../protocol/messages/00-produce.ts'
import { listOffsetsRequest } from '../../protocol/messages/02-list-offsets.ts'
import { metadataRequest } from '../../protocol/messages/03-metadata.ts'
import { createTopicsRequest, createTopicsResponse } from '../../protocol/messages/19-create-topics.ts'
import { deleteTopicsRequest } from '../../protocol/messages/20-delete-topics.ts'
import { describeLogDirsRequest } from '../../protocol/messages/35-describe-log-dirs.ts'
import {
  describeProducersRequest,
  describeProducersResponse,
} from '../../protocol/messages/61-describe-producers.ts'
import { buildBatch } from '../../protocol/records/record-builder.ts'
import type { Api } from '../../src/api/requests/handler.ts'
import { apis } from '../../src/api/table.ts'
import { requireAll } from '../support/cache.ts'
import { RawClient } from '../support/raw-client.ts'
import { arrayPaths, frameOfLongArray } from './array-frames.ts'
import type { LongArray } from './array-frames.ts'
import { Attacker, requestFrame } from './attacker.ts'
import { startWatchedTarget, within } from './target.ts'
import type { WatchedTarget } from './target.ts'

const FULL = process.env['SAMSA_HOSTILE'] === 'full'
/** Of what a message can hold, for the newest version. */
const NEWEST_SHARE = FULL || requireAll ? 1 : 1 / 4
/** What the loop may work in one piece. A piece that was longer once, when the garbage of before fell due, is tried again. */
const MAX_PIECE_MS = 100
const TRIES = 3

const createTopics = { request: createTopicsRequest, response: createTopicsResponse, version: 7 } as const

const produce = { request: produceRequest, response: produceResponse, version: 9 } as const
const describeProducers = {
  request: describeProducersRequest,
  response: describeProducersResponse,
  version: 0,
} as const

/** So that requests get as far as they can; the topic `there` is what strings name. */
const KNOWN = {
  acks: 1,
  timeoutMs: 1_000,
  sessionEpoch: -1,
  generationIdOrMemberEpoch: -1,
  generationId: 1,
  sessionTimeoutMs: 10_000,
  protocolType: 'consumer',
  memberId: '',
  groupInstanceId: null,
  transactionalId: null,
  resourceType: 2,
  replicaId: -1,
  currentLeaderEpoch: -1,
  numPartitions: 1,
  replicationFactor: 1,
}

let target: WatchedTarget

before(async () => {
  target = await startWatchedTarget()
  const client = await RawClient.connect(target.port)
  const there = { name: 'there', numPartitions: 1, replicationFactor: 1, assignments: [], configs: [] }
  await within(client.send(createTopics, { topics: [there], timeoutMs: 1 }))
  client.close()
})

after(() => target[Symbol.asyncDispose]())

function versionsOf(api: Api): number[] {
  return Array.from({ length: api.maxVersion - api.minVersion + 1 }, (_, index) => api.minVersion + index)
}

/** Thousands of directories are made and removed at the pace of the file system, which may have others to serve. */
const FILES_WITHIN_MS = 120_000

/** Sends the frame on a connection of its own and waits for the whole answer. */
async function answered(frame: Buffer, withinMs?: number): Promise<void> {
  const attacker = await Attacker.connect(target.port)
  try {
    const answer = attacker.oneAnswer(withinMs)
    attacker.write(frame)
    await answer
  } finally {
    attacker.destroy()
  }
}

async function keepsLoopFree(what: string, attack: () => Promise<void>): Promise<void> {
  target.longestPieceMs()
  let shortest = Infinity
  for (let tries = 0; tries < TRIES && shortest > MAX_PIECE_MS; tries++) {
    await attack()
    shortest = Math.min(shortest, target.longestPieceMs())
  }
  assert.ok(shortest <= MAX_PIECE_MS, `${what}: the loop was held for ${shortest} ms`)
}

let groups = 0

async function sendLongArray(array: LongArray): Promise<void> {
  const { schema, version, path, distinct } = array
  const what = `${schema.name} v${version} ${path.join('.')}, ${distinct ? 'distinct' : 'repeated'}`
  // A group of its own: who joined one before would have to be waited for.
  const frame = () => frameOfLongArray(array, { ...KNOWN, groupId: `group-${groups++}` })
  await keepsLoopFree(what, () => answered(frame()))
}

for (const api of apis.values()) {
  const paths = versionsOf(api).flatMap((version) =>
    arrayPaths(api.request, layoutOf(api.request, version)).map((path) => ({ version, path })),
  )
  if (paths.length === 0) continue
  test(`every array of ${api.name}`, async () => {
    await target.survives(async () => {
      for (const { version, path } of paths) {
        const share = FULL ? 1 : version === api.maxVersion ? NEWEST_SHARE : 1 / 16
        for (const distinct of [false, true])
          await sendLongArray({ schema: api.request, version, path, distinct, share })
      }
    })
  })
}

test('thousands of partitions: made, told of in every way, and removed', async () => {
  const TOPICS = ['wide-a', 'wide-b']
  const PARTITIONS = 4_000
  const every = Array.from({ length: PARTITIONS }, (_, index) => index)
  const byIndex = every.map((partitionIndex) => ({ partitionIndex, timestamp: 0 }))
  const frames = {
    creation: requestFrame(createTopicsRequest, 7, {
      topics: TOPICS.map((name) => ({
        name,
        numPartitions: PARTITIONS,
        replicationFactor: 1,
        assignments: [],
        configs: [],
      })),
      timeoutMs: 60_000,
    }),
    metadata: requestFrame(metadataRequest, 12, { topics: null }),
    'log directories': requestFrame(describeLogDirsRequest, 4, { topics: null }),
    producers: requestFrame(describeProducersRequest, 0, {
      topics: TOPICS.map((name) => ({ name, partitionIndexes: every })),
    }),
    'offsets by time': requestFrame(listOffsetsRequest, 9, {
      replicaId: -1,
      isolationLevel: 0,
      topics: TOPICS.map((name) => ({ name, partitions: byIndex })),
    }),
    deletion: requestFrame(deleteTopicsRequest, 5, { topicNames: TOPICS, timeoutMs: 60_000 }),
  }
  // All of it again where something was long: what is created can be created once only.
  const shortest = new Map(Object.keys(frames).map((what) => [what, Infinity]))
  const areLong = (): boolean => [...shortest.values()].some((heldMs) => heldMs > MAX_PIECE_MS)
  for (let tries = 0; tries < TRIES && areLong(); tries++)
    for (const [what, frame] of Object.entries(frames)) {
      target.longestPieceMs()
      await answered(frame, FILES_WITHIN_MS)
      shortest.set(what, Math.min(shortest.get(what)!, target.longestPieceMs()))
    }
  for (const [what, heldMs] of shortest)
    assert.ok(heldMs <= MAX_PIECE_MS, `${what}: the loop was held for ${heldMs} ms`)
})

test('a partition with many producers that is named 260,000 times is described once', async () => {
  const PRODUCERS = 300
  const client = await RawClient.connect(target.port)
  const record = { key: null, value: Buffer.alloc(10), timestampMs: Date.now() }
  for (let producerId = 1; producerId <= PRODUCERS; producerId++) {
    const records = buildBatch([record], { producerId, producerEpoch: 0, baseSequence: 0 })
    const topicData = [{ name: 'there', partitionData: [{ index: 0, records }] }]
    await within(client.send(produce, { acks: 1, timeoutMs: 1_000, topicData }))
  }
  const partitionIndexes = Array.from({ length: 260_000 }, () => 0)
  await target.survives(async () => {
    const { topics } = await within(
      client.send(describeProducers, { topics: [{ name: 'there', partitionIndexes }] }),
    )
    assert.deepEqual(
      topics[0]!.partitions.map(({ activeProducers }) => activeProducers.length),
      [PRODUCERS],
    )
  })
  client.close()
})
