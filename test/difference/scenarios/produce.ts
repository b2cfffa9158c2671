/** Produce: versions, refusals, and what is stored of what was sent. */
import { BASE_TIMESTAMP, batch, CODECS, packed } from '../batches.ts'
import type { CodecName, GivenBatch, GivenRecord } from '../batches.ts'
import { AreaBuilder } from '../scenario.ts'
import { edges } from '../schemas.ts'
import { produceBody } from '../session.ts'
import type { Session } from '../session.ts'
import type { Body } from '../wire.ts'

export const produce = new AreaBuilder('produce')

/** What is in a partition, batch by batch. */
export function fetchAll(s: Session, topic: string, from = 0): Promise<unknown> {
  return s.ask('Fetch', 11, {
    maxWaitMs: 0,
    minBytes: 0,
    topics: [{ topic, partitions: [{ partition: 0, fetchOffset: from, partitionMaxBytes: 1 << 20 }] }],
  })
}

const FIRST_WITH_BATCHES = 3
const batchVersions = edges('Produce').filter((version) => version >= FIRST_WITH_BATCHES)

produce.addVersions('two records', 'Produce', async (s, version) => {
  const topic = await s.topic()
  await s.ask('Produce', version, produceBody(topic, batch(['a', { key: 'k', value: 'b' }])))
  await s.ask('Produce', version, produceBody(topic, batch(['c'])))
  await fetchAll(s, topic)
})

produce.addVersions(
  'topics and partitions that are not there',
  'Produce',
  async (s, version) => {
    const topic = await s.topic()
    for (const [name, index] of [
      [s.name('none'), 0],
      [topic, 1],
      [topic, -1],
      ['', 0],
    ] as const)
      await s.ask('Produce', version, produceBody(name, batch(['a']), { index }))
  },
  batchVersions,
)

for (const acks of [0, 1, -1, 2, -2, 127])
  produce.add(`acks of ${acks}`, async (s) => {
    const topic = await s.topic()
    const body = produceBody(topic, batch(['a']), { acks })
    if (acks === 0) await s.tell('Produce', 8, body)
    else for (const version of [3, 8, 11]) await s.ask('Produce', version, body)
    await fetchAll(s, topic)
  })

const UNTOLD: Readonly<Record<string, (topic: string) => Body>> = {
  'a topic that is not there': (topic) => produceBody(`${topic}-none`, batch(['a']), { acks: 0 }),
  'a batch that is damaged': (topic) =>
    produceBody(topic, batch({ records: ['a'], wrongCrc: true }), { acks: 0 }),
  'no records': (topic) => produceBody(topic, Buffer.alloc(0), { acks: 0 }),
}
for (const [what, body] of Object.entries(UNTOLD))
  produce.add(`acks of 0 and ${what}`, async (s) => s.tell('Produce', 8, body(await s.topic())))

for (const version of batchVersions) {
  produce.add(`no topics, Produce v${version}`, (s) => s.ask('Produce', version, { acks: 1, timeoutMs: 100 }))
  produce.add(`a transactional id, Produce v${version}`, async (s) => {
    const topic = await s.topic()
    await s.ask('Produce', version, { ...produceBody(topic, batch(['a'])), transactionalId: s.name('tx') })
  })
}

produce.add('several topics and partitions', async (s) => {
  const [one, two] = [await s.topic('one', { partitions: 2 }), await s.topic('two')]
  const records = batch(['a'])
  await s.ask('Produce', 8, {
    acks: 1,
    timeoutMs: 1000,
    topicData: [
      { name: one, partitionData: [0, 1, 2].map((index) => ({ index, records })) },
      { name: s.name('none'), partitionData: [{ index: 0, records }] },
      { name: two, partitionData: [{ index: 0, records: batch({ records: ['a'], wrongCrc: true }) }] },
    ],
  })
})

produce.add('a partition that is named twice', async (s) => {
  const topic = await s.topic()
  const partitionData = ['a', 'b'].map((value) => ({ index: 0, records: batch([value]) }))
  await s.ask('Produce', 8, { acks: 1, timeoutMs: 1000, topicData: [{ name: topic, partitionData }] })
  await fetchAll(s, topic)
})

produce.add('a topic that is named twice', async (s) => {
  const name = await s.topic()
  const topicData = ['a', 'b'].map((value) => ({
    name,
    partitionData: [{ index: 0, records: batch([value]) }],
  }))
  await s.ask('Produce', 8, { acks: 1, timeoutMs: 1000, topicData })
  await fetchAll(s, name)
})

