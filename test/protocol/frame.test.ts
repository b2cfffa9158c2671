import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  readRequestHeader,
  readResponseHeader,
  writeRequestHeader,
  writeResponseHeader,
} from '../../protocol/frame.ts'
import { ApiKey } from '../../protocol/keys.ts'
import { ProtocolError, Reader } from '../../protocol/reader.ts'
import { Writer } from '../../protocol/writer.ts'

function hex(write: (writer: Writer) => void): string {
  const writer = new Writer()
  write(writer)
  return writer.finishBuffer().toString('hex')
}

function request(apiKey: number, apiVersion: number, clientId: string | null = 'me'): string {
  return hex((writer) => writeRequestHeader(writer, { apiKey, apiVersion, correlationId: 258, clientId }))
}

function response(apiKey: number, apiVersion: number): string {
  return hex((writer) => writeResponseHeader(writer, apiKey, apiVersion, 258))
}

test('the client id keeps its two-byte length in flexible headers', () => {
  assert.equal(request(ApiKey.Fetch, 11), '0001' + '000b' + '00000102' + '00026d65')
  assert.equal(request(ApiKey.Fetch, 12), '0001' + '000c' + '00000102' + '00026d65' + '00')
  assert.equal(request(ApiKey.Fetch, 12, null), '0001' + '000c' + '00000102' + 'ffff' + '00')
})

test('APIs that never became flexible have no tag buffer', () => {
  assert.equal(request(ApiKey.SaslHandshake, 1), '0011' + '0001' + '00000102' + '00026d65')
  assert.equal(request(ApiKey.OffsetDelete, 0), '002f' + '0000' + '00000102' + '00026d65')
  assert.equal(response(ApiKey.OffsetDelete, 0), '00000102')
})

test('ControlledShutdown v0 has no client id', () => {
  assert.equal(request(ApiKey.ControlledShutdown, 0), '0007' + '0000' + '00000102')
  assert.equal(request(ApiKey.ControlledShutdown, 1), '0007' + '0001' + '00000102' + '00026d65')
})

test('the answer to ApiVersions has no tag buffer in any version', () => {
  for (const version of [0, 3, 4, 99]) assert.equal(response(ApiKey.ApiVersions, version), '00000102')
  assert.equal(request(ApiKey.ApiVersions, 3), '0012' + '0003' + '00000102' + '00026d65' + '00')
  assert.equal(response(ApiKey.Metadata, 8), '00000102')
  assert.equal(response(ApiKey.Metadata, 9), '0000010200')
})

test('headers come back', () => {
  for (const apiKey of Object.values(ApiKey)) {
    for (let apiVersion = 0; apiVersion < 20; apiVersion++) {
      const reader = new Reader(Buffer.from(request(apiKey, apiVersion), 'hex'))
      const clientId = apiKey === ApiKey.ControlledShutdown && apiVersion === 0 ? null : 'me'
      assert.deepEqual(readRequestHeader(reader), { apiKey, apiVersion, correlationId: 258, clientId })
      reader.expectEnd()
      reader.reset(Buffer.from(response(apiKey, apiVersion), 'hex'))
      assert.equal(readResponseHeader(reader, apiKey, apiVersion), 258)
      reader.expectEnd()
    }
  }
})

test('a header of an unknown API is read as v1', () => {
  const reader = new Reader(Buffer.from(request(1234, 7), 'hex'))
  assert.deepEqual(readRequestHeader(reader), {
    apiKey: 1234,
    apiVersion: 7,
    correlationId: 258,
    clientId: 'me',
  })
  reader.expectEnd()
})

test('millions of tagged fields in a header are refused at their count', () => {
  const frame = Buffer.concat([
    Buffer.from('0012000300000102ffff', 'hex'),
    Buffer.from([0x80, 0xda, 0xc4, 0x09]),
  ])
  const padded = Buffer.concat([frame, Buffer.alloc(1000)])
  assert.throws(() => readRequestHeader(new Reader(padded)), ProtocolError)
})
