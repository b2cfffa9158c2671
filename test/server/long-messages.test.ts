import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encoderFor } from '../../protocol/compile.ts'
import { writeRequestHeader } from '../../protocol/frame.ts'
import { ApiKey } from '../../protocol/keys.ts'
import { produceRequest } from '../../protocol/messages/00-produce.ts'
import { Writer } from '../../protocol/writer.ts'
import { Fixture, produce } from './connection-fixture.ts'
import { until } from '../support/until.ts'

/** A produce request to very many partitions. */
function produceToMany(correlationId: number, topic: string, partitions: number): Buffer {
  const writer = new Writer()
  writer.beginFrame()
  writeRequestHeader(writer, { apiKey: ApiKey.Produce, apiVersion: 9, correlationId, clientId: null })
  const partitionData = Array.from({ length: partitions }, (_, index) => ({
    index,
    records: Buffer.alloc(1),
  }))
  encoderFor(produceRequest, 9)(writer, {
    acks: 1,
    timeoutMs: 1,
    topicData: [{ name: topic, partitionData }],
  })
  return writer.finishBuffer()
}

test('a request of very many elements is decoded in slices, and nothing overtakes it', async () => {
  const fixture = new Fixture()
  const long = produceToMany(1, 'long', 20_000)
  fixture.receive(Buffer.concat([long, produce(2, 'next')]))
  assert.deepEqual(fixture.log, [], 'not all of it at once')
  await until(() => fixture.log.length > 0)
  assert.deepEqual(fixture.log, ['produce long'])
  assert.ok(fixture.budget.usedBytes > 4 * long.length, 'what it was decoded to counts as well')
  fixture.begun[0]!.respond()
  assert.deepEqual(fixture.log, ['produce long', 'produce next'])
  fixture.begun[1]!.respond()
  assert.deepEqual(fixture.answered, [1, 2])
  assert.equal(fixture.budget.usedBytes, 0)
})

test('a long request that is none closes the connection', async () => {
  const broken = produceToMany(1, 'long', 20_000)
  broken.writeUInt8(0xff, broken.length - 3)
  const fixture = new Fixture()
  fixture.receive(broken)
  await until(() => fixture.connection.destroyed)
  assert.deepEqual(fixture.log, [])
  assert.equal(fixture.budget.usedBytes, 0)
})

test('a long request whose client has left is forgotten', async () => {
  const fixture = new Fixture()
  fixture.receive(produceToMany(1, 'long', 20_000))
  fixture.client.closed('reset')
  for (let turn = 0; turn < 100; turn++) await new Promise(setImmediate)
  assert.deepEqual(fixture.log, [])
  assert.equal(fixture.budget.usedBytes, 0)
})

test('an answer of very many elements is encoded in slices, and keeps its place', async () => {
  const fixture = new Fixture()
  fixture.manyAnswered = 30_000
  fixture.receive(Buffer.concat([produce(1, 'a'), produce(2, 'b')]))
  fixture.begun[0]!.respond()
  fixture.manyAnswered = 0
  fixture.begun[1]!.respond()
  assert.deepEqual(fixture.answered, [])
  await until(() => fixture.answered.length > 0)
  assert.deepEqual(fixture.answered, [1, 2])
  assert.ok(fixture.connection.written[0]!.length > 30_000 * 20)
  assert.equal(fixture.budget.usedBytes, 0)
})
