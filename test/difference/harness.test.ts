import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ProtocolError } from '../../protocol/protocol-error.ts'
import { Reader } from '../../protocol/reader.ts'
import { Writer } from '../../protocol/writer.ts'
import { batch, readBatches } from './batches.ts'
import { differencesOf } from './compare.ts'
import { judge } from './explanations.ts'
import { normalise } from './normalise.ts'
import { edges, schemaOf } from './schemas.ts'
import type { Step } from './session.ts'
import { readMessage, writeMessage } from './wire.ts'

const place = { port: 9092, dataDir: '/data', runPrefix: 'run-' }

function step(answer: Step['answer']): Step {
  return { ask: 'Metadata 12', answer }
}

test('every field that differs is told, and elements are compared with their namesakes', () => {
  const kafka = step({
    topics: [
      { name: 'a', errorCode: 'NONE' },
      { name: 'b', errorCode: 'NONE' },
    ],
  })
  const samsa = step({ topics: [{ name: 'b', errorCode: 'INVALID_TOPIC_EXCEPTION' }] })
  assert.deepEqual(
    differencesOf('s', [kafka], [samsa]).map(({ path, kafka: theirs, samsa: ours }) => [path, theirs, ours]),
    [
      ['1 Metadata 12: topics[a]', { name: 'a', errorCode: 'NONE' }, undefined],
      ['1 Metadata 12: topics[b].errorCode', 'NONE', 'INVALID_TOPIC_EXCEPTION'],
    ],
  )
  assert.deepEqual(differencesOf('s', [kafka], [kafka]), [])
  assert.equal(differencesOf('s', [kafka, step('closed')], [kafka]).length, 1, 'a step too few')
  assert.equal(differencesOf('s', [step('closed')], [kafka]).length, 1, 'closed is an answer')
})

test('a difference needs an explanation that fits it, and an explanation a difference', () => {
  const difference = { scenario: 'area: s', path: '1 Metadata 12: errorCode', kafka: 'NONE', samsa: 'X' }
  const fits = { scenario: /^area: s$/, path: /errorCode$/, samsa: 'X' }
  const otherValue = { ...fits, samsa: 'Y' }
  const otherPlace = { ...fits, scenario: /^area: t$/ }
  assert.deepEqual(judge([difference], [{ where: [fits] }]), { unexplained: [], unused: [] })
  assert.deepEqual(judge([difference], [{ where: [otherValue, otherPlace] }]), {
    unexplained: [difference],
    unused: [otherValue, otherPlace],
  })
})

test('what is by chance, by time or by place becomes comparable, and nothing else', () => {
  const id = 'uuid:AAAAAAAAAAAAAAAAAAAAAw'
  const answer = {
    clusterId: 'x1',
    port: 9092,
    timestamp: Date.now() - 5,
    offset: 1_700_000_000_000,
    topics: [
      { name: 'run-2-other', errorCode: 0 },
      { name: 'run-1-t', errorCode: 3, errorMessage: 'no such topic', topicId: id },
      { name: 'run-1-s', errorCode: 0, errorMessage: 'fine', topicId: 'uuid:AAAAAAAAAAAAAAAAAAAAAA' },
    ],
    again: id,
  }
  assert.deepEqual(normalise([{ ask: 'x', answer }], 'run-1-', place)[0]?.answer, {
    clusterId: 'cluster',
    port: 'PORT',
    timestamp: 'now',
    offset: 1_700_000_000_000,
    topics: [
      { name: 's', errorCode: 'NONE', errorMessage: null, topicId: 'no id' },
      { name: 't', errorCode: 'UNKNOWN_TOPIC_OR_PARTITION', errorMessage: 'text', topicId: 'id 1' },
    ],
    again: 'id 1',
  })
})

test('an answer is its message and nothing more', () => {
  const schema = schemaOf('Heartbeat', 'response')
  const writer = new Writer()
  writeMessage(writer, schema, 4, { errorCode: 27 })
  const bytes = writer.finishBuffer()
  assert.deepEqual(readMessage(new Reader(bytes), schema, 4), { throttleTimeMs: 0, errorCode: 27 })
  const longer = Buffer.concat([bytes, Buffer.alloc(1)])
  assert.throws(() => readMessage(new Reader(longer), schema, 4), ProtocolError)
  assert.throws(() => readMessage(new Reader(bytes.subarray(1)), schema, 4), ProtocolError)
  assert.throws(() => writeMessage(new Writer(), schema, 4, { errorcode: 1 }), /no field errorcode/)
})

test('a batch says the truth unless it is told otherwise', () => {
  const [shown] = readBatches(
    batch({ records: ['a', { key: 'k', value: 'b', timestampDelta: 3 }], codec: 'lz4' }),
  )
  const { crc, count, codec, lastOffsetDelta, records } = shown as Record<string, unknown>
  assert.deepEqual(
    [crc, count, codec, lastOffsetDelta, records],
    ['right', 2, 'lz4', 1, ['+0 @0 a', '+3 @1 k=b']],
  )
  const [wrong] = readBatches(batch({ records: ['a'], wrongCrc: true, count: 7 }))
  assert.deepEqual(
    [(wrong as Record<string, unknown>)['crc'], (wrong as Record<string, unknown>)['count']],
    ['wrong', 7],
  )
})

test('versions in which a message changes', () => {
  assert.deepEqual(edges('Heartbeat'), [0, 1, 3, 4])
})
