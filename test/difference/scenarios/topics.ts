/** CreateTopics, DeleteTopics, CreatePartitions, ElectLeaders and moves of partitions. */
import { AreaBuilder } from '../scenario.ts'
import { edges } from '../schemas.ts'
import { dig } from '../session.ts'
import type { Session } from '../session.ts'
import type { Body, Struct } from '../wire.ts'

export const topics = new AreaBuilder('topics')

const UNKNOWN_ID = 'AAAAAAAAAAAAAAAAAAAAAw'
const timeoutMs = 10_000
const newTopic = { numPartitions: 1, replicationFactor: 1 }

/** What the configurations of a new topic are is compared elsewhere. */
function create(s: Session, version: number, body: Body): Promise<Struct> {
  return s.ask('CreateTopics', version, body, { without: ['configs'] })
}

topics.addVersions('a topic', 'CreateTopics', async (s, version) => {
  const name = s.name('t')
  const made = await s.ask('CreateTopics', version, {
    topics: [{ name, ...newTopic, numPartitions: 3 }],
    timeoutMs,
  })
  if (dig(made, 'topics', 0, 'errorCode') !== 0) return
  await s.untilServed(name, 3)
  await s.ask('Metadata', 9, { topics: [{ name }] })
})

topics.addVersions('a topic that is there', 'CreateTopics', async (s, version) => {
  const name = await s.topic()
  await s.ask('CreateTopics', version, { topics: [{ name, ...newTopic }], timeoutMs })
})

const CREATED: Readonly<Record<string, (s: Session) => Body>> = {
  'with no partitions': () => ({ numPartitions: 0, replicationFactor: 1 }),
  'with -2 partitions': () => ({ numPartitions: -2, replicationFactor: 1 }),
  'with as many partitions as the broker says': () => ({ numPartitions: -1, replicationFactor: 1 }),
  'with no replicas': () => ({ numPartitions: 1, replicationFactor: 0 }),
  'with -2 replicas': () => ({ numPartitions: 1, replicationFactor: -2 }),
  'with as many replicas as the broker says': () => ({ numPartitions: 1, replicationFactor: -1 }),
  'with all as the broker says': () => ({ numPartitions: -1, replicationFactor: -1 }),
  'with two replicas': () => ({ numPartitions: 1, replicationFactor: 2 }),
  'with a replica on this broker': () => ({
    numPartitions: -1,
    replicationFactor: -1,
    assignments: [{ partitionIndex: 0, brokerIds: [1] }],
  }),
  'with assigned replicas and a number of partitions': () => ({
    numPartitions: 1,
    replicationFactor: -1,
    assignments: [{ partitionIndex: 0, brokerIds: [1] }],
  }),
  'with assigned replicas and a number of replicas': () => ({
    numPartitions: -1,
    replicationFactor: 1,
    assignments: [{ partitionIndex: 0, brokerIds: [1] }],
  }),
  'with a replica on a broker that is not there': () => ({
    numPartitions: -1,
    replicationFactor: -1,
    assignments: [{ partitionIndex: 0, brokerIds: [7] }],
  }),
  'with a replica twice on this broker': () => ({
    numPartitions: -1,
    replicationFactor: -1,
    assignments: [{ partitionIndex: 0, brokerIds: [1, 1] }],
  }),
  'with assigned partitions that begin at 1': () => ({
    numPartitions: -1,
    replicationFactor: -1,
    assignments: [{ partitionIndex: 1, brokerIds: [1] }],
  }),
  'with a partition that is assigned twice': () => ({
    numPartitions: -1,
    replicationFactor: -1,
    assignments: [
      { partitionIndex: 0, brokerIds: [1] },
      { partitionIndex: 0, brokerIds: [1] },
    ],
  }),
  'with a partition without brokers': () => ({
    numPartitions: -1,
    replicationFactor: -1,
    assignments: [{ partitionIndex: 0, brokerIds: [] }],
  }),
  'with an unknown configuration': () => ({ ...newTopic, configs: [{ name: 'no.such.key', value: '1' }] }),
  'with a wrong value': () => ({ ...newTopic, configs: [{ name: 'retention.ms', value: 'soon' }] }),
  'with a value out of range': () => ({ ...newTopic, configs: [{ name: 'segment.bytes', value: '13' }] }),
  'with a null value': () => ({ ...newTopic, configs: [{ name: 'retention.ms', value: null }] }),
  'with small segments': () => ({ ...newTopic, configs: [{ name: 'segment.bytes', value: '1048576' }] }),
  'with segments below 1 MiB': () => ({
    ...newTopic,
    configs: [{ name: 'segment.bytes', value: '1048575' }],
  }),
  'with both policies': () => ({
    ...newTopic,
    configs: [{ name: 'cleanup.policy', value: 'compact,delete' }],
  }),
  'with no policy': () => ({ ...newTopic, configs: [{ name: 'cleanup.policy', value: '' }] }),
  'with a policy that nobody has': () => ({
    ...newTopic,
    configs: [{ name: 'cleanup.policy', value: 'keep' }],
  }),
  'with tiered storage': () => ({ ...newTopic, configs: [{ name: 'remote.storage.enable', value: 'true' }] }),
  'without tiered storage': () => ({
    ...newTopic,
    configs: [{ name: 'remote.storage.enable', value: 'false' }],
  }),
  'with local retention at its default': () => ({
    ...newTopic,
    configs: [
      { name: 'local.retention.ms', value: '-2' },
      { name: 'local.retention.bytes', value: '-2' },
    ],
  }),
  'with a message format of old': () => ({
    ...newTopic,
    configs: [{ name: 'message.format.version', value: '2.8' }],
  }),
  'with blanks around a value': () => ({ ...newTopic, configs: [{ name: 'retention.ms', value: ' 1000 ' }] }),
  'with a configuration twice': () => ({
    ...newTopic,
    configs: [
      { name: 'retention.ms', value: '1000' },
      { name: 'retention.ms', value: '2000' },
    ],
  }),
}
for (const [what, given] of Object.entries(CREATED))
  topics.add(`a topic ${what}`, async (s) => {
    const name = s.name('t')
    await create(s, 5, { topics: [{ name, ...given(s) }], timeoutMs, validateOnly: true })
    const made = await create(s, 7, { topics: [{ name, ...given(s) }], timeoutMs })
    if (dig(made, 'topics', 0, 'errorCode') !== 0) return
    await s.untilServed(name, 1)
    await s.ask('Metadata', 12, { topics: [{ name }], allowAutoTopicCreation: false })
  })

