/** Fetch and its sessions. */
import { batch } from '../batches.ts'
import { AreaBuilder } from '../scenario.ts'
import { edges } from '../schemas.ts'
import { dig } from '../session.ts'
import type { Session } from '../session.ts'
import type { Body, Given, Struct } from '../wire.ts'

export const fetch = new AreaBuilder('fetch')

const UNKNOWN_ID = 'AAAAAAAAAAAAAAAAAAAAAw'
/** The first version that names topics by their ids. */
const BY_ID = 13

interface Partition {
  readonly partition?: number
  readonly fetchOffset?: number | bigint
  readonly partitionMaxBytes?: number
  readonly currentLeaderEpoch?: number
  readonly lastFetchedEpoch?: number
  readonly logStartOffset?: number | bigint
}

const wanted = { partition: 0, fetchOffset: 0, partitionMaxBytes: 1 << 20 }
const now = { maxWaitMs: 0, minBytes: 0, maxBytes: 1 << 20 }

/** One partition of a topic, in any version. */
async function one(
  s: Session,
  version: number,
  topic: string,
  partition: Partition,
  more: Body = {},
): Promise<Struct> {
  const named: Body = version >= BY_ID ? { topicId: await s.topicId(topic) } : { topic }
  return s.ask('Fetch', version, {
    ...now,
    topics: [{ ...named, partitions: [{ ...wanted, ...partition }] }],
    ...more,
  })
}

fetch.addVersions('two batches', 'Fetch', async (s, version) => {
  const topic = await s.topic('t', { partitions: 2 })
  await s.produce(topic, ['a', { key: 'k', value: 'b', headers: { h: '1' } }], ['c'])
  await one(s, version, topic, {})
  await one(s, version, topic, { fetchOffset: 1 })
  await one(s, version, topic, { fetchOffset: 2 })
  await one(s, version, topic, { fetchOffset: 3 })
})

fetch.addVersions('offsets out of range', 'Fetch', async (s, version) => {
  const topic = await s.topic()
  await s.produce(topic, ['a', 'b', 'c'])
  await s.quietly('DeleteRecords', 1, {
    topics: [{ name: topic, partitions: [{ partitionIndex: 0, offset: 2 }] }],
    timeoutMs: 1000,
  })
  for (const fetchOffset of [1, 2, 3, 4, 100, -1, -2]) await one(s, version, topic, { fetchOffset })
})

fetch.add('offsets beyond 2^53', async (s) => {
  const topic = await s.topic()
  await s.produce(topic, ['a'])
  for (const fetchOffset of [2n ** 53n, 2n ** 60n, 2n ** 63n - 1n, -(2n ** 60n)])
    await one(s, 11, topic, { fetchOffset })
  await one(s, 11, topic, { logStartOffset: 2n ** 60n })
})

fetch.addVersions('topics and partitions that are not there', 'Fetch', async (s, version) => {
  const name = await s.topic()
  const named: Body = version >= BY_ID ? { topicId: await s.topicId(name) } : { topic: name }
  const missing: Body = version >= BY_ID ? { topicId: UNKNOWN_ID } : { topic: s.name('none') }
  await s.ask('Fetch', version, {
    ...now,
    topics: [
      { ...missing, partitions: [wanted] },
      { ...named, partitions: [0, 1, -1].map((partition) => ({ ...wanted, partition })) },
    ],
  })
  await s.ask('Fetch', version, { ...now, topics: [] })
  await s.ask('Fetch', version, { ...now, topics: [{ ...named, partitions: [] }] })
})

fetch.add('a topic of an empty name, and one by the id of none', async (s) => {
  await s.ask('Fetch', 11, { ...now, topics: [{ topic: '', partitions: [wanted] }] })
  await s.ask('Fetch', 13, { ...now, topics: [{ partitions: [wanted] }] })
})

fetch.addVersions(
  'leader epochs',
  'Fetch',
  async (s, version) => {
    const topic = await s.topic()
    await s.produce(topic, ['a'])
    for (const currentLeaderEpoch of [-1, 0, 1, -2]) await one(s, version, topic, { currentLeaderEpoch })
  },
  edges('Fetch').filter((version) => version >= 9),
)

fetch.addVersions(
  'epochs that were fetched before',
  'Fetch',
  async (s, version) => {
    const topic = await s.topic()
    await s.produce(topic, ['a', 'b'])
    for (const lastFetchedEpoch of [-1, 0, 1, -2])
      await one(s, version, topic, { lastFetchedEpoch, fetchOffset: 1 })
    await one(s, version, topic, { lastFetchedEpoch: 0, fetchOffset: 5 })
  },
  edges('Fetch').filter((version) => version >= 12),
)

for (const partitionMaxBytes of [-1, 0, 1, 75, 150, 1000])
  fetch.add(`at most ${partitionMaxBytes} bytes of a partition`, async (s) => {
    const topic = await s.topic()
    await s.produce(topic, ['a'], ['b'], ['c'])
    await one(s, 11, topic, { partitionMaxBytes })
  })

