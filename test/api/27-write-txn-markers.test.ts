import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../protocol/errors.ts'
import { fetchRequest, fetchResponse } from '../../protocol/messages/01-fetch.ts'
import { listOffsetsRequest, listOffsetsResponse } from '../../protocol/messages/02-list-offsets.ts'
import {
  writeTxnMarkersRequest,
  writeTxnMarkersResponse,
} from '../../protocol/messages/27-write-txn-markers.ts'
import {
  describeProducersRequest,
  describeProducersResponse,
} from '../../protocol/messages/61-describe-producers.ts'
import { buildControlBatch } from '../../protocol/records/record-builder.ts'
import { SimWorld } from '../simulator/sim-world.ts'
import { makeBatch, NOW, TestLog } from '../log/log-fixture.ts'
import { SimBroker } from './sim-broker.ts'

/** As Apache Kafka may leave them: an open transaction of producer 7 at offset 2, a record behind it, one of 8 that is decided. */
const OPEN = { producerId: 7, producerEpoch: 3 }
const FENCED = ErrorCode.TRANSACTION_COORDINATOR_FENCED

interface Marker {
  readonly producerId?: number
  readonly producerEpoch?: number
  readonly coordinatorEpoch?: number
  readonly transactionResult?: boolean
  readonly partitions?: number[]
  readonly topic?: string
}

class Guest {
  readonly broker: SimBroker

  constructor(broker: SimBroker) {
    this.broker = broker
  }

  async end(marker: Marker = {}, version = 1): Promise<[number, number][]> {
    const { topic = 't', partitions = [0], ...more } = marker
    const { markers } = await this.broker.send([writeTxnMarkersRequest, writeTxnMarkersResponse], version, {
      markers: [
        {
          ...OPEN,
          transactionResult: false,
          coordinatorEpoch: 5,
          topics: [{ name: topic, partitionIndexes: partitions }],
          ...more,
        },
      ],
    })
    assert.equal(markers[0]?.producerId, more.producerId ?? OPEN.producerId)
    return markers[0].topics[0]!.partitions.map(({ partitionIndex, errorCode }) => [
      partitionIndex,
      errorCode,
    ])
  }

  /** Where a read_committed consumer has to stop. */
  async stableOffset(): Promise<number> {
    const { topics } = await this.broker.send([listOffsetsRequest, listOffsetsResponse], 4, {
      replicaId: -1,
      isolationLevel: 1,
      topics: [{ name: 't', partitions: [{ partitionIndex: 0, currentLeaderEpoch: -1, timestamp: -1 }] }],
    })
    return Number(topics[0]!.partitions[0]!.offset)
  }

  async abortedFrom(): Promise<number[]> {
    const { responses } = await this.broker.send([fetchRequest, fetchResponse], 11, {
      replicaId: -1,
      maxWaitMs: 0,
      minBytes: 0,
      maxBytes: 1 << 20,
      isolationLevel: 1,
      topics: [{ topic: 't', partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1 << 20 }] }],
    })
    return (responses[0]!.partitions[0]!.abortedTransactions ?? []).map(({ firstOffset }) =>
      Number(firstOffset),
    )
  }

  async openFrom(): Promise<number[]> {
    const { topics } = await this.broker.send([describeProducersRequest, describeProducersResponse], 0, {
      topics: [{ name: 't', partitionIndexes: [0] }],
    })
    return topics[0]!.partitions[0]!.activeProducers.map(({ currentTxnStartOffset }) =>
      Number(currentTxnStartOffset),
    ).filter((offset) => offset >= 0)
  }

  get warnings(): string[] {
    return this.broker.process.logger.messages('warn')
  }
}

