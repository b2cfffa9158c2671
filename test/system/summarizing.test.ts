import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import type { TestContext } from 'node:test'
import zlib from 'node:zlib'
import { Codec } from '../../protocol/compression.ts'
import * as batch from '../../protocol/records/record-batch.ts'
import { buildBatch } from '../../protocol/records/record-builder.ts'
import { loadNativeAddon } from '../../src/system/native-addon.ts'
import { installedCodecs } from '../../src/system/native-codecs.ts'
import { summarize } from '../../src/system/summarizing.ts'
import type { Summarizers } from '../../src/system/summarizing.ts'
import { SystemCodecs } from '../../src/system/system-codecs.ts'
import { skipMissing } from '../support/requirements.ts'
import { Seeded } from '../support/seed.ts'

const CODECS = [Codec.NONE, Codec.GZIP, Codec.SNAPPY, Codec.LZ4, Codec.ZSTD]
const MOST = 2 << 20
const { addon, reason } = loadNativeAddon()
const none = (): null => null
const inAddon: Summarizers = { natives: installedCodecs, addon }
const byLibrary: Summarizers = { natives: installedCodecs, addon: null }
const inScript: Summarizers = { natives: { snappy: none, lz4: none, zstd: none }, addon: null }
const codecs = new SystemCodecs()
const random = new Seeded()

function withAddon(name: string, body: (t: TestContext) => Promise<void> | void): void {
  test(name, async (t) => {
    if (addon !== null) await body(t)
    else if (process.platform === 'linux') skipMissing(t, `native addon: ${reason}`)
    else t.skip(`native addon: ${reason}`)
  })
}

before(() => console.log(`# seed ${random.seed}`))

/** Runs, repeats near and far, and noise: all that a decoder does. */
function bytes(): Buffer {
  const kind = random.between(0, 4)
  if (kind === 0) return Buffer.alloc(random.pick([0, 1, 15, 64, 300, 70_000]), random.uint32())
  if (kind === 1) return Buffer.from('abcdefghijklmnopqrstuvwxyz'.slice(0, random.between(1, 26)).repeat(40))
  const length = random.pick([3, 40, 900, 9_000])
  const spread = kind === 2 ? 255 : 3
  return Buffer.from(Array.from({ length }, () => random.between(0, spread)))
}

function records(count: number): Buffer {
  const repeated = bytes()
  const delta = random.pick([1, 1_000, 2 ** 40])
  const made = Array.from({ length: count }, (_, i) => ({
    key: random.between(0, 3) === 0 ? null : Buffer.from(`key ${i}`),
    value: random.pick([null, repeated, bytes()]),
    timestampMs: delta + random.between(0, 500) * random.pick([-1, 1]),
    headers: Array.from({ length: random.between(0, 2) }, () => ({
      key: 'h',
      value: bytes().subarray(0, 40),
    })),
  }))
  return buildBatch(made).subarray(batch.BATCH_OVERHEAD)
}

withAddon(
  'every good batch is summarized by addon, libraries and JavaScript, and all say the same',
  async () => {
    for (let round = 0; round < 60; round++) {
      const count = random.pick([1, 2, 20])
      const body = records(count)
      for (const codec of CODECS) {
        const data = await codecs.compress(codec, null, body)
        const at = `seed ${random.seed}, round ${round}, codec ${codec}`
        const found = summarize(inAddon, codec, data, count, MOST)
        assert.ok(found !== null, at)
        assert.deepEqual(summarize(byLibrary, codec, data, count, MOST), found, at)
        if (round % 5 === 0) assert.deepEqual(summarize(inScript, codec, data, count, MOST), found, at)
      }
    }
  },
)

/** Changes some bytes, cuts some off or puts some in. */
function damaged(data: Buffer): Buffer {
  const copy = Buffer.from(data)
  const at = random.between(0, Math.max(0, copy.length - 1))
  const kind = random.between(0, 4)
  if (kind === 0) return copy.subarray(0, at)
  if (kind === 1) return Buffer.concat([copy.subarray(0, at), bytes().subarray(0, 3), copy.subarray(at)])
  for (let i = random.between(1, 3); i > 0 && copy.length > 0; i--) {
    const place = kind === 2 ? random.between(0, Math.min(40, copy.length - 1)) : at
    copy[place] = random.pick([0, 1, 0x7f, 0x80, 0xff, random.uint32()])
  }
  return copy
}

