import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode, errorName } from '../../../protocol/errors.ts'
import { brokerValuesProblem, codecProblem } from '../../../src/metadata/changes/config-change.ts'

const problem = (values: Record<string, string>, everywhere = false): string => {
  const outcome = brokerValuesProblem(new Map(Object.entries(values)), everywhere)
  return outcome === null ? 'none' : errorName(outcome.errorCode)
}

test('what a broker may be told while it runs', () => {
  assert.equal(problem({ 'log.retention.ms': '5' }), 'none')
  assert.equal(problem({ 'log.retention.ms': '5' }, true), 'none')
  assert.equal(problem({ 'nobody.knows.it': 'x' }), 'none')
  assert.equal(problem({ 'log.retention.ms': 'x' }), 'INVALID_REQUEST')
  assert.equal(problem({ 'broker.id': '1' }), 'INVALID_REQUEST')
  assert.equal(problem({ 'ssl.keystore.password': 'x' }), 'INVALID_REQUEST')
  // The key counts as well as the value.
  assert.equal(problem({ k: 'v'.repeat(262_143) }), 'none')
  assert.equal(problem({ k: 'v'.repeat(262_144) }), 'POLICY_VIOLATION')
  assert.equal(problem({ k: 'ü'.repeat(131_071), kk: '' }), 'POLICY_VIOLATION')
  assert.equal(problem({ k: 'ü'.repeat(131_071) }), 'none')
})

test('a codec that nothing here writes is refused by its name', () => {
  const asked: string[] = []
  const refusal = (values: Record<string, string>, can: boolean) =>
    codecProblem(new Map(Object.entries(values)), (type) => (asked.push(type), can))
  assert.equal(refusal({}, false), null)
  assert.equal(refusal({ 'compression.type': ' lz4 ' }, true), null)
  const outcome = refusal({ 'compression.type': 'lz4' }, false)
  assert.equal(outcome?.errorCode, ErrorCode.INVALID_CONFIG)
  assert.match(
    outcome.errorMessage ?? '',
    /^compression.type=lz4: nothing on this machine writes lz4, for want of the optional package lz4-napi$/,
  )
  assert.deepEqual(asked, ['lz4', 'lz4'])
})