for (const maxBytes of [-1, 0, 1, 75, 150, 1000])
  fetch.add(`at most ${maxBytes} bytes of two partitions`, async (s) => {
    const topic = await s.topic('t', { partitions: 2 })
    await s.produce(topic, ['a'], ['b'])
    await s.quietly('Produce', 8, {
      acks: -1,
      timeoutMs: 1000,
      topicData: [{ name: topic, partitionData: [{ index: 1, records: batch(['c']) }] }],
    })
    const partitions = [1, 0].map((partition) => ({ ...wanted, partition }))
    await s.ask('Fetch', 11, { ...now, maxBytes, topics: [{ topic, partitions }] })
  })

const REPLICAS: readonly [number, Body][] = [
  [11, { replicaId: 0 }],
  [11, { replicaId: 1 }],
  [11, { replicaId: 7 }],
  [11, { replicaId: -2 }],
  [15, { replicaState: { replicaId: 1, replicaEpoch: 1 } }],
  [15, { replicaState: { replicaId: 7, replicaEpoch: -1 } }],
  [15, { replicaState: { replicaId: -2, replicaEpoch: -1 } }],
]
for (const [version, replica] of REPLICAS)
  fetch.add(`a replica's fetch, Fetch v${version} ${JSON.stringify(replica)}`, async (s) => {
    const topic = await s.topic()
    await s.produce(topic, ['a'])
    await one(s, version, topic, {}, replica)
    await one(s, version, topic, { fetchOffset: 1 }, replica)
  })

for (const isolationLevel of [0, 1, 2, -1])
  fetch.add(`isolation level ${isolationLevel}`, async (s) => {
    const topic = await s.topic()
    await s.produce(topic, ['a'])
    await one(s, 11, topic, {}, { isolationLevel })
    await one(s, 11, topic, { fetchOffset: 9 }, { isolationLevel })
    await s.ask('Fetch', 11, {
      ...now,
      isolationLevel,
      topics: [{ topic: s.name('none'), partitions: [wanted] }],
    })
  })

fetch.add('a rack that nobody has', async (s) => {
  const topic = await s.topic()
  await s.produce(topic, ['a'])
  await one(s, 11, topic, {}, { rackId: 'somewhere' })
})

fetch.add('a partition that is named twice', async (s) => {
  const topic = await s.topic()
  await s.produce(topic, ['a'], ['b'])
  const partitions = [0, 1].map((fetchOffset) => ({ ...wanted, fetchOffset }))
  await s.ask('Fetch', 11, { ...now, topics: [{ topic, partitions }] })
  await s.ask('Fetch', 11, {
    ...now,
    topics: partitions.map((partition) => ({ topic, partitions: [partition] })),
  })
})

fetch.add('waits for what is written', async (s) => {
  const topic = await s.topic()
  const body = {
    maxWaitMs: 15_000,
    minBytes: 1,
    maxBytes: 1 << 20,
    topics: [{ topic, partitions: [wanted] }],
  }
  const waiting = s.ask('Fetch', 11, body)
  await s.quietly('Metadata', 1, { topics: [] }, { on: 'second' })
  await s.ask(
    'Produce',
    8,
    {
      acks: -1,
      timeoutMs: 1000,
      topicData: [{ name: topic, partitionData: [{ index: 0, records: batch(['a']) }] }],
    },
    { on: 'second' },
  )
  await waiting
})

fetch.add('waits no longer than it may', async (s) => {
  const topic = await s.topic()
  await s.produce(topic, ['a'])
  const more = { maxWaitMs: 20, minBytes: 1_000_000 }
  await one(s, 11, topic, {}, more)
  await one(s, 11, topic, { fetchOffset: 1 }, more)
  await one(s, 11, topic, { fetchOffset: 7 }, { ...more, maxWaitMs: 15_000 })
  await one(s, 11, topic, {}, { ...more, maxWaitMs: -1 })
})

fetch.add('a topic that was deleted and made again', async (s) => {
  const topic = await s.topic()
  const topicId = await s.topicId(topic)
  await s.produce(topic, ['a'])
  await s.deleteTopic(topic)
  await one(s, 11, topic, {})
  await s.ask('Fetch', 13, { ...now, topics: [{ topicId, partitions: [wanted] }] })
  await s.topic()
  await s.ask('Fetch', 13, { ...now, topics: [{ topicId, partitions: [wanted] }] })
  await one(s, 13, topic, {})
})

for (const topic of ['__consumer_offsets', '__transaction_state', '__cluster_metadata'])
  fetch.add(`the end of ${topic}`, (s) =>
    s.ask(
      'Fetch',
      11,
      { ...now, topics: [{ topic, partitions: [{ ...wanted, fetchOffset: 1 << 30 }] }] },
      { without: ['highWatermark', 'lastStableOffset'] },
    ),
  )

// ------------------------------------------------------------------------------------------------------- sessions