produce.add('a topic that was deleted is not made again', async (s) => {
  const topic = await s.topic()
  await s.deleteTopic(topic)
  for (const version of [3, 8, 11]) await s.ask('Produce', version, produceBody(topic, batch(['a'])))
  await s.ask('Metadata', 4, { topics: [{ name: topic }], allowAutoTopicCreation: false })
})

produce.add('topics inside Kafka', async (s) => {
  for (const name of ['__consumer_offsets', '__transaction_state', '__cluster_metadata'])
    await s.ask('Produce', 8, produceBody(name, batch(['a'])))
})

// ------------------------------------------------------------------------------------------ batches, right and wrong

const two: readonly (string | GivenRecord)[] = ['a', 'b']
const GZIP = CODECS.gzip

const BATCHES: Readonly<Record<string, Buffer | GivenBatch>> = {
  'a null record': { records: [{ value: null }] },
  'a key and no value': { records: [{ key: 'k', value: null }] },
  headers: { records: [{ value: 'a', headers: { h: '1', none: null, '': 'empty' } }] },
  'a wrong checksum': { records: two, wrongCrc: true },
  'no records in a batch': { records: [] },
  'one record, said to be two': { records: ['a'], count: 2, lastOffsetDelta: 1 },
  'two records, said to be one': { records: two, count: 1, lastOffsetDelta: 0 },
  'two records, counted as one': { records: two, count: 1 },
  'a negative count': { records: two, count: -1 },
  'a last offset that is too high': { records: two, lastOffsetDelta: 5 },
  'a last offset that is too low': { records: two, lastOffsetDelta: 0 },
  'a negative last offset': { records: two, lastOffsetDelta: -1 },
  'offsets with a gap': { records: ['a', { value: 'b', offsetDelta: 2 }], lastOffsetDelta: 2 },
  'offsets that begin at 1': {
    records: [
      { value: 'a', offsetDelta: 1 },
      { value: 'b', offsetDelta: 2 },
    ],
  },
  'offsets that go back': {
    records: [
      { value: 'a', offsetDelta: 1 },
      { value: 'b', offsetDelta: 0 },
    ],
  },
  'a base offset of 7': { records: two, baseOffset: 7 },
  'a negative base offset': { records: two, baseOffset: -7 },
  'a base offset beyond 2^53': { records: two, baseOffset: 2n ** 60n },
  'a leader epoch of 9': { records: two, leaderEpoch: 9 },
  'magic 1': { records: two, magic: 1 },
  'magic 3': { records: two, magic: 3 },
  'magic -1': { records: two, magic: -1 },
  'an unknown codec': { records: two, attributes: 5 },
  'codec 7': { records: two, attributes: 7 },
  'a transactional batch': { records: two, attributes: 0x10 },
  'a control batch': { records: two, attributes: 0x20 },
  'a delete horizon': { records: two, attributes: 0x40 },
  'log append time': { records: two, attributes: 0x08 },
  'attributes that nobody knows': { records: two, attributes: 0x100 },
  'attributes of a record': { records: [{ value: 'a', attributes: 1 }] },
  noise: { records: two, body: Buffer.from('this is noise, and no records') },
  'noise marked as gzip': { records: two, body: Buffer.from('this is noise'), attributes: GZIP },
  'noise in gzip': { records: two, body: packed('gzip', Buffer.from('this is noise')), attributes: GZIP },
  'gzip of nothing': { records: two, body: packed('gzip', Buffer.alloc(0)), attributes: GZIP },
  'plain records marked as snappy': { records: two, attributes: CODECS.snappy },
  'plain records marked as lz4': { records: two, attributes: CODECS.lz4 },
  'plain records marked as zstd': { records: two, attributes: CODECS.zstd },
  'an empty buffer': Buffer.alloc(0),
  'a few bytes': Buffer.from('few bytes'),
  'a header without its records': batch(two).subarray(0, 61),
  'half a batch': batch(two).subarray(0, 66),
  'bytes behind the batch': Buffer.concat([batch(two), Buffer.from('more')]),
  'two batches': Buffer.concat([batch(two), batch(['c'])]),
  'a producer id without an epoch': { records: two, producerId: 1_000_000 },
  'a producer epoch without an id': { records: two, producerEpoch: 0 },
  'a producer id without a sequence': { records: two, producerId: 1_000_000, producerEpoch: 0 },
}