const NAMES: Readonly<Record<string, string>> = {
  empty: '',
  'one dot': '.',
  'two dots': '..',
  'a blank': 'a b',
  'a letter that is not ASCII': 'ä',
  '250 letters': 'x'.repeat(250),
  'the one of groups': '__consumer_offsets',
  'the one of the cluster': '__cluster_metadata',
}
for (const [what, name] of Object.entries(NAMES))
  topics.add(`a topic whose name is ${what}`, (s) =>
    s.ask('CreateTopics', 7, { topics: [{ name, ...newTopic }], timeoutMs, validateOnly: true }),
  )

topics.add('a topic whose name differs in a dot', async (s) => {
  await s.topic('a.b')
  await create(s, 7, { topics: [{ name: s.name('a_b'), ...newTopic }], timeoutMs })
})

topics.add('a topic that is named twice', async (s) => {
  const name = s.name('t')
  await create(s, 7, {
    topics: [
      { name, ...newTopic },
      { name, ...newTopic },
      { name: s.name('u'), ...newTopic },
    ],
    timeoutMs,
  })
})

topics.add('no topics', async (s) => {
  await create(s, 7, { topics: [], timeoutMs })
  await s.ask('DeleteTopics', 6, { topics: [], timeoutMs })
  await s.ask('CreatePartitions', 3, { topics: [], timeoutMs })
})

topics.add('a good topic beside a bad one', async (s) => {
  await create(s, 7, {
    topics: [
      { name: s.name('good'), ...newTopic },
      { name: s.name('bad'), ...newTopic, numPartitions: 0 },
    ],
    timeoutMs,
  })
})

for (const version of [1, 4, 7])
  topics.add(`only to validate, CreateTopics v${Math.max(2, version)}`, async (s) => {
    const name = s.name('t')
    await create(s, Math.max(2, version), {
      topics: [{ name, ...newTopic, numPartitions: 2 }],
      timeoutMs,
      validateOnly: true,
    })
    await s.ask('Metadata', 4, { topics: [{ name }], allowAutoTopicCreation: false })
  })

