import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../protocol/errors.ts'
import { joinGroup } from '../../src/api/11-join-group.ts'
import { leaveGroup } from '../../src/api/13-leave-group.ts'
import { GroupApis, versionsOf } from './group-api-fixture.ts'

async function withPending(): Promise<[GroupApis, string]> {
  const apis = await GroupApis.start()
  const told = await apis.call(joinGroup, 4, {
    groupId: 'g',
    memberId: '',
    sessionTimeoutMs: 10_000,
    protocolType: 'connect',
    protocols: [{ name: 'p', metadata: Buffer.alloc(0) }],
  })
  return [apis, told['memberId'] as string]
}

test('every version: one member before v3, several after', async () => {
  for (const version of versionsOf(leaveGroup)) {
    const [apis, memberId] = await withPending()
    if (version < 3) {
      const leave = async (id: string) =>
        (await apis.call(leaveGroup, version, { groupId: 'g', memberId: id }))['errorCode']
      assert.equal(await leave('x'), ErrorCode.UNKNOWN_MEMBER_ID)
      assert.equal(await leave(memberId), ErrorCode.NONE)
      continue
    }
    const response = await apis.call(leaveGroup, version, {
      groupId: 'g',
      members: [{ memberId: 'x', groupInstanceId: 'i' }, { memberId }],
    })
    assert.equal(response['errorCode'], ErrorCode.NONE)
    assert.deepEqual(response['members'], [
      { memberId: 'x', groupInstanceId: 'i', errorCode: ErrorCode.UNKNOWN_MEMBER_ID },
      { memberId, groupInstanceId: null, errorCode: ErrorCode.NONE },
    ])
  }
})

test('errors of the group', async () => {
  const [apis] = await withPending()
  const members = [{ memberId: 'x' }]
  assert.equal(
    (await apis.call(leaveGroup, 5, { groupId: '', members }))['errorCode'],
    ErrorCode.INVALID_GROUP_ID,
  )
  apis.groups.close()
  for (const version of versionsOf(leaveGroup)) {
    const who = version < 3 ? { memberId: 'x' } : { members }
    const response = await apis.call(leaveGroup, version, { groupId: 'g', ...who })
    assert.equal(response['errorCode'], ErrorCode.NOT_COORDINATOR)
  }
})
