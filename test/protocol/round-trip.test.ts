import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decoderFor, encoderFor, steppedDecoderFor, steppedEncoderFor } from '../../protocol/compile.ts'
import { ProtocolError, Reader } from '../../protocol/reader.ts'
import type { Schema } from '../../protocol/schema.ts'
import { Writer } from '../../protocol/writer.ts'
import { finished } from '../support/steps.ts'
import { seed } from './seed.ts'
import { allSchemas, versionsOf } from './all-schemas.ts'
import { messageArbitrary } from './arbitrary.ts'
import type { Struct } from './arbitrary.ts'

const RUNS = 10

// Thousands of errors are caught below; their stacks would take most of the time.
Error.stackTraceLimit = 3

const schemas = await allSchemas()

test('there are schemas', () => {
  assert.ok(schemas.length >= 82)
})

for (const schema of schemas) {
  test(`${schema.name} ${schema.kind}`, () => {
    for (const version of versionsOf(schema)) {
      const property = fc.property(messageArbitrary(schema, version), fc.nat(), (value, noise) => {
        const frame = encode(schema, version, value)
        assert.deepEqual(decode(schema, version, frame), value, `v${version}`)
        assert.deepEqual(encodeInSteps(schema, version, value), frame, `v${version}, in steps`)
        assert.deepEqual(decodeInSteps(schema, version, frame), value, `v${version}, in steps`)
        everyCutThrows(schema, version, frame)
        noiseIsRefusedOrDecoded(schema, version, frame, noise)
      })
      fc.assert(property, { seed, numRuns: RUNS })
    }
  })
}

function encode(schema: Schema, version: number, value: Struct): Buffer {
  const writer = new Writer(16)
  encoderFor(schema, version)(writer, value)
  return writer.finishBuffer()
}

function decode(schema: Schema, version: number, frame: Buffer): Struct {
  const reader = new Reader(frame)
  const value = decoderFor(schema, version)(reader)
  reader.expectEnd()
  return value
}

function encodeInSteps(schema: Schema, version: number, value: Struct): Buffer {
  const writer = new Writer(16)
  finished(steppedEncoderFor(schema, version)(writer, value))
  return writer.finishBuffer()
}

function decodeInSteps(schema: Schema, version: number, frame: Buffer): Struct {
  const reader = new Reader(frame)
  const value = finished(steppedDecoderFor(schema, version)(reader))
  reader.expectEnd()
  return value
}

function everyCutThrows(schema: Schema, version: number, frame: Buffer): void {
  const decoder = decoderFor(schema, version)
  const reader = new Reader(frame)
  for (let end = 0; end < frame.length; end++) {
    // The bytes that were cut off stay in the buffer: what lies behind the end must not be read either.
    reader.reset(frame, 0, end)
    assert.ok(
      refuses(() => decoder(reader)),
      `v${version} decodes from ${end} of ${frame.length} bytes`,
    )
  }
}

/** Whether a ProtocolError comes of it; any other error is thrown on. */
function refuses(run: () => void): boolean {
  try {
    run()
    return false
  } catch (error) {
    if (error instanceof ProtocolError) return true
    throw error
  }
}

/** Flips a byte at a time, the same way at each place. */
function noiseIsRefusedOrDecoded(schema: Schema, version: number, frame: Buffer, noise: number): void {
  const decoder = decoderFor(schema, version)
  const reader = new Reader(frame)
  for (let at = 0; at < frame.length; at++) {
    const damaged = Buffer.from(frame)
    damaged[at]! ^= 1 + (noise % 255)
    reader.reset(damaged)
    refuses(() => decoder(reader))
    assert.ok(reader.position <= reader.end)
  }
}
