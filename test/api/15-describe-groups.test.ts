import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../protocol/errors.ts'
import { joinGroup } from '../../src/api/11-join-group.ts'
import { describeGroups } from '../../src/api/15-describe-groups.ts'
import { GroupApis, versionsOf } from './group-api-fixture.ts'

test('every version: a group with members, and one that does not exist', async () => {
  const apis = await GroupApis.start()
  apis.send(joinGroup, 5, {
    groupId: 'g',
    memberId: '',
    groupInstanceId: 'i',
    sessionTimeoutMs: 10_000,
    rebalanceTimeoutMs: 10_000,
    protocolType: 'connect',
    protocols: [{ name: 'p', metadata: Buffer.from('m') }],
  })
  for (const version of versionsOf(describeGroups)) {
    for (const includeAuthorizedOperations of version < 3 ? [false] : [false, true]) {
      const body = { groups: ['g', 'x', 'g'], includeAuthorizedOperations }
      const response = await apis.call(describeGroups, version, body)
      const [group, missing, ...more] = response['groups'] as Record<string, unknown>[]
      assert.deepEqual(more, [])
      assert.equal(group!['groupState'], 'PreparingRebalance')
      assert.equal(group!['protocolType'], 'connect')
      const [member] = group!['members'] as Record<string, unknown>[]
      assert.equal(member!['groupInstanceId'], version < 4 ? null : 'i')
      assert.equal(member!['clientHost'], '/10.0.0.1')
      assert.equal(missing!['groupState'], 'Dead')
      const isTold = version >= 6
      assert.equal(missing!['errorCode'], isTold ? ErrorCode.GROUP_ID_NOT_FOUND : 0)
      assert.equal(missing!['errorMessage'], isTold ? 'Group x not found.' : null)
      const isAsked = includeAuthorizedOperations && !isTold
      assert.equal(missing!['authorizedOperations'], isAsked ? 3_400 : -0x8000_0000)
      assert.equal(group!['errorMessage'], null)
      const operations = includeAuthorizedOperations ? 3_400 : -0x8000_0000
      assert.equal(group!['authorizedOperations'], operations)
    }
  }
})

test('a group that cannot be asked has an error and no state', async () => {
  const apis = await GroupApis.start()
  apis.groups.close()
  const response = await apis.call(describeGroups, 5, { groups: ['g'], includeAuthorizedOperations: true })
  const [group] = response['groups'] as Record<string, unknown>[]
  assert.equal(group!['errorCode'], ErrorCode.NOT_COORDINATOR)
  assert.equal(group!['groupState'], '')
  assert.equal(group!['authorizedOperations'], -0x8000_0000)
})
