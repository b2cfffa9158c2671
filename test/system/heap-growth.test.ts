import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { YoungGenerationLimit } from '../../src/system/heap-growth.ts'

const MIB = 1024 * 1024

test('the young generation grows up to its limit, and again after it became small', () => {
  const factors: number[] = []
  let bytes = 2 * MIB
  const limit = new YoungGenerationLimit(
    { bytes: () => bytes, growBy: (factor) => factors.push(factor) },
    32 * MIB,
  )
  assert.ok(!limit.look())
  bytes = 16 * MIB
  assert.ok(!limit.look())
  assert.deepEqual(factors, [], 'it doubles by itself')
  bytes = 32 * MIB
  assert.ok(limit.look())
  assert.ok(limit.look())
  assert.deepEqual(factors, [1])
  bytes = 1 * MIB
  assert.ok(!limit.look())
  assert.deepEqual(factors, [1, 2])
})

/** What long requests leave behind: many objects that live just long enough to be moved to the old generation. */
const program = `
  const { limitHeapGrowth } = await import(process.argv[1])
  const { getHeapSpaceStatistics } = await import('node:v8')
  limitHeapGrowth()
  const { growth, young } = { growth: [process.memoryUsage().heapTotal], young: [0] }
  for (let round = 0; round < 30; round++) {
    const elements = []
    for (let index = 0; index < 150_000; index++) {
      elements.push({ index, inner: [index], text: 'n' + index })
      if (index % 2_000 !== 0) continue
      growth.push(process.memoryUsage().heapTotal)
      young.push(getHeapSpaceStatistics().find((space) => space.space_name === 'new_space').space_size)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  console.log(JSON.stringify({ heap: Math.max(...growth), young: Math.max(...young) }))`

function peaks(...options: string[]): { heap: number; young: number } {
  const module = new URL('../../src/system/heap-growth.js', import.meta.url)
  const commandLine = [...options, '--input-type=module', '-e', program, module.href]
  return JSON.parse(execFileSync(process.execPath, commandLine, { encoding: 'utf8' })) as ReturnType<
    typeof peaks
  >
}

test('garbage of long requests is collected before the heap has grown to a multiple of what is alive', () => {
  const { heap, young } = peaks()
  assert.ok(young <= 32 * MIB, `the young generation took ${Math.round(young / MIB)} MiB`)
  assert.ok(heap <= 120 * MIB, `the heap grew to ${Math.round(heap / MIB)} MiB`)
})

test('who gave V8 a size has it', () => {
  const { young } = peaks('--max-semi-space-size=32', '--min-semi-space-size=32')
  assert.ok(young > 32 * MIB, `the young generation took ${Math.round(young / MIB)} MiB`)
})
