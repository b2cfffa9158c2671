/** Transactions: what asks for them makes Apache Kafka make a topic, so this comes behind everything else. */
import { batch } from '../batches.ts'
import { AreaBuilder } from '../scenario.ts'
import { dig, produceBody } from '../session.ts'
import type { Struct } from '../wire.ts'

export const transactions = new AreaBuilder('transactions', { alone: true })

/** Found, refused for good, or initialised: what the first requests of a broker wait for is there. */
function isFinal(answer: Struct): boolean {
  const errorCode = dig(answer, 'coordinators', 0, 'errorCode') ?? dig(answer, 'errorCode')
  return errorCode === 0 || errorCode === 53
}

transactions.addVersions('a coordinator of transactions', 'FindCoordinator', async (s, version) => {
  const key = s.name('tx')
  const body = version >= 4 ? { coordinatorKeys: [key, s.name('other')] } : { key }
  if (version >= 1) await s.askUntil(isFinal, 'FindCoordinator', version, { keyType: 1, ...body })
})

transactions.addVersions('a transactional producer', 'InitProducerId', (s, version) =>
  s.askUntil(isFinal, 'InitProducerId', version, {
    transactionalId: s.name('tx'),
    transactionTimeoutMs: 60_000,
  }),
)

transactions.add('records of a transaction that nobody began', async (s) => {
  const topic = await s.topic()
  const records = batch({
    records: ['a'],
    attributes: 0x10,
    producerId: 4711,
    producerEpoch: 0,
    baseSequence: 0,
  })
  for (const version of [3, 8, 11])
    await s.ask('Produce', version, { ...produceBody(topic, records), transactionalId: s.name('tx') })
})

transactions.addVersions('transactions are listed', 'ListTransactions', async (s, version) => {
  await s.ask('ListTransactions', version, {})
  await s.ask('ListTransactions', version, { stateFilters: ['Ongoing', 'nonsense', ''] })
  await s.ask('ListTransactions', version, { stateFilters: ['ongoing'], producerIdFilters: [4711, -1] })
  if (version >= 1) await s.ask('ListTransactions', version, { durationFilter: 1_000_000 })
  if (version < 2) return
  for (const transactionalIdPattern of ['', '.*', '(', 'a{2,1}', null])
    await s.ask('ListTransactions', version, { stateFilters: ['Ongoing'], transactionalIdPattern })
})

transactions.add('transactions are described', async (s) => {
  await s.ask('DescribeTransactions', 0, { transactionalIds: [s.name('none'), ''] })
  await s.ask('DescribeTransactions', 0, { transactionalIds: [] })
})

transactions.addVersions('markers where nobody is', 'WriteTxnMarkers', async (s, version) => {
  const markers = (topics: Struct[]): Struct => ({
    markers: [{ producerId: 4711, producerEpoch: 0, transactionResult: false, topics, coordinatorEpoch: 0 }],
  })
  await s.ask('WriteTxnMarkers', version, { markers: [] })
  await s.ask('WriteTxnMarkers', version, markers([{ name: s.name('none'), partitionIndexes: [0, 1] }]))
})
