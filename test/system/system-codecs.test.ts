import assert from 'node:assert/strict'
import { test } from 'node:test'
import zlib from 'node:zlib'
import { CompressionError } from '../../protocol/compression-error.ts'
import { Codec, compress } from '../../protocol/compression.ts'
import { installedCodecs } from '../../src/system/native-codecs.ts'
import { SystemCodecs } from '../../src/system/system-codecs.ts'
import { Seeded } from '../support/seed.ts'

const TEXT = Buffer.from('the quick brown fox jumps over the lazy dog. '.repeat(20_000))
const ZSTD_FRAME =
  'KLUv/WQIBr0BAMQCdGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIHRoZSBsYXp5IGRvZy4CANRC9QFDmGU0h31/'
const LZ4_FRAME =
  'BCJNGGRApz8AAADwEHRoZSBxdWljayBicm93biBmb3gganVtcHMgb3ZlciAfAJFsYXp5IGRvZy4OAA8tAP///////8VQZG9nLiAAAAAAKS599A=='
test('the optional packages are there, so both ways are tested', () => {
  for (const codec of [installedCodecs.snappy, installedCodecs.lz4, installedCodecs.zstd])
    assert.notEqual(codec(), null)
})

const SHORT = TEXT.subarray(0, 1_800)

const samples: [string, number, Buffer, Buffer][] = [
  ['none', Codec.NONE, TEXT, TEXT],
  ['gzip', Codec.GZIP, zlib.gzipSync(TEXT), TEXT],
  ['snappy', Codec.SNAPPY, compress(Codec.SNAPPY, TEXT)!, TEXT],
  ['lz4', Codec.LZ4, Buffer.from(LZ4_FRAME, 'base64'), SHORT],
  ['zstd', Codec.ZSTD, Buffer.from(ZSTD_FRAME, 'base64'), SHORT],
]

const none = (): null => null
const ways: [string, SystemCodecs][] = [
  ['installed', new SystemCodecs()],
  ['JavaScript', new SystemCodecs({ natives: { snappy: none, lz4: none, zstd: none } })],
]

async function whole(codecs: SystemCodecs, codec: number, data: Buffer): Promise<Buffer> {
  const pieces: Buffer[] = []
  await codecs.decompress(codec, data, (bytes) => {
    assert.ok(bytes.length > 0 && bytes.length <= 1 << 20)
    pieces.push(Buffer.from(bytes))
    return true
  })
  return Buffer.concat(pieces)
}

function nowOrWhy(codecs: SystemCodecs, codec: number, data: Buffer): string {
  try {
    return codecs.decompressNow(codec, data) === null ? 'null' : 'decoded'
  } catch (error) {
    assert.ok(error instanceof CompressionError, String(error))
    return error.reason
  }
}

async function failure(decode: () => Promise<unknown>): Promise<string> {
  try {
    await decode()
    return 'none'
  } catch (error) {
    assert.ok(error instanceof CompressionError, String(error))
    return error.reason
  }
}

for (const [way, codecs] of ways)
  for (const [name, codec, data, text] of samples) {
    test(`${name}, ${way}: in pieces, at once where it is little, and never with damage`, async () => {
      assert.deepEqual(await whole(codecs, codec, data), text)
      const now = codecs.decompressNow(codec, data)
      if (text.length > 128 * 1024) assert.equal(now, null)
      else assert.deepEqual(Buffer.concat(now ?? []), text)
      if (codec === Codec.NONE) return
      const cut = data.subarray(0, data.length - 9)
      assert.equal(await failure(() => whole(codecs, codec, cut)), 'invalid')
      if (text === SHORT) assert.throws(() => codecs.decompressNow(codec, cut), CompressionError)
      const noise = Buffer.from('neither of these is what it says to be')
      assert.equal(await failure(() => whole(codecs, codec, noise)), 'invalid')
      // What says that it becomes much is not for now.
      assert.ok(['null', 'invalid'].includes(nowOrWhy(codecs, codec, noise)))
    })

    test(`${name}, ${way}: no more than is wanted`, async () => {
      let shown = 0
      await codecs.decompress(codec, data, () => ++shown < 2)
      assert.equal(shown, Math.min(2, Math.ceil(text.length / (32 * 1024))))
    })
  }

const codecs = new SystemCodecs()

test('an unknown codec is said to be one', async () => {
  assert.equal(await failure(() => whole(codecs, 7, TEXT)), 'unsupported')
  assert.throws(() => codecs.decompressNow(7, TEXT.subarray(0, 9)), CompressionError)
})

test('a megabyte that becomes a gigabyte leaves the loop to others, and takes no memory', async () => {
  const member = zlib.gzipSync(Buffer.alloc(8 << 20))
  const much = Buffer.concat(Array.from({ length: 128 }, () => member))
  assert.equal(codecs.decompressNow(Codec.GZIP, much), null)
  const before = process.memoryUsage().rss
  let peak = 0
  let bytes = 0
  let turns = 0
  const counting = setInterval(() => (turns += 1), 1)
  await codecs.decompress(Codec.GZIP, much, (piece) => {
    bytes += piece.length
    peak = Math.max(peak, process.memoryUsage().rss)
    return true
  })
  clearInterval(counting)
  assert.equal(bytes, 1 << 30)
  assert.ok(turns > 50, `${turns} turns`)
  assert.ok(peak - before < 96 << 20, `${(peak - before) >> 20} MiB`)
})