withAddon('what the addon lets pass, all let pass: damaged before it was compressed, and after', async () => {
  let passed = 0
  for (let round = 0; round < 800; round++) {
    const count = random.pick([1, 2, 9])
    const body = records(count)
    const codec = random.pick(CODECS)
    const before = round % 2 === 0
    const made = await codecs.compress(codec, null, before ? damaged(body) : body)
    const data = before ? made : damaged(made)
    const at = `seed ${random.seed}, round ${round}, codec ${codec}`
    const found = summarize(inAddon, codec, data, count, MOST)
    if (found === null) continue
    passed += 1
    assert.deepEqual(summarize(byLibrary, codec, data, count, MOST), found, at)
    // Damage in a zstd frame that nobody notices becomes other bytes in JavaScript.
    if (codec !== Codec.ZSTD) assert.deepEqual(summarize(inScript, codec, data, count, MOST), found, at)
  }
  assert.ok(passed > 10, `${passed} passed`)
})

withAddon('records of which something is wrong, each a little', () => {
  const varint = (value: number): number[] => [value * 2]
  const good = { attributes: 0, delta: varint(5), offset: varint(0), key: [1], value: [2, 65], headers: [0] }
  const one = (more: Partial<typeof good>, extra: number[] = [], lengthBy = 0): Buffer => {
    const { attributes, ...rest } = { ...good, ...more }
    const record = [attributes, ...Object.values(rest).flat()]
    return Buffer.from([...varint(record.length + lengthBy), ...record, ...extra])
  }
  const wide = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]
  const cases: [string, Buffer, boolean][] = [
    ['good', one({}), true],
    ['a header', one({ headers: [2, 2, 97, 1] }), true],
    ['a value of null', one({ value: [1] }), true],
    ['lengths below -1 are null too', one({ key: [5], value: [9] }), true],
    ['a timestamp of seven bytes', one({ delta: wide }), true],
    ['a timestamp of eight bytes', one({ delta: [0xff, ...wide] }), false],
    ['another offset', one({ offset: [2] }), false],
    ['a negative offset', one({ offset: [1] }), false],
    ['a byte behind', one({}, [0]), false],
    ['another record behind', Buffer.concat([one({}), one({ offset: [2] })]), false],
    ['a length too long', one({}, [], 1), false],
    ['a length too long by what follows', one({}, [0], 1), false],
    ['a length too short', one({}, [], -1), false],
    ['a key beyond the record', one({ key: [20] }), false],
    ['a value beyond the record', one({ value: [6, 65] }), false],
    ['fewer headers than there are', one({ headers: [4, 2, 97, 1] }), false],
    ['a negative number of headers', one({ headers: [1] }), false],
    ['a header without a key', one({ headers: [2, 1, 1] }), false],
    ['a header key beyond the record', one({ headers: [2, 8, 97, 1] }), false],
    ['a header value beyond the record', one({ headers: [2, 2, 97, 6] }), false],
    ['an endless varint', one({ key: [0xff, 0xff, 0xff, 0xff, 0xff, 0x7f] }), false],
    ['nothing', Buffer.alloc(0), false],
  ]
  for (const [name, body, isGood] of cases) {
    assert.equal(addon!.summarize(Codec.NONE, body, 1, 0, new Float64Array(3)), isGood, name)
    if (isGood) assert.notEqual(summarize(inScript, Codec.NONE, body, 1, MOST), null, name)
  }
})

withAddon('no more is decoded than is wanted, and no less', async () => {
  const body = records(20)
  for (const codec of CODECS.slice(1)) {
    const data = await codecs.compress(codec, null, body)
    // Without Node.js's own, a zstd frame counts as what so many blocks may become.
    const isCounted =
      codec === Codec.ZSTD && addon!.summarize(codec, data, 20, MOST, new Float64Array(3)) === null
    for (const [most, isGood] of [
      [isCounted ? MOST : body.length, true],
      [body.length - 1, false],
      [0, false],
    ] as const)
      assert.equal(summarize(inAddon, codec, data, 20, most) !== null, isGood, `codec ${codec}, ${most}`)
  }
  // Of what it becomes there is never more in memory than that.
  const bomb = zlib.gzipSync(Buffer.alloc(64 << 20))
  assert.equal(addon!.summarize(Codec.GZIP, bomb, 1, 0xffff_ffff, new Float64Array(3)), false)
})

withAddon('arguments that are none', () => {
  const into = new Float64Array(3)
  const data = Buffer.alloc(9)
  const wrong: (() => unknown)[] = [
    () => Reflect.apply(addon!.summarize, null, []),
    () => Reflect.apply(addon!.summarize, null, ['1', data, 1, 1, into]),
    () => Reflect.apply(addon!.summarize, null, [1, 'data', 1, 1, into]),
    () => Reflect.apply(addon!.summarize, null, [1, data, 1, 1, new Float64Array(2)]),
    () => Reflect.apply(addon!.summarize, null, [1, data, 1, 1, new Float32Array(3)]),
  ]
  for (const call of wrong) assert.throws(call, TypeError)
  assert.equal(addon!.summarize(Codec.NONE, data, -1, 9, into), false)
  assert.equal(addon!.summarize(9, data, 1, 9, into), null)
})