function bytesOf(given: Buffer | GivenBatch): Buffer {
  return Buffer.isBuffer(given) ? given : batch(given)
}

for (const [what, given] of Object.entries(BATCHES))
  produce.add(`a batch: ${what}`, async (s) => {
    const topic = await s.topic()
    await s.produce(topic, ['first'])
    await s.ask('Produce', 8, produceBody(topic, bytesOf(given)))
    await fetchAll(s, topic)
  })

produce.add('null instead of records', async (s) => {
  const topic = await s.topic()
  await s.ask('Produce', 8, produceBody(topic, null))
})

produce.add('errors of batches in every version', async (s) => {
  const topic = await s.topic()
  for (const version of batchVersions) {
    await s.ask('Produce', version, produceBody(topic, batch({ records: two, wrongCrc: true })))
    await s.ask('Produce', version, produceBody(topic, batch({ records: two, count: 3, lastOffsetDelta: 2 })))
  }
})

// --------------------------------------------------------------------------------------------------------- codecs

for (const codec of Object.keys(CODECS) as CodecName[]) {
  const records = ['a', { key: 'k', value: 'b'.repeat(200), timestampDelta: 5, headers: { h: '1' } }]
  produce.add(`records in ${codec}`, async (s) => {
    const topic = await s.topic()
    for (const version of [3, 6, 7, 8])
      await s.ask('Produce', version, produceBody(topic, batch({ records, codec })))
    await fetchAll(s, topic)
  })
  produce.add(`a wrong count in ${codec}`, async (s) => {
    const topic = await s.topic()
    await s.ask('Produce', 8, produceBody(topic, batch({ records, codec, count: 3, lastOffsetDelta: 2 })))
    await s.ask('Produce', 8, produceBody(topic, batch({ records, codec, count: 1, lastOffsetDelta: 0 })))
    await s.ask('Produce', 8, produceBody(topic, batch({ records, codec, lastOffsetDelta: 7 })))
    await fetchAll(s, topic)
  })
  produce.add(`a max timestamp that is wrong in ${codec}`, async (s) => {
    const topic = await s.topic()
    for (const maxTimestamp of [-1, 0, BASE_TIMESTAMP, BASE_TIMESTAMP + 3_600_000])
      await s.ask('Produce', 8, produceBody(topic, batch({ records, codec, maxTimestamp })))
    await fetchAll(s, topic)
    for (const timestamp of [-3, BASE_TIMESTAMP + 1, BASE_TIMESTAMP + 6])
      await s.ask('ListOffsets', 7, {
        replicaId: -1,
        topics: [{ name: topic, partitions: [{ partitionIndex: 0, timestamp }] }],
      })
  })
  for (const type of ['uncompressed', 'producer', 'gzip', 'snappy', 'lz4', 'zstd'])
    produce.add(`records in ${codec} to a topic of ${type}`, async (s) => {
      const topic = await s.topic('t', { configs: { 'compression.type': type } })
      await s.ask('Produce', 8, produceBody(topic, batch({ records, codec })))
      await fetchAll(s, topic)
    })
}

// ----------------------------------------------------------------------------------------------------- timestamps

const TIMESTAMPS: Readonly<Record<string, number | bigint>> = {
  'of 0': 0,
  'of -1': -1,
  'before 1970': -1000,
  'beyond 2^53': 2n ** 60n,
  'of the largest int64': 2n ** 63n - 1n,
  'of the smallest int64': -(2n ** 63n),
  'of the year 2100': 4_102_444_800_000,
}
for (const [what, baseTimestamp] of Object.entries(TIMESTAMPS)) {
  produce.add(`a timestamp ${what}`, async (s) => {
    const topic = await s.topic()
    await s.ask('Produce', 8, produceBody(topic, batch({ records: two, baseTimestamp })))
    await fetchAll(s, topic)
  })
  produce.add(`a timestamp ${what} where the broker's counts`, async (s) => {
    const topic = await s.topic('t', { configs: { 'message.timestamp.type': 'LogAppendTime' } })
    await s.ask('Produce', 8, produceBody(topic, batch({ records: two, baseTimestamp })))
    await s.ask('Produce', 8, produceBody(topic, batch({ records: two, baseTimestamp, codec: 'gzip' })))
    await fetchAll(s, topic)
  })
}

