import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decoderFor } from '../../protocol/compile.ts'
import { readResponseHeader } from '../../protocol/frame.ts'
import { ApiKey } from '../../protocol/keys.ts'
import { apiVersionsResponse } from '../../protocol/messages/18-api-versions.ts'
import { Reader } from '../../protocol/reader.ts'
import { Writer } from '../../protocol/writer.ts'
import { beginFetch, Fixture, heartbeat, produce } from './connection-fixture.ts'

test('frames are found however the bytes are cut', () => {
  const all = Buffer.concat([produce(1, 'a'), produce(2, 'b', 70_000), produce(3, 'c')])
  for (const pieceBytes of [1, 3, 4, 5, 100, 65_536, all.length]) {
    const fixture = new Fixture()
    fixture.receive(all, pieceBytes)
    assert.deepEqual(fixture.log, ['produce a', 'produce b', 'produce c'])
    for (const { respond } of fixture.begun) respond()
    assert.deepEqual(fixture.answered, [1, 2, 3])
    assert.equal(fixture.budget.usedBytes, 0)
  }
})

test('answers leave in the order of the requests', () => {
  const fixture = new Fixture()
  fixture.receive(Buffer.concat([produce(1, 'a'), produce(2, 'b'), produce(3, 'c')]))
  fixture.begun[2]!.respond()
  fixture.begun[1]!.respond()
  assert.deepEqual(fixture.answered, [])
  fixture.begun[0]!.respond()
  assert.deepEqual(fixture.answered, [1, 2, 3])
})

test('a broker that stops answers what it was asked, takes no more, and closes then', () => {
  const fixture = new Fixture()
  fixture.receive(Buffer.concat([produce(1, 'a'), produce(2, 'b'), heartbeat(3, 'g')]))
  fixture.client.end()
  fixture.receive(produce(4, 'c'))
  assert.ok(!fixture.connection.ended)
  fixture.begun[1]!.respond()
  fixture.begun[0]!.respond()
  assert.deepEqual(fixture.log, ['produce a', 'produce b'])
  assert.deepEqual(fixture.answered, [1, 2])
  assert.ok(fixture.connection.ended)
})

test('a broker that stops resets whom it never answered, and ends with whom it did', () => {
  const [stranger, acquainted] = [new Fixture(), new Fixture()]
  acquainted.receive(produce(1, 'a'))
  acquainted.begun[0]!.respond()
  for (const { client } of [stranger, acquainted]) client.end()
  const how = ({ connection: { wasReset, ended } }: Fixture): boolean[] => [wasReset, ended]
  assert.deepEqual(
    [how(stranger), how(acquainted)],
    [
      [true, false],
      [false, true],
    ],
  )
})

test('only produce requests overlap; all others wait for the answers before them', () => {
  const fixture = new Fixture()
  fixture.receive(Buffer.concat([produce(1, 'a'), heartbeat(2, 'g'), produce(3, 'b'), heartbeat(4, 'h')]))
  assert.deepEqual(fixture.log, ['produce a'])
  assert.ok(!fixture.connection.paused, 'while little is held, the end of the connection must be seen')
  fixture.begun[0]!.respond()
  assert.deepEqual(fixture.log, ['produce a', 'heartbeat g'])
  fixture.begun[1]!.respond()
  fixture.begun[2]!.respond()
  fixture.begun[3]!.respond()
  assert.deepEqual(fixture.answered, [1, 2, 3, 4])
  assert.ok(!fixture.connection.paused)
  assert.equal(fixture.budget.usedBytes, 0)
})

test('a client that sends far ahead is not read any more, and not for ever', () => {
  const fixture = new Fixture()
  const ahead = Buffer.concat(Array.from({ length: 1_000 }, (_, i) => heartbeat(i + 2, 'g')))
  fixture.receive(Buffer.concat([heartbeat(1, 'g'), ahead]))
  assert.ok(fixture.connection.paused, 'bytes that cannot be worked on are not read')
  fixture.clock.advance(601_000)
  fixture.client.sweep(fixture.clock.monotonicMs(), 60_000)
  assert.ok(fixture.connection.destroyed)
  assert.equal(fixture.budget.usedBytes, 0)
})

test('a request whose client has left is told so', () => {
  const fixture = new Fixture()
  fixture.receive(heartbeat(1, 'g'))
  let abandoned = 0
  fixture.begun[0]!.context.whenAbandoned(() => (abandoned += 1))
  fixture.client.closed('reset')
  assert.equal(abandoned, 1)
  fixture.begun[0]!.respond()
  assert.equal(fixture.connection.written.length, 0)
})

test('a half frame behind a held one stays behind it', () => {
  const second = heartbeat(2, 'second')
  const fixture = new Fixture()
  fixture.receive(Buffer.concat([heartbeat(1, 'first'), second.subarray(0, 9)]))
  fixture.receive(Buffer.concat([second.subarray(9), heartbeat(3, 'third')]))
  assert.deepEqual(fixture.log, ['heartbeat first'])
  for (let i = 0; i < 3; i++) fixture.begun[i]!.respond()
  assert.deepEqual(fixture.log, ['heartbeat first', 'heartbeat second', 'heartbeat third'])
  assert.deepEqual(fixture.answered, [1, 2, 3])
})

