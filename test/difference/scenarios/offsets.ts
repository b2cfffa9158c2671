/** ListOffsets, OffsetForLeaderEpoch, DeleteRecords. */
import { BASE_TIMESTAMP as T, CODECS } from '../batches.ts'
import type { CodecName } from '../batches.ts'
import { AreaBuilder } from '../scenario.ts'
import { edges } from '../schemas.ts'
import type { Session } from '../session.ts'
import type { Body, Struct } from '../wire.ts'

export const offsets = new AreaBuilder('offsets')

function lookUp(
  s: Session,
  version: number,
  name: string,
  partition: Body,
  more: Body = {},
): Promise<Struct> {
  return s.ask('ListOffsets', version, {
    replicaId: -1,
    topics: [{ name, partitions: [{ partitionIndex: 0, ...partition }] }],
    ...more,
  })
}

/** Three batches: T, T+10 | T+5 | T+20, T+15. */
async function timed(s: Session): Promise<string> {
  const topic = await s.topic()
  await s.produce(
    topic,
    ['a', { value: 'b', timestampDelta: 10 }],
    [{ value: 'c', timestampDelta: 5 }],
    [
      { value: 'd', timestampDelta: 20 },
      { value: 'e', timestampDelta: 15 },
    ],
  )
  return topic
}

const ASKED: Readonly<Record<string, number | bigint>> = {
  'the end': -1,
  'the start': -2,
  'the largest timestamp': -3,
  'the local start': -4,
  'the last tiered': -5,
  'the first to be tiered': -6,
  'of -7': -7,
  'of 0': 0,
  'of the first': T,
  'behind the first': T + 1,
  'of the third': T + 5,
  'of the second': T + 10,
  'of the last': T + 15,
  'of the latest': T + 20,
  'behind all': T + 21,
  'beyond 2^53': 2n ** 60n,
  'the largest int64': 2n ** 63n - 1n,
  'the smallest int64': -(2n ** 63n),
}
const SPECIAL = new Set([-1, -2, -3, -4, -5, -6, -7])
for (const [what, timestamp] of Object.entries(ASKED))
  offsets.add(`a timestamp: ${what}`, async (s) => {
    const topic = await timed(s)
    const versions = SPECIAL.has(Number(timestamp)) ? edges('ListOffsets') : [1, 9]
    for (const version of versions) await lookUp(s, version, topic, { timestamp })
    if (SPECIAL.has(Number(timestamp))) await lookUp(s, 9, await s.topic('empty'), { timestamp })
  })

offsets.addVersions('the ends of two topics', 'ListOffsets', async (s, version) => {
  const [one, two] = [await timed(s), await s.topic('two', { partitions: 2 })]
  await s.ask('ListOffsets', version, {
    replicaId: -1,
    topics: [
      { name: one, partitions: [{ partitionIndex: 0, timestamp: -1 }] },
      { name: two, partitions: [0, 1, 2, -1].map((partitionIndex) => ({ partitionIndex, timestamp: -2 })) },
      { name: s.name('none'), partitions: [{ partitionIndex: 0, timestamp: -1 }] },
      { name: '', partitions: [{ partitionIndex: 0, timestamp: T }] },
    ],
  })
  await s.ask('ListOffsets', version, { replicaId: -1, topics: [] })
})

offsets.addVersions(
  'leader epochs',
  'ListOffsets',
  async (s, version) => {
    const topic = await timed(s)
    for (const timestamp of [-1, -2, T])
      for (const currentLeaderEpoch of [-1, 0, 1, -2])
        await lookUp(s, version, topic, { timestamp, currentLeaderEpoch })
  },
  edges('ListOffsets').filter((version) => version >= 4),
)

for (const isolationLevel of [0, 1, 2, -1])
  offsets.add(`isolation level ${isolationLevel}`, async (s) => {
    const topic = await timed(s)
    for (const timestamp of [-1, -2, -3, T + 11]) await lookUp(s, 7, topic, { timestamp }, { isolationLevel })
  })

for (const replicaId of [-2, 0, 1, 7])
  offsets.add(`a replica, ${replicaId}, looks up offsets`, async (s) => {
    const topic = await timed(s)
    for (const timestamp of [-1, -2, -3, T + 11]) await lookUp(s, 7, topic, { timestamp }, { replicaId })
  })

