import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ProtocolError } from '../../protocol/protocol-error.ts'
import { AnswerFrames } from '../../src/wire/answer-frames.ts'

function frameOf(body: Buffer): Buffer {
  const size = Buffer.alloc(4)
  size.writeInt32BE(body.length)
  return Buffer.concat([size, body])
}

test('answers come out whole and in order, wherever the bytes are cut, and the slab may be used again', () => {
  const bodies = [Buffer.from('abcd'), Buffer.alloc(300, 7), Buffer.from('efghi')]
  const stream = Buffer.concat(bodies.map(frameOf))
  for (let first = 0; first <= stream.length; first++) {
    for (const second of [first, first + 1, first + 5, stream.length]) {
      const taken: Buffer[] = []
      const frames = new AnswerFrames(1000, (frame) => taken.push(frame))
      const cuts = [0, first, Math.min(second, stream.length), stream.length]
      for (let cut = 0; cut + 1 < cuts.length; cut++) {
        const slab = Buffer.from(stream)
        frames.receive(slab, cuts[cut]!, cuts[cut + 1]!)
        slab.fill(0xff)
      }
      assert.deepEqual(taken, bodies, `cut at ${first} and ${second}`)
    }
  }
})

test('a size that no answer has is refused as soon as it is known', () => {
  for (const size of [-1, -2_147_483_648, 0, 3, 1001, 2_147_483_647]) {
    const bytes = Buffer.alloc(4)
    bytes.writeInt32BE(size)
    const frames = new AnswerFrames(1000, () => assert.fail('nothing is whole'))
    assert.throws(() => frames.receive(bytes, 0, 4), ProtocolError, String(size))
  }
})
