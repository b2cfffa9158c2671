import assert from 'node:assert/strict'
import { test } from 'node:test'
import zlib from 'node:zlib'
import { CompressionError } from '../../protocol/compression-error.ts'
import { Codec, compress, decompress } from '../../protocol/compression.ts'
import { decompressLz4Block, lz4Blocks } from '../../protocol/lz4.ts'
import { xxhash32 } from '../../protocol/xxhash32.ts'
import { Seeded } from '../support/seed.ts'

const TEXT = 'the quick brown fox jumps over the lazy dog. '.repeat(40)
/** TEXT, or LONG, by the command line tools lz4 and zstd and by the snappy crate. */
const LZ4_FRAME =
  'BCJNGGRApz8AAADwEHRoZSBxdWljayBicm93biBmb3gganVtcHMgb3ZlciAfAJFsYXp5IGRvZy4OAA8tAP///////8VQZG9nLiAAAAAAKS599A=='
const LZ4_LINKED =
  'BCJNGEBAwDkBAADwEHRoZSBxdWljayBicm93biBmb3gganVtcHMgb3ZlciAfAJFsYXp5IGRvZy4OAA8tAP////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////+3UHJvd24gCgEAAA/w///////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////oUHZlciB0OQEAAPEcaGUgbGF6eSBkb2cuIHRoZSBxdWljayBicm93biBmb3gganVtcHMgb3Zlch8ADy0A/////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////7hQLiB0aGVVAAAAD/D/////////////////////////////////////////////////////////////////////////////////////////////////////81Bkb2cuIAAAAAA='
const ZSTD_MANY =
  'KLUv/QBYxAEAxAJ0aGUgcXVpY2sgYnJvd24gZm94IGp1bXBzIG92ZXIgdGhlIGxhenkgZG9nLgIAzP9QZcAQZhlNAAAIaAEAvEs5EAI='
const ZSTD_FRAME =
  'KLUv/WQIBr0BAMQCdGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIHRoZSBsYXp5IGRvZy4CANRC9QFDmGU0h31/'
const SNAPPY_RAW =
  'iA54dGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIAEfIGxhenkgZG9nLgUO/i0A/i0A/i0A/i0A/i0A/i0A/i0A/i0A/i0A/i0A/i0A/i0A/i0A/i0A/i0A/i0A/i0A/i0A/i0A/i0A/i0A/i0A/i0A/i0A/i0A/i0A/i0AWi0A'

const LONG = TEXT.repeat(120)

const samples: [string, number, Buffer, string?][] = [
  ['gzip', Codec.GZIP, zlib.gzipSync(TEXT)],
  [
    'gzip of two members',
    Codec.GZIP,
    Buffer.concat([zlib.gzipSync(TEXT.slice(0, 99)), zlib.gzipSync(TEXT.slice(99))]),
  ],
  ['lz4', Codec.LZ4, Buffer.from(LZ4_FRAME, 'base64')],
  ['zstd', Codec.ZSTD, Buffer.from(ZSTD_FRAME, 'base64')],
  ['zstd, several blocks', Codec.ZSTD, Buffer.from(ZSTD_MANY, 'base64'), LONG],
  ['snappy, bare', Codec.SNAPPY, Buffer.from(SNAPPY_RAW, 'base64')],
  ['snappy, framed', Codec.SNAPPY, compress(Codec.SNAPPY, Buffer.from(TEXT))!],
]

function failure(codec: number, data: Buffer, limit = 1 << 20): string {
  try {
    decompress(codec, data, limit)
    return 'none'
  } catch (error) {
    assert.ok(error instanceof CompressionError, String(error))
    return error.reason
  }
}

for (const [name, codec, data, text = TEXT] of samples) {
  test(`${name}: decodes, keeps to the limit, survives damage`, () => {
    assert.equal(decompress(codec, data, text.length).toString(), text)
    assert.equal(failure(codec, data, text.length - 1), 'too-large')
    for (let cut = 1; cut < data.length; cut += text === TEXT ? 1 : 37) {
      // Cut inside, it is refused, or what is left happens to be whole frames.
      assert.ok(['invalid', 'none'].includes(failure(codec, data.subarray(0, cut))))
    }
    const random = new Seeded()
    for (let round = 0; round < 200; round++) {
      const damaged = Buffer.from(data)
      for (let i = random.between(1, 4); i > 0; i--)
        damaged[random.between(0, data.length - 1)] = random.uint32()
      failure(codec, damaged, 4096)
    }
  })
}

test('several frames of zstd follow each other', () => {
  const bytes = Buffer.from(ZSTD_FRAME, 'base64')
  const twice = Buffer.concat([bytes, bytes])
  assert.equal(decompress(Codec.ZSTD, twice, 1 << 20).toString(), TEXT + TEXT)
  assert.equal(failure(Codec.ZSTD, twice, TEXT.length * 2 - 1), 'too-large')
})

test('an lz4 frame is what Kafka and its Java clients read, or refused', () => {
  const frame = Buffer.from(LZ4_FRAME, 'base64')
  assert.equal(
    decompress(Codec.LZ4, Buffer.concat([frame, frame]), 1 << 20).toString(),
    TEXT,
    'the first one',
  )
  assert.equal(failure(Codec.LZ4, Buffer.from(LZ4_LINKED, 'base64')), 'invalid', 'linked blocks')
  for (const [at, what] of [
    [0, 'magic'],
    [4, 'flags'],
    [5, 'block size'],
    [6, 'checksum of the header'],
  ] as const) {
    const changed = Buffer.from(frame)
    changed[at] = changed[at]! ^ 0x10
    assert.equal(failure(Codec.LZ4, changed), 'invalid', what)
  }
  const [block] = lz4Blocks(frame)
  assert.equal(block?.maxBytes, 64 << 10)
  assert.equal(decompressLz4Block(block, 1 << 20).toString(), TEXT)
})

test('xxHash as others have it', () => {
  for (const [text, hash] of [
    ['', 0x02cc5d05],
    ['a', 0x550d7456],
    ['abc', 0x32d153ff],
    ['Nobody inspects the spammish repetition', 0xe2293b2f],
  ] as const)
    assert.equal(xxhash32(Buffer.from(text)), hash, text)
})

test('bombs cost no more than their limit', () => {
  assert.equal(failure(Codec.GZIP, zlib.gzipSync(Buffer.alloc(64 << 20)), 1 << 20), 'too-large')
  // A header of three bytes that says 4 GiB.
  assert.equal(failure(Codec.SNAPPY, Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f, 0]), 1 << 20), 'invalid')
  assert.equal(failure(Codec.SNAPPY, Buffer.from([0x80, 0x80, 0x20, 0]), 1 << 20), 'invalid')
  // A window of 2 GiB.
  assert.equal(failure(Codec.ZSTD, Buffer.from('28b52ffd00a8010000', 'hex'), 1 << 20), 'too-large')
})

test('what can be compressed comes back', () => {
  const random = new Seeded()
  for (const length of [0, 1, 100, 32 * 1024, 100_000]) {
    const data = Buffer.from(Array.from({ length }, () => random.between(0, 3)))
    for (const codec of [Codec.NONE, Codec.GZIP, Codec.SNAPPY]) {
      const compressed = compress(codec, data)
      assert.ok(compressed !== null)
      assert.deepEqual(
        decompress(codec, compressed, Math.max(1, length)),
        data,
        `codec ${codec}, ${length}, seed ${random.seed}`,
      )
    }
  }
  assert.equal(compress(Codec.LZ4, Buffer.from('x')), null)
  assert.equal(failure(9, Buffer.from('x')), 'unsupported')
})
