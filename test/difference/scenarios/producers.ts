/** InitProducerId, the sequences of idempotent producers, DescribeProducers. */
import { batch } from '../batches.ts'
import type { GivenBatch } from '../batches.ts'
import { AreaBuilder } from '../scenario.ts'
import { produceBody } from '../session.ts'
import type { Session } from '../session.ts'
import type { Body, Struct } from '../wire.ts'
import { fetchAll } from './produce.ts'

export const producers = new AreaBuilder('producers')

const fresh = { transactionalId: null, transactionTimeoutMs: 60_000 }

producers.addVersions('three producers', 'InitProducerId', async (s, version) => {
  for (let i = 0; i < 3; i++) await s.ask('InitProducerId', version, fresh)
})

const BROUGHT: Readonly<Record<string, Body>> = {
  'an id and an epoch': { producerId: 4711, producerEpoch: 3 },
  'an id without an epoch': { producerId: 4711, producerEpoch: -1 },
  'an epoch without an id': { producerId: -1, producerEpoch: 3 },
  'an epoch that cannot grow': { producerId: 4711, producerEpoch: 32767 },
  'an id of 0 and an epoch of 0': { producerId: 0, producerEpoch: 0 },
  'an id below -1': { producerId: -2, producerEpoch: 0 },
  'an epoch below -1': { producerId: 4711, producerEpoch: -2 },
  'an id beyond 2^53': { producerId: 2n ** 60n, producerEpoch: 0 },
}
for (const [what, brought] of Object.entries(BROUGHT))
  for (const version of [3, 5])
    producers.add(`who brings ${what}, InitProducerId v${version}`, async (s) => {
      for (let i = 0; i < 2; i++) await s.ask('InitProducerId', version, { ...fresh, ...brought })
    })

producers.add('two producers that bring the same identity', async (s) => {
  const topic = await s.topic()
  const { producerId, producerEpoch } = await s.producer()
  for (const on of ['one', 'two']) {
    const given = await s.ask('InitProducerId', 4, { ...fresh, producerId, producerEpoch }, { on })
    const identity = {
      producerId: Number(given['producerId']),
      producerEpoch: Number(given['producerEpoch']),
    }
    await s.ask('Produce', 8, produceBody(topic, batch({ records: [on], ...identity, baseSequence: 0 })), {
      on,
    })
  }
  await fetchAll(s, topic)
})

for (const transactionTimeoutMs of [0, -1, 2_147_483_647])
  producers.add(`a timeout of ${transactionTimeoutMs} without transactions`, (s) =>
    s.ask('InitProducerId', 4, { transactionalId: null, transactionTimeoutMs }),
  )

producers.addVersions('an empty transactional id', 'InitProducerId', (s, version) =>
  s.ask('InitProducerId', version, { ...fresh, transactionalId: '' }),
)
// ------------------------------------------------------------------------------------------------------ sequences

type Sent = Omit<GivenBatch, 'records'> & { readonly records?: number }

interface Sequence {
  readonly topic: string
  readonly send: (sent: Sent, topic?: string) => Promise<Struct>
}

async function sequence(s: Session): Promise<Sequence> {
  const topic = await s.topic()
  const identity = await s.producer()
  return {
    topic,
    send: ({ records = 1, ...sent }, to = topic) => {
      const values = Array.from({ length: records }, (_, i) => `${sent.baseSequence}-${i}`)
      return s.ask('Produce', 8, produceBody(to, batch({ records: values, ...identity, ...sent })))
    },
  }
}

