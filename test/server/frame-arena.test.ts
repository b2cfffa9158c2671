import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ArenaChunk, FrameArena } from '../../src/server/frame-arena.ts'

function take(arena: FrameArena, lengthBytes: number): { frame: Buffer; chunk: ArenaChunk } {
  const frame = arena.take(lengthBytes)
  const chunk = arena.taken
  assert.ok(chunk)
  return { frame, chunk }
}

test('memory that was given back is used again', () => {
  const arena = new FrameArena()
  const buffers = new Set<ArrayBufferLike>()
  for (let i = 0; i < 1_000; i++) {
    const taken = [1, 2, 3, 4, 5].map(() => take(arena, 200_000))
    for (const { frame, chunk } of taken) {
      buffers.add(frame.buffer)
      arena.giveBack(chunk)
    }
  }
  assert.ok(buffers.size <= 3, `${buffers.size} chunks`)
})

test('frames in use never overlap', () => {
  const arena = new FrameArena()
  const inUse: { frame: Buffer; chunk: ArenaChunk; mark: number }[] = []
  let state = 12_345
  const random = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return state % below
  }
  for (let mark = 1; mark < 5_000; mark++) {
    const { frame, chunk } = take(arena, 1 + random(100_000))
    frame.writeUInt8(mark % 251, 0)
    frame.writeUInt8(mark % 251, frame.length - 1)
    inUse.push({ frame, chunk, mark })
    while (inUse.length > random(60)) {
      const [done] = inUse.splice(random(inUse.length), 1)
      assert.ok(done)
      assert.equal(done.frame[0], done.mark % 251)
      assert.equal(done.frame.at(-1), done.mark % 251)
      // One in ten is forgotten, as after an error.
      if (random(10) > 0) arena.giveBack(done.chunk)
    }
  }
})

test('a large frame has a buffer of its own, which the next one gets; a very large one is left to the collector', () => {
  const arena = new FrameArena()
  const first = take(arena, 1_000_000)
  const second = take(arena, 1_000_000)
  assert.equal(first.frame.length, 1_000_000)
  assert.notEqual(first.frame.buffer, second.frame.buffer)
  arena.giveBack(first.chunk)
  const third = take(arena, 900_000)
  assert.equal(third.frame.length, 900_000)
  assert.equal(third.frame.buffer, first.frame.buffer)
  assert.notEqual(take(arena, 900_000).frame.buffer, first.frame.buffer)
  arena.take(50_000_000)
  assert.equal(arena.taken, null)
})

test('buffers of large frames are kept up to a bound, and go when nobody needs them', () => {
  const arena = new FrameArena()
  const taken = Array.from({ length: 200 }, () => take(arena, 1_000_000))
  for (const { chunk } of taken) arena.giveBack(chunk)
  assert.ok(arena.idleLargeBytes >= 32 << 20 && arena.idleLargeBytes <= 64 << 20, `${arena.idleLargeBytes}`)
  for (let second = 0; second < 30; second++) arena.shrink()
  assert.equal(arena.idleLargeBytes, 0)
})

test('only so many frames that are not complete lie in chunks', () => {
  const arena = new FrameArena()
  let count = 0
  while (arena.takeIncomplete(100) !== null) count += 1
  assert.ok(count >= 16 && count <= 64, `${count}`)
  arena.incompleteEnds()
  assert.ok(arena.takeIncomplete(100) !== null)
  assert.equal(arena.takeIncomplete(100), null)
})

test('chunks that the load does not need any more go, those it needs stay', () => {
  const arena = new FrameArena()
  const chunksUsed = (count: number): number => {
    const before = new Set<ArenaChunk>()
    const taken = Array.from({ length: count }, () => take(arena, 200_000))
    for (const { chunk } of taken) before.add(chunk)
    for (const { chunk } of taken) arena.giveBack(chunk)
    return before.size
  }
  assert.ok(chunksUsed(100) >= 19)
  const spare = arena.spareChunks
  for (let second = 0; second < 5; second++) {
    chunksUsed(50)
    arena.shrink()
  }
  assert.ok(arena.spareChunks >= 8 && arena.spareChunks < spare, `${arena.spareChunks}`)
  for (let second = 0; second < 20; second++) arena.shrink()
  assert.equal(arena.spareChunks, 0)
})
