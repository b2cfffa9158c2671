import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ErrorCode } from '../../../protocol/errors.ts'
import { buildBatch } from '../../../protocol/records/record-builder.ts'
import { GROUP, GroupFixture, range } from './group-fixture.ts'

const HOUR_MS = 3_600_000
const RETENTION_MS = 7 * 24 * HOUR_MS

describe('committing', () => {
  test('a simple consumer needs no group, and several partitions are one batch', () => {
    const fixture = new GroupFixture()
    fixture.holdAppends = true
    const committed = fixture.commit({ offsets: [{ offset: 5 }, { partition: 1, offset: 6, metadata: 'm' }] })
    assert.equal(fixture.held.length, 1)
    assert.equal(fixture.held[0]!.records.length, 2)
    assert.ok(committed.isWaiting)
    assert.equal(fixture.offset(), -1, 'not visible before it is in the log')
    fixture.completeAppends()
    assert.deepEqual(committed.response, [0, 0])
    assert.equal(fixture.offset(), 5)
    assert.equal(fixture.offset('topic', 1), 6)
    assert.equal(fixture.group.groupState, 'Empty')
    assert.equal(fixture.group.protocolType, '')
  })

  test('a member commits in its generation', () => {
    const fixture = new GroupFixture()
    const [member] = fixture.stable(1)
    const { memberId, generationId } = member!
    const code = (options: Parameters<GroupFixture['commit']>[0]) => fixture.commit(options).response[0]
    assert.equal(code({ memberId, generationId }), ErrorCode.NONE)
    assert.equal(code({ memberId, generationId: 0 }), ErrorCode.ILLEGAL_GENERATION)
    assert.equal(code({ memberId, generationId: 2 }), ErrorCode.ILLEGAL_GENERATION)
    assert.equal(code({ memberId, generationId: -1 }), ErrorCode.ILLEGAL_GENERATION)
    assert.equal(code({ memberId: 'x', generationId }), ErrorCode.UNKNOWN_MEMBER_ID)
    assert.equal(code({ memberId, generationId, groupInstanceId: 'i' }), ErrorCode.UNKNOWN_MEMBER_ID)
  })

  test('nobody commits past members; administrators do while the group is empty', () => {
    const fixture = new GroupFixture()
    const [member] = fixture.stable(1)
    assert.deepEqual(fixture.commit().response, [ErrorCode.UNKNOWN_MEMBER_ID])
    fixture.leave(member!.memberId)
    assert.deepEqual(fixture.commit().response, [ErrorCode.NONE])
  })

  test('a generation of a group that does not exist', () => {
    const fixture = new GroupFixture()
    assert.deepEqual(fixture.commit({ memberId: 'm', generationId: 1 }).response, [
      ErrorCode.ILLEGAL_GENERATION,
    ])
    assert.deepEqual(
      fixture.commit({ memberId: 'm', generationId: 1, knowsGroupIdNotFound: true }).response,
      [ErrorCode.GROUP_ID_NOT_FOUND],
    )
    assert.equal(fixture.shard.groupCount, 0)
  })

  test('KIP-429: allowed while a rebalance is prepared, refused while members sync', () => {
    const fixture = new GroupFixture()
    const [leader, follower] = fixture.stable(2)
    fixture.join({ memberId: leader!.memberId })
    const { memberId, generationId } = follower!
    assert.deepEqual(fixture.commit({ memberId, generationId, offsets: [{ offset: 9 }] }).response, [0])
    const rejoined = fixture.join({ memberId }).response
    assert.equal(fixture.group.groupState, 'CompletingRebalance')
    assert.deepEqual(fixture.commit({ memberId, generationId: rejoined.generationId }).response, [
      ErrorCode.REBALANCE_IN_PROGRESS,
    ])
    assert.equal(fixture.offset(), 9)
  })

  test('keeps the session alive', () => {
    const fixture = new GroupFixture()
    const [member] = fixture.stable(1)
    const { memberId, generationId } = member!
    for (let i = 0; i < 5; i++) {
      fixture.advance(9_000)
      assert.deepEqual(fixture.commit({ memberId, generationId }).response, [0])
    }
  })

  test('metadata that is too large is refused alone', () => {
    const fixture = new GroupFixture()
    const { response } = fixture.commit({
      offsets: [{ metadata: 'x'.repeat(4_096) }, { partition: 1, metadata: 'x'.repeat(4_097) }],
    })
    assert.deepEqual(response, [ErrorCode.NONE, ErrorCode.OFFSET_METADATA_TOO_LARGE])
  })

  test('offsets that do not fit into one batch are all refused before anything is done about them', () => {
    for (const retentionTimeMs of [-1, 1_000]) {
      const offsets = Array.from({ length: 300 }, (_, partition) => ({
        topic: partition % 2 === 0 ? 'topic' : 'tópic',
        partition,
        metadata: 'é'.repeat(partition),
      }))
      const whole = new GroupFixture()
      assert.ok(whole.commit({ offsets, retentionTimeMs }).response.every((code) => code === ErrorCode.NONE))
      const timestampMs = 0
      const { length } = buildBatch(whole.log.map(({ key, value }) => ({ key, value, timestampMs })))

      const fitting = new GroupFixture({ appendableBytes: () => length })
      const long = { partition: 300, metadata: 'x'.repeat(4_097) }
      const codes = fitting.commit({ offsets: [...offsets, long], retentionTimeMs }).response
      assert.deepEqual(new Set(codes.slice(0, -1)), new Set([ErrorCode.NONE]))
      assert.equal(codes.at(-1), ErrorCode.OFFSET_METADATA_TOO_LARGE)

      const small = new GroupFixture({ appendableBytes: () => length - 1 })
      const refused = small.commit({ offsets: [...offsets, long], retentionTimeMs }).response
      assert.deepEqual(
        refused,
        Array.from(refused, () => ErrorCode.UNKNOWN_SERVER_ERROR),
      )
      assert.deepEqual([small.log, small.shard.groupCount, small.budget.bytes], [[], 0, 0])
      assert.ok(small.logLines.some((line) => line.includes('max.message.bytes')))
    }
  })

  test('what the log refused is not there, and the error is told in Kafka’s words', () => {
    for (const [logError, clientError] of [
      [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.COORDINATOR_NOT_AVAILABLE],
      [ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND, ErrorCode.COORDINATOR_NOT_AVAILABLE],
      [ErrorCode.KAFKA_STORAGE_ERROR, ErrorCode.NOT_COORDINATOR],
      [ErrorCode.MESSAGE_TOO_LARGE, ErrorCode.UNKNOWN_SERVER_ERROR],
    ] as const) {
      const fixture = new GroupFixture()
      fixture.holdAppends = true
      const committed = fixture.commit()
      fixture.completeAppends(logError)
      assert.deepEqual(committed.response, [clientError])
      assert.equal(fixture.offset(), -1)
      assert.equal(fixture.shard.groupCount, 0)
      assert.equal(fixture.budget.bytes, 0)
    }
  })

  test('a later commit wins, whichever is confirmed first', () => {
    const fixture = new GroupFixture()
    fixture.holdAppends = true
    fixture.commit({ offsets: [{ offset: 1 }] })
    fixture.commit({ offsets: [{ offset: 2 }] })
    fixture.held.reverse()
    fixture.completeAppends()
    assert.equal(fixture.offset(), 2)
  })

  test('a later commit takes the memory of the one before', () => {
    const fixture = new GroupFixture()
    const bytesAfter = (metadata: string): number => {
      fixture.commit({ offsets: [{ metadata }] })
      return fixture.budget.bytes
    }
    const short = bytesAfter('m')
    assert.equal(bytesAfter('m'), short)
    // Two bytes for a character.
    assert.equal(bytesAfter('m'.repeat(101)), short + 200)
    assert.equal(bytesAfter('n'), short)
    assert.equal(bytesAfter(''), short - 2)
  })

  test('offsets take up no more memory than allowed', () => {
    const fixture = new GroupFixture({ maxStateBytes: 10_000 })
    const codes = Array.from({ length: 20 }, (_, partition) => fixture.commit({ offsets: [{ partition }] }))
    assert.deepEqual(codes.at(-1)!.response, [ErrorCode.INVALID_COMMIT_OFFSET_SIZE])
    assert.deepEqual(fixture.commit({ offsets: [{ partition: 0, offset: 7 }] }).response, [0])
    assert.equal(fixture.offset(), 7)
    assert.deepEqual(fixture.commit({ offsets: [{ metadata: 'x'.repeat(4_000) }] }).response, [
      ErrorCode.INVALID_COMMIT_OFFSET_SIZE,
    ])
  })
})

