import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ReadBuffers, releasePieces } from '../../../src/log/read/read-buffers.ts'

const KIB = 1024

test('buffers are used again, small and huge ones are not kept', () => {
  const pool = new ReadBuffers()
  assert.equal(pool.take(4 * KIB - 1), null)
  assert.equal(pool.take(1024 * KIB + 1), null)
  const first = pool.take(100 * KIB)!
  assert.deepEqual([first.length, first.heldBytes], [100 * KIB, 128 * KIB])
  const memory = first.buffer.buffer
  const second = pool.take(100 * KIB)!
  assert.notEqual(second.buffer.buffer, memory, 'one owner at a time')
  first.release()
  assert.equal(pool.idleBytes, 128 * KIB)
  assert.equal(pool.take(64 * KIB)!.buffer.buffer === memory, false, 'another size')
  const again = pool.take(128 * KIB)!
  assert.equal(again.buffer.buffer, memory)
  assert.equal(again.length, 128 * KIB)
  assert.equal(pool.idleBytes, 0)
})

test('every length gets a buffer that is large enough and at most twice as large', () => {
  const pool = new ReadBuffers()
  for (let length = 4 * KIB; length <= 1024 * KIB; length += 997) {
    const buffer = pool.take(length)!
    assert.equal(buffer.length, length)
    assert.ok(buffer.heldBytes >= length && buffer.heldBytes < 2 * length, `${length}`)
    buffer.shorten(10)
    assert.equal(buffer.length, 10)
    buffer.release()
  }
  assert.equal(pool.idleBytes, (4 + 8 + 16 + 32 + 64 + 128 + 256 + 512 + 1024) * KIB)
})

test('a buffer is given back once and not looked at afterwards', () => {
  const pool = new ReadBuffers()
  const buffer = pool.take(64 * KIB)!
  releasePieces([Buffer.alloc(1), buffer])
  assert.equal(pool.idleBytes, 64 * KIB)
  assert.throws(() => buffer.release(), /once/)
  assert.throws(() => buffer.buffer)
})

test('the pool keeps a bounded number of bytes', () => {
  const pool = new ReadBuffers(300 * KIB)
  const buffers = Array.from({ length: 10 }, () => pool.take(128 * KIB)!)
  for (const buffer of buffers) buffer.release()
  assert.equal(pool.idleBytes, 256 * KIB)
})

test('what nobody needs any more goes, what is needed stays', () => {
  const pool = new ReadBuffers()
  const use = (count: number): void => {
    const buffers = Array.from({ length: count }, () => pool.take(128 * KIB)!)
    for (const buffer of buffers) buffer.release()
  }
  use(100)
  for (let second = 0; second < 12; second++) {
    use(10)
    pool.shrink()
  }
  assert.ok(pool.idleBytes >= 10 * 128 * KIB && pool.idleBytes < 14 * 128 * KIB, `${pool.idleBytes}`)
  for (let second = 0; second < 40; second++) pool.shrink()
  assert.equal(pool.idleBytes, 0)
})
