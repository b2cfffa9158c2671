/**
 * Frames for the fuzz run: valid requests of every API and version, and what mutation makes of them. Everything
 * follows from one seed.
 */
import fc from 'fast-check'
import { encoderFor } from '../../protocol/compile.ts'
import { writeRequestHeader } from '../../protocol/frame.ts'
import type { MessageSchema } from '../../protocol/schema.ts'
import { Writer } from '../../protocol/writer.ts'
import { ANY_SCALAR, messageArbitrary } from '../protocol/arbitrary.ts'
import type { Scalars } from '../protocol/arbitrary.ts'
import type { Seeded } from '../support/seed.ts'

/** Names that mean something to the broker, so that requests get past their first check. */
const NAMES = [
  'fuzz',
  'fuzz-2',
  'g',
  'consumer',
  'range',
  '',
  '..',
  '__consumer_offsets',
  '__proto__',
  'cleanup.policy',
  'retention.ms',
  'compact',
  '0',
  '-1',
  '1000',
]

/** Small numbers more often than large ones: partition 0 exists, partition 71,233,411 does not. */
function biased(type: 'int8' | 'int16' | 'int32' | 'int64', small: readonly number[]): fc.Arbitrary<unknown> {
  return fc.oneof(
    { weight: 5, arbitrary: fc.constantFrom(...small) },
    { weight: 1, arbitrary: ANY_SCALAR[type] },
  )
}

const SMALL = [-2, -1, 0, 0, 0, 1, 1, 2, 3, 10]

function scalars(batches: readonly Buffer[]): Scalars {
  return {
    ...ANY_SCALAR,
    int8: biased('int8', SMALL),
    int16: biased('int16', SMALL),
    int32: biased('int32', [...SMALL, 1_000, 6_000]),
    int64: fc.oneof(
      { weight: 5, arbitrary: biased('int64', [...SMALL, 100]) },
      { weight: 1, arbitrary: ANY_SCALAR.exactInt64 },
    ),
    string: fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom(...NAMES) },
      { weight: 1, arbitrary: ANY_SCALAR.string },
    ),
    records: fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom(...batches) },
      { weight: 1, arbitrary: ANY_SCALAR.records },
    ),
  }
}

/** Valid frames, `perVersion` for each version of each schema. */
export function validFrames(
  schemas: readonly MessageSchema[],
  batches: readonly Buffer[],
  perVersion: number,
  seed: number,
): Buffer[] {
  const values = scalars(batches)
  const frames: Buffer[] = []
  for (const schema of schemas) {
    const [first, last] = schema.versions
    for (let version = first; version <= last; version++) {
      const samples = fc.sample(messageArbitrary(schema, version, values), { seed, numRuns: perVersion })
      for (const value of samples) {
        const writer = new Writer()
        writer.beginFrame()
        writeRequestHeader(writer, {
          apiKey: schema.key,
          apiVersion: version,
          correlationId: 0,
          clientId: 'fuzz',
        })
        encoderFor(schema, version)(writer, value)
        frames.push(writer.finishBuffer())
      }
    }
  }
  return frames
}

const EXTREMES = [-0x8000_0000, -2, -1, 0, 1, 0x7f, 0x7fff, 0xffff, 0x10_0000, 0x7fff_ffff]

/** Shorter frames are not mutated further: the header would be all there is. */
const SHORTEST = 16

type Mutation = (frame: Buffer, random: Seeded, other: Buffer) => Buffer

const mutations: readonly Mutation[] = [
  function flipBits(frame, random) {
    for (let left = random.between(1, 4); left > 0; left--) {
      frame[random.between(4, frame.length - 1)]! ^= 1 << random.between(0, 7)
    }
    return frame
  },
  function setByte(frame, random) {
    frame[random.between(4, frame.length - 1)] = [0, 1, 0x7f, 0x80, 0xfe, 0xff][random.between(0, 5)]!
    return frame
  },
  function setInt32(frame, random) {
    frame.writeInt32BE(
      EXTREMES[random.between(0, EXTREMES.length - 1)]!,
      random.between(12, frame.length - 4),
    )
    return frame
  },
  function setInt16(frame, random) {
    frame.writeInt16BE(
      [-0x8000, -2, -1, 0, 0x7fff][random.between(0, 4)]!,
      random.between(12, frame.length - 2),
    )
    return frame
  },
  function cut(frame, random) {
    return frame.subarray(0, random.between(12, frame.length))
  },
  function append(frame, random) {
    return Buffer.concat([frame, Buffer.alloc(random.between(1, 20), random.between(0, 255))])
  },
  function remove(frame, random) {
    const at = random.between(12, frame.length)
    return Buffer.concat([frame.subarray(0, at), frame.subarray(at + random.between(1, 8))])
  },
  function repeat(frame, random) {
    const at = random.between(12, frame.length)
    const piece = frame.subarray(at, at + random.between(1, 40))
    return Buffer.concat([frame.subarray(0, at), piece, piece, frame.subarray(at)])
  },
  function splice(frame, random, other) {
    return Buffer.concat([
      frame.subarray(0, random.between(12, frame.length)),
      other.subarray(random.between(12, other.length)),
    ])
  },
  function otherVersion(frame, random) {
    frame.writeInt16BE(random.between(-1, 14), 6)
    return frame
  },
]

/** A frame whose size is right again, whatever was done to the rest. Sometimes nothing was done. */
export function mutated(frame: Buffer, other: Buffer, random: Seeded): Buffer {
  let bytes = Buffer.from(frame)
  for (let left = random.between(0, 2); left > 0 && bytes.length >= SHORTEST; left--) {
    bytes = Buffer.from(mutations[random.between(0, mutations.length - 1)]!(bytes, random, other))
  }
  bytes.writeInt32BE(bytes.length - 4, 0)
  return bytes
}
