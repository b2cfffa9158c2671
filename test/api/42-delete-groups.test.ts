import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../protocol/errors.ts'
import { offsetCommit } from '../../src/api/08-offset-commit.ts'
import { joinGroup } from '../../src/api/11-join-group.ts'
import { deleteGroups } from '../../src/api/42-delete-groups.ts'
import { GroupApis, versionsOf } from './group-api-fixture.ts'

test('every version: an empty group goes, others have their errors, a name twice is one', async () => {
  for (const version of versionsOf(deleteGroups)) {
    const apis = await GroupApis.start()
    apis.send(joinGroup, 0, {
      groupId: 'busy',
      memberId: '',
      sessionTimeoutMs: 10_000,
      protocolType: 'consumer',
      protocols: [{ name: 'p', metadata: Buffer.alloc(0) }],
    })
    const partitions = [{ partitionIndex: 0, committedOffset: 1, committedMetadata: '' }]
    const topics = [{ name: 'topic', partitions }]
    await apis.call(offsetCommit, 2, { groupId: 'idle', memberId: '', topics })
    const response = await apis.call(deleteGroups, version, { groupsNames: ['idle', 'busy', 'none', 'idle'] })
    assert.deepEqual(response['results'], [
      { groupId: 'idle', errorCode: ErrorCode.NONE },
      { groupId: 'busy', errorCode: ErrorCode.NON_EMPTY_GROUP },
      { groupId: 'none', errorCode: ErrorCode.GROUP_ID_NOT_FOUND },
    ])
    assert.deepEqual(
      [...apis.groups.list()].map(({ groupId }) => groupId),
      ['busy'],
    )
  }
})
