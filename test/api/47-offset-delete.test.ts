import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../protocol/errors.ts'
import { offsetCommit } from '../../src/api/08-offset-commit.ts'
import { offsetDelete } from '../../src/api/47-offset-delete.ts'
import { GroupApis } from './group-api-fixture.ts'

test('offsets go; partitions that do not exist and groups that do not have their errors', async () => {
  const apis = await GroupApis.start()
  const partitions = [0, 1].map((partitionIndex) => ({
    partitionIndex,
    committedOffset: 1,
    committedMetadata: '',
  }))
  await apis.call(offsetCommit, 2, { groupId: 'g', memberId: '', topics: [{ name: 'topic', partitions }] })
  const topics = [
    { name: 'nowhere', partitions: [{ partitionIndex: 0 }] },
    { name: 'topic', partitions: [{ partitionIndex: 7 }, { partitionIndex: 0 }] },
    { name: 'of none', partitions: [] },
  ]
  const missing = await apis.call(offsetDelete, 0, { groupId: 'x', topics })
  assert.equal(missing['errorCode'], ErrorCode.GROUP_ID_NOT_FOUND)
  const nameless = await apis.call(offsetDelete, 0, { groupId: '', topics })
  assert.equal(nameless['errorCode'], ErrorCode.INVALID_GROUP_ID)
  const response = await apis.call(offsetDelete, 0, { groupId: 'g', topics })
  assert.equal(response['errorCode'], 0)
  const unknown = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
  assert.deepEqual(response['topics'], [
    { name: 'nowhere', partitions: [{ partitionIndex: 0, errorCode: unknown }] },
    {
      name: 'topic',
      partitions: [
        { partitionIndex: 7, errorCode: unknown },
        { partitionIndex: 0, errorCode: 0 },
      ],
    },
  ])
  const left = apis.groups.fetchOffsets({ groupId: 'g', topics: null })
  assert.ok(typeof left !== 'number')
  assert.deepEqual(
    left[0]!.partitions.map(({ partitionIndex }) => partitionIndex),
    [1],
  )
})
