import assert from 'node:assert/strict'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { loadNativeAddon } from '../../../src/system/native-addon.ts'
import type { NativeAddon } from '../../../src/system/native-addon.ts'
import { skipMissing } from '../../support/requirements.ts'

const { addon, reason } = loadNativeAddon()
const noAddon = `the native addon: ${reason}`

test('writes to many files leave as one job', async (context) => {
  if (addon === null) return skipMissing(context, noAddon)
  const { files, writeAll } = setUp(addon, context, 3)
  // More buffers than one system call takes, some of them empty.
  const many = Array.from({ length: 1100 }, (_, index) => Buffer.alloc(index % 7, index))
  const lists = [[Buffer.from('ab'), Buffer.from('c')], [Buffer.from('d')], many]
  const results = await writeAll(
    lists.map((buffers, index) => ({ fd: files[index]!.fd, position: index * 5, buffers })),
  )
  assert.deepEqual(results, [3, 1, Buffer.concat(many).length])
  assert.equal(readFileSync(files[0]!.path, 'latin1'), 'abc')
  assert.equal(readFileSync(files[1]!.path, 'latin1'), '\0\0\0\0\0d')
  assert.deepEqual(readFileSync(files[2]!.path).subarray(10), Buffer.concat(many))
})

test('buffers without a byte are no failure of the device', async (context) => {
  if (addon === null) return skipMissing(context, noAddon)
  const { files, writeAll } = setUp(addon, context, 2)
  const none = Buffer.alloc(0)
  // Behind as many as one system call takes.
  const bytes = Array.from({ length: 1024 }, (_, index) => Buffer.alloc(1, index))
  const results = await writeAll([
    { fd: files[0]!.fd, position: 0, buffers: [none, none] },
    { fd: files[1]!.fd, position: 0, buffers: [...bytes, none] },
  ])
  assert.deepEqual(results, [0, 1024])
  assert.deepEqual(readFileSync(files[1]!.path), Buffer.concat(bytes))
})

test('a write that fails leaves the others alone', async (context) => {
  if (addon === null) return skipMissing(context, noAddon)
  const { files, writeAll } = setUp(addon, context, 1)
  const results = await writeAll([
    { fd: 1_000_000, position: 0, buffers: [Buffer.from('x')] },
    { fd: files[0]!.fd, position: 0, buffers: [Buffer.from('y')] },
  ])
  assert.deepEqual(results, [-9, 1])
})

test('lists that do not fit together are refused', (context) => {
  if (addon === null) return skipMissing(context, noAddon)
  const write = (counts: number[], buffers: Uint8Array[]): void =>
    addon.writeAll(Int32Array.of(1), Float64Array.of(0), Int32Array.from(counts), buffers, () =>
      assert.fail('it was written'),
    )
  assert.throws(() => write([2], [Buffer.from('x')]), RangeError)
  assert.throws(() => write([1, 1], [Buffer.from('x'), Buffer.from('y')]), RangeError)
})

interface FileWrite {
  readonly fd: number
  readonly position: number
  readonly buffers: readonly Buffer[]
}

function setUp(native: NativeAddon, context: TestContext, fileCount: number) {
  const directory = mkdtempSync(join(tmpdir(), 'samsa-native-writer-'))
  const files = Array.from({ length: fileCount }, (_, index) => {
    const path = join(directory, `f${index}`)
    return { path, fd: openSync(path, 'w+') }
  })
  context.after(() => {
    for (const { fd } of files) closeSync(fd)
    rmSync(directory, { recursive: true })
  })
  const writeAll = (writes: readonly FileWrite[]): Promise<readonly number[]> =>
    new Promise((resolve) => {
      native.writeAll(
        Int32Array.from(writes, ({ fd }) => fd),
        Float64Array.from(writes, ({ position }) => position),
        Int32Array.from(writes, ({ buffers }) => buffers.length),
        writes.flatMap(({ buffers }) => buffers),
        resolve,
      )
    })
  return { files, writeAll }
}
