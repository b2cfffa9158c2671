import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../../protocol/errors.ts'
import { ZERO_UUID } from '../../../protocol/schema.ts'
import type { FetchRequest } from '../../../protocol/messages/01-fetch.ts'
import { epochAfter, FetchSessions } from '../../../src/broker/fetch/fetch-sessions.ts'
import type { FetchContext } from '../../../src/broker/fetch/fetch-sessions.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { finished } from '../../support/steps.ts'

const HOST = '10.0.0.1'
let counter = 0
const random = {
  uint32: (): number => (counter += 2),
  bytes: (length: number): Buffer => Buffer.alloc(length, 7),
}

function request(
  sessionId: number,
  sessionEpoch: number,
  partitions: Record<string, [partition: number, offset: number][]> = {},
  forgotten: Record<string, number[]> = {},
): FetchRequest {
  return {
    clusterId: null,
    replicaId: -1,
    replicaState: { replicaId: -1, replicaEpoch: -1 },
    maxWaitMs: 0,
    minBytes: 1,
    maxBytes: 1000,
    isolationLevel: 0,
    sessionId,
    sessionEpoch,
    rackId: '',
    topics: Object.entries(partitions).map(([topic, list]) => ({
      topic,
      topicId: ZERO_UUID,
      partitions: list.map(([partition, fetchOffset]) => ({
        partition,
        fetchOffset,
        currentLeaderEpoch: -1,
        lastFetchedEpoch: -1,
        logStartOffset: -1,
        partitionMaxBytes: 100,
        replicaDirectoryId: ZERO_UUID,
        highWatermark: 0,
      })),
    })),
    forgottenTopicsData: Object.entries(forgotten).map(([topic, list]) => ({
      topic,
      topicId: ZERO_UUID,
      partitions: list,
    })),
  }
}

function opened(context: FetchContext | ErrorCode): FetchContext {
  assert.equal(typeof context, 'object')
  return context as FetchContext
}

function offsets(context: FetchContext): string[] {
  return context.targets.map(({ topic, partition, fetchOffset }) => `${topic}-${partition}@${fetchOffset}`)
}

test('epoch -1 without an id fetches once and keeps nothing', () => {
  const sessions = new FetchSessions(new ManualClock(), random, 10)
  const context = opened(sessions.resolve(request(0, -1, { t: [[0, 5]] }), 12, HOST))
  assert.deepEqual([context.sessionId, context.incremental, sessions.size], [0, false, 0])
  assert.deepEqual(offsets(context), ['t-0@5'])
})

test('a session remembers, updates, adds and forgets partitions', () => {
  const sessions = new FetchSessions(new ManualClock(), random, 10)
  const { sessionId } = opened(
    sessions.resolve(
      request(0, 0, {
        t: [
          [0, 1],
          [1, 2],
        ],
      }),
      12,
      HOST,
    ),
  )
  assert.notEqual(sessionId, 0)
  const same = opened(sessions.resolve(request(sessionId, 1), 12, HOST))
  assert.ok(same.incremental)
  assert.deepEqual(offsets(same), ['t-0@1', 't-1@2'])
  const changed = opened(
    sessions.resolve(request(sessionId, 2, { t: [[1, 9]], u: [[3, 4]] }, { t: [0] }), 12, HOST),
  )
  assert.deepEqual(offsets(changed), ['t-1@9', 'u-3@4'])
})

function many(count: number, first = 0): Record<string, [partition: number, offset: number][]> {
  return { t: Array.from({ length: count }, (_, index): [number, number] => [first + index, 0]) }
}

test('what a session remembers counts as what its next request fetches', () => {
  const sessions = new FetchSessions(new ManualClock(), random, 10)
  assert.equal(sessions.partitionsOf(request(0, 0, many(300)), 12), 300)
  const { sessionId } = opened(sessions.resolve(request(0, 0, many(300)), 12, HOST))
  assert.equal(sessions.partitionsOf(request(sessionId, 1), 12), 300)
  assert.equal(sessions.partitionsOf(request(sessionId, 1, many(20), { t: [1, 2] }), 12), 322)
  assert.equal(sessions.partitionsOf(request(sessionId, -1), 12), 0, 'it ends')
  assert.equal(sessions.partitionsOf(request(sessionId, 0, many(7)), 12), 7, 'it begins anew')
  assert.equal(sessions.partitionsOf(request(sessionId + 1, 1), 12), 0, 'it is not there')
  assert.equal(sessions.partitionsOf(request(sessionId, 1), 4), 0, 'there were none then')
})