test('fetching: named partitions, all of them, and a group nobody knows', () => {
  const fixture = new GroupFixture()
  fixture.commit({
    offsets: [
      { offset: 5, leaderEpoch: 3, metadata: 'm' },
      { topic: 'b', partition: 2 },
    ],
  })
  const none = {
    committedOffset: -1,
    committedLeaderEpoch: -1,
    metadata: '',
    errorCode: ErrorCode.NONE,
  }
  const five = { partitionIndex: 0, committedOffset: 5, committedLeaderEpoch: 3, metadata: 'm', errorCode: 0 }
  assert.deepEqual(
    fixture.shard.fetchOffsets({ groupId: GROUP, topics: [{ name: 'topic', partitions: [0, 1] }] }),
    [{ name: 'topic', partitions: [five, { partitionIndex: 1, ...none }] }],
  )
  assert.deepEqual(
    fixture.shard.fetchOffsets({ groupId: GROUP, topics: null }).map(({ name }) => name),
    ['topic', 'b'],
  )
  assert.deepEqual(fixture.shard.fetchOffsets({ groupId: 'x', topics: null }), [])
  assert.deepEqual(fixture.shard.fetchOffsets({ groupId: 'x', topics: [{ name: 't', partitions: [7] }] }), [
    { name: 't', partitions: [{ partitionIndex: 7, ...none }] },
  ])
})

