import { crc32c as reference } from '@node-rs/crc32'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { crc32Ieee, plainCrc32c } from '../../protocol/crc32c.ts'

test('checksums are the same without any binary', () => {
  assert.equal(plainCrc32c(Buffer.from('123456789'), 0), 0xe3069283)
  assert.equal(crc32Ieee(Buffer.from('123456789')), 0xcbf43926)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.uint8Array({ maxLength: 100 }), (a, b) => {
      const seed = plainCrc32c(a, 0)
      assert.equal(seed, reference(a))
      assert.equal(plainCrc32c(b, seed), reference(b, seed))
      assert.equal(plainCrc32c(b, seed), plainCrc32c(Buffer.concat([a, b]), 0))
    }),
  )
})
