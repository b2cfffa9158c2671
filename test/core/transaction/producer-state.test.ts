import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32c } from '../../../protocol/crc32c.ts'
import { ErrorCode } from '../../../protocol/errors.ts'
import {
  ACCEPT,
  DUPLICATE,
  nextSequence,
  ProducerState,
} from '../../../src/core/transaction/producer-state.ts'

const MAX = 0x7fff_ffff

class Partition {
  readonly state = new ProducerState()
  offset = 0

  /** Checks and, when accepted, appends a batch of `count` records. */
  send(producerId: number, epoch: number, first: number, count = 1, transactional = false): number {
    const last = nextSequence(first, count - 1)
    const verdict = this.state.check(producerId, epoch, first, last, transactional)
    if (verdict !== ACCEPT) return verdict
    const end = this.offset + count - 1
    this.state.appended(
      producerId,
      epoch,
      last,
      this.offset,
      end,
      1000 + this.offset,
      transactional,
      this.offset,
    )
    this.offset = end + 1
    return ACCEPT
  }
}

test('a sequence goes on without gaps; the last five batches may come again', () => {
  const partition = new Partition()
  assert.equal(partition.send(1, 0, 40, 2), ACCEPT, 'an unknown producer starts anywhere')
  for (let i = 0; i < 5; i++) assert.equal(partition.send(1, 0, 42 + i * 2, 2), ACCEPT)
  assert.equal(partition.send(1, 0, 42, 2), DUPLICATE)
  assert.deepEqual([partition.state.duplicateBaseOffset, partition.state.duplicateLastOffset], [2, 3])
  assert.equal(partition.send(1, 0, 40, 2), ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, 'older than five')
  assert.equal(partition.send(1, 0, 50, 1), ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, 'only exact repeats')
  assert.equal(partition.send(1, 0, 53), ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)
  assert.equal(partition.send(1, 0, 52), ACCEPT)
})

test('epochs: an older one is fenced, a newer one starts at zero (KIP-360)', () => {
  const partition = new Partition()
  partition.send(1, 3, 0, 5)
  assert.equal(partition.send(1, 2, 5), ErrorCode.INVALID_PRODUCER_EPOCH)
  assert.equal(partition.send(1, 4, 5), ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)
  assert.equal(partition.send(1, 4, 0), ACCEPT)
  assert.equal(partition.send(1, 3, 0, 5), ErrorCode.INVALID_PRODUCER_EPOCH)
  assert.equal(partition.send(1, 4, 1), ACCEPT)
})

test('sequences wrap around after 2^31-1', () => {
  const partition = new Partition()
  assert.equal(partition.send(1, 0, MAX - 1, 4), ACCEPT)
  assert.equal(partition.send(1, 0, MAX - 1, 4), DUPLICATE)
  assert.equal(partition.send(1, 0, 2), ACCEPT)
  assert.equal(partition.send(2, 0, MAX - 1, 2), ACCEPT)
  assert.equal(partition.send(2, 0, 0), ACCEPT)
})

test('transactions: the oldest open one, fencing of markers, plain writes inside', () => {
  const partition = new Partition()
  const { state } = partition
  partition.send(1, 0, 0, 2, true)
  partition.send(2, 0, 0, 2, true)
  assert.equal(state.firstOpenTransactionOffset, 0)
  assert.equal(partition.send(1, 0, 2, 1, false), ErrorCode.INVALID_TXN_STATE)
  assert.equal(state.checkMarker(1, 0, 5), ACCEPT)
  assert.deepEqual(state.markerAppended(1, 0, 5, 4, false, 1, 1), {
    producerId: 1,
    firstOffset: 0,
    lastOffset: 4,
    aborted: true,
  })
  assert.equal(state.firstOpenTransactionOffset, 2)
  assert.equal(state.checkMarker(1, 0, 4), ErrorCode.TRANSACTION_COORDINATOR_FENCED)
  assert.equal(state.markerAppended(1, 0, 5, 5, true, 1, 1), null, 'nothing was open')
  assert.equal(state.markerAppended(2, 1, 5, 6, true, 1, 1)?.aborted, false)
  assert.equal(state.firstOpenTransactionOffset, -1)
  assert.equal(state.checkMarker(2, 0, 5), ErrorCode.INVALID_PRODUCER_EPOCH)
  assert.equal(partition.send(2, 1, 0), ACCEPT, 'after the marker raised the epoch')
})

test('there is no end to the producers of a log; told to forget some, it forgets those silent for longest', () => {
  const partition = new Partition()
  partition.send(7, 0, 0, 1, true)
  partition.send(8, 0, 0)
  for (let i = 0; i < 20_000; i++) {
    partition.send(1000 + i, 0, 0)
    if (i % 200 === 0) assert.equal(partition.send(8, 0, 1 + i / 200), ACCEPT)
  }
  assert.equal(partition.state.size, 20_002)
  for (const producerId of [1000, 6000, 20_999]) assert.equal(partition.send(producerId, 0, 0), DUPLICATE)

  assert.equal(partition.state.forgetOldest(19_002), 19_002)
  assert.equal(partition.state.size, 1_000)
  assert.equal(partition.state.firstOpenTransactionOffset, 0, 'an open transaction is never forgotten')
  assert.equal(partition.send(8, 0, 100), DUPLICATE, 'it was heard of again and again')
  assert.equal(partition.send(20_999, 0, 0), DUPLICATE)
  assert.equal(partition.send(1000, 0, 77), ACCEPT, 'a forgotten producer may go on')
  assert.equal(
    partition.state.forgetOldest(2_000),
    999,
    'all but the transaction and the one that was heard of last',
  )
})

