/** Metadata, DescribeTopicPartitions, DescribeCluster. */
import { AreaBuilder } from '../scenario.ts'
import { dig } from '../session.ts'
import type { Session } from '../session.ts'
import type { Body, Struct } from '../wire.ts'

export const metadata = new AreaBuilder('metadata')

/** An id that no topic has. */
const UNKNOWN_ID = 'AAAAAAAAAAAAAAAAAAAAAw'

const WRONG_NAMES: Readonly<Record<string, string>> = {
  empty: '',
  'one dot': '.',
  'two dots': '..',
  'a blank': 'a b',
  'a slash': 'a/b',
  'a letter that is not ASCII': 'ä',
  '250 letters': 'x'.repeat(250),
}

metadata.addVersions('a topic of two partitions', 'Metadata', async (s, version) => {
  const name = await s.topic('t', { partitions: 2 })
  await s.ask('Metadata', version, { topics: [{ name }] })
})

metadata.addVersions(
  'topics that are not there',
  'Metadata',
  async (s, version) => {
    await s.ask('Metadata', version, {
      topics: [{ name: s.name('a') }, { name: s.name('b') }],
      ...(version >= 4 ? { allowAutoTopicCreation: false } : {}),
    })
  },
  [4, 8, 10, 12],
)

metadata.addVersions(
  'no topics',
  'Metadata',
  (s, version) => s.ask('Metadata', version, { topics: [] }),
  [1, 4, 9, 12],
)

metadata.addVersions(
  'all topics',
  'Metadata',
  async (s, version) => {
    await s.topic('a', { partitions: 2 })
    await s.topic('b')
    await s.ask('Metadata', version, { topics: version === 0 ? [] : null })
  },
  [0, 1, 8, 12],
)

metadata.addVersions(
  'operations that the client may do',
  'Metadata',
  async (s, version) => {
    const name = await s.topic()
    const cluster = version <= 10 ? { includeClusterAuthorizedOperations: true } : {}
    await s.ask('Metadata', version, {
      topics: [{ name }],
      includeTopicAuthorizedOperations: true,
      ...cluster,
    })
  },
  [8, 10, 11, 12],
)

for (const [what, name] of Object.entries(WRONG_NAMES)) {
  metadata.add(`a name of ${what}`, async (s) => {
    await s.ask('Metadata', 1, { topics: [{ name }] })
    await s.ask('Metadata', 12, { topics: [{ name }], allowAutoTopicCreation: true })
    await s.ask('Metadata', 12, { topics: [{ name }], allowAutoTopicCreation: false })
  })
  metadata.add(`pages of a topic with a name of ${what}`, (s) =>
    s.ask('DescribeTopicPartitions', 0, { topics: [{ name }], responsePartitionLimit: 10 }),
  )
}

const isThere = (answer: Struct): boolean => dig(answer, 'topics', 0, 'errorCode') === 0

for (const version of [1, 4, 12])
  metadata.add(`a missing topic is created, Metadata v${version}`, async (s) => {
    const name = s.name('made')
    await s.ask('Metadata', version, { topics: [{ name }] })
    await s.askUntil(isThere, 'Metadata', 4, { topics: [{ name }], allowAutoTopicCreation: false })
  })

metadata.add('a name that differs in a dot from another', async (s) => {
  await s.topic('a.b')
  await s.ask('Metadata', 12, { topics: [{ name: s.name('a_b') }], allowAutoTopicCreation: true })
  await s.ask('Metadata', 12, {
    topics: [{ name: s.name('a.b') }, { name: s.name('a-b') }],
    allowAutoTopicCreation: false,
  })
})

metadata.add('a topic that is named twice', async (s) => {
  const name = await s.topic()
  await s.ask('Metadata', 12, { topics: [{ name }, { name }] })
  await s.ask('DescribeTopicPartitions', 0, { topics: [{ name }, { name }], responsePartitionLimit: 10 })
})

for (const version of [12]) {
  metadata.add(`topics by id, Metadata v${version}`, async (s) => {
    const topicId = await s.topicId(await s.topic())
    await s.ask('Metadata', version, { topics: [{ topicId, name: null }] })
    await s.ask('Metadata', version, { topics: [{ topicId: UNKNOWN_ID, name: null }] })
    await s.ask('Metadata', version, {
      topics: [
        { topicId, name: null },
        { topicId: UNKNOWN_ID, name: null },
      ],
    })
  })
  metadata.add(`a topic by name and id, Metadata v${version}`, async (s) => {
    const name = await s.topic()
    const topicId = await s.topicId(name)
    await s.ask('Metadata', version, { topics: [{ topicId, name }] })
    await s.ask('Metadata', version, { topics: [{ topicId: UNKNOWN_ID, name }] }, { on: 'second' })
    await s.ask('Metadata', version, { topics: [{ topicId, name: null }, { name }] }, { on: 'third' })
    await s.ask('Metadata', version, { topics: [{ name: null }] }, { on: 'fourth' })
  })
}
metadata.add('a topic by id before Metadata v12', async (s) => {
  const topicId = await s.topicId(await s.topic())
  await s.ask('Metadata', 10, { topics: [{ topicId, name: null }] })
  await s.ask('Metadata', 11, { topics: [{ topicId, name: s.name('t') }] }, { on: 'second' })
})