describe('deleting', () => {
  test('a group goes with its offsets, when the tombstones are in the log', () => {
    const fixture = new GroupFixture()
    const [member] = fixture.stable(1)
    fixture.commit({ memberId: member!.memberId, generationId: 1 })
    assert.equal(fixture.deleteGroup().response, ErrorCode.NON_EMPTY_GROUP)
    fixture.leave(member!.memberId)
    fixture.holdAppends = true
    const deleted = fixture.deleteGroup()
    assert.ok(deleted.isWaiting)
    assert.equal(fixture.join().response.errorCode, ErrorCode.COORDINATOR_NOT_AVAILABLE)
    assert.deepEqual(fixture.commit().response, [ErrorCode.COORDINATOR_NOT_AVAILABLE])
    assert.equal(fixture.deleteGroup().response, ErrorCode.GROUP_ID_NOT_FOUND)
    fixture.completeAppends()
    assert.equal(deleted.response, 0)
    assert.equal(fixture.shard.groupCount, 0)
    assert.equal(fixture.budget.bytes, 0)
    fixture.restart()
    assert.equal(fixture.shard.groupCount, 0)
    assert.equal(fixture.deleteGroup().response, ErrorCode.GROUP_ID_NOT_FOUND)
  })

  test('a group stays when its tombstones cannot be written', () => {
    const fixture = new GroupFixture()
    fixture.commit()
    fixture.holdAppends = true
    const deleted = fixture.deleteGroup()
    fixture.completeAppends(ErrorCode.NOT_ENOUGH_REPLICAS)
    assert.equal(deleted.response, ErrorCode.COORDINATOR_NOT_AVAILABLE)
    assert.equal(fixture.offset(), 1)
    fixture.holdAppends = false
    assert.deepEqual(fixture.commit().response, [0])
  })

  test('a commit on its way when the group is deleted does not come back after a restart', () => {
    const fixture = new GroupFixture()
    fixture.commit()
    fixture.holdAppends = true
    fixture.commit({ offsets: [{ partition: 1 }] })
    fixture.deleteGroup()
    fixture.completeAppends()
    assert.equal(fixture.shard.groupCount, 0)
    fixture.restart()
    assert.equal(fixture.shard.groupCount, 0)
  })

  test('many tombstones are several batches', () => {
    const fixture = new GroupFixture({ maxBatchBytes: 1_000 })
    fixture.commit({ offsets: Array.from({ length: 100 }, (_, partition) => ({ partition })) })
    fixture.holdAppends = true
    const deleted = fixture.deleteGroup()
    assert.ok(fixture.held.length > 3)
    for (const { records } of fixture.held) {
      assert.ok(records.reduce((bytes, { key }) => bytes + key.length, 0) <= 1_000)
    }
    fixture.completeAppends()
    assert.equal(deleted.response, 0)
    fixture.restart()
    assert.equal(fixture.shard.groupCount, 0)
  })

  test('offsets of topics that consumers read are not deleted, others are', () => {
    const fixture = new GroupFixture()
    const [member] = fixture.stable(1, [{ protocols: [range('read')] }])
    const { memberId, generationId } = member!
    fixture.commit({ memberId, generationId, offsets: [{ topic: 'read' }, { topic: 'once read' }] })
    assert.deepEqual(fixture.deleteOffsets('read').response.topicErrorCodes, [
      ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC,
    ])
    assert.deepEqual(fixture.deleteOffsets('once read').response.topicErrorCodes, [0])
    assert.equal(fixture.offset('read'), 1)
    assert.equal(fixture.offset('once read'), -1)
    fixture.restart()
    assert.equal(fixture.offset('read'), 1)
    assert.equal(fixture.offset('once read'), -1)
  })

  test('offsets of a group with members of another kind are not deleted', () => {
    const fixture = new GroupFixture()
    assert.equal(fixture.deleteOffsets().response.errorCode, ErrorCode.GROUP_ID_NOT_FOUND)
    const [member] = fixture.stable(1, [{ protocolType: 'connect' }])
    assert.equal(fixture.deleteOffsets().response.errorCode, ErrorCode.NON_EMPTY_GROUP)
    fixture.leave(member!.memberId)
    assert.deepEqual(fixture.deleteOffsets().response, { errorCode: 0, topicErrorCodes: [0] })
  })

  test('consumers whose subscription nobody can read may read every topic', () => {
    const fixture = new GroupFixture()
    fixture.stable(1, [{ protocols: [{ name: 'range', metadata: Buffer.from('?') }] }])
    assert.deepEqual(fixture.deleteOffsets().response.topicErrorCodes, [ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC])
  })

  test('offsets go with their topic', () => {
    const fixture = new GroupFixture()
    fixture.commit({ offsets: [{ topic: 'a' }, { topic: 'a', partition: 1 }, { topic: 'b' }] })
    fixture.topicDeleted('a')
    fixture.restart()
    assert.equal(fixture.offset('a'), -1)
    assert.equal(fixture.offset('a', 1), -1)
    assert.equal(fixture.offset('b'), 1)
  })
})

