import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../protocol/errors.ts'
import { offsetCommit } from '../../src/api/08-offset-commit.ts'
import { offsetFetch } from '../../src/api/09-offset-fetch.ts'
import { GroupApis, versionsOf } from './group-api-fixture.ts'

async function withOffsets(): Promise<GroupApis> {
  const apis = await GroupApis.start()
  const partition = { partitionIndex: 1, committedOffset: 5, committedLeaderEpoch: 3, committedMetadata: 'm' }
  const topics = [{ name: 'topic', partitions: [partition] }]
  await apis.call(offsetCommit, 9, { groupId: 'g', memberId: '', topics })
  return apis
}

const FOUND = { partitionIndex: 1, committedOffset: 5, committedLeaderEpoch: 3, metadata: 'm', errorCode: 0 }
const NONE = { partitionIndex: 0, committedOffset: -1, committedLeaderEpoch: -1, metadata: '', errorCode: 0 }

test('every version reads offsets, and -1 where there is none', async () => {
  const apis = await withOffsets()
  const asked = [{ name: 'topic', partitionIndexes: [1, 0] }]
  for (const version of versionsOf(offsetFetch)) {
    if (version >= 8) {
      const response = await apis.call(offsetFetch, version, {
        groups: [
          { groupId: 'g', topics: asked },
          { groupId: 'x', topics: null },
        ],
      })
      const partitions = [FOUND, NONE]
      const groups = response['groups'] as { groupId: string; topics: { partitions: unknown }[] }[]
      assert.deepEqual(
        groups.map(({ groupId, topics }) => [groupId, ...topics.map((topic) => topic.partitions)]),
        [['g', partitions], ['x']],
      )
      continue
    }
    const response = await apis.call(offsetFetch, version, { groupId: 'g', topics: asked })
    const committedLeaderEpoch = version < 5 ? -1 : 3
    const topics = [{ name: 'topic', partitions: [{ ...FOUND, committedLeaderEpoch }, NONE] }]
    assert.deepEqual(response['topics'], topics)
  }
})

test('v2+: null topics are all topics', async () => {
  const apis = await withOffsets()
  for (const version of [2, 7]) {
    const response = await apis.call(offsetFetch, version, { groupId: 'g', topics: null })
    assert.equal((response['topics'] as unknown[]).length, 1)
  }
})

test('an offset that is named many times is answered once', async () => {
  const apis = await withOffsets()
  const topic = { name: 'topic', partitionIndexes: [1, 1, 1] }
  const response = await apis.call(offsetFetch, 7, { groupId: 'g', topics: [topic, topic] })
  assert.deepEqual(
    (response['topics'] as { partitions: unknown[] }[]).map(({ partitions }) => partitions.length),
    [1],
  )
  const group = { groupId: 'g', topics: null }
  const groups = (await apis.call(offsetFetch, 9, { groups: [group, group] }))['groups']
  assert.deepEqual(
    (groups as { topics: unknown[] }[]).map(({ topics }) => topics.length),
    [1],
  )
})

test('an error of the group: in every partition in v1, once from v2 on', async () => {
  const apis = await withOffsets()
  apis.groups.close()
  const topics = [{ name: 'topic', partitionIndexes: [0] }]
  const errorCode = ErrorCode.NOT_COORDINATOR
  const first = await apis.call(offsetFetch, 1, { groupId: 'g', topics })
  assert.deepEqual(first['topics'], [{ name: 'topic', partitions: [{ ...NONE, errorCode }] }])
  assert.equal((await apis.call(offsetFetch, 2, { groupId: 'g', topics }))['errorCode'], errorCode)
  const response = await apis.call(offsetFetch, 8, { groups: [{ groupId: 'g', topics }] })
  assert.deepEqual(response['groups'], [{ groupId: 'g', topics: [], errorCode }])
})