topics.add('configurations in the answer', async (s) => {
  await s.ask('CreateTopics', 7, {
    topics: [
      {
        name: s.name('t'),
        ...newTopic,
        configs: [
          { name: 'cleanup.policy', value: 'compact' },
          { name: 'retention.ms', value: '86400000' },
          { name: 'max.message.bytes', value: '2000' },
        ],
      },
    ],
    timeoutMs,
  })
})

// ------------------------------------------------------------------------------------------------------- deletion

for (const version of edges('DeleteTopics')) {
  const named = (...names: string[]): Body =>
    version >= 6 ? { topics: names.map((name) => ({ name })) } : { topicNames: names }
  topics.add(`a topic is deleted, DeleteTopics v${version}`, async (s) => {
    const name = await s.topic()
    const deleted = await s.ask('DeleteTopics', version, { ...named(name), timeoutMs })
    if (dig(deleted, 'responses', 0, 'errorCode') !== 0) return
    await s.askUntil((answer) => dig(answer, 'topics', 0, 'errorCode') === 3, 'Metadata', 4, {
      topics: [{ name }],
      allowAutoTopicCreation: false,
    })
  })
  topics.add(`topics that are not there are deleted, DeleteTopics v${version}`, (s) =>
    s.ask('DeleteTopics', version, { ...named(s.name('a'), '', 'a b'), timeoutMs }),
  )
}

topics.add('a topic is deleted twice', async (s) => {
  const name = await s.topic()
  await s.deleteTopic(name)
  await s.ask('DeleteTopics', 5, { topicNames: [name], timeoutMs })
})

topics.add('a topic is named twice when it is deleted', async (s) => {
  const name = await s.topic()
  await s.ask('DeleteTopics', 5, { topicNames: [name, name], timeoutMs })
  await s.ask('DeleteTopics', 6, { topics: [{ name: s.name('u') }, { name: s.name('u') }], timeoutMs })
})

topics.add('a topic is deleted by its id', async (s) => {
  const topicId = await s.topicId(await s.topic())
  await s.ask('DeleteTopics', 6, { topics: [{ name: null, topicId }], timeoutMs })
  await s.ask('DeleteTopics', 6, { topics: [{ name: null, topicId: UNKNOWN_ID }], timeoutMs })
})

topics.add('a topic is deleted by name and id', async (s) => {
  const name = await s.topic()
  const topicId = await s.topicId(name)
  await s.ask('DeleteTopics', 6, { topics: [{ name, topicId }], timeoutMs })
  await s.ask('DeleteTopics', 6, { topics: [{ name: null }], timeoutMs }, { on: 'second' })
  await s.ask('DeleteTopics', 6, { topics: [{ name }, { name: null, topicId }], timeoutMs }, { on: 'third' })
  await s.ask('Metadata', 4, { topics: [{ name }], allowAutoTopicCreation: false })
})

topics.add('a topic that was deleted and made again has another id', async (s) => {
  const name = await s.topic()
  await s.produce(name, ['a', 'b'])
  await s.ask('Metadata', 12, { topics: [{ name }] })
  await s.deleteTopic(name)
  await s.topic()
  await s.ask('Metadata', 12, { topics: [{ name }] })
  await s.ask('ListOffsets', 5, {
    replicaId: -1,
    topics: [{ name, partitions: [{ partitionIndex: 0, timestamp: -1 }] }],
  })
})

// ----------------------------------------------------------------------------------------------------- partitions

topics.addVersions('partitions are added', 'CreatePartitions', async (s, version) => {
  const name = await s.topic()
  const added = await s.ask('CreatePartitions', version, {
    topics: [{ name, count: 3, assignments: null }],
    timeoutMs,
    validateOnly: false,
  })
  if (dig(added, 'results', 0, 'errorCode') !== 0) return
  await s.untilServed(name, 3)
  await s.ask('Metadata', 9, { topics: [{ name }] })
})

const COUNTS: Readonly<Record<string, Body>> = {
  'as many as there are': { count: 2 },
  fewer: { count: 1 },
  none: { count: 0 },
  'a negative number of': { count: -1 },
  'one more, on this broker': { count: 3, assignments: [{ brokerIds: [1] }] },
  'one more, on another broker': { count: 3, assignments: [{ brokerIds: [7] }] },
  'one more, on two brokers': { count: 3, assignments: [{ brokerIds: [1, 2] }] },
  'one more, on no broker': { count: 3, assignments: [{ brokerIds: [] }] },
  'one more, twice on this broker': { count: 3, assignments: [{ brokerIds: [1, 1] }] },
  'two more, of which one is assigned': { count: 4, assignments: [{ brokerIds: [1] }] },
  'one more, with two assignments': { count: 3, assignments: [{ brokerIds: [1] }, { brokerIds: [1] }] },
  'one more, with no assignments': { count: 3, assignments: [] },
}
for (const [what, given] of Object.entries(COUNTS))
  topics.add(`${what} partitions`, async (s) => {
    const name = await s.topic('t', { partitions: 2 })
    for (const validateOnly of [true, false])
      await s.ask('CreatePartitions', 3, {
        topics: [{ name, assignments: null, ...given }],
        timeoutMs,
        validateOnly,
      })
  })