async function withGuest(body: (guest: Guest) => Promise<void>): Promise<void> {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    const before = await SimBroker.start(sim, {})
    await before.createTopics({ name: 't', partitions: 1 })
    await before.stop()
    const log = await TestLog.open(sim.start().world, '/data/t-0', {}, { topicId: null })
    await log.append(makeBatch(2, 10))
    await log.append(makeBatch(1, 10, { ...OPEN, baseSequence: 0, transactional: true }))
    const decided = { producerId: 8, producerEpoch: 0 }
    await log.append(makeBatch(1, 10, { ...decided, baseSequence: 0, transactional: true }))
    await log.append(buildControlBatch('COMMIT', 5, decided, NOW))
    await log.log.close(true)
    const broker = await SimBroker.start(sim, {})
    await body(new Guest(broker))
    await broker.stop()
    // A marker is there for good.
    const again = new Guest(await SimBroker.start(sim, {}))
    assert.deepEqual(await again.openFrom(), [])
    assert.equal(
      again.warnings.some((message) => message.includes('left open')),
      false,
    )
    await again.broker.stop()
  })
}

test('an open transaction is told of, holds readers of what is committed, and is aborted by an administrator', async () => {
  await withGuest(async (guest) => {
    assert.equal(await guest.stableOffset(), 2)
    assert.deepEqual(await guest.openFrom(), [2])
    const told = guest.broker.process.logger.lines.filter(({ message }) => message.includes('left open'))
    assert.equal(told.length, 1)
    assert.deepEqual(
      [told[0]!.fields['topic'], told[0]!.fields['partition'], told[0]!.fields['producerId']],
      ['t', 0, 7],
    )
    assert.match(told[0]!.message, /kafka-transactions\.sh abort --topic t --partition 0 --start-offset 2/)
    assert.deepEqual(await guest.end(), [[0, ErrorCode.NONE]])
    assert.equal(await guest.stableOffset(), 6)
    assert.deepEqual(await guest.abortedFrom(), [2])
    assert(guest.warnings.includes('an administrator ends a transaction'))
    // There is nothing left to end, and nothing is written.
    assert.deepEqual(await guest.end({}, 2), [[0, ErrorCode.NONE]])
    assert.equal(await guest.stableOffset(), 6)
  })
})

test('a transaction that was decided can be committed', async () => {
  await withGuest(async (guest) => {
    assert.deepEqual(await guest.end({ transactionResult: true, producerEpoch: 4 }, 2), [[0, ErrorCode.NONE]])
    assert.equal(await guest.stableOffset(), 6)
    assert.deepEqual(await guest.abortedFrom(), [])
  })
})

test('who does not know the producer ends nothing', async () => {
  await withGuest(async (guest) => {
    assert.deepEqual(await guest.end({ producerEpoch: 2 }), [[0, ErrorCode.INVALID_PRODUCER_EPOCH]])
    // Nothing of theirs is open: there is nothing to write.
    assert.deepEqual(await guest.end({ producerId: 99 }), [[0, ErrorCode.NONE]])
    assert.deepEqual(await guest.end({ producerId: 8, producerEpoch: 0, coordinatorEpoch: 4 }), [[0, FENCED]])
    assert.deepEqual(await guest.end({ partitions: [1] }), [[1, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]])
    assert.deepEqual(await guest.end({ topic: 'no' }), [[0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]])
    assert.equal(await guest.stableOffset(), 2)
    assert.deepEqual(await guest.end({ partitions: [0, 0] }), [[0, ErrorCode.NONE]])
  })
})

test('a marker that the disk did not take ends nothing, and nobody is told that it did', async () => {
  const sim = new SimWorld(2)
  await sim.run(async () => {
    const before = await SimBroker.start(sim, {})
    await before.createTopics({ name: 't', partitions: 1 })
    await before.stop()
    const log = await TestLog.open(sim.start().world, '/data/t-0', {}, { topicId: null })
    await log.append(makeBatch(1, 10, { ...OPEN, baseSequence: 0, transactional: true }))
    await log.log.close(true)
    // Another directory, so that the broker lives on.
    const guest = new Guest(await SimBroker.start(sim, { 'log.dirs': '/data,/other' }))
    sim.faults.add({ operation: 'write', code: 'EIO', path: /^\/data\/t-0\// })
    assert.deepEqual(await guest.end(), [[0, ErrorCode.KAFKA_STORAGE_ERROR]])
    sim.faults.clear()
    assert.deepEqual(await guest.end(), [[0, ErrorCode.KAFKA_STORAGE_ERROR]])
    await guest.broker.stop()
  })
})
