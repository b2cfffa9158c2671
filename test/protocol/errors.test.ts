import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode, errorMessage, errorName, isRetriable } from '../../protocol/errors.ts'

test('codes run from -1 without a gap', () => {
  const codes = Object.values(ErrorCode)
  assert.deepEqual(
    codes,
    codes.map((_, index) => index - 1),
  )
  assert.equal(ErrorCode.SHARE_SESSION_LIMIT_REACHED, 133)
})

test('a code has a name and a sentence', () => {
  assert.equal(errorName(3), 'UNKNOWN_TOPIC_OR_PARTITION')
  assert.equal(errorName(-1), 'UNKNOWN_SERVER_ERROR')
  assert.equal(errorName(999), 'ERROR_999')
  assert.equal(errorMessage(999), 'Error 999.')
  for (const code of Object.values(ErrorCode)) assert.match(errorMessage(code), /^[A-Za-z].*\.$/)
})

test('clients retry what passes', () => {
  assert.equal(isRetriable(ErrorCode.NOT_LEADER_OR_FOLLOWER), true)
  assert.equal(isRetriable(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS), true)
  assert.equal(isRetriable(ErrorCode.NONE), false)
  assert.equal(isRetriable(ErrorCode.MESSAGE_TOO_LARGE), false)
})
