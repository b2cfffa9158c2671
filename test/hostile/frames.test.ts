/** Bytes that are not requests. Each row: what comes in, and that the broker closes that connection and no other. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { decoderFor } from '../../protocol/compile.ts'
import { ErrorCode } from '../../protocol/errors.ts'
import { ApiKey } from '../../protocol/keys.ts'
import { apiVersionsRequest, apiVersionsResponse } from '../../protocol/messages/18-api-versions.ts'
import { Reader } from '../../protocol/reader.ts'
import { Writer } from '../../protocol/writer.ts'
import { Attacker, expectClosed, frameOf, requestFrame } from './attacker.ts'
import { startTarget, within } from './target.ts'
import type { Target } from './target.ts'

const MIB = 1024 * 1024
const REQUEST_TIMEOUT_MS = 1_500

let target: Target

before(async () => {
  target = await startTarget({ 'samsa.request.timeout.ms': String(REQUEST_TIMEOUT_MS) })
})

after(async () => {
  await target[Symbol.asyncDispose]()
})

function bytesOf(write: (writer: Writer) => void): Buffer {
  const writer = new Writer()
  write(writer)
  return writer.finishBuffer()
}

function int32(value: number): Buffer {
  return bytesOf((writer) => writer.int32(value))
}

async function allClosed(rows: Readonly<Record<string, Buffer>>): Promise<void> {
  await target.survives(async () => {
    for (const [what, bytes] of Object.entries(rows)) await expectClosed(target.port, bytes, what)
  })
}

test('a size that no request has', async () => {
  await allClosed({
    'size -1': int32(-1),
    'size -2^31': int32(-0x8000_0000),
    'size 0': int32(0),
    'less than a header': Buffer.concat([int32(7), Buffer.alloc(7)]),
    'more than socket.request.max.bytes': int32(104_857_601),
    'size 2^31 - 1': int32(0x7fff_ffff),
  })
})

test('a size that no request has, in two packets cut anywhere', async () => {
  const sizes = [
    0x9000_0000, 0x8000_0000, 0xffff_ffff, 0xffff_fffc, 0xffff_fffa, 0xdead_beef, 0, 7, 0x7fff_ffff,
  ]
  await target.survives(async () => {
    const attempts = sizes.flatMap((size) =>
      Array.from({ length: 7 }, async (_, cut) => {
        const bytes = Buffer.concat([int32(size | 0), Buffer.alloc(4)])
        const attacker = await Attacker.connect(target.port)
        await attacker.flush(bytes.subarray(0, cut + 1))
        await sleep(50)
        await attacker.flush(bytes.subarray(cut + 1))
        await within(attacker.closed)
        assert.equal(attacker.receivedBytes, 0)
      }),
    )
    await Promise.all(attempts)
  })
})

test('a claim of 100 MiB and then silence, or a byte now and then', async () => {
  const produce = Buffer.concat([int32(100 * MIB), frameOf(ApiKey.Produce, 9, Buffer.alloc(64)).subarray(4)])
  await target.survives(async () => {
    const attackers = await Promise.all(Array.from({ length: 100 }, () => Attacker.connect(target.port)))
    for (const attacker of attackers) attacker.write(produce)
    const dripping = attackers.slice(0, 20)
    const deadlineMs = performance.now() + 60_000
    while (!attackers.every(({ isClosed }) => isClosed)) {
      assert.ok(performance.now() < deadlineMs, 'they live on')
      for (const attacker of dripping) attacker.write(Buffer.from([0]))
      await sleep(100)
    }
    // A byte now and then must not buy more time than the rest had: `all` resolves or the test runs into its limit.
    await Promise.all(attackers.map(({ closed }) => closed))
    assert.ok(attackers.every(({ receivedBytes }) => receivedBytes === 0))
  })
})

test('half a size, and then silence', async () => {
  await target.survives(async () => {
    const attacker = await Attacker.connect(target.port)
    attacker.write(Buffer.from([0, 0]))
    await within(attacker.closed)
  })
})

test('a count that the rest of the request cannot hold', async () => {
  const rows: Record<string, Buffer> = {}
  for (const count of [-2, -0x8000_0000, 0x7fff_ffff, 5]) {
    const body = int32(count)
    rows[`Metadata v1, ${count} topics`] = frameOf(ApiKey.Metadata, 1, body)
    rows[`DescribeGroups v0, ${count} groups`] = frameOf(ApiKey.DescribeGroups, 0, body)
    rows[`DeleteTopics v1, ${count} topics`] = frameOf(
      ApiKey.DeleteTopics,
      1,
      Buffer.concat([body, int32(0)]),
    )
    const produce = bytesOf((writer) => {
      writer.nullableString(null)
      writer.int16(1)
      writer.int32(1)
      writer.int32(count)
    })
    rows[`Produce v7, ${count} topics`] = frameOf(ApiKey.Produce, 7, produce)
  }
  for (const count of [0xffff_ffff, 0x7fff_ffff, 200]) {
    const body = bytesOf((writer) => writer.uvarint(count))
    rows[`Metadata v12, compact count ${count}`] = frameOf(ApiKey.Metadata, 12, body)
    rows[`DescribeGroups v5, compact count ${count}`] = frameOf(ApiKey.DescribeGroups, 5, body)
  }
  rows['a varint of six bytes'] = frameOf(ApiKey.Metadata, 12, Buffer.from([0x80, 0x80, 0x80, 0x80, 0x80, 0]))
  rows['a varint of more than 32 bits'] = frameOf(
    ApiKey.Metadata,
    12,
    Buffer.from([0xff, 0xff, 0xff, 0xff, 0x7f]),
  )
  await allClosed(rows)
})

test('a count that the rest holds, but that is made to become millions of objects', async () => {
  const count = 7_000_000
  const body = Buffer.concat([int32(count), Buffer.alloc(2 * count), Buffer.from([0])])
  await allClosed({ 'Metadata v4 with 7 million empty names': frameOf(ApiKey.Metadata, 4, body) })
})

test('millions of unknown tagged fields in a header', async () => {
  const count = 20_000_000
  const flood = Buffer.alloc(2 * count)
  const header = bytesOf((writer) => {
    writer.int16(ApiKey.ApiVersions)
    writer.int16(3)
    writer.int32(1)
    writer.nullableString('x')
    writer.uvarint(count)
  })
  const small = Buffer.concat([header, flood.subarray(0, 1000)])
  await allClosed({
    'the frame of 40 MB': Buffer.concat([int32(header.length + flood.length), header, flood]),
    'a frame that only claims them': Buffer.concat([int32(small.length), small]),
  })
})

test('a few unknown tagged fields are what a newer client sends', async () => {
  await target.survives(async () => {
    const frame = bytesOf((writer) => {
      writer.beginFrame()
      writer.int16(ApiKey.ApiVersions)
      writer.int16(3)
      writer.int32(9)
      writer.nullableString(null)
      writer.raw(Buffer.from([2, 5, 1, 0xff, 9, 0]))
      writer.compactString('client')
      writer.compactString('1.0')
      writer.raw(Buffer.from([1, 100, 2, 1, 2]))
    })
    const attacker = await Attacker.connect(target.port)
    attacker.write(frame)
    const [answer] = await attacker.answers(1)
    assert.equal(answer!.readInt32BE(0), 9)
    assert.equal(answer!.readInt16BE(4), ErrorCode.NONE)
    attacker.destroy()
  })
})

test('an API or a version that is not served', async () => {
  const rows: Record<string, Buffer> = {}
  for (const key of [-1, 4, 5, 6, 7, 999, 0x7fff, -0x8000])
    rows[`API ${key}`] = frameOf(key, 0, Buffer.alloc(8))
  for (const [key, version] of [
    [ApiKey.Produce, 99],
    [ApiKey.Produce, -1],
    [ApiKey.Fetch, 3],
    [ApiKey.Fetch, 0x7fff],
    [ApiKey.Metadata, 99],
    [ApiKey.OffsetFetch, 0],
  ] as const) {
    rows[`API ${key} v${version}`] = frameOf(key, version, Buffer.alloc(8))
  }
  await allClosed(rows)
})

test('an unknown version of ApiVersions is answered in v0, and the connection goes on', async () => {
  await target.survives(async () => {
    const attacker = await Attacker.connect(target.port)
    for (const version of [5, 99, 0x7fff])
      attacker.write(frameOf(ApiKey.ApiVersions, version, Buffer.alloc(0), version))
    const value = { clientSoftwareName: 'a', clientSoftwareVersion: '1' }
    attacker.write(requestFrame(apiVersionsRequest, 3, value, 77))
    const answers = await attacker.answers(4)
    for (const [index, version] of [5, 99, 0x7fff].entries()) {
      const reader = new Reader(answers[index]!)
      assert.equal(reader.int32(), version)
      const { errorCode, apiKeys } = decoderFor(apiVersionsResponse, 0)(reader)
      reader.expectEnd()
      assert.equal(errorCode, ErrorCode.UNSUPPORTED_VERSION)
      assert.deepEqual(apiKeys, [{ apiKey: ApiKey.ApiVersions, minVersion: 0, maxVersion: 4 }])
    }
    assert.equal(answers[3]!.readInt32BE(0), 77)
    attacker.destroy()
  })
})

test('strings and bodies that are not what they should be', async () => {
  const metadata = (name: Buffer): Buffer => Buffer.concat([int32(1), name, Buffer.from([0])])
  const groups = (...names: number[]): Buffer => Buffer.concat([int32(1), Buffer.from(names)])
  await allClosed({
    'invalid UTF-8': frameOf(ApiKey.Metadata, 4, metadata(Buffer.from([0, 2, 0xc3, 0x28]))),
    'a surrogate in UTF-8': frameOf(ApiKey.Metadata, 4, metadata(Buffer.from([0, 3, 0xed, 0xa0, 0x80]))),
    'null where it is not allowed': frameOf(ApiKey.Metadata, 4, metadata(Buffer.from([0xff, 0xff]))),
    'a string of length -2': frameOf(ApiKey.DescribeGroups, 0, groups(0xff, 0xfe)),
    'a string longer than the request': frameOf(ApiKey.DescribeGroups, 0, groups(0x7f, 0xff, 0x61)),
    'a body that ends early': frameOf(ApiKey.Heartbeat, 0, Buffer.from([0, 1])),
    'no body': frameOf(ApiKey.Metadata, 12, Buffer.alloc(0)),
    'a client id of length -2': Buffer.concat([
      int32(10),
      Buffer.from('00120000' + '00000001' + 'fffe', 'hex'),
    ]),
    'a client id that is not UTF-8': Buffer.concat([
      int32(12),
      Buffer.from('00120000' + '00000001' + '0002c328', 'hex'),
    ]),
  })
})

test('other protocols', async () => {
  const http = 'GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n'
  const tls = Buffer.concat([Buffer.from('16030100f8010000f40303', 'hex'), Buffer.alloc(240, 7)])
  const linesBefore = (await target.log()).split('\n').length
  await target.survives(async () => {
    for (let round = 0; round < 100; round++) {
      await Promise.all([
        expectClosed(target.port, Buffer.from(http), 'HTTP'),
        expectClosed(target.port, tls, 'TLS'),
        expectClosed(target.port, Buffer.from('SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n'), 'SSH'),
      ])
    }
  })
  const lines = (await target.log()).split('\n').length - linesBefore
  assert.ok(lines < 150, `300 connections that are none wrote ${lines} lines to the log`)
})
