import assert from 'node:assert/strict'
import { test } from 'node:test'
import zlib from 'node:zlib'
import { CompressionError } from '../../protocol/compression-error.ts'
import { Codec, compress } from '../../protocol/compression.ts'
import { SystemCodecs } from '../../src/system/system-codecs.ts'

const TEXT = Buffer.from('the quick brown fox jumps over the lazy dog. '.repeat(20_000))
const ZSTD_FRAME =
  'KLUv/WQIBr0BAMQCdGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIHRoZSBsYXp5IGRvZy4CANRC9QFDmGU0h31/'
const LZ4_FRAME =
  'BCJNGGRApz8AAADwEHRoZSBxdWljayBicm93biBmb3gganVtcHMgb3ZlciAfAJFsYXp5IGRvZy4OAA8tAP///////8VQZG9nLiAAAAAAKS599A=='
const SHORT = TEXT.subarray(0, 1_800)

const samples: [string, number, Buffer, Buffer][] = [
  ['none', Codec.NONE, TEXT, TEXT],
  ['gzip', Codec.GZIP, zlib.gzipSync(TEXT), TEXT],
  ['snappy', Codec.SNAPPY, compress(Codec.SNAPPY, TEXT)!, TEXT],
  ['lz4', Codec.LZ4, Buffer.from(LZ4_FRAME, 'base64'), SHORT],
  ['zstd', Codec.ZSTD, Buffer.from(ZSTD_FRAME, 'base64'), SHORT],
]

const wanted = (): boolean => true

async function failure(codec: number, data: Buffer, maxOutputBytes: number): Promise<string> {
  try {
    await new SystemCodecs().decompress(codec, data, maxOutputBytes, wanted)
    return 'none'
  } catch (error) {
    assert.ok(error instanceof CompressionError, String(error))
    return error.reason
  }
}

for (const [name, codec, data, text] of samples) {
  test(`${name}: decodes away from the loop, and keeps to the limit`, async () => {
    const codecs = new SystemCodecs()
    assert.deepEqual(await codecs.decompress(codec, data, text.length, wanted), text)
    assert.equal(await failure(codec, data, text.length - 1), 'too-large')
    if (codec !== Codec.NONE)
      assert.equal(await failure(codec, data.subarray(0, data.length - 9), 1 << 20), 'invalid')
  })
}

test('an unknown codec is said to be one', async () => {
  assert.equal(await failure(7, TEXT, 1 << 20), 'unsupported')
})

test('one at a time, a failure keeps nobody, and what nobody wants any more is left out', async () => {
  const codecs = new SystemCodecs()
  const order: string[] = []
  let isWanted = true
  const first = codecs.decompress(Codec.GZIP, zlib.gzipSync(TEXT), TEXT.length, () => order.push('first') > 0)
  const broken = codecs.decompress(Codec.GZIP, TEXT, TEXT.length, () => order.push('broken') > 0)
  const left = codecs.decompress(Codec.GZIP, zlib.gzipSync(TEXT), TEXT.length, () => isWanted)
  const last = codecs.decompress(Codec.NONE, TEXT, TEXT.length, () => order.push('last') > 0)
  isWanted = false
  await first
  assert.ok(order.length <= 2, 'others wait for the first')
  await assert.rejects(broken, CompressionError)
  assert.equal(await left, null)
  assert.deepEqual(await last, TEXT)
  assert.deepEqual(order, ['first', 'broken', 'last'])
})

test('a megabyte that becomes sixty leaves the loop to others', async () => {
  const much = zlib.gzipSync(Buffer.alloc(60 << 20))
  let turns = 0
  const counting = setInterval(() => (turns += 1), 1)
  await new SystemCodecs().decompress(Codec.GZIP, much, 64 << 20, wanted)
  clearInterval(counting)
  assert.ok(turns > 5, `${turns} turns`)
})