offsets.add('a partition that is named twice', async (s) => {
  const name = await timed(s)
  const partitions = [-1, -2].map((timestamp) => ({ partitionIndex: 0, timestamp }))
  await s.ask('ListOffsets', 5, { replicaId: -1, topics: [{ name, partitions }] })
  await s.ask('ListOffsets', 5, {
    replicaId: -1,
    topics: partitions.map((each) => ({ name, partitions: [each] })),
  })
})

for (const codec of Object.keys(CODECS) as CodecName[])
  offsets.add(`timestamps in a batch of ${codec}`, async (s) => {
    const topic = await s.topic()
    const records = [10, 5, 20, 15].map((timestampDelta, i) => ({ value: `${i}`, timestampDelta }))
    await s.produce(topic, { records, codec }, { records, codec, baseTimestamp: T + 100 })
    for (const timestamp of [T, T + 5, T + 11, T + 16, T + 21, T + 106, T + 115, T + 121, -3])
      await lookUp(s, 7, topic, { timestamp })
  })

offsets.add('timestamps of the broker', async (s) => {
  const topic = await s.topic('t', { configs: { 'message.timestamp.type': 'LogAppendTime' } })
  await s.produce(topic, ['a', 'b', 'c'], { records: ['d', 'e'], codec: 'gzip' })
  for (const timestamp of [0, T, T + 1, -3]) await lookUp(s, 7, topic, { timestamp })
  await lookUp(s, 7, topic, { timestamp: Date.now() + 3_600_000 })
})

offsets.add('records without timestamps', async (s) => {
  const topic = await s.topic()
  await s.produce(topic, { records: ['a', 'b'], baseTimestamp: -1 }, ['c'])
  for (const timestamp of [0, T, -3]) await lookUp(s, 7, topic, { timestamp })
})

for (const name of ['__consumer_offsets', '__cluster_metadata'])
  offsets.add(`the start of ${name}`, (s) => lookUp(s, 9, name, { timestamp: -2 }))

// ---------------------------------------------------------------------------------------------------- leader epochs

offsets.addVersions('ends of epochs', 'OffsetForLeaderEpoch', async (s, version) => {
  const topic = await timed(s)
  for (const leaderEpoch of [-1, 0, 1, 5, -2])
    await s.ask('OffsetForLeaderEpoch', version, {
      ...(version >= 3 ? { replicaId: -1 } : {}),
      topics: [{ topic, partitions: [{ partition: 0, leaderEpoch }] }],
    })
  await s.ask('OffsetForLeaderEpoch', version, {
    ...(version >= 3 ? { replicaId: -1 } : {}),
    topics: [
      { topic, partitions: [{ partition: 7, leaderEpoch: 0 }] },
      { topic: s.name('none'), partitions: [{ partition: 0, leaderEpoch: 0 }] },
      { topic: '', partitions: [{ partition: 0, leaderEpoch: 0 }] },
    ],
  })
})

offsets.addVersions(
  'ends of epochs, the current one known',
  'OffsetForLeaderEpoch',
  async (s, version) => {
    const topic = await timed(s)
    for (const currentLeaderEpoch of [-1, 0, 1, -2])
      await s.ask('OffsetForLeaderEpoch', version, {
        ...(version >= 3 ? { replicaId: -1 } : {}),
        topics: [{ topic, partitions: [{ partition: 0, leaderEpoch: 0, currentLeaderEpoch }] }],
      })
  },
  edges('OffsetForLeaderEpoch').filter((version) => version >= 2),
)

offsets.add('the end of the epoch of an empty partition', async (s) => {
  const topic = await s.topic()
  for (const leaderEpoch of [-1, 0, 1])
    await s.ask('OffsetForLeaderEpoch', 4, {
      replicaId: -1,
      topics: [{ topic, partitions: [{ partition: 0, leaderEpoch }] }],
    })
})

offsets.add('the end of an epoch after records were deleted', async (s) => {
  const topic = await timed(s)
  for (const offset of [2, 5]) {
    await deleteBefore(s, 2, topic, offset)
    await s.ask('OffsetForLeaderEpoch', 4, {
      replicaId: -1,
      topics: [{ topic, partitions: [{ partition: 0, leaderEpoch: 0 }] }],
    })
    await lookUp(s, 9, topic, { timestamp: -2 })
  }
})