describe('retention', () => {
  test('of a simple consumer counts from each commit', () => {
    const fixture = new GroupFixture()
    fixture.commit()
    fixture.advance(HOUR_MS)
    fixture.commit({ offsets: [{ partition: 1 }] })
    fixture.advance(RETENTION_MS - HOUR_MS - 1)
    fixture.expireOffsets()
    assert.equal(fixture.offset(), 1)
    fixture.advance(1)
    fixture.expireOffsets()
    assert.equal(fixture.offset(), -1)
    assert.equal(fixture.offset('topic', 1), 1)
    fixture.advance(HOUR_MS)
    fixture.expireOffsets()
    assert.equal(fixture.shard.groupCount, 0)
    fixture.restart()
    assert.equal(fixture.shard.groupCount, 0)
  })

  test('KIP-211: of a group counts from when it became empty', () => {
    const fixture = new GroupFixture()
    const [member] = fixture.stable(1, [{ sessionTimeoutMs: 1_800_000 }])
    const { memberId, generationId } = member!
    fixture.commit({ memberId, generationId })
    fixture.advance(HOUR_MS / 4)
    fixture.leave(memberId)
    fixture.advance(RETENTION_MS - 1)
    fixture.restart()
    fixture.expireOffsets()
    assert.equal(fixture.offset(), 1)
    fixture.advance(1)
    fixture.expireOffsets()
    assert.equal(fixture.shard.groupCount, 0)
    fixture.restart()
    assert.equal(fixture.shard.groupCount, 0)
  })

  test('KIP-211: while consumers are there, only topics that none of them reads expire', () => {
    const fixture = new GroupFixture({ offsetsRetentionMs: 60_000 })
    const [member] = fixture.stable(1, [{ protocols: [range('read')], sessionTimeoutMs: 1_800_000 }])
    const { memberId, generationId } = member!
    fixture.commit({ memberId, generationId, offsets: [{ topic: 'read' }, { topic: 'once read' }] })
    fixture.advance(60_000)
    fixture.expireOffsets()
    assert.equal(fixture.offset('read'), 1)
    assert.equal(fixture.offset('once read'), -1)
  })

  test('nothing of a group of another kind expires while it has members', () => {
    const fixture = new GroupFixture({ offsetsRetentionMs: 60_000 })
    const [member] = fixture.stable(1, [{ protocolType: 'connect', sessionTimeoutMs: 1_800_000 }])
    fixture.commit({ memberId: member!.memberId, generationId: 1 })
    fixture.advance(120_000)
    fixture.expireOffsets()
    assert.equal(fixture.offset(), 1)
  })

  test('a retention of its own (v2-4) goes first, also after a restart', () => {
    const fixture = new GroupFixture()
    fixture.commit({ retentionTimeMs: 1_000 })
    fixture.commit({ offsets: [{ partition: 1 }] })
    fixture.restart()
    fixture.advance(999)
    fixture.expireOffsets()
    assert.equal(fixture.offset(), 1)
    fixture.advance(1)
    fixture.expireOffsets()
    assert.equal(fixture.offset(), -1)
    assert.equal(fixture.offset('topic', 1), 1)
  })

  test('an empty group without offsets goes at the next check, unless somebody is about to join', () => {
    const fixture = new GroupFixture()
    const [member] = fixture.stable(1)
    fixture.leave(member!.memberId)
    const { memberId } = fixture.join({ requiresKnownMemberId: true }).response
    fixture.expireOffsets()
    assert.equal(fixture.group.groupState, 'Empty')
    fixture.leave(memberId)
    fixture.expireOffsets()
    assert.equal(fixture.shard.groupCount, 0)
    fixture.restart()
    assert.equal(fixture.shard.groupCount, 0)
  })
})
