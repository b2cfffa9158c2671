import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../protocol/errors.ts'
import { offsetCommit } from '../../src/api/08-offset-commit.ts'
import { GroupApis, versionsOf } from './group-api-fixture.ts'

const partition = (partitionIndex: number) => ({
  partitionIndex,
  committedOffset: 5,
  committedMetadata: null,
})

test('every version commits for a simple consumer; partitions that do not exist have an error of their own', async () => {
  for (const version of versionsOf(offsetCommit)) {
    const apis = await GroupApis.start()
    const response = await apis.call(offsetCommit, version, {
      groupId: 'g',
      memberId: '',
      topics: [
        { name: 'topic', partitions: [partition(0), partition(2), partition(-1)] },
        { name: 'nowhere', partitions: [partition(0)] },
        { name: 'topic', partitions: [partition(1)] },
      ],
    })
    const unknown = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    const errors = (response['topics'] as { name: string; partitions: { errorCode: number }[] }[]).map(
      ({ name, partitions }) => [name, ...partitions.map(({ errorCode }) => errorCode)],
    )
    assert.deepEqual(errors, [
      ['topic', 0, unknown, unknown, 0],
      ['nowhere', unknown],
    ])
    const fetched = apis.groups.fetchOffsets({
      groupId: 'g',
      topics: [{ name: 'topic', partitions: [0, 1] }],
    })
    assert.ok(typeof fetched !== 'number')
    assert.deepEqual(
      fetched[0]!.partitions.map(({ committedOffset, metadata }) => [committedOffset, metadata]),
      [
        [5, ''],
        [5, ''],
      ],
    )
  }
})

test('nothing that exists, nothing to wait for', async () => {
  const apis = await GroupApis.start()
  const response = await apis.call(offsetCommit, 9, {
    groupId: 'g',
    memberId: '',
    topics: [{ name: 'nowhere', partitions: [partition(0)] }],
  })
  const partitions = [{ partitionIndex: 0, errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION }]
  assert.deepEqual((response['topics'] as { partitions: unknown }[])[0]!.partitions, partitions)
  assert.deepEqual([...apis.groups.list()], [])
})

test('the error for a missing group depends on the version; a member id goes with its generation', async () => {
  const apis = await GroupApis.start()
  for (const version of versionsOf(offsetCommit).slice(1)) {
    const response = await apis.call(offsetCommit, version, {
      groupId: 'g',
      memberId: 'm',
      generationIdOrMemberEpoch: 3,
      topics: [{ name: 'topic', partitions: [partition(0)] }],
    })
    const { partitions } = (response['topics'] as { partitions: { errorCode: number }[] }[])[0]!
    const expected = version < 9 ? ErrorCode.ILLEGAL_GENERATION : ErrorCode.GROUP_ID_NOT_FOUND
    assert.equal(partitions[0]!.errorCode, expected)
  }
})

test('v2-4: a retention of its own', async () => {
  const apis = await GroupApis.start()
  const topics = [{ name: 'topic', partitions: [partition(0)] }]
  await apis.call(offsetCommit, 3, { groupId: 'g', memberId: '', retentionTimeMs: 1_000, topics })
  apis.clock.advance(600_000)
  assert.deepEqual([...apis.groups.list()], [])
})