offsets.add('the end of an epoch of a partition that is named twice', async (s) => {
  const topic = await timed(s)
  const partitions = [0, 1].map((leaderEpoch) => ({ partition: 0, leaderEpoch }))
  await s.ask('OffsetForLeaderEpoch', 4, { replicaId: -1, topics: [{ topic, partitions }] })
  await s.ask('OffsetForLeaderEpoch', 4, {
    replicaId: 7,
    topics: [{ topic, partitions: [{ partition: 0, leaderEpoch: 0 }] }],
  })
})

// -------------------------------------------------------------------------------------------------------- deletion

function deleteBefore(s: Session, version: number, name: string, offset: number | bigint): Promise<Struct> {
  return s.ask('DeleteRecords', version, {
    topics: [{ name, partitions: [{ partitionIndex: 0, offset }] }],
    timeoutMs: 1000,
  })
}

offsets.addVersions('records are deleted', 'DeleteRecords', async (s, version) => {
  const topic = await timed(s)
  for (const offset of [0, 1, 3, 2, 0, 3, 5, 6, -1, -2]) {
    await deleteBefore(s, version, topic, offset)
    await lookUp(s, 5, topic, { timestamp: -2 })
  }
})

offsets.addVersions('records of what is not there are deleted', 'DeleteRecords', async (s, version) => {
  const name = await timed(s)
  await s.ask('DeleteRecords', version, {
    topics: [
      { name, partitions: [0, 1, -1].map((partitionIndex) => ({ partitionIndex, offset: 1 })) },
      { name: s.name('none'), partitions: [{ partitionIndex: 0, offset: 0 }] },
      { name: '', partitions: [{ partitionIndex: 0, offset: 0 }] },
    ],
    timeoutMs: 1000,
  })
  await s.ask('DeleteRecords', version, { topics: [], timeoutMs: 1000 })
})

offsets.add('records are deleted before offsets beyond 2^53', async (s) => {
  const topic = await timed(s)
  for (const offset of [2n ** 53n, 2n ** 60n, 2n ** 63n - 1n, -(2n ** 60n)])
    await deleteBefore(s, 2, topic, offset)
  await lookUp(s, 5, topic, { timestamp: -2 })
})

for (const policy of ['compact', 'compact,delete', 'delete', 'delete,compact', ''])
  offsets.add(`records are deleted of a topic whose policy is "${policy}"`, async (s) => {
    const topic = await s.topic('t', { configs: { 'cleanup.policy': policy } })
    await s.produce(
      topic,
      ['a', 'b', 'c'].map((value) => ({ key: value, value })),
    )
    await deleteBefore(s, 2, topic, 2)
    await lookUp(s, 5, topic, { timestamp: -2 })
  })

for (const name of ['__consumer_offsets', '__transaction_state', '__cluster_metadata'])
  offsets.add(`records of ${name} are deleted`, async (s) => {
    await deleteBefore(s, 2, name, -1)
    await deleteBefore(s, 0, name, 0)
  })

offsets.add('records of a partition that is named twice are deleted', async (s) => {
  const name = await timed(s)
  const partitions = [3, 1].map((offset) => ({ partitionIndex: 0, offset }))
  await s.ask('DeleteRecords', 2, { topics: [{ name, partitions }], timeoutMs: 1000 })
  await lookUp(s, 5, name, { timestamp: -2 })
})

offsets.add('lookups after records were deleted', async (s) => {
  const topic = await timed(s)
  await deleteBefore(s, 2, topic, 1)
  for (const timestamp of [-1, -2, -3, -4, 0, T, T + 5, T + 11]) await lookUp(s, 8, topic, { timestamp })
  await deleteBefore(s, 2, topic, -1)
  for (const timestamp of [-1, -2, -3, -4, 0, T]) await lookUp(s, 8, topic, { timestamp })
})

offsets.addVersions('a topic without partitions', 'ListOffsets', async (s, version) => {
  const topic = await s.topic()
  const named = { name: topic, partitions: [{ partitionIndex: 0, timestamp: -1 }] }
  for (const topics of [[{ name: topic, partitions: [] }], [{ name: s.name('none'), partitions: [] }, named]])
    await s.ask('ListOffsets', version, { replicaId: -1, topics })
})

offsets.addVersions('a topic without partitions', 'DeleteRecords', async (s, version) => {
  const topic = await s.topic()
  const named = { name: topic, partitions: [{ partitionIndex: 0, offset: 0 }] }
  for (const topics of [[{ name: topic, partitions: [] }], [{ name: s.name('none'), partitions: [] }, named]])
    await s.ask('DeleteRecords', version, { topics, timeoutMs: 10_000 })
})