metadata.add('a topic that was deleted', async (s) => {
  const name = await s.topic()
  const topicId = await s.topicId(name)
  await s.deleteTopic(name)
  await s.ask('Metadata', 12, { topics: [{ name }], allowAutoTopicCreation: false })
  await s.ask('Metadata', 12, { topics: [{ topicId, name: null }] })
  await s.ask('DescribeTopicPartitions', 0, { topics: [{ name }], responsePartitionLimit: 10 })
})

metadata.add('the topic that keeps groups', async (s) => {
  await s.ask('Metadata', 12, { topics: [{ name: '__consumer_offsets' }] })
  await s.ask('DescribeTopicPartitions', 0, {
    topics: [{ name: '__consumer_offsets' }],
    responsePartitionLimit: 2,
  })
})

metadata.add('the topic of transactions and others inside Kafka', async (s) => {
  for (const name of ['__transaction_state', '__share_group_state', '__cluster_metadata'])
    await s.ask('Metadata', 12, { topics: [{ name }], allowAutoTopicCreation: false })
})

async function threeTopics(s: Session): Promise<string[]> {
  return [
    await s.topic('a', { partitions: 2 }),
    await s.topic('b', { partitions: 3 }),
    await s.topic('c', { partitions: 1 }),
  ]
}

const LIMITS = [-1, 0, 1, 2, 3, 5, 6, 100]
for (const limit of LIMITS)
  metadata.add(`pages of ${limit} partitions`, async (s) => {
    const names = await threeTopics(s)
    const topics = names.map((name) => ({ name }))
    let cursor: Struct | null = null
    for (let page = 0; page < 7; page++) {
      const answer = await s.ask('DescribeTopicPartitions', 0, {
        topics,
        responsePartitionLimit: limit,
        cursor,
      })
      const next = dig(answer, 'nextCursor')
      if (typeof next !== 'object' || next === null || Array.isArray(next)) break
      cursor = next
    }
  })

const CURSORS: Readonly<Record<string, readonly [topic: string, partition: number]>> = {
  'the first partition': ['a', 0],
  'the middle of a topic': ['b', 1],
  'behind the last partition of a topic': ['b', 3],
  'far behind the last partition of a topic': ['b', 99],
  'a topic that is not there': ['aa', 0],
  'behind everything': ['z', 0],
  'a negative partition': ['b', -1],
}
for (const [what, [topic, partitionIndex]] of Object.entries(CURSORS))
  metadata.add(`a cursor on ${what}`, async (s) => {
    const names = await threeTopics(s)
    await s.ask('DescribeTopicPartitions', 0, {
      topics: names.map((name) => ({ name })),
      responsePartitionLimit: 100,
      cursor: { topicName: s.name(topic), partitionIndex },
    })
  })

metadata.add('pages over topics that are not there', async (s) => {
  await s.topic('b')
  const topics = ['c', 'a', 'b'].map((short) => ({ name: s.name(short) }))
  await s.ask('DescribeTopicPartitions', 0, { topics, responsePartitionLimit: 1 })
  await s.ask('DescribeTopicPartitions', 0, { topics, responsePartitionLimit: 100 })
})

metadata.addVersions('the cluster', 'DescribeCluster', async (s, version) => {
  await s.ask('DescribeCluster', version, {})
  await s.ask('DescribeCluster', version, { includeClusterAuthorizedOperations: true })
})
for (const endpointType of [0, 2, 3])
  metadata.addVersions(
    `the cluster by endpoint type ${endpointType}`,
    'DescribeCluster',
    (s, version) =>
      version === 0 ? s.ask('DescribeCluster', 0) : s.ask('DescribeCluster', version, { endpointType }),
    [1],
  )

metadata.addVersions('the quorum', 'DescribeQuorum', async (s, version) => {
  const partitions = [{ partitionIndex: 0 }]
  // Where its log ends changes all the time.
  const without = ['topics', 'nodes']
  await s.ask(
    'DescribeQuorum',
    version,
    { topics: [{ topicName: '__cluster_metadata', partitions }] },
    { without },
  )
})

metadata.addVersions('features change', 'UpdateFeatures', async (s, version) => {
  const upgrade: Body = version >= 1 ? { upgradeType: 1 } : { allowDowngrade: false }
  for (const [feature, maxVersionLevel] of [
    ['no.such.feature', 1],
    ['', 1],
    ['no.such.feature', 0],
    ['no.such.feature', -1],
  ] as const)
    await s.ask('UpdateFeatures', version, { featureUpdates: [{ feature, maxVersionLevel, ...upgrade }] })
  await s.ask('UpdateFeatures', version, { featureUpdates: [] })
})