test('silent producers expire, those with an open transaction do not', () => {
  const partition = new Partition()
  partition.send(1, 0, 0)
  partition.send(2, 0, 0, 1, true)
  for (let i = 0; i < 98; i++) partition.send(3, 0, i)
  partition.state.expire(100, 50)
  assert.deepEqual(
    partition.state.describe().map((producer) => producer.producerId),
    [2, 3],
  )
})

test('snapshots keep all remembered batches, in the layout of Kafka, the last batch of a producer last', () => {
  const partition = new Partition()
  partition.send(258, 3, 0, 2)
  partition.send(258, 3, 2, 3)
  partition.send(4, 0, 0, 1, true)
  const bytes = partition.state.encodeSnapshot()
  assert.equal(
    bytes.subarray(6, 10 + 2 * 46).toString('hex'),
    '00000003' +
      '0000000000000102' +
      '0003' +
      '00000001' +
      '0000000000000001' +
      '00000001' +
      '00000000000003e8' +
      'ffffffff' +
      'ffffffffffffffff' +
      '0000000000000102' +
      '0003' +
      '00000004' +
      '0000000000000004' +
      '00000002' +
      '00000000000003ea' +
      'ffffffff' +
      'ffffffffffffffff',
  )
  assert.equal(bytes.readInt16BE(0), 1)
  const loaded = new ProducerState()
  assert.equal(loaded.loadSnapshot(bytes, 5000), true)
  assert.deepEqual(loaded.describe(), partition.state.describe())
  assert.equal(loaded.firstOpenTransactionOffset, 5)
  assert.equal(loaded.check(258, 3, 2, 4, false), DUPLICATE)
  assert.equal(loaded.check(258, 3, 0, 1, false), DUPLICATE)
  assert.equal(loaded.duplicateBaseOffset, 0)
  assert.deepEqual(loaded.encodeSnapshot(), bytes)
  for (let at = 0; at < bytes.length; at++) {
    const damaged = Buffer.from(bytes)
    damaged[at] = (damaged[at] ?? 0) ^ 1
    assert.equal(loaded.loadSnapshot(damaged, 0), false, `byte ${at}`)
    assert.equal(loaded.size, 0)
    assert.equal(loaded.loadSnapshot(bytes.subarray(0, at), 0), false)
  }
})

test('a producer may send again all it had in flight after its state was loaded from a snapshot', () => {
  const partition = new Partition()
  for (let sequence = 0; sequence < 8; sequence++) partition.send(1, 0, sequence)
  const loaded = new ProducerState()
  assert.equal(loaded.loadSnapshot(partition.state.encodeSnapshot(), 0), true)
  for (let sequence = 3; sequence < 8; sequence++)
    assert.equal(loaded.check(1, 0, sequence, sequence, false), DUPLICATE, `sequence ${sequence}`)
  assert.equal(loaded.check(1, 0, 2, 2, false), ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)
  assert.equal(loaded.check(1, 0, 8, 8, false), ACCEPT)
  assert.deepEqual(loaded.describe(), partition.state.describe())
})

test('the oldest open transaction of a snapshot is the oldest, whichever producer was there first', () => {
  const partition = new Partition()
  for (const producerId of [1, 2, 3]) partition.send(producerId, 0, 0)
  for (const producerId of [2, 3, 1]) partition.send(producerId, 0, 1, 1, true)
  const loaded = new ProducerState()
  assert.equal(loaded.loadSnapshot(partition.state.encodeSnapshot(), 0), true)
  for (const [producerId, oldest] of [
    [2, 3],
    [3, 4],
    [1, 5],
  ] as const) {
    assert.equal(loaded.firstOpenTransactionOffset, oldest)
    loaded.markerAppended(producerId, 0, 1, 6, true, 1, 1)
  }
  assert.equal(loaded.firstOpenTransactionOffset, -1)
})

test('batches of an older epoch in a snapshot do not count', () => {
  const older = new Partition()
  older.send(1, 0, 0)
  const newer = new Partition()
  newer.send(1, 1, 0)
  const [first, second] = [older.state.encodeSnapshot(), newer.state.encodeSnapshot()]
  const both = Buffer.concat([first, second.subarray(10)])
  both.writeInt32BE(2, 6)
  both.writeUInt32BE(crc32c(both.subarray(6)), 2)
  const loaded = new ProducerState()
  assert.equal(loaded.loadSnapshot(both, 0), true)
  assert.deepEqual(loaded.encodeSnapshot(), second)
})

test('producers one by one: those that were there, whatever comes and goes meanwhile', () => {
  const partition = new Partition()
  for (let id = 1; id <= 4; id++) partition.send(id, 0, 0)
  const all = partition.state.describe()
  const views = partition.state.views()
  const first = views.next().value
  partition.send(5, 0, 0)
  partition.state.forgetOldest(2)
  assert.deepEqual([first, ...views], all)
})