const SEQUENCES: Readonly<Record<string, readonly Sent[]>> = {
  'in order': [{ baseSequence: 0 }, { baseSequence: 1, records: 3 }, { baseSequence: 4 }],
  'with a gap': [{ baseSequence: 0 }, { baseSequence: 2 }, { baseSequence: 1 }],
  'that begin at 5': [{ baseSequence: 5 }, { baseSequence: 6 }],
  'with the last batch again': [{ baseSequence: 0 }, { baseSequence: 1 }, { baseSequence: 1 }],
  'with the first batch again': [{ baseSequence: 0 }, { baseSequence: 1 }, { baseSequence: 0 }],
  'with a batch again after four others': [0, 1, 2, 3, 4, 0].map((baseSequence) => ({ baseSequence })),
  'with a batch again after five others': [0, 1, 2, 3, 4, 5, 0].map((baseSequence) => ({ baseSequence })),
  'with a batch of five others again and a shorter one': [
    { baseSequence: 0, records: 3 },
    { baseSequence: 0, records: 2 },
    { baseSequence: 0, records: 4 },
  ],
  'where a part was sent before': [
    { baseSequence: 0, records: 2 },
    { baseSequence: 1, records: 2 },
  ],
  'with a higher epoch': [
    { baseSequence: 0 },
    { baseSequence: 0, producerEpoch: 1 },
    { baseSequence: 1, producerEpoch: 1 },
  ],
  'with a higher epoch that goes on': [{ baseSequence: 0 }, { baseSequence: 1, producerEpoch: 1 }],
  'with an epoch that falls back': [
    { baseSequence: 0, producerEpoch: 1 },
    { baseSequence: 1, producerEpoch: 0 },
  ],
  'with an epoch that jumps': [{ baseSequence: 0 }, { baseSequence: 0, producerEpoch: 7 }],
  'that wrap around': [{ baseSequence: 2_147_483_646, records: 2 }, { baseSequence: 0 }, { baseSequence: 1 }],
  'that wrap around within a batch': [
    { baseSequence: 2_147_483_646, records: 4 },
    { baseSequence: 2 },
    { baseSequence: 2_147_483_646, records: 4 },
  ],
  'that are negative': [{ baseSequence: -2 }],
  'with a negative epoch': [{ baseSequence: 0, producerEpoch: -2 }],
  'that begin beside others of the epoch': [
    { baseSequence: 0 },
    { baseSequence: 1 },
    { baseSequence: 0, records: 2 },
  ],
}
for (const [what, sent] of Object.entries(SEQUENCES))
  producers.add(`sequences ${what}`, async (s) => {
    const { topic, send } = await sequence(s)
    for (const each of sent) await send(each)
    await fetchAll(s, topic)
    await s.ask('DescribeProducers', 0, { topics: [{ name: topic, partitionIndexes: [0] }] })
  })

producers.add('sequences of two partitions', async (s) => {
  const { send } = await sequence(s)
  const other = await s.topic('other')
  await send({ baseSequence: 0 })
  await send({ baseSequence: 1 }, other)
  await send({ baseSequence: 0 }, other)
  await send({ baseSequence: 1 })
})

producers.add('a producer that nobody gave an id', async (s) => {
  const topic = await s.topic()
  for (const baseSequence of [3, 4, 6])
    await s.ask(
      'Produce',
      8,
      produceBody(topic, batch({ records: ['a'], producerId: 777, producerEpoch: 0, baseSequence })),
    )
})

producers.add('two batches of a producer in one request', async (s) => {
  const topic = await s.topic()
  const identity = await s.producer()
  const batches = [0, 1].map((baseSequence) => batch({ records: ['a'], ...identity, baseSequence }))
  await s.ask('Produce', 8, produceBody(topic, Buffer.concat(batches)))
  await fetchAll(s, topic)
})

producers.add('sequences after records were deleted', async (s) => {
  const { topic, send } = await sequence(s)
  await send({ baseSequence: 0, records: 3 })
  await s.ask('DeleteRecords', 2, {
    topics: [{ name: topic, partitions: [{ partitionIndex: 0, offset: -1 }] }],
    timeoutMs: 1000,
  })
  await send({ baseSequence: 0, records: 3 })
  await send({ baseSequence: 3 })
  await send({ baseSequence: 5 })
})

producers.add('sequences after the topic was made again', async (s) => {
  const { topic, send } = await sequence(s)
  await send({ baseSequence: 0 })
  await s.deleteTopic(topic)
  await s.topic()
  await send({ baseSequence: 1 })
  await send({ baseSequence: 2 })
})

producers.add('sequences in acks of 1 and in gzip', async (s) => {
  const topic = await s.topic()
  const identity = await s.producer()
  for (const baseSequence of [0, 1, 1, 3]) {
    const records = batch({ records: ['a'], codec: 'gzip', ...identity, baseSequence })
    await s.ask('Produce', 8, produceBody(topic, records, { acks: 1 }))
  }
})

producers.add('producers of what is not there', async (s) => {
  const name = await s.topic()
  await s.ask('DescribeProducers', 0, {
    topics: [
      { name, partitionIndexes: [0, 1, -1] },
      { name: s.name('none'), partitionIndexes: [0] },
      { name: '', partitionIndexes: [0] },
    ],
  })
  await s.ask('DescribeProducers', 0, { topics: [] })
  await s.ask('DescribeProducers', 0, { topics: [{ name, partitionIndexes: [] }] })
  await s.ask('DescribeProducers', 0, { topics: [{ name, partitionIndexes: [0, 0] }] })
})

producers.add('two producers in one partition', async (s) => {
  const name = await s.topic()
  for (const baseSequence of [0, 4])
    await s.produce(name, { records: ['a', 'b'], ...(await s.producer()), baseSequence })
  await s.ask('DescribeProducers', 0, { topics: [{ name, partitionIndexes: [0] }] })
})
