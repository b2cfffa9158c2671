import assert from 'node:assert/strict'
import { test } from 'node:test'
import { offsetCommit } from '../../src/api/08-offset-commit.ts'
import { joinGroup } from '../../src/api/11-join-group.ts'
import { listGroups } from '../../src/api/16-list-groups.ts'
import { GroupApis, versionsOf } from './group-api-fixture.ts'

async function withGroups(): Promise<GroupApis> {
  const apis = await GroupApis.start()
  apis.send(joinGroup, 0, {
    groupId: 'with members',
    memberId: '',
    sessionTimeoutMs: 10_000,
    protocolType: 'consumer',
    protocols: [{ name: 'p', metadata: Buffer.alloc(0) }],
  })
  const partitions = [{ partitionIndex: 0, committedOffset: 1, committedMetadata: '' }]
  await apis.call(offsetCommit, 2, {
    groupId: 'simple',
    memberId: '',
    topics: [{ name: 'topic', partitions }],
  })
  return apis
}

test('every version lists all groups; states from v4, types from v5 on', async () => {
  const apis = await withGroups()
  for (const version of versionsOf(listGroups)) {
    const response = await apis.call(listGroups, version, { statesFilter: [], typesFilter: [] })
    assert.equal(response['errorCode'], 0)
    const groupType = version < 5 ? '' : 'classic'
    const state = (name: string) => (version < 4 ? '' : name)
    const byId = (a: { groupId: string }, b: { groupId: string }) => (a.groupId < b.groupId ? -1 : 1)
    assert.deepEqual((response['groups'] as { groupId: string }[]).sort(byId), [
      { groupId: 'simple', protocolType: '', groupState: state('Empty'), groupType },
      {
        groupId: 'with members',
        protocolType: 'consumer',
        groupState: state('PreparingRebalance'),
        groupType,
      },
    ])
  }
})

test('filters', async () => {
  const apis = await withGroups()
  const listed = async (statesFilter: string[], typesFilter: string[]) => {
    const response = await apis.call(listGroups, 5, { statesFilter, typesFilter })
    return (response['groups'] as { groupId: string }[]).map(({ groupId }) => groupId).sort()
  }
  assert.deepEqual(await listed(['Empty'], []), ['simple'])
  assert.deepEqual(await listed(['preparingrebalance', 'Stable'], []), ['with members'])
  assert.deepEqual(await listed(['Stable'], []), [])
  assert.deepEqual(await listed([], ['Classic']), ['simple', 'with members'])
  assert.deepEqual(await listed([], ['consumer']), [])
  assert.deepEqual(await listed(['Empty'], ['consumer', 'classic']), ['simple'])
})