test('in steps the same comes of a request; two that grow a session at the same time count once each', () => {
  const sessions = new FetchSessions(new ManualClock(), random, 10)
  const first = opened(finished(sessions.resolveInSteps(request(0, 0, many(300)), 12, HOST)))
  const { sessionId } = first
  assert.equal(first.targets.length, 300)
  const grown = [1, 2].map((epoch) =>
    sessions.resolveInSteps(request(sessionId, epoch, many(200, epoch * 1_000), { t: [epoch] }), 12, HOST),
  )
  for (let step = 0; step < 50; step++) for (const steps of grown) assert.equal(steps.next().done, false)
  const [one, other] = grown.map((steps) => opened(finished(steps)).targets.length)
  assert.deepEqual([one! < 698, other], [true, 698])
  const alike = new FetchSessions(new ManualClock(), random, 10)
  const again = opened(alike.resolve(request(0, 0, many(300)), 12, HOST))
  for (const epoch of [1, 2])
    alike.resolve(request(again.sessionId, epoch, many(200, epoch * 1_000), { t: [epoch] }), 12, HOST)
  assert.equal(sessions.bytes, alike.bytes)
  sessions.resolve(request(sessionId, -1), 12, HOST)
  assert.equal(sessions.bytes, 0)
})

test('a session that ends while a request is on its way into it is not there for that request, and leaves nothing', () => {
  const sessions = new FetchSessions(new ManualClock(), random, 10)
  const { sessionId } = opened(sessions.resolve(request(0, 0, many(300)), 12, HOST))
  const steps = sessions.resolveInSteps(request(sessionId, 1, many(300, 1_000)), 12, HOST)
  for (let step = 0; step < 100; step++) steps.next()
  sessions.resolve(request(sessionId, -1), 12, HOST)
  assert.equal(finished(steps), ErrorCode.FETCH_SESSION_ID_NOT_FOUND)
  assert.deepEqual([sessions.size, sessions.bytes], [0, 0])
})

test('partitions that returned data go to the end', () => {
  const sessions = new FetchSessions(new ManualClock(), random, 10)
  const context = opened(
    sessions.resolve(
      request(0, 0, {
        t: [
          [0, 0],
          [1, 0],
          [2, 0],
        ],
      }),
      12,
      HOST,
    ),
  )
  sessions.moveToEnd(context.sessionId, context.targets[0]!)
  const next = opened(sessions.resolve(request(context.sessionId, 1), 12, HOST))
  assert.deepEqual(offsets(next), ['t-1@0', 't-2@0', 't-0@0'])
})

test('unknown ids and wrong epochs are told apart; the wrong kind of names too', () => {
  const sessions = new FetchSessions(new ManualClock(), random, 10)
  const { sessionId } = opened(sessions.resolve(request(0, 0, { t: [[0, 0]] }), 12, HOST))
  assert.equal(sessions.resolve(request(sessionId + 1, 1), 12, HOST), ErrorCode.FETCH_SESSION_ID_NOT_FOUND)
  assert.equal(sessions.resolve(request(sessionId, 7), 12, HOST), ErrorCode.INVALID_FETCH_SESSION_EPOCH)
  assert.equal(sessions.resolve(request(sessionId, 1), 13, HOST), ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR)
})

test('epoch -1 with an id ends the session, epoch 0 with an id replaces it', () => {
  const sessions = new FetchSessions(new ManualClock(), random, 10)
  const first = opened(sessions.resolve(request(0, 0, { t: [[0, 0]] }), 12, HOST))
  const second = opened(sessions.resolve(request(first.sessionId, 0, { t: [[0, 0]] }), 12, HOST))
  assert.equal(sessions.size, 1)
  sessions.resolve(request(second.sessionId, -1, { t: [[0, 0]] }), 12, HOST)
  assert.deepEqual([sessions.size, sessions.bytes], [0, 0])
})

