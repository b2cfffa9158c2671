/** OffsetCommit, OffsetFetch, OffsetDelete. */
import { AreaBuilder } from '../scenario.ts'
import { edges } from '../schemas.ts'
import { text } from '../session.ts'
import type { Session } from '../session.ts'
import type { Body, Given, Struct } from '../wire.ts'
import { stable } from './groups.ts'

export const groupOffsets = new AreaBuilder('group-offsets')

interface Committed {
  readonly partitionIndex?: number
  readonly committedOffset?: number | bigint
  readonly committedLeaderEpoch?: number
  readonly committedMetadata?: string | null
}

function commit(
  s: Session,
  version: number,
  groupId: string,
  name: string,
  partition: Committed,
  more: Body = {},
): Promise<Struct> {
  const partitions = [{ partitionIndex: 0, committedOffset: 5, committedMetadata: '', ...partition }]
  return s.ask('OffsetCommit', version, { groupId, topics: [{ name, partitions }], ...more })
}

/** What is committed, in any version. */
function fetched(
  s: Session,
  version: number,
  groupId: string,
  topics: Given,
  more: Body = {},
): Promise<Struct> {
  return s.ask(
    'OffsetFetch',
    version,
    version >= 8 ? { groups: [{ groupId, topics }], ...more } : { groupId, topics, ...more },
  )
}

groupOffsets.addVersions('an offset is committed without a group', 'OffsetCommit', async (s, version) => {
  const name = await s.topic('t', { partitions: 2 })
  const groupId = s.name('g')
  await commit(s, version, groupId, name, {})
  await commit(s, version, groupId, name, {
    partitionIndex: 1,
    committedOffset: 7,
    committedMetadata: 'note',
  })
  await commit(s, version, groupId, name, { partitionIndex: 2 })
  await commit(s, version, groupId, s.name('none'), {})
  await commit(s, version, groupId, '', {})
  await commit(s, version, '', name, {})
  await fetched(s, 5, groupId, [{ name, partitionIndexes: [0, 1, 2] }])
})

groupOffsets.addVersions('committed offsets are fetched', 'OffsetFetch', async (s, version) => {
  const name = await s.topic('t', { partitions: 2 })
  const groupId = s.name('g')
  const asked = [
    { name, partitionIndexes: [0, 1, 9] },
    { name: s.name('none'), partitionIndexes: [0] },
  ]
  await fetched(s, version, groupId, asked)
  await commit(s, 6, groupId, name, { committedLeaderEpoch: 3, committedMetadata: 'note' })
  await fetched(s, version, groupId, asked)
  await fetched(s, version, groupId, [])
  if (version >= 2) await fetched(s, version, groupId, null)
  await fetched(s, version, s.name('unknown'), asked)
  if (version >= 2) await fetched(s, version, s.name('unknown'), null)
  await fetched(s, version, '', asked)
  if (version >= 7) await fetched(s, version, groupId, asked, { requireStable: true })
})

groupOffsets.add('offsets of several groups are fetched', async (s) => {
  const name = await s.topic()
  for (const short of ['a', 'b'])
    await commit(s, 6, s.name(short), name, { committedOffset: short === 'a' ? 1 : 2 })
  for (const version of [8, 9]) {
    const groups = ['a', 'b', 'c'].map((short) => ({
      groupId: s.name(short),
      topics: [{ name, partitionIndexes: [0] }],
    }))
    await s.ask('OffsetFetch', version, { groups })
    await s.ask('OffsetFetch', version, { groups: groups.map(({ groupId }) => ({ groupId, topics: null })) })
    await s.ask('OffsetFetch', version, { groups: [groups[0]!, groups[0]!] })
    await s.ask('OffsetFetch', version, { groups: [] })
  }
})

const OFFSETS: Readonly<Record<string, Committed>> = {
  'of 0': { committedOffset: 0 },
  'of -1': { committedOffset: -1 },
  'of -2': { committedOffset: -2 },
  'beyond the end': { committedOffset: 1_000_000 },
  'beyond 2^53': { committedOffset: 2n ** 60n },
  'of the largest int64': { committedOffset: 2n ** 63n - 1n },
  'of the smallest int64': { committedOffset: -(2n ** 63n) },
  'with a negative epoch': { committedLeaderEpoch: -2 },
  'with an epoch to come': { committedLeaderEpoch: 9 },
  'without metadata': { committedMetadata: null },
  'with 4096 letters of metadata': { committedMetadata: 'x'.repeat(4096) },
  'with 4097 letters of metadata': { committedMetadata: 'x'.repeat(4097) },
  'with metadata that is not ASCII': { committedMetadata: 'ä'.repeat(2049) },
  'of a negative partition': { partitionIndex: -1 },
}
for (const [what, given] of Object.entries(OFFSETS))
  groupOffsets.add(`an offset ${what}`, async (s) => {
    const name = await s.topic()
    for (const version of [6, 9]) {
      const groupId = s.name(`g${version}`)
      await commit(s, version, groupId, name, given)
      await fetched(s, 7, groupId, [{ name, partitionIndexes: [0, -1] }])
      await fetched(s, 9, groupId, null)
    }
  })

