import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FrameArena } from '../../src/server/frame-arena.ts'
import { FrameAssembler } from '../../src/server/frame-assembler.ts'

function frameOf(bodyBytes: number): Buffer {
  const frame = Buffer.alloc(4 + bodyBytes)
  frame.writeInt32BE(bodyBytes)
  for (let at = 4; at < frame.length; at++) frame[at] = at % 251
  return frame
}

function assemble(frame: Buffer, pieceBytes: number): { frame: Buffer; consumed: number } {
  const assembler = new FrameAssembler(new FrameArena())
  let at = 0
  while (!assembler.complete) {
    const end = Math.min(at + pieceBytes, frame.length)
    while (at < end && !assembler.complete) at += assembler.take(frame, at, end)
  }
  return { frame: assembler.release(), consumed: at }
}

test('a frame comes out as it went in, whatever the pieces', () => {
  for (const bodyBytes of [1, 8, 100, 70_000, 300_000]) {
    const frame = frameOf(bodyBytes)
    for (const pieceBytes of [1, 2, 3, 5, 4096, 65_537].filter((piece) => bodyBytes / piece < 20_000)) {
      assert.deepEqual(assemble(frame, pieceBytes).frame, frame)
    }
  }
})

test('bytes of the next frame are left alone', () => {
  const two = Buffer.concat([frameOf(10), frameOf(20)])
  const { frame, consumed } = assemble(two, two.length)
  assert.equal(consumed, 14)
  assert.deepEqual(frame, frameOf(10))
})

test('a large claim costs memory only as bytes arrive', () => {
  const assembler = new FrameAssembler(new FrameArena())
  const prefix = Buffer.alloc(4)
  prefix.writeInt32BE(100 * 1024 * 1024)
  assembler.take(prefix, 0, 4)
  assert.equal(assembler.claimedBytes, 100 * 1024 * 1024)
  assembler.take(Buffer.alloc(10), 0, 10)
  assert.equal(assembler.receivedBytes, 14)
  assert.ok(assembler.peek().buffer.byteLength <= 128 * 1024)
})

test('it starts anew after a frame', () => {
  const assembler = new FrameAssembler(new FrameArena())
  for (const size of [5, 6]) {
    const frame = frameOf(size)
    let at = 0
    while (at < frame.length) at += assembler.take(frame, at, frame.length)
    assert.ok(assembler.complete)
    assert.deepEqual(assembler.release(), frame)
    assert.ok(assembler.idle)
  }
})

test('a Produce request that the arena can use again comes to lie in it, others do not', () => {
  const arena = new FrameArena()
  for (const [apiKey, bodyBytes, shared] of [
    [0, 50_000, true],
    [0, 300_000, true],
    [0, 5_000_000, false],
    [1, 50_000, false],
  ] as const) {
    const assembler = new FrameAssembler(arena)
    const frame = frameOf(bodyBytes)
    frame.writeInt16BE(apiKey, 4)
    let at = 0
    while (!assembler.complete) at += assembler.take(frame, at, Math.min(at + 7_000, frame.length))
    assert.equal(assembler.chunk !== null, shared)
    assert.deepEqual(assembler.release(), frame)
    assert.equal(assembler.chunk, null)
  }
})

test('one that is a long time coming, or will not come, gives back its part of the arena', () => {
  const arena = new FrameArena()
  const frame = frameOf(200_000)
  frame.writeInt16BE(0, 4)
  for (const gone of [false, true]) {
    for (let i = 0; i < 100; i++) {
      const assembler = new FrameAssembler(arena)
      let at = 0
      while (at < 150_000) at += assembler.take(frame, at, 150_000)
      assert.ok(assembler.chunk !== null)
      if (gone) assembler.abandon()
      else assembler.lingers()
      assert.equal(assembler.chunk, null)
      if (gone) assert.ok(assembler.idle)
      else {
        // What others are given now is not where it lies.
        arena.take(200_000).fill(0)
        arena.giveBack(arena.taken!)
        while (!assembler.complete) at += assembler.take(frame, at, frame.length)
        assert.deepEqual(assembler.release(), frame)
      }
    }
  }
})

test('pieces of large frames are used again', () => {
  const arena = new FrameArena()
  const frame = frameOf(900_000)
  for (let i = 0; i < 20; i++) {
    const assembler = new FrameAssembler(arena)
    let at = 0
    while (!assembler.complete) at += assembler.take(frame, at, Math.min(at + 70_000, frame.length))
    assert.deepEqual(assembler.release(), frame)
    assert.equal(arena.pieces.idleBytes, 14 * 65_536)
  }
})