topics.add('partitions of topics that are not there', (s) =>
  s.ask('CreatePartitions', 3, {
    topics: [s.name('a'), 'a b', ''].map((name) => ({ name, count: 3, assignments: null })),
    timeoutMs,
  }),
)

topics.add('partitions of a topic that is named twice', async (s) => {
  const name = await s.topic()
  await s.ask('CreatePartitions', 3, {
    topics: [2, 3].map((count) => ({ name, count, assignments: null })),
    timeoutMs,
  })
})

topics.add('partitions of the topic that keeps groups, to validate', (s) =>
  s.ask('CreatePartitions', 3, {
    topics: [{ name: '__consumer_offsets', count: 51, assignments: null }],
    timeoutMs,
    validateOnly: true,
  }),
)

// -------------------------------------------------------------------------------------------- leaders and replicas

topics.addVersions('a leader is elected', 'ElectLeaders', async (s, version) => {
  const topic = await s.topic('t', { partitions: 2 })
  await s.ask('ElectLeaders', version, { topicPartitions: [{ topic, partitions: [0, 5] }], timeoutMs })
  await s.ask('ElectLeaders', version, {
    topicPartitions: [{ topic: s.name('none'), partitions: [0] }],
    timeoutMs,
  })
  await s.ask('ElectLeaders', version, { topicPartitions: [], timeoutMs })
})
for (const electionType of [1, 2])
  topics.add(`a leader is elected, type ${electionType}`, async (s) => {
    const topic = await s.topic()
    await s.ask('ElectLeaders', 2, { electionType, topicPartitions: [{ topic, partitions: [0] }], timeoutMs })
  })

const REASSIGNED: Readonly<Record<string, Body>> = {
  'where it is': { partitionIndex: 0, replicas: [1] },
  'another broker': { partitionIndex: 0, replicas: [7] },
  'two brokers': { partitionIndex: 0, replicas: [1, 7] },
  'this broker twice': { partitionIndex: 0, replicas: [1, 1] },
  'no broker': { partitionIndex: 0, replicas: [] },
  'a negative broker': { partitionIndex: 0, replicas: [-1] },
  'the end of its move, though there is none': { partitionIndex: 0, replicas: null },
  'a broker, though it is not there': { partitionIndex: 9, replicas: [1] },
}
for (const [what, partition] of Object.entries(REASSIGNED))
  topics.addVersions(
    `a partition moves to ${what}`,
    'AlterPartitionReassignments',
    async (s, version) => {
      const name = await s.topic()
      await s.ask('AlterPartitionReassignments', version, {
        timeoutMs,
        topics: [{ name, partitions: [partition] }],
      })
      await s.ask('ListPartitionReassignments', 0, { timeoutMs, topics: [{ name, partitionIndexes: [0] }] })
    },
    what === 'where it is' ? edges('AlterPartitionReassignments') : [0],
  )

topics.add('partitions of a topic that is not there move', async (s) => {
  const name = s.name('none')
  const partitions = [{ partitionIndex: 0, replicas: [1] }]
  await s.ask('AlterPartitionReassignments', 0, { timeoutMs, topics: [{ name, partitions }] })
  await s.ask('AlterPartitionReassignments', 0, { timeoutMs, topics: [] })
  await s.ask('ListPartitionReassignments', 0, { timeoutMs, topics: [{ name, partitionIndexes: [0] }] })
  await s.ask('ListPartitionReassignments', 0, { timeoutMs, topics: null })
})

topics.add('replication factors may change or not', async (s) => {
  const name = await s.topic()
  const partitions = [{ partitionIndex: 0, replicas: [1] }]
  await s.ask('AlterPartitionReassignments', 1, {
    timeoutMs,
    allowReplicationFactorChange: false,
    topics: [{ name, partitions }],
  })
})