const MEMBERS: Readonly<Record<string, (memberId: string) => Body>> = {
  'of the group': (memberId) => ({ memberId, generationIdOrMemberEpoch: 1 }),
  'of an earlier generation': (memberId) => ({ memberId, generationIdOrMemberEpoch: 0 }),
  'of a later generation': (memberId) => ({ memberId, generationIdOrMemberEpoch: 2 }),
  'without a generation': (memberId) => ({ memberId, generationIdOrMemberEpoch: -1 }),
  'that is not in the group': () => ({ memberId: 'nobody', generationIdOrMemberEpoch: 1 }),
  'without an id': () => ({ memberId: '', generationIdOrMemberEpoch: 1 }),
  'without anything': () => ({ memberId: '', generationIdOrMemberEpoch: -1 }),
}
for (const [what, member] of Object.entries(MEMBERS))
  groupOffsets.add(`a member ${what} commits`, async (s) => {
    const name = await s.topic()
    const groupId = s.name('g')
    const memberId = text(await stable(s, groupId, 3), 'memberId')
    for (const version of [2, 7, 9]) await commit(s, version, groupId, name, {}, member(memberId))
    await s.ask('OffsetCommit', 8, { groupId, ...member(memberId), topics: [] })
    await s.ask('Heartbeat', 3, { groupId, generationId: 1, memberId })
  })

for (const version of edges('OffsetCommit').filter((each) => each >= 2))
  groupOffsets.add(`a member of a group that is not there commits, OffsetCommit v${version}`, async (s) => {
    const name = await s.topic()
    const groupId = s.name('g')
    for (const member of [
      { memberId: 'm', generationIdOrMemberEpoch: 1 },
      { memberId: '', generationIdOrMemberEpoch: 0 },
      { memberId: 'm', generationIdOrMemberEpoch: -1 },
    ])
      await commit(s, version, groupId, name, {}, member)
    await s.ask('OffsetCommit', version, { groupId, topics: [] })
    await s.ask('DescribeGroups', 4, { groups: [groupId] })
  })

groupOffsets.add('a member commits while the group rebalances', async (s) => {
  const name = await s.topic()
  const groupId = s.name('g')
  const joined = await s.ask('JoinGroup', 3, {
    groupId,
    sessionTimeoutMs: 10_000,
    rebalanceTimeoutMs: 10_000,
    memberId: '',
    protocolType: 'consumer',
    protocols: [{ name: 'range', metadata: Buffer.alloc(10) }],
  })
  const member = { memberId: text(joined, 'memberId'), generationIdOrMemberEpoch: 1 }
  for (const version of [2, 8]) await commit(s, version, groupId, name, {}, member)
})

groupOffsets.add('a partition is named twice', async (s) => {
  const name = await s.topic()
  const groupId = s.name('g')
  const partitions = [1, 2].map((committedOffset) => ({
    partitionIndex: 0,
    committedOffset,
    committedMetadata: '',
  }))
  await s.ask('OffsetCommit', 6, { groupId, topics: [{ name, partitions }] })
  await fetched(s, 5, groupId, [{ name, partitionIndexes: [0, 0] }])
  await fetched(
    s,
    5,
    groupId,
    [0, 0].map((index) => ({ name, partitionIndexes: [index] })),
  )
  await s.ask('OffsetCommit', 6, {
    groupId,
    topics: partitions.map((each) => ({ name, partitions: [each] })),
  })
  await fetched(s, 5, groupId, null)
})

groupOffsets.add('more offsets than one batch of the log holds', async (s) => {
  const name = await s.topic('t', { partitions: 300 })
  const groupId = s.name('g')
  const partitions = (bytes: number) =>
    Array.from({ length: 300 }, (_, partitionIndex) => ({
      partitionIndex,
      committedOffset: 1,
      committedMetadata: 'x'.repeat(partitionIndex === 299 ? 5_000 : bytes),
    }))
  const committing = (bytes: number) => ({ groupId, topics: [{ name, partitions: partitions(bytes) }] })
  await s.ask('OffsetCommit', 8, committing(4_000))
  await fetched(s, 7, groupId, [{ name, partitionIndexes: [0, 298] }])
  await s.ask('OffsetCommit', 8, committing(3_000))
  await fetched(s, 7, groupId, [{ name, partitionIndexes: [299] }])
})

