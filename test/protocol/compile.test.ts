import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  decodeData,
  decoderFor,
  encodeData,
  encoderFor,
  steppedDecoderFor,
  steppedEncoderFor,
} from '../../protocol/compile.ts'
import { holdsMoreThan } from '../../protocol/element-count.ts'
import { fetchRequest } from '../../protocol/messages/01-fetch.ts'
import { metadataRequest } from '../../protocol/messages/03-metadata.ts'
import { offsetFetchRequest } from '../../protocol/messages/09-offset-fetch.ts'
import { deleteTopicsRequest } from '../../protocol/messages/20-delete-topics.ts'
import { consumerProtocolSubscription } from '../../protocol/messages/consumer-protocol.ts'
import { offsetCommitKey, offsetCommitValue } from '../../protocol/messages/group-records.ts'
import { ProtocolError, Reader } from '../../protocol/reader.ts'
import { ZERO_UUID, array, int32, request, string, struct } from '../../protocol/schema.ts'
import type { Encodable, Schema } from '../../protocol/schema.ts'
import { Writer } from '../../protocol/writer.ts'

function encode<S extends Schema>(schema: S, version: number, value: Encodable<S>): Buffer {
  const writer = new Writer()
  encoderFor(schema, version)(writer, value)
  return writer.finishBuffer()
}

const fetch = { maxWaitMs: 1, minBytes: 2, topics: [] }

test('functions are made once per version', () => {
  assert.equal(decoderFor(fetchRequest, 12), decoderFor(fetchRequest, 12))
  assert.notEqual(decoderFor(fetchRequest, 12), decoderFor(fetchRequest, 13))
  assert.equal(encoderFor(fetchRequest, 4), encoderFor(fetchRequest, 4))
})

test('a version that the schema does not have is a mistake of the caller', () => {
  for (const version of [-1, 19, 1.5]) {
    assert.throws(() => decoderFor(fetchRequest, version), RangeError)
    assert.throws(() => encoderFor(fetchRequest, version), RangeError)
  }
})

test('what may be left out gets its default', () => {
  const decoded = decoderFor(fetchRequest, 4)(new Reader(encode(fetchRequest, 4, fetch)))
  assert.deepEqual(decoded, {
    clusterId: null,
    replicaId: -1,
    replicaState: { replicaId: -1, replicaEpoch: -1 },
    maxWaitMs: 1,
    minBytes: 2,
    maxBytes: 0x7fff_ffff,
    isolationLevel: 0,
    sessionId: 0,
    sessionEpoch: -1,
    topics: [],
    forgottenTopicsData: [],
    rackId: '',
  })
})

test('defaults are not shared between messages', () => {
  const frame = encode(fetchRequest, 4, fetch)
  const decoder = decoderFor(fetchRequest, 4)
  const [one, other] = [decoder(new Reader(frame)), decoder(new Reader(frame))]
  one.replicaState.replicaId = 5
  one.forgottenTopicsData.push({ topic: 'a', topicId: ZERO_UUID, partitions: [] })
  assert.equal(other.replicaState.replicaId, -1)
  assert.equal(decoder(new Reader(frame)).forgottenTopicsData.length, 0)
})

test('a value that the version cannot carry is an error, unless it may be dropped', () => {
  assert.deepEqual(
    encode(fetchRequest, 4, { ...fetch, rackId: 'a', clusterId: 'b' }),
    encode(fetchRequest, 4, fetch),
  )
  assert.throws(
    () => encode(fetchRequest, 4, { ...fetch, replicaState: { replicaId: 3 } }),
    new ProtocolError('Fetch request v4 cannot carry replicaState'),
  )
  assert.throws(
    () => encode(fetchRequest, 4, { ...fetch, forgottenTopicsData: [{ partitions: [1] }] }),
    new ProtocolError('Fetch request v4 cannot carry forgottenTopicsData'),
  )
  assert.throws(
    () => encode(fetchRequest, 15, { ...fetch, replicaId: 1 }),
    new ProtocolError('Fetch request v15 cannot carry replicaId'),
  )
  assert.throws(
    () =>
      encode(offsetFetchRequest, 7, { groupId: 'g', topics: [], groups: [{ groupId: 'g', topics: null }] }),
    new ProtocolError('OffsetFetch request v7 cannot carry groups'),
  )
  assert.throws(
    () => encode(deleteTopicsRequest, 5, { topics: [{ name: 'a', topicId: ZERO_UUID }], timeoutMs: 1 }),
    new ProtocolError('DeleteTopics request v5 cannot carry topics'),
  )
  // The value of an absent field that is its default says nothing.
  encode(fetchRequest, 4, { ...fetch, replicaState: { replicaId: -1, replicaEpoch: -1 } })
})

