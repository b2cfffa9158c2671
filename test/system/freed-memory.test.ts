import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'rolldown'
import { FreedMemory } from '../../src/system/freed-memory.ts'
import { loadNativeAddon } from '../../src/system/native-addon.ts'
import { skipMissing } from '../support/requirements.ts'

const MIB = 1024 * 1024

function setUp() {
  const now = {
    rss: 70 * MIB,
    heapTotal: 20 * MIB,
    arrayBuffers: 10 * MIB,
    load: 0,
    trims: 0,
    collections: 0,
  }
  let workedMs = 0
  const memory = new FreedMemory(
    {
      collect: () => now.collections++,
      trim: () => {
        now.trims++
        now.rss = Math.min(now.rss, 90 * MIB)
      },
    },
    () => now,
    () => (workedMs += now.load * 5_000),
  )
  return { now, memory }
}

test('memory is given back once the load is over, and not again and again', () => {
  const { now, memory } = setUp()
  assert.ok(!memory.look())
  now.rss = 400 * MIB
  now.load = 0.9
  assert.ok(!memory.look(), 'it would be needed again at once')
  now.load = 0.01
  assert.ok(memory.look())
  assert.ok(!memory.look())
  now.rss = 100 * MIB
  assert.ok(!memory.look(), 'too little to be worth it')
  now.rss = 300 * MIB
  assert.ok(memory.look())
  assert.equal(now.trims, 2)
})

test('memory that JavaScript still holds is not looked for', () => {
  const { now, memory } = setUp()
  now.rss = 500 * MIB
  now.arrayBuffers = 450 * MIB
  assert.ok(!memory.look())
})

test('it is given back again when buffers have gone that kept what lay between them', () => {
  const { now, memory } = setUp()
  now.arrayBuffers = 200 * MIB
  now.rss = 400 * MIB
  assert.ok(memory.look())
  now.rss = 90 * MIB + 200 * MIB
  assert.ok(!memory.look())
  now.arrayBuffers = 10 * MIB
  now.rss = 180 * MIB
  assert.ok(memory.look())
})

test('garbage is collected once the load is over, until that gives nothing more', () => {
  const { now, memory } = setUp()
  now.heapTotal = 200 * MIB
  now.load = 0.9
  memory.look()
  now.load = 0.01
  memory.look()
  memory.look()
  assert.equal(now.collections, 0, 'pools have not shrunk')
  memory.look()
  assert.equal(now.collections, 1)
  now.heapTotal = 60 * MIB
  memory.look()
  assert.equal(now.collections, 2, 'there may be more')
  for (let look = 0; look < 10; look++) memory.look()
  assert.equal(now.collections, 4, 'the rest is alive')
  now.heapTotal = 70 * MIB
  memory.look()
  assert.equal(now.collections, 4, 'too little to be worth it')
  now.heapTotal = 80 * MIB
  memory.look()
  assert.equal(now.collections, 5)
})

test('a collection that has not ended, or began before there was garbage, does not show what is alive', () => {
  const { now, memory } = setUp()
  now.heapTotal = 200 * MIB
  for (let look = 0; look < 5; look++) memory.look()
  assert.equal(now.collections, 3)
  now.heapTotal = 140 * MIB
  memory.look()
  assert.equal(now.collections, 4)
  now.heapTotal = 60 * MIB
  for (let look = 0; look < 10; look++) memory.look()
  assert.equal(now.collections, 7)
})

test('what was asked before a load says nothing of what the load left', () => {
  const { now, memory } = setUp()
  now.heapTotal = 200 * MIB
  for (let look = 0; look < 5; look++) memory.look()
  assert.equal(now.collections, 3, 'the third is yet to show what it gives')
  now.load = 0.9
  memory.look()
  now.load = 0.01
  for (let look = 0; look < 10; look++) memory.look()
  assert.equal(now.collections, 6)
})

/** Many objects and buffers, dropped by a process that does nothing any more. */
const idleProgram = `
  const { requestCollection } = await import(process.argv[1])
  const accounted = () => process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers
  let kept = Array.from({ length: 300_000 }, (_, index) => ({ index, inner: [index] }))
  let buffers = Array.from({ length: 100 }, () => Buffer.alloc(500_000, 1))
  await new Promise((resolve) => setTimeout(resolve, 100))
  const before = accounted()
  kept = buffers = null
  if (process.argv[2] === 'asked') requestCollection()
  let after = before
  for (let left = process.argv[2] === 'asked' ? 100 : 10; left > 0 && after > before / 4; left--) {
    await new Promise((resolve) => setTimeout(resolve, 100))
    after = accounted()
  }
  console.log(JSON.stringify({ before, after }))`

const heapGrowth = fileURLToPath(new URL('../../src/system/heap-growth.js', import.meta.url))

function idleGarbage(file: string, asked: 'asked' | 'not asked'): { before: number; after: number } {
  const url = pathToFileURL(file).href
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', idleProgram, url, asked])
  return JSON.parse(output.toString()) as ReturnType<typeof idleGarbage>
}

function assertCollects(file: string): void {
  const { before, after } = idleGarbage(file, 'asked')
  assert.ok(after <= before / 4, `${Math.round(after / MIB)} of ${Math.round(before / MIB)} MiB`)
}

test('a process that does nothing collects its garbage when it is asked to', () => {
  const left = idleGarbage(heapGrowth, 'not asked')
  assert.ok(left.after > left.before / 2, 'by itself it does not')
  assertCollects(heapGrowth)
})

test('so it does in a bundle, from which what has no effect is left out', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'samsa-bundle-'))
  try {
    const file = join(directory, 'heap-growth.mjs')
    await build({ input: heapGrowth, platform: 'node', logLevel: 'warn', output: { file } })
    assertCollects(file)
  } finally {
    rmSync(directory, { recursive: true })
  }
})

test('a process without a descriptor left looks another time', () => {
  let isShort = true
  const figures = () => {
    if (isShort) throw Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' })
    return { rss: 0, heapTotal: 0, arrayBuffers: 0 }
  }
  isShort = false
  const memory = new FreedMemory({ collect: () => {}, trim: () => {} }, figures, () => 0)
  isShort = true
  assert.equal(memory.look(), false)
  isShort = false
  assert.equal(memory.look(), false)
})

test('the system gets it back', (t) => {
  const { addon, reason } = loadNativeAddon()
  if (addon === null || process.platform !== 'linux') return skipMissing(t, `no addon: ${reason}`)
  // Pieces below the threshold of mmap, with one in use every now and then: glibc keeps all between them.
  const program = `
    const { loadNativeAddon } = await import(process.argv[1])
    const { addon } = loadNativeAddon()
    const keep = []
    let freed = []
    for (let i = 0; i < 4000; i++) {
      const buffer = Buffer.allocUnsafeSlow(100_000).fill(1)
      if (i % 40 === 0) keep.push(buffer)
      else freed.push(buffer)
    }
    freed = null
    global.gc()
    await new Promise((resolve) => setTimeout(resolve, 500))
    const before = process.memoryUsage.rss()
    addon.trimMemory()
    console.log(JSON.stringify([before, process.memoryUsage.rss(), keep.length]))`
  const url = new URL('../../src/system/native-addon.js', import.meta.url).href
  const output = execFileSync(process.execPath, ['--expose-gc', '--input-type=module', '-e', program, url], {
    encoding: 'utf8',
  })
  const [before, after]: number[] = JSON.parse(output)
  t.diagnostic(`${Math.round(before! / MIB)} to ${Math.round(after! / MIB)} MiB`)
  assert.ok(after! < before!, output)
})
