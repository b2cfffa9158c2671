import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CHUNK_BYTES, StagingRing } from '../../../src/system/uring/staging-ring.ts'
import { TailCache } from '../../../src/system/uring/tail-cache.ts'

/** Appends text through the staging memory, `bytes` of it taken for each. */
function append(ring: StagingRing, tail: TailCache, position: number, text: string, bytes = 4096): void {
  assert.equal(ring.take(bytes, 4096), bytes)
  ring.chunk.memory.write(text, ring.offset)
  tail.add(position, text.length, ring.chunk, ring.offset)
}

function read(tail: TailCache, position: number, length: number): string | null {
  const into = Buffer.alloc(length)
  return tail.copy(position, into, length) ? into.toString() : null
}

const memory = (bytes: number): Buffer => Buffer.alloc(bytes)

test('a region is whole blocks of its file, whatever the blocks of the file before', () => {
  const ring = new StagingRing(memory, 4 * CHUNK_BYTES)
  assert.equal(ring.take(4096, 4096), 4096)
  assert.equal(ring.take(CHUNK_BYTES, 65_536), CHUNK_BYTES - 65_536)
  assert.equal(ring.take(65_536, 65_536), 65_536)
  assert.equal(ring.offset, 0, 'of the next chunk')
})

test('a read may span stretches, and needs all of them', () => {
  const ring = new StagingRing(memory, 4 * CHUNK_BYTES)
  const tail = new TailCache()
  append(ring, tail, 100, 'hello')
  append(ring, tail, 105, ', ')
  append(ring, tail, 107, 'world')
  assert.equal(read(tail, 100, 12), 'hello, world')
  assert.equal(read(tail, 103, 5), 'lo, w')
  assert.equal(read(tail, 99, 5), null)
  assert.equal(read(tail, 108, 5), null)
  append(ring, tail, 120, 'far')
  assert.equal(read(tail, 110, 12), null, 'a gap')
  assert.equal(read(tail, 120, 3), 'far')
})

test('what is written again replaces what was there, and all behind it', () => {
  const ring = new StagingRing(memory, 4 * CHUNK_BYTES)
  const tail = new TailCache()
  append(ring, tail, 0, 'abcdef')
  append(ring, tail, 6, 'ghi')
  append(ring, tail, 3, 'XY')
  assert.equal(read(tail, 0, 5), 'abcXY')
  assert.equal(read(tail, 0, 6), null)
  tail.cut(2)
  assert.equal(read(tail, 0, 2), 'ab')
  assert.equal(read(tail, 0, 3), null)
  tail.cut(0)
  assert.equal(read(tail, 0, 1), null)
})

test('bytes are there until their memory is used again', () => {
  const ring = new StagingRing(memory, 2 * CHUNK_BYTES)
  const one = new TailCache()
  const other = new TailCache()
  append(ring, one, 0, 'early')
  append(ring, other, 0, 'filler', CHUNK_BYTES - 4096)
  append(ring, one, 5, 'later', CHUNK_BYTES)
  assert.equal(read(one, 0, 10), 'earlylater')
  append(ring, other, 6, 'again', 4096)
  assert.equal(read(one, 0, 10), null)
  assert.equal(read(one, 5, 5), 'later')
  append(ring, one, 10, '!')
  assert.equal(read(one, 5, 6), 'later!')
})

test('a file is remembered by a bounded number of stretches, the last ones', () => {
  const ring = new StagingRing(memory, 64 * CHUNK_BYTES)
  const tail = new TailCache()
  for (let i = 0; i < 3000; i++) append(ring, tail, i, String.fromCharCode(97 + (i % 26)))
  assert.equal(read(tail, 2800, 200)?.length, 200)
  assert.equal(read(tail, 2990, 10), 'abcdefghij')
  assert.equal(read(tail, 0, 10), null)
})

test('memory under way is not given out again', () => {
  const ring = new StagingRing(memory, 2 * CHUNK_BYTES)
  ring.take(CHUNK_BYTES, 4096)
  const first = ring.chunk
  first.writing = 1
  ring.take(CHUNK_BYTES, 4096)
  assert.equal(ring.take(4096, 4096), 0)
  first.writing = 0
  assert.equal(ring.take(4096, 4096), 4096)
  assert.equal(ring.chunk, first)
  assert.equal(first.generation, 1)
})