test('null is refused by versions that do not have it', () => {
  assert.throws(
    () => encode(metadataRequest, 0, { topics: null }),
    new ProtocolError('Metadata request v0 cannot carry null in topics'),
  )
  assert.throws(
    () => decoderFor(metadataRequest, 0)(new Reader(Buffer.from('ffffffff', 'hex'))),
    /null array/,
  )
  assert.equal(decoderFor(metadataRequest, 1)(new Reader(Buffer.from('ffffffff', 'hex'))).topics, null)
})

test('tagged fields travel in the order of their tags and may come in any', () => {
  const schema = request({
    key: 999,
    name: 'Example',
    versions: [0, 0],
    flexibleFrom: 0,
    fields: {
      late: string({ tag: 7, default: '' }),
      early: array({ id: int32() }, { tag: 2 }),
      cursor: struct({ at: int32() }, { nullable: true, default: null }),
    },
  })
  const frame = encode(schema, 0, { late: 'x', early: [{ id: 1 }] })
  assert.equal(frame.toString('hex'), 'ff' + '02' + '0206' + '02' + '00000001' + '00' + '0702' + '0278')
  const decode = (hex: string): unknown => {
    const reader = new Reader(Buffer.from(hex, 'hex'))
    const value = decoderFor(schema, 0)(reader)
    reader.expectEnd()
    return value
  }
  const expected = { late: 'x', early: [{ id: 1 }], cursor: null }
  assert.deepEqual(decode(frame.toString('hex')), expected)
  assert.deepEqual(decode('ff' + '03' + '07020278' + '6301ee' + '0206020000000100'), expected)
  assert.throws(() => decode('ff01' + '0703027800'), /tagged field of 3 bytes holds 2/)
  assert.deepEqual(decode('01' + '00000005' + '00' + '00'), { late: '', early: [], cursor: { at: 5 } })
})

test('a huge count of small elements is refused before anything is made of it', () => {
  const frame = Buffer.alloc(64)
  frame.writeInt32BE(0x7fff_ffff)
  assert.throws(() => decoderFor(metadataRequest, 1)(new Reader(frame)), /array of 2147483647 in 60 bytes/)
})

test('data begins with its version', () => {
  const key = encodeData(offsetCommitKey, 1, { group: 'g', topic: 't', partition: 3 })
  assert.equal(key.toString('hex'), '0001' + '000167' + '000174' + '00000003')
  assert.deepEqual(decodeData(offsetCommitKey, key), { group: 'g', topic: 't', partition: 3 })
  assert.throws(
    () => decodeData(offsetCommitKey, Buffer.from('0002000167', 'hex')),
    /OffsetCommitKey of version 2/,
  )
  assert.throws(() => decodeData(offsetCommitKey, Buffer.concat([key, key])), /bytes after the message/)
  const value = {
    offset: 5,
    leaderEpoch: 6,
    metadata: 'm',
    commitTimestamp: 7,
    expireTimestamp: -1,
    topicId: ZERO_UUID,
  }
  assert.deepEqual(decodeData(offsetCommitValue, encodeData(offsetCommitValue, 3, value)), value)
})

test('a newer consumer protocol is read as the last known one', () => {
  const subscription = { topics: ['t'], userData: null, ownedPartitions: [], generationId: 4, rackId: 'r' }
  const bytes = Buffer.concat([
    encodeData(consumerProtocolSubscription, 3, subscription),
    Buffer.from('more'),
  ])
  bytes.writeInt16BE(9)
  assert.deepEqual(decodeData(consumerProtocolSubscription, bytes, 'as-last'), subscription)
  assert.throws(() => decodeData(consumerProtocolSubscription, bytes), /version 9/)
})

test('a message of very many elements is decoded and encoded in many steps', () => {
  const partitions = Array.from({ length: 1_000 }, (_, partition) => ({
    partition,
    fetchOffset: 0,
    partitionMaxBytes: 1,
  }))
  // Many short arrays count as one long one does.
  const topics = Array.from({ length: 100 }, (_, i) => ({
    topic: `t${i}`,
    partitions: partitions.slice(0, 10),
  }))
  for (const asked of [topics, [{ topic: 'a', partitions }]]) {
    const value = { ...fetch, topics: asked }
    const writer = new Writer()
    const encoding = [...steppedEncoderFor(fetchRequest, 12)(writer, value)]
    const frame = writer.finishBuffer()
    assert.deepEqual(frame, encode(fetchRequest, 12, value))
    const decoding = [...steppedDecoderFor(fetchRequest, 12)(new Reader(frame))]
    for (const { length } of [encoding, decoding]) assert.ok(length >= 7 && length <= 9, `${length} steps`)
    assert.ok(holdsMoreThan(1_000, fetchRequest, value))
    assert.ok(!holdsMoreThan(1_100, fetchRequest, value))
  }
  assert.ok(!holdsMoreThan(0, metadataRequest, { topics: null }))
})