test('acks=0 gets no answer and does not hold up the next', () => {
  const fixture = new Fixture()
  fixture.receive(Buffer.concat([produce(1, 'a', 10, 0), produce(2, 'b')]))
  for (const { respond } of fixture.begun) respond()
  assert.deepEqual(fixture.answered, [2])
  assert.equal(fixture.budget.usedBytes, 0)
})

test('an unknown version of ApiVersions is answered in v0 (KIP-511)', () => {
  const writer = new Writer()
  writer.beginFrame()
  writer.int16(ApiKey.ApiVersions)
  writer.int16(99)
  writer.int32(7)
  writer.int16(-1)
  const fixture = new Fixture()
  fixture.receive(writer.finishBuffer())
  const reader = new Reader(fixture.connection.written[0]!, 4)
  assert.equal(readResponseHeader(reader, ApiKey.ApiVersions, 0), 7)
  const { errorCode, apiKeys } = decoderFor(apiVersionsResponse, 0)(reader)
  assert.equal(errorCode, 35)
  assert.deepEqual(apiKeys, [{ apiKey: 18, minVersion: 0, maxVersion: 4 }])
})

const hostile: Record<string, Buffer> = {
  'a negative size': Buffer.from([0xff, 0xff, 0xff, 0xff]),
  'a size beyond the limit': Buffer.from([0x7f, 0xff, 0xff, 0xff]),
  'a size too small for a header': Buffer.from([0, 0, 0, 2, 0, 0]),
  'an API that is not served': Buffer.from([0, 0, 0, 10, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
  'a version that is not served': Buffer.from([0, 0, 0, 10, 0, 12, 0, 99, 0, 0, 0, 0, 0, 0]),
  'a body that is cut short': Buffer.from([0, 0, 0, 10, 0, 12, 0, 0, 0, 0, 0, 0, 0xff, 0xff]),
  'an HTTP request': Buffer.from('GET / HTTP/1.1\r\nHost: example\r\n\r\n'),
}
for (const [what, bytes] of Object.entries(hostile)) {
  test(`closes the connection on ${what}`, () => {
    for (const pieceBytes of [1, bytes.length]) {
      const fixture = new Fixture()
      fixture.receive(bytes, pieceBytes)
      assert.ok(fixture.connection.destroyed)
      assert.equal(fixture.budget.usedBytes, 0)
    }
  })
}

test('a spent budget stops reading until answers have left', () => {
  const fixture = new Fixture({}, 1_000)
  fixture.receive(produce(1, 'a', 900))
  const other = { refusedBytes: 0, budgetAvailable: () => {} }
  fixture.budget.reserve(500, other)
  assert.ok(fixture.connection.paused)
  fixture.receive(produce(2, 'b', 10))
  assert.deepEqual(fixture.log, ['produce a'])
  fixture.begun[0]!.respond()
  assert.ok(!fixture.connection.paused)
  assert.deepEqual(fixture.log, ['produce a', 'produce b'])
})

test('one client begins a bounded number of requests per turn', () => {
  const fixture = new Fixture()
  fixture.receive(Buffer.concat(Array.from({ length: 400 }, (_, i) => produce(i, `t${i}`, 1))))
  assert.equal(fixture.begun.length, 256)
  assert.ok(fixture.connection.paused, 'that the client leaves is seen when the others have begun')
  fixture.clock.advance(1)
  assert.equal(fixture.begun.length, 400)
  assert.ok(!fixture.connection.paused)
})

test('deadlines: half a request, an idle client', () => {
  const half = new Fixture({ 'samsa.request.timeout.ms': '1000' })
  half.receive(produce(1, 'a').subarray(0, 20))
  half.clock.advance(1_500)
  half.client.sweep(half.clock.monotonicMs(), 60_000)
  assert.ok(half.connection.destroyed)

  const idle = new Fixture({ 'connections.max.idle.ms': '1000' })
  idle.clock.advance(1_500)
  idle.client.sweep(idle.clock.monotonicMs(), 60_000)
  assert.ok(idle.connection.ended)
})

test('a large request over a slow link arrives, unless it keeps memory from others', () => {
  const slow = (budgetBytes: number): Fixture => {
    const settings = { 'samsa.request.timeout.ms': '10000', 'samsa.response.min.rate': '1000' }
    const fixture = new Fixture(settings, budgetBytes)
    const frame = produce(1, 'a'.repeat(30_000))
    for (let at = 0; at < frame.length && !fixture.connection.destroyed; at += 1_500) {
      fixture.receive(frame.subarray(at, at + 1_500))
      fixture.clock.advance(1_000)
      fixture.client.sweep(fixture.clock.monotonicMs(), 60_000)
    }
    return fixture
  }
  assert.equal(slow(1_000_000).begun.length, 1)
  assert.ok(slow(20_000).connection.destroyed)
})

test('requests before a bad frame get their answers', () => {
  const fixture = new Fixture()
  const bad = Buffer.from([0, 0, 0, 10, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0, 0])
  fixture.receive(Buffer.concat([produce(1, 'a'), produce(2, 'b'), bad, produce(3, 'c')]))
  assert.deepEqual(fixture.log, ['produce a', 'produce b'])
  assert.ok(!fixture.connection.ended && !fixture.connection.destroyed)
  fixture.begun[1]!.respond()
  fixture.begun[0]!.respond()
  assert.deepEqual(fixture.answered, [1, 2])
  assert.ok(fixture.connection.ended)
})

test('bytes behind the body are ignored, as librdkafka needs it', () => {
  const fixture = new Fixture()
  const longer = Buffer.concat([heartbeat(1, 'g'), Buffer.from([0, 0, 0])])
  longer.writeInt32BE(longer.length - 4, 0)
  fixture.receive(Buffer.concat([longer, heartbeat(2, 'h')]))
  for (let i = 0; i < 2; i++) fixture.begun[i]!.respond()
  assert.deepEqual(fixture.answered, [1, 2])
})

test('the pieces of an answer go to the network; a pooled buffer comes back when all was taken', () => {
  const { fixture, slice, pooled } = beginFetch()
  const { answers } = fixture.shared
  const bytes = pooled.buffer
  fixture.begun[0]!.respond()
  assert.deepEqual(fixture.connection.pieces.slice(1, 4), [slice, bytes, Buffer.from('batch')])
  assert.ok(answers.usedBytes > 128 * 1024 && answers.usedBytes < 256 * 1024, `${answers.usedBytes}`)
  assert.equal(answers.buffers.idleBytes, 0)
  fixture.client.drained()
  assert.equal(answers.buffers.idleBytes, 128 * 1024)
  assert.equal(answers.usedBytes, 0)
  fixture.client.drained()
  fixture.client.closed('ended')
  assert.equal(slice.releases, 0, 'the network releases it')
})

test('a buffer that was perhaps not sent is not used again', () => {
  const { fixture } = beginFetch()
  fixture.begun[0]!.respond()
  fixture.client.closed('reset')
  assert.equal(fixture.shared.answers.buffers.idleBytes, 0)
  assert.equal(fixture.shared.answers.usedBytes, 0)
})

const losses: Readonly<Record<string, (fixture: Fixture) => void>> = {
  'the client leaves before the answer': (fixture) => {
    fixture.client.closed('ended')
    fixture.begun[0]!.respond()
  },
  'the answer fails': (fixture) => fixture.begun[0]!.context.fail(new Error('expected by this test')),
  'the connection is refused': (fixture) => fixture.begun[0]!.context.refuse('expected by this test'),
  'the answer cannot be encoded': (fixture) => {
    fixture.records.push({ length: 2 ** 31, release: () => {} })
    fixture.begun[0]!.respond()
    assert.ok(fixture.connection.destroyed)
  },
}
for (const [what, lose] of Object.entries(losses)) {
  test(`its pieces are released once when ${what}`, () => {
    const { fixture, slice } = beginFetch()
    lose(fixture)
    assert.equal(slice.releases, 1)
    assert.equal(fixture.shared.answers.buffers.idleBytes, 128 * 1024)
    assert.deepEqual(fixture.connection.pieces, [])
    fixture.client.closed('destroyed')
    const late = { length: 5, releases: 0, release: () => (late.releases += 1) }
    fixture.begun[0]!.context.attach([late])
    assert.equal(late.releases, 1, 'nobody waits for it any more')
  })
}

test('batches that logs have not written count as memory after the answer, and when the client is gone', () => {
  const frame = produce(1, 'a', 300, 0)
  for (const end of ['answered', 'closed'] as const) {
    const fixture = new Fixture()
    fixture.receive(frame)
    const { context, respond } = fixture.begun[0]!
    context.keepBytes()
    context.keepBytes()
    if (end === 'answered') respond()
    fixture.client.closed('reset')
    assert.equal(fixture.budget.usedBytes, frame.length, end)
    context.letBytesGo()
    assert.equal(fixture.budget.usedBytes, frame.length)
    context.letBytesGo()
    assert.equal(fixture.budget.usedBytes, 0)
    context.keepBytes()
    context.letBytesGo()
    assert.equal(fixture.budget.usedBytes, 0, 'what was appended late gives nothing back twice')
  }
})

test('where a request lies others follow, also when its client was gone before it was over', () => {
  const fixture = new Fixture({}, 10_000_000)
  fixture.receive(produce(1, 'a', 300_000))
  const { context, respond } = fixture.begun[0]!
  fixture.client.closed('reset')
  context.releaseBytes()
  assert.equal(fixture.shared.arena.idleLargeBytes, 0)
  respond()
  assert.ok(fixture.shared.arena.idleLargeBytes >= 300_000)
})