test('a full cache gives no session until its oldest one has rested', () => {
  const clock = new ManualClock()
  const sessions = new FetchSessions(clock, random, 1)
  const first = opened(sessions.resolve(request(0, 0, { t: [[0, 0]] }), 12, HOST))
  assert.equal(opened(sessions.resolve(request(0, 0, { t: [[0, 0]] }), 12, HOST)).sessionId, 0)
  clock.advance(120_001)
  assert.notEqual(opened(sessions.resolve(request(0, 0, { t: [[0, 0]] }), 12, HOST)).sessionId, 0)
  assert.equal(sessions.resolve(request(first.sessionId, 1), 12, HOST), ErrorCode.FETCH_SESSION_ID_NOT_FOUND)
})

test('of those that have rested the one that has rested longest makes room, whichever was opened first', () => {
  const clock = new ManualClock()
  const sessions = new FetchSessions(clock, random, 2)
  const open = (n: number): number =>
    opened(sessions.resolve(request(0, 0, { t: [[0, 0]] }), 12, `10.0.0.${n}`)).sessionId
  const [first, second] = [open(1), open(2)]
  clock.advance(1)
  assert.equal(typeof sessions.resolve(request(first, 1), 12, HOST), 'object')
  clock.advance(120_001)
  assert.notEqual(open(3), 0)
  assert.equal(sessions.resolve(request(second, 1), 12, HOST), ErrorCode.FETCH_SESSION_ID_NOT_FOUND)
  assert.equal(typeof sessions.resolve(request(first, 2), 12, HOST), 'object')
})

test('a host gets half of the sessions, whoever comes next still finds room, and makes room by its own', () => {
  const clock = new ManualClock()
  const sessions = new FetchSessions(clock, random, 100)
  const open = (host: string): number =>
    opened(sessions.resolve(request(0, 0, { t: [[0, 0]] }), 12, host)).sessionId
  const greedy = Array.from({ length: 1_000 }, () => open('10.0.0.66')).filter((id) => id !== 0)
  assert.equal(greedy.length, 50)
  const others = Array.from({ length: 20 }, (_, n) => open(`10.0.1.${n}`))
  assert.ok(others.every((id) => id !== 0))
  clock.advance(120_001)
  for (const id of others) assert.equal(typeof sessions.resolve(request(id, 1), 12, HOST), 'object')
  assert.notEqual(open('10.0.0.66'), 0)
  assert.equal(sessions.resolve(request(greedy[0]!, 1), 12, HOST), ErrorCode.FETCH_SESSION_ID_NOT_FOUND)
  for (const id of others) assert.equal(typeof sessions.resolve(request(id, 2), 12, HOST), 'object')
})

test('long names of topics that do not exist take no more memory than short ones', () => {
  const sessions = new FetchSessions(new ManualClock(), random, 1_000)
  const session = (n: number) => {
    const topics: Record<string, [number, number][]> = {}
    for (let i = 0; i < 100; i++) topics[`${n}-${i}-${'x'.repeat(30_000)}`] = [[0, 0]]
    return opened(sessions.resolve(request(0, 0, topics), 12, `10.0.0.${n % 3}`)).sessionId
  }
  const made = Array.from({ length: 60 }, (_, n) => session(n)).filter((id) => id !== 0)
  assert.ok(made.length > 0 && made.length < 30, `${made.length} sessions of 6 MB`)
  assert.ok(sessions.bytes <= 128 * 1024 * 1024)
  // The same by updates: the session that outgrows its share is forgotten.
  const { sessionId } = opened(sessions.resolve(request(0, 0, { t: [[0, 0]] }), 12, HOST))
  let epoch = 1
  for (let n = 0; ; n++) {
    const answer = sessions.resolve(
      request(sessionId, epoch++, { [`${n}${'x'.repeat(30_000)}`]: [[0, 0]] }),
      12,
      HOST,
    )
    if (answer === ErrorCode.FETCH_SESSION_ID_NOT_FOUND) break
    assert.ok(n < 3_000)
  }
})

test('the epoch of a session wraps past 0, which opens a session, and -1, which ends it', () => {
  assert.deepEqual([0, 1, 2 ** 31 - 2].map(epochAfter), [1, 2, 2 ** 31 - 1])
  assert.equal(epochAfter(2 ** 31 - 1), 1)
})
