import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../../protocol/errors.ts'
import { baseOffset } from '../../../protocol/records/record-batch.ts'
import { buildBatch } from '../../../protocol/records/record-builder.ts'
import { OffsetsLog } from '../../../src/broker/groups/offsets-log.ts'
import { Partition } from '../../../src/broker/partition.ts'
import { Partitions } from '../../../src/broker/partitions.ts'
import type { AppendWaiter } from '../../../src/broker/waits.ts'
import type { ReadResult } from '../../../src/log/log-types.ts'
import { OFFSETS_TOPIC } from '../../../src/metadata/layout/topic-names.ts'
import { FakeParts, imageOf } from '../led-partition.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import { TestLog } from '../../log/log-fixture.ts'
import type { TopicImage } from '../../../src/metadata/image/metadata-image.ts'

const NO_TOPICS = { topics: new Map(), autoCreateTopic: () => Promise.resolve(ErrorCode.NONE) }
const LED = { index: 3, leaderEpoch: 5 }

/** Reads give all there is. */
function logOf(stored: Buffer, endOffset: number): OffsetsLog {
  const read = (
    _offset: number,
    _maxBytes: number,
    _limit: number,
    _minOneBatch: boolean,
    done: (result: Pick<ReadResult, 'errorCode' | 'buffers' | 'nextOffset'>) => void,
  ): void => done({ errorCode: 0, buffers: [stored], nextOffset: endOffset })
  const log = { logStartOffset: 0, logEndOffset: endOffset, writtenEndOffset: endOffset, read }
  const awaitWritten = (_endOffset: number, waiter: AppendWaiter): void => waiter.appendSettled(0, 0)
  const partitions = { leaderOf: () => ({ index: LED.index, leaderError: () => 0, awaitWritten, log }) }
  return new OffsetsLog(NO_TOPICS, partitions as unknown as Partitions, () => false)
}

test('batches one by one; where one does not say how long it is the place is told, and nothing behind it is missing in silence', async () => {
  const record = { key: Buffer.from('k'), value: null, timestampMs: 0 }
  const batches = [0, 1, 3].map((offset) =>
    buildBatch(offset === 1 ? [record, record] : [record], { baseOffset: offset }),
  )
  const loaded: number[] = []
  const load = (stored: Buffer) => logOf(stored, 4).load(LED, (batch) => loaded.push(baseOffset(batch, 0)))
  await load(Buffer.concat(batches))
  assert.deepEqual(loaded.splice(0), [0, 1, 3])
  for (const length of [0, -12, -1, 1_000_000]) {
    const [first, second, third] = batches.map((batch) => Buffer.from(batch))
    third!.writeInt32BE(length, 8)
    await assert.rejects(load(Buffer.concat([first!, second!, third!])), {
      message: new RegExp(`^__consumer_offsets-3 is damaged at offset 3: batch length ${length} `),
    })
    assert.deepEqual(loaded.splice(0), [0, 1])
  }
})

test('a new leader reads what it has, to the end: the high watermark does not matter, and what is not written yet is waited for', async () => {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    const { world } = sim.start()
    const image = imageOf({ topic: OFFSETS_TOPIC, index: LED.index, replicas: [1, 2], isr: [1, 2] })
    const { log } = await TestLog.open(
      world,
      '/data/__consumer_offsets-3',
      {},
      { onWritten: (endOffset) => partition.written(endOffset) },
    )
    const partition = new Partition(new FakeParts([1, 2]), OFFSETS_TOPIC, 'id', image, log)
    const partitions = new Partitions({ topics: new Map(), topicById: () => undefined })
    partitions.add(partition)
    const offsets = new OffsetsLog(NO_TOPICS, partitions, () => false)
    const answers: number[] = []
    const append = (): void => {
      const record = { key: Buffer.from('k'), value: null, timestampMs: 0 }
      offsets.append(LED, buildBatch([record]), (answer) => answers.push(answer))
    }
    const loaded: number[] = []
    const load = () => offsets.load(LED, (batch) => loaded.push(baseOffset(batch, 0)))

    for (let i = 0; i < 3; i++) append()
    assert.deepEqual([log.writtenEndOffset, log.logEndOffset], [0, 3])
    await load()
    assert.equal(partition.highWatermark, 0)
    assert.deepEqual(loaded.splice(0), [0, 1, 2])
    assert.deepEqual(answers, [], 'the other replica has nothing yet')

    append()
    const loading = load()
    partition.update({ ...image, leader: 2, leaderEpoch: 6 })
    const away = ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert.deepEqual(answers.splice(0), [away, away, away, away])
    await assert.rejects(loading, /cannot read __consumer_offsets-3: NOT_LEADER_OR_FOLLOWER/)
    partition.update({ ...image, leaderEpoch: 7 })
    await assert.rejects(load(), /cannot read __consumer_offsets-3: FENCED_LEADER_EPOCH/)
    append()
    assert.deepEqual(answers, [ErrorCode.FENCED_LEADER_EPOCH])
    assert.deepEqual(loaded, [])
    await log.close(false)
  })
})

test('the number of partitions is that of the topic, and none is known before it is there', async () => {
  const topics = new Map<string, TopicImage>()
  const made: string[] = []
  const autoCreateTopic = async (name: string): Promise<ErrorCode> => {
    made.push(name)
    return made.length === 1 ? ErrorCode.INVALID_REPLICATION_FACTOR : ErrorCode.NONE
  }
  const partitions = new Partitions({ topics, topicById: () => undefined })
  const offsets = new OffsetsLog({ topics, autoCreateTopic }, partitions, () => false)
  assert.equal(offsets.partitionCount, 0)
  await assert.rejects(offsets.ensureTopic(), /__consumer_offsets: INVALID_REPLICATION_FACTOR/)
  await offsets.ensureTopic()
  topics.set('__consumer_offsets', { partitions: Array.from({ length: 7 }) } as unknown as TopicImage)
  await offsets.ensureTopic()
  assert.deepEqual(made, ['__consumer_offsets', '__consumer_offsets'])
  assert.equal(offsets.partitionCount, 7)
})