interface Incremental {
  readonly topic: string
  /** A fetch of the session, which names these partitions by number and offset. */
  readonly next: (partitions: readonly (readonly [number, number])[], more?: Body) => Promise<Struct>
  sessionEpoch: number
  sessionId: Given
}

async function session(s: Session, version: number): Promise<Incremental> {
  const topic = await s.topic('t', { partitions: 3 })
  const named: Body = version >= BY_ID ? { topicId: await s.topicId(topic) } : { topic }
  const state: Incremental = {
    topic,
    sessionEpoch: 0,
    sessionId: 0,
    async next(partitions, more = {}) {
      const answer = await s.ask('Fetch', version, {
        ...now,
        sessionId: state.sessionId,
        sessionEpoch: state.sessionEpoch,
        topics:
          partitions.length === 0
            ? []
            : [
                {
                  ...named,
                  partitions: partitions.map(([partition, fetchOffset]) => ({
                    ...wanted,
                    partition,
                    fetchOffset,
                  })),
                },
              ],
        ...more,
      })
      if (dig(answer, 'errorCode') === 0) {
        state.sessionId = Number(dig(answer, 'sessionId'))
        state.sessionEpoch++
      }
      return answer
    },
  }
  return state
}

for (const version of edges('Fetch').filter((each) => each >= 7)) {
  const forgotten = (topic: string, topicId: string, partitions: number[]): Body => ({
    forgottenTopicsData: [{ ...(version >= BY_ID ? { topicId } : { topic }), partitions }],
  })
  fetch.add(`a session, Fetch v${version}`, async (s) => {
    const state = await session(s, version)
    await state.next([
      [0, 0],
      [1, 0],
    ])
    await state.next([])
    await s.produce(state.topic, ['a', 'b'])
    await state.next([])
    await state.next([])
    await state.next([[0, 2]])
    await state.next([])
    await state.next([[2, 0]])
    await state.next([], forgotten(state.topic, await s.topicId(state.topic), [0, 1]))
    await s.produce(state.topic, ['c'])
    await state.next([])
    await state.next([
      [0, 2],
      [1, 5],
    ])
    await state.next([])
  })
  fetch.add(`a session of which the log start moves, Fetch v${version}`, async (s) => {
    const state = await session(s, version)
    await s.produce(state.topic, ['a', 'b', 'c'])
    await state.next([
      [0, 3],
      [1, 0],
    ])
    await state.next([])
    await s.quietly('DeleteRecords', 1, {
      topics: [{ name: state.topic, partitions: [{ partitionIndex: 0, offset: 2 }] }],
      timeoutMs: 1000,
    })
    await state.next([])
    await state.next([])
  })
  fetch.add(`a session with wrong epochs, Fetch v${version}`, async (s) => {
    const state = await session(s, version)
    await state.next([[0, 0]])
    for (const sessionEpoch of [0, 2, -2, 5]) await state.next([], { sessionEpoch })
    await state.next([])
    await state.next([[0, 0]], { sessionId: 4711 })
    await state.next([[0, 0]], { sessionId: 4711, sessionEpoch: 0 })
    await state.next([[0, 0]], { sessionId: -5, sessionEpoch: 3 })
    await state.next([[0, 0]], { sessionId: 0, sessionEpoch: 3 })
  })
  fetch.add(`a session that ends, Fetch v${version}`, async (s) => {
    const state = await session(s, version)
    await state.next([[0, 0]])
    await state.next([[0, 0]], { sessionEpoch: -1 })
    await state.next([])
    await state.next([], { sessionId: 0, sessionEpoch: -1 })
    await state.next([[0, 0]], { sessionId: 0, sessionEpoch: -1 })
  })
  fetch.add(`a session without partitions, Fetch v${version}`, async (s) => {
    const state = await session(s, version)
    await state.next([])
    await state.next([])
    await state.next([[0, 0]])
  })
  fetch.add(`a session over partitions that are not there, Fetch v${version}`, async (s) => {
    const state = await session(s, version)
    await state.next([
      [0, 0],
      [7, 0],
    ])
    await state.next([])
    await state.next([[0, 5]])
    await state.next([])
    await state.next([[0, 0]], forgotten(state.topic, await s.topicId(state.topic), [7, 9]))
    await state.next([])
  })
  fetch.add(`a session over a topic that is deleted, Fetch v${version}`, async (s) => {
    const state = await session(s, version)
    await s.produce(state.topic, ['a'])
    await state.next([[0, 1]])
    await s.deleteTopic(state.topic)
    await state.next([])
    await state.next([])
  })
}
fetch.add('a session that is started anew', async (s) => {
  const state = await session(s, 11)
  await state.next([[0, 0]])
  await state.next([[1, 0]], { sessionEpoch: 0 })
  state.sessionEpoch = 1
  await state.next([])
})

fetch.add('a session id that nobody gives', async (s) => {
  const state = await session(s, 11)
  for (const sessionId of [-1, -(2 ** 31), 2 ** 31 - 1])
    await state.next([[0, 0]], { sessionId, sessionEpoch: 3 })
})
