import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../protocol/errors.ts'
import { joinGroup } from '../../src/api/11-join-group.ts'
import { subscription } from '../core/group/group-fixture.ts'
import { GroupApis, versionsOf } from './group-api-fixture.ts'

const JOIN = {
  groupId: 'g',
  memberId: '',
  sessionTimeoutMs: 10_000,
  rebalanceTimeoutMs: 30_000,
  protocolType: 'consumer',
  protocols: [{ name: 'range', metadata: subscription('topic') }],
}

test('every version joins; from v4 on with an id that was given out first', async () => {
  for (const version of versionsOf(joinGroup)) {
    const apis = await GroupApis.start()
    let memberId = ''
    if (version >= 4) {
      const told = await apis.call(joinGroup, version, JOIN)
      assert.equal(told['errorCode'], ErrorCode.MEMBER_ID_REQUIRED)
      assert.deepEqual([told['generationId'], told['leader'], told['members']], [-1, '', []])
      assert.equal(told['protocolName'], version < 7 ? '' : null)
      memberId = told['memberId'] as string
    }
    const responses = apis.send(joinGroup, version, { ...JOIN, memberId })
    assert.equal(responses.length, 0)
    apis.clock.advance(3_000)
    const [joined] = responses
    assert.equal(joined!['errorCode'], 0)
    assert.equal(joined!['generationId'], 1)
    assert.equal(joined!['leader'], joined!['memberId'])
    assert.equal(joined!['protocolName'], 'range')
    assert.equal(joined!['protocolType'], version < 7 ? null : 'consumer')
    assert.deepEqual(joined!['members'], [
      { memberId: joined!['memberId'], groupInstanceId: null, metadata: subscription('topic') },
    ])
    const [member] = apis.groups.describe('g').members
    assert.equal(member!.clientId, 'client')
    assert.equal(member!.clientHost, '/10.0.0.1')
  }
})

test('v0: the session timeout is the rebalance timeout', async () => {
  const apis = await GroupApis.start()
  const joining = apis.send(joinGroup, 0, JOIN)
  apis.clock.advance(3_000)
  const second = apis.send(joinGroup, 0, JOIN)
  apis.clock.advance(9_999)
  assert.equal(second.length, 0)
  apis.clock.advance(1)
  assert.equal(second[0]!['errorCode'], 0)
  assert.notEqual(second[0]!['leader'], joining[0]!['memberId'])
})

test('v5+: static members; v9: skipAssignment for a leader that comes back', async () => {
  const apis = await GroupApis.start()
  const join = { ...JOIN, groupInstanceId: 'i' }
  const joining = apis.send(joinGroup, 5, join)
  apis.clock.advance(3_000)
  assert.equal((joining[0]!['members'] as { groupInstanceId: string }[])[0]!.groupInstanceId, 'i')
  const { memberId, generationId } = joining[0] as { memberId: string; generationId: number }
  apis.groups.sync(
    {
      groupId: 'g',
      memberId,
      generationId,
      groupInstanceId: 'i',
      protocolType: null,
      protocolName: null,
      assignments: [],
    },
    () => {},
  )
  assert.notEqual((await apis.call(joinGroup, 9, join))['skipAssignment'], false)
  assert.equal((await apis.call(joinGroup, 8, join))['skipAssignment'], false)
})