test('random bytes come back from every codec by either way, and damage is noticed by both or by neither', async () => {
  const random = new Seeded()
  const [installed, inScript] = ways.map(([, each]) => each)
  const outcome = async (by: SystemCodecs, codec: number, data: Buffer): Promise<Buffer | string> => {
    try {
      return await whole(by, codec, data)
    } catch (error) {
      assert.ok(error instanceof CompressionError, String(error))
      return 'refused'
    }
  }
  for (let round = 0; round < 120; round++) {
    const length = random.pick([0, 1, 50, 5_000, 70_000, 300_000])
    const spread = random.pick([1, 4, 255])
    const data = Buffer.from(Array.from({ length }, () => random.between(0, spread)))
    for (const codec of [1, 2, 3, 4]) {
      const compressed = await installed!.compress(codec, null, data)
      const at = `seed ${random.seed}, round ${round}, codec ${codec}`
      for (const by of [installed!, inScript!])
        assert.deepEqual(await outcome(by, codec, compressed), data, at)
      const damaged = Buffer.from(compressed)
      for (let i = random.between(1, 3); i > 0; i--)
        damaged[random.between(0, damaged.length - 1)] = random.uint32()
      const [one, other] = [
        await outcome(installed!, codec, damaged),
        await outcome(inScript!, codec, damaged),
      ]
      // The libraries check more of a zstd frame, and of the end of an lz4 block, than JavaScript does.
      if (codec < 3 || (codec === 3 && one !== 'refused')) assert.deepEqual(one, other, at)
    }
  }
})

const XERIAL_START = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1])
const LZ4_START = Buffer.from([0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82])

/** Each part is a block or a frame of nothing, which takes a decoder as long as any small one. */
function emptyParts(codec: number, count: number): Buffer {
  const parts = (part: readonly number[]): Buffer => Buffer.alloc(part.length * count, Buffer.from(part))
  if (codec === Codec.SNAPPY) return Buffer.concat([XERIAL_START, parts([0, 0, 0, 1, 0])])
  if (codec === Codec.LZ4) return Buffer.concat([LZ4_START, parts([1, 0, 0, 0, 0]), Buffer.alloc(4)])
  return parts([0x28, 0xb5, 0x2f, 0xfd, 0x20, 0, 1, 0, 0])
}

for (const [way, each] of ways)
  for (const [name, codec] of [
    ['snappy', Codec.SNAPPY],
    ['lz4', Codec.LZ4],
    ['zstd', Codec.ZSTD],
  ] as const)
    test(`${name}, ${way}: very many parts of nothing are decoded in turns`, async () => {
      const few = each.decompressNow(codec, emptyParts(codec, 8))
      assert.deepEqual(few === null ? null : Buffer.concat(few), Buffer.alloc(0))
      assert.equal(each.decompressNow(codec, emptyParts(codec, 10_000)), null)
      let turns = 0
      let isOver = false
      const count = (): void => {
        turns += 1
        if (!isOver) setImmediate(count)
      }
      setImmediate(count)
      const parts = emptyParts(codec, codec === Codec.ZSTD ? 10_000 : 100_000)
      assert.deepEqual(await whole(each, codec, parts), Buffer.alloc(0))
      isOver = true
      assert.ok(turns > 5, `${turns} turns`)
    })

test('lz4: a block that becomes little costs little, however long it might become', async () => {
  const matched = Buffer.from([
    0x1f,
    0,
    1,
    0,
    ...Array.from({ length: 19 }, () => 255),
    136,
    0x50,
    0,
    0,
    0,
    0,
    0,
  ])
  const size = Buffer.alloc(4)
  size.writeUInt32LE(matched.length)
  const blocks = Array.from({ length: 1_000 }, () => Buffer.concat([size, matched]))
  const workMs = async (start: readonly number[]): Promise<number> => {
    const data = Buffer.concat([Buffer.from([0x04, 0x22, 0x4d, 0x18, ...start]), ...blocks, Buffer.alloc(4)])
    const before = process.cpuUsage()
    assert.equal((await whole(codecs, Codec.LZ4, data)).length, 1_000 * 5006)
    const { user, system } = process.cpuUsage(before)
    return (user + system) / 1000
  }
  const [upTo64KiB, upTo4MiB] = [
    [0x60, 0x40, 0x82],
    [0x60, 0x70, 0x73],
  ] as const
  await workMs(upTo64KiB)
  const [few, many] = [await workMs(upTo64KiB), await workMs(upTo4MiB)]
  assert.ok(many < 3 * few + 20, `${many} ms, and ${few} ms in blocks of 64 KiB at most`)
})
