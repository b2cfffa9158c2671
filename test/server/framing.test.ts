/** The first eight bytes of a frame, with every sign and many sizes, cut at every set of places. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FrameArena } from '../../src/server/frame-arena.ts'
import { Fixture, heartbeat, produce } from './connection-fixture.ts'

const PREFIX_BYTES = 8
const MAX_REQUEST_BYTES = 1_000
/** Behind the first eight bytes: enough for the largest size that is allowed. */
const BODY = Buffer.alloc(MAX_REQUEST_BYTES)

const good = { heartbeat: heartbeat(7, 'g'), produce: produce(7, 't', 10) }

/** Around everything that means something: both signs, powers of two, the limits. */
function sizes(): number[] {
  const near = [0, PREFIX_BYTES, MAX_REQUEST_BYTES, good.heartbeat.length - 4, 2 ** 31 - 1]
  const found = [0x90000000, 0xfffffffa, 0xdeadbeef]
  for (const size of near) for (const off of [-5, -4, -1, 0, 1, 5]) found.push(size + off, -size + off)
  for (let bit = 0; bit < 31; bit++) found.push(2 ** bit, -(2 ** bit))
  return [...new Set(found.map((size) => size | 0))]
}

/** Bytes 4 to 8: API key and version. */
const heads = [0x0000_0009, 0x000c_0004, 0x0012_0003, 0x7fff_0000, -1, -0x8000_0000]

/** A megabyte, of which no connection keeps anything once it is closed. */
const arena = new FrameArena()

type End = 'closed' | 'waits' | 'begun'

function outcome(bytes: Buffer, cuts: number): End {
  const settings = { 'socket.request.max.bytes': String(MAX_REQUEST_BYTES) }
  const fixture = new Fixture(settings, 1_000_000, 1_000, arena)
  let from = 0
  for (let at = 1; at <= bytes.length; at++) {
    const cut = at < PREFIX_BYTES ? ((cuts >> (at - 1)) & 1) === 1 : at === PREFIX_BYTES && cuts > 0
    if (!cut && at < bytes.length) continue
    fixture.receive(bytes.subarray(from, at))
    from = at
  }
  const { destroyed } = fixture.connection
  if (destroyed) assert.equal(fixture.budget.usedBytes, 0)
  fixture.client.closed('reset')
  assert.equal(fixture.budget.usedBytes, 0)
  if (destroyed) return 'closed'
  return fixture.begun.length > 0 ? 'begun' : 'waits'
}

test('what becomes of a frame does not depend on where its first bytes are cut', () => {
  for (const size of sizes()) {
    for (const head of heads) {
      const prefix = Buffer.alloc(PREFIX_BYTES)
      prefix.writeInt32BE(size)
      prefix.writeInt32BE(head, 4)
      const bytes = Buffer.concat([prefix, BODY.subarray(0, Math.max(0, Math.min(size, BODY.length) - 4))])
      const whole = outcome(bytes, 0)
      if (size < PREFIX_BYTES || size > MAX_REQUEST_BYTES) assert.equal(whole, 'closed', `size ${size}`)
      for (let cuts = 1; cuts < 128; cuts++) {
        assert.equal(outcome(bytes, cuts), whole, `size ${size}, then ${head}, cut at ${cuts.toString(2)}`)
      }
    }
  }
})

test('a size that no frame has closes the connection with the byte that completes it', () => {
  for (const size of sizes()) {
    if (size >= PREFIX_BYTES && size <= MAX_REQUEST_BYTES) continue
    const prefix = Buffer.alloc(4)
    prefix.writeInt32BE(size)
    for (let cuts = 0; cuts < 8; cuts++) assert.equal(outcome(prefix, cuts), 'closed', `size ${size}`)
  }
})

test('a good request begins wherever it is cut', () => {
  for (const frame of Object.values(good)) {
    for (let cuts = 0; cuts < 128; cuts++) assert.equal(outcome(frame, cuts), 'begun')
  }
})