const LIMITS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'no older than an hour': { 'message.timestamp.before.max.ms': '3600000' },
  'no later than never': { 'message.timestamp.after.max.ms': '0' },
}
for (const [what, configs] of Object.entries(LIMITS))
  produce.add(`timestamps ${what}`, async (s) => {
    const topic = await s.topic('t', { configs })
    for (const baseTimestamp of [BASE_TIMESTAMP, Date.now() + 600_000, -1])
      for (const version of [3, 7, 8])
        await s.ask('Produce', version, produceBody(topic, batch({ records: two, baseTimestamp })))
  })

produce.add('deltas of timestamps', async (s) => {
  const topic = await s.topic()
  const deltas = [0, 5, -5, 1000, -1000]
  await s.ask(
    'Produce',
    8,
    produceBody(topic, batch(deltas.map((timestampDelta) => ({ value: 'a', timestampDelta })))),
  )
  await fetchAll(s, topic)
})

// ------------------------------------------------------------------------------------------------- kinds of topics

produce.add('records without keys to a compacted topic', async (s) => {
  const topic = await s.topic('t', { configs: { 'cleanup.policy': 'compact' } })
  for (const version of [3, 7, 8, 11]) {
    await s.ask('Produce', version, produceBody(topic, batch([{ key: 'k', value: 'a' }, 'b', 'c'])))
    await s.ask('Produce', version, produceBody(topic, batch({ records: ['b'], codec: 'gzip' })))
    await s.ask('Produce', version, produceBody(topic, batch([{ key: 'k', value: 'a' }])))
  }
})

produce.add('a compressed batch of 6 MB to a compacted topic', async (s) => {
  const topic = await s.topic('t', { configs: { 'cleanup.policy': 'compact' } })
  const value = '{"name":"value"}'.repeat(400_000)
  await s.ask('Produce', 8, produceBody(topic, batch({ records: [{ key: 'k', value }], codec: 'gzip' })))
})

for (const version of [3, 8, 11])
  produce.add(`records above max.message.bytes, Produce v${version}`, async (s) => {
    const topic = await s.topic('t', { configs: { 'max.message.bytes': '200' } })
    // A batch of one record has 61 bytes of header, 1 or 2 of length and 6 or 7 beside the value.
    for (const bytes of [100, 130, 131, 132, 133, 300])
      await s.ask('Produce', version, produceBody(topic, batch(['x'.repeat(bytes)])))
    await s.ask('Produce', version, produceBody(topic, batch({ records: ['x'.repeat(5000)], codec: 'gzip' })))
  })

produce.add('segments that are smaller than a batch', async (s) => {
  const topic = await s.topic('t', {
    configs: { 'segment.bytes': '1048576', 'max.message.bytes': '3000000' },
  })
  await s.ask('Produce', 8, produceBody(topic, batch(['x'.repeat(1_048_576)])))
  await s.ask('Produce', 8, produceBody(topic, batch(['x'.repeat(1_048_000)])))
  await s.ask('ListOffsets', 5, {
    replicaId: -1,
    topics: [{ name: topic, partitions: [{ partitionIndex: 0, timestamp: -1 }] }],
  })
})

for (const isr of ['1', '2'])
  for (const acks of [1, -1])
    produce.add(`acks of ${acks} where ${isr} replicas must be in sync`, async (s) => {
      const topic = await s.topic('t', { configs: { 'min.insync.replicas': isr } })
      await s.ask('Produce', 8, produceBody(topic, batch(['a']), { acks }))
      await fetchAll(s, topic)
    })

produce.addVersions(
  'a topic without partitions, and acks that cannot be for one that is not there',
  'Produce',
  async (s, version) => {
    const topic = await s.topic()
    const [named] = produceBody(topic, batch(['a']))['topicData'] as [Body]
    for (const topicData of [
      [{ name: topic, partitionData: [] }],
      [{ name: s.name('none'), partitionData: [] }, named],
    ])
      await s.ask('Produce', version, { acks: 1, timeoutMs: 10_000, topicData })
    await s.ask('Produce', version, produceBody(s.name('none'), batch(['a']), { acks: 2 }))
    await s.ask('Produce', version, produceBody(topic, batch(['a']), { acks: 2, index: 7 }))
  },
  batchVersions,
)
