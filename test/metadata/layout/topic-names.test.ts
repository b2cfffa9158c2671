import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../../protocol/errors.ts'
import { DONE, failureOutcome, refused, shortened } from '../../../src/metadata/layout/outcome.ts'
import { collisionKey, isInternalTopic, topicNameProblem } from '../../../src/metadata/layout/topic-names.ts'
import { randomUuid } from '../../../src/metadata/layout/uuid.ts'

test('topic names', () => {
  for (const name of ['a', 'A-b_c.d9', '...', '__consumer_offsets', '__cluster_metadata', 'x'.repeat(249)])
    assert.equal(topicNameProblem(name), null, name)
  for (const [name, problem] of [
    ['', /empty/],
    ['.', /must not be '\.'/],
    ['..', /must not be '\.\.'/],
    ['x'.repeat(250), /longer than 249/],
    ['a b', /characters other than/],
    ['ä', /characters other than/],
    ['a/b', /characters other than/],
    ['a\n', /characters other than/],
  ] as const)
    assert.match(topicNameProblem(name) ?? '', problem, name)
  assert.deepEqual(
    ['__consumer_offsets', '__transaction_state', '__share_group_state', 'a', '__other'].map(isInternalTopic),
    [true, true, true, false, false],
  )
  assert.equal(collisionKey('a.b_c.d'), 'a_b_c_d')
})

test('what a client is told of a change', () => {
  assert.deepEqual(DONE, { errorCode: ErrorCode.NONE, errorMessage: null })
  assert.equal(shortened(null), null)
  assert.equal(shortened('x'.repeat(1_000)), 'x'.repeat(1_000))
  assert.equal(shortened('x'.repeat(1_001)), `${'x'.repeat(1_000)}...`)
  assert.equal(refused(ErrorCode.INVALID_REQUEST, 'y'.repeat(2_000)).errorMessage?.length, 1_003)
  const failure = (code: string): number =>
    failureOutcome(Object.assign(new Error('of the store'), { code })).errorCode
  assert.equal(failure('SESSION_EXPIRED'), ErrorCode.NOT_CONTROLLER)
  assert.equal(failure('CONNECTION_LOSS'), ErrorCode.NOT_CONTROLLER)
  assert.equal(failure('EIO'), ErrorCode.KAFKA_STORAGE_ERROR)
  assert.equal(failureOutcome('a string').errorCode, ErrorCode.KAFKA_STORAGE_ERROR)
})

test('a topic id is a random UUID, version 4, that no tool takes for an option', () => {
  for (const byte of [0x00, 0x5a, 0xff]) {
    const id = Buffer.from(randomUuid({ uint32: () => 0, bytes: (n) => Buffer.alloc(n, byte) }), 'base64url')
    assert.equal(id.length, 16)
    assert.equal(id[6]! >> 4, 4)
    assert.equal(id[8]! >> 6, 0b10)
    assert.deepEqual([id[6]! & 0x0f, id[8]! & 0x3f, id[0]], [byte & 0x0f, byte & 0x3f, byte])
  }
  // 0xf8 at the start is a dash: it is drawn again.
  const draws = [0xf8, 0xfb, 0x10]
  const id = randomUuid({ uint32: () => 0, bytes: (n) => Buffer.alloc(n, draws.shift()) })
  assert.deepEqual([id.startsWith('-'), draws], [false, []])
})
