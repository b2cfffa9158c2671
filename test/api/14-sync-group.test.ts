import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../protocol/errors.ts'
import { joinGroup } from '../../src/api/11-join-group.ts'
import { syncGroup } from '../../src/api/14-sync-group.ts'
import { GroupApis, versionsOf } from './group-api-fixture.ts'

test('every version; protocol type and name from v5 on', async () => {
  for (const version of versionsOf(syncGroup)) {
    const apis = await GroupApis.start()
    const joining = apis.send(joinGroup, 3, {
      groupId: 'g',
      memberId: '',
      sessionTimeoutMs: 10_000,
      rebalanceTimeoutMs: 10_000,
      protocolType: 'connect',
      protocols: [{ name: 'p', metadata: Buffer.alloc(0) }],
    })
    apis.clock.advance(3_000)
    const { memberId, generationId } = joining[0]!
    const protocol = version < 5 ? {} : { protocolType: 'connect', protocolName: 'p' }
    const sync = { groupId: 'g', memberId, generationId, ...protocol }
    for (const change of [{ protocolName: 'q' }, { protocolName: null }, { protocolType: null }]) {
      if (version < 5) continue
      const wrong = await apis.call(syncGroup, version, { ...sync, ...change, assignments: [] })
      assert.equal(wrong['errorCode'], ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
    }
    const assignments = [{ memberId, assignment: Buffer.from('a') }]
    const response = await apis.call(syncGroup, version, { ...sync, assignments })
    assert.equal(response['errorCode'], 0)
    assert.deepEqual(response['assignment'], Buffer.from('a'))
    assert.equal(response['protocolName'], version < 5 ? null : 'p')
    assert.equal(response['protocolType'], version < 5 ? null : 'connect')
    const unknown = await apis.call(syncGroup, version, { ...sync, memberId: 'x', assignments: [] })
    assert.equal(unknown['errorCode'], ErrorCode.UNKNOWN_MEMBER_ID)
  }
})
