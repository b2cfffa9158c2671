import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FollowerRequest } from '../../../src/core/replication/follower.ts'
import type { FollowedPartition } from '../../../src/broker/following/replica-fetcher-partition.ts'
import { ReplicaFetcherSession } from '../../../src/broker/following/replica-fetcher-session.ts'

const TOPIC = 'AAAAAAAAAAAAAAAAAAAAAQ'

/** A partition as far as the session looks at it. */
class Followed implements Pick<FollowedPartition, 'key' | 'condition' | 'told' | 'next'> {
  readonly key: string
  readonly partition: { readonly topicId: string; readonly index: number }
  condition: FollowedPartition['condition'] = 'ready'
  told: FollowerRequest | null = null
  fetchOffset = 0

  constructor(index: number) {
    this.key = `${TOPIC}/${index}`
    this.partition = { topicId: TOPIC, index }
  }

  next(before: FollowerRequest | null): FollowerRequest {
    const { fetchOffset } = this
    if (before?.fetchOffset === fetchOffset) return before
    return { fetchOffset, lastFetchedEpoch: 1, currentLeaderEpoch: 2, logStartOffset: 0 }
  }
}

class Stream {
  readonly session = new ReplicaFetcherSession()
  readonly all = new Map<string, FollowedPartition>()
  sessionId = 7

  add(index: number): Followed {
    const followed = new Followed(index)
    this.all.set(followed.key, followed as unknown as FollowedPartition)
    return followed
  }

  remove({ key }: Followed): void {
    this.session.left(this.all.get(key)!)
    this.all.delete(key)
  }

  /** What is asked, and answered: session, epoch, what is named from which offset, what is forgotten. */
  fetch(): [sessionId: number, epoch: number, named: string, forgotten: string] {
    const { sessionId, sessionEpoch, topics, forgottenTopicsData } = this.session.request(this.all, 100)
    const named = topics.flatMap(({ partitions }) =>
      partitions.map(({ partition, fetchOffset }) => `${partition}@${fetchOffset}`),
    )
    const forgotten = forgottenTopicsData.flatMap(({ partitions }) => partitions)
    this.session.answered({
      throttleTimeMs: 0,
      errorCode: 0,
      sessionId: this.sessionId,
      responses: [],
      nodeEndpoints: [],
    })
    return [sessionId, sessionEpoch, named.join(), forgotten.join()]
  }
}

test('the first request names all, the next ones what changed and what is not to be fetched now', () => {
  const stream = new Stream()
  const [one, two, three] = [1, 2, 3].map((index) => stream.add(index))
  assert.deepEqual(stream.fetch(), [0, 0, '1@0,2@0,3@0', ''])
  assert.deepEqual(stream.fetch(), [7, 1, '', ''])
  two!.fetchOffset = 5
  assert.deepEqual(stream.fetch(), [7, 2, '2@5', ''])
  one!.condition = 'busy'
  assert.deepEqual(stream.fetch(), [7, 3, '', '1'])
  assert.deepEqual(stream.fetch(), [7, 4, '', ''])
  one!.condition = 'ready'
  one!.fetchOffset = 3
  assert.deepEqual(stream.fetch(), [7, 5, '1@3', ''])
  stream.remove(three!)
  assert.deepEqual(stream.fetch(), [7, 6, '', '3'])
  stream.session.beginAnew()
  assert.deepEqual(stream.fetch(), [7, 0, '1@3,2@5', ''])
})

test('one that is followed anew begins a session anew', () => {
  const stream = new Stream()
  const one = stream.add(1)
  stream.add(2)
  stream.fetch()
  stream.remove(one)
  const again = stream.add(1)
  assert.deepEqual(stream.fetch(), [7, 0, '2@0,1@0', ''])
  // Unless it was forgotten before it is ready.
  stream.remove(again)
  const later = stream.add(1)
  later.condition = 'busy'
  assert.deepEqual(stream.fetch(), [7, 1, '', '1'])
  later.condition = 'ready'
  assert.deepEqual(stream.fetch(), [7, 2, '1@0', ''])
})

test('a leader without room for sessions is told of all, each time', () => {
  const stream = new Stream()
  stream.sessionId = 0
  stream.add(1)
  const busy = stream.add(2)
  assert.deepEqual(stream.fetch(), [0, 0, '1@0,2@0', ''])
  busy.condition = 'busy'
  assert.deepEqual(stream.fetch(), [0, 0, '1@0', ''])
  assert.equal(busy.told, null)
})
