import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Outbox } from '../../../src/core/group/outbox.ts'

test('what clients name is told in the log up to 200 characters of it', () => {
  const outbox = new Outbox()
  const [fits, long] = ['g'.repeat(200), 'g'.repeat(201)]
  outbox.log('info', { groupId: fits, memberId: long, members: 3 }, 'm'.repeat(1_000))
  outbox.log('warn', {}, 'm'.repeat(1_001))
  const [first, second] = outbox.effects
  assert.ok(first?.kind === 'log' && second?.kind === 'log')
  assert.deepEqual([first.fields['groupId'], first.fields['members']], [fits, 3])
  assert.match(String(first.fields['memberId']), /^g+…\(201 characters\)…g+$/)
  assert.equal(first.message, 'm'.repeat(1_000))
  assert.match(second.message, /…\(1001 characters\)…/)
})