groupOffsets.add('offsets of a topic that is deleted', async (s) => {
  const name = await s.topic()
  const groupId = s.name('g')
  await commit(s, 6, groupId, name, {})
  await s.deleteTopic(name)
  await s.askUntil((answer) => JSON.stringify(answer).includes('"committedOffset":-1'), 'OffsetFetch', 5, {
    groupId,
    topics: [{ name, partitionIndexes: [0] }],
  })
  await commit(s, 6, groupId, name, {})
  await fetched(s, 5, groupId, null)
})

groupOffsets.add('offsets of topics inside Kafka', async (s) => {
  const groupId = s.name('g')
  for (const name of ['__consumer_offsets', '__transaction_state']) await commit(s, 6, groupId, name, {})
})

// ------------------------------------------------------------------------------------------------------- deletion

function remove(
  s: Session,
  groupId: string,
  topics: readonly (readonly [string, readonly number[]])[],
): Promise<Struct> {
  return s.ask('OffsetDelete', 0, {
    groupId,
    topics: topics.map(([name, partitions]) => ({
      name,
      partitions: partitions.map((partitionIndex) => ({ partitionIndex })),
    })),
  })
}

groupOffsets.add('offsets are deleted', async (s) => {
  const name = await s.topic('t', { partitions: 3 })
  const groupId = s.name('g')
  for (const partitionIndex of [0, 1]) await commit(s, 6, groupId, name, { partitionIndex })
  await remove(s, groupId, [
    [name, [0, 2, 7]],
    [s.name('none'), [0]],
    ['', [0]],
  ])
  await fetched(s, 5, groupId, null)
  await remove(s, groupId, [[name, [0, 0]]])
  await remove(s, groupId, [])
  await remove(s, groupId, [[name, []]])
  await remove(s, s.name('unknown'), [[name, [0]]])
  await remove(s, '', [[name, [0]]])
  await remove(s, groupId, [[name, [1]]])
  await fetched(s, 5, groupId, null)
  await s.ask('DescribeGroups', 4, { groups: [groupId] })
})

groupOffsets.add('offsets of a group with members are deleted', async (s) => {
  const name = await s.topic()
  for (const protocolType of ['consumer', 'connect']) {
    const groupId = s.name(protocolType)
    const joined = await stable(s, groupId, 3, { protocolType })
    await commit(
      s,
      6,
      groupId,
      name,
      {},
      { memberId: text(joined, 'memberId'), generationIdOrMemberEpoch: 1 },
    )
    await remove(s, groupId, [[name, [0]]])
    await fetched(s, 5, groupId, [{ name, partitionIndexes: [0] }])
  }
})

groupOffsets.add('offsets of a subscribed topic are deleted', async (s) => {
  const [one, two] = [await s.topic('one'), await s.topic('two')]
  const groupId = s.name('g')
  // ConsumerProtocolSubscription 0: one topic, no user data.
  const length = Buffer.from([0, one.length])
  const metadata = Buffer.concat([
    Buffer.from('000000000001', 'hex'),
    length,
    Buffer.from(one),
    Buffer.from('ffffffff', 'hex'),
  ])
  const joined = await stable(s, groupId, 3, { protocols: [{ name: 'range', metadata }] })
  const member = { memberId: text(joined, 'memberId'), generationIdOrMemberEpoch: 1 }
  for (const name of [one, two]) await commit(s, 6, groupId, name, {}, member)
  await remove(s, groupId, [
    [one, [0]],
    [two, [0]],
  ])
  await fetched(s, 5, groupId, null)
})

groupOffsets.add('a group with offsets is deleted', async (s) => {
  const name = await s.topic()
  const groupId = s.name('g')
  await commit(s, 6, groupId, name, {})
  await s.ask('DescribeGroups', 4, { groups: [groupId] })
  await s.ask('DeleteGroups', 2, { groupsNames: [groupId] })
  await fetched(s, 5, groupId, null)
  await fetched(s, 5, groupId, [{ name, partitionIndexes: [0] }])
})

groupOffsets.addVersions('a topic without partitions', 'OffsetCommit', async (s, version) => {
  const topic = await s.topic()
  const groupId = s.name('group')
  const named = {
    name: topic,
    partitions: [{ partitionIndex: 0, committedOffset: 1, committedMetadata: '' }],
  }
  for (const topics of [[{ name: topic, partitions: [] }], [{ name: s.name('none'), partitions: [] }, named]])
    await s.ask('OffsetCommit', version, { groupId, topics })
})
