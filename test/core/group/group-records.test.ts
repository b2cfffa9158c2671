import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { encodeData } from '../../../protocol/compile.ts'
import { ErrorCode } from '../../../protocol/errors.ts'
import {
  groupMetadataKey,
  groupMetadataValue,
  offsetCommitKey,
  offsetCommitValue,
} from '../../../protocol/messages/group-records.ts'
import { groupPartition } from '../../../src/core/group/group-partition.ts'
import { MAX_TOPICS_READ, subscribedAmong } from '../../../src/core/group/subscription.ts'
import { GROUP, GroupFixture, range, subscription } from './group-fixture.ts'

const OFFSET = { offset: 42, leaderEpoch: 7, metadata: 'm', commitTimestamp: 1_700_000_000_000 }

function offsetKey(partition: number, version = 1): Buffer {
  return encodeData(offsetCommitKey, version, { group: GROUP, topic: 'topic', partition })
}

function groupKey(): Buffer {
  return encodeData(groupMetadataKey, 2, { group: GROUP })
}

describe('what Apache Kafka wrote', () => {
  test('offsets of every version are read', () => {
    const fixture = new GroupFixture()
    for (let version = 0; version <= 4; version++) {
      const value = encodeData(offsetCommitValue, version, OFFSET)
      fixture.log.push({ key: offsetKey(version, version % 2), value })
    }
    fixture.restart()
    const topics = [{ name: 'topic', partitions: [0, 1, 2, 3, 4] }]
    const [fetched] = fixture.shard.fetchOffsets({ groupId: GROUP, topics })
    assert.deepEqual(
      fetched!.partitions.map((partition) => [
        partition.committedOffset,
        partition.committedLeaderEpoch,
        partition.metadata,
      ]),
      [
        [42, -1, 'm'],
        [42, -1, 'm'],
        [42, -1, 'm'],
        [42, 7, 'm'],
        [42, 7, 'm'],
      ],
    )
  })

  test('an expiry (v1) counts', () => {
    const fixture = new GroupFixture()
    const expireTimestamp = fixture.now.wallMs + 10
    fixture.log.push({
      key: offsetKey(0),
      value: encodeData(offsetCommitValue, 1, { ...OFFSET, expireTimestamp }),
    })
    fixture.restart()
    fixture.advance(9)
    fixture.expireOffsets()
    assert.equal(fixture.offset(), 42)
    fixture.advance(1)
    fixture.expireOffsets()
    assert.equal(fixture.offset(), -1)
  })

  test('groups of every version are read, and their members go on', () => {
    for (let version = 0; version <= 4; version++) {
      const fixture = new GroupFixture()
      const member = (memberId: string) => ({
        memberId,
        groupInstanceId: version >= 3 ? `instance of ${memberId}` : null,
        clientId: 'c',
        clientHost: '/h',
        rebalanceTimeout: 20_000,
        sessionTimeout: 10_000,
        subscription: subscription('topic'),
        assignment: Buffer.from(`for ${memberId}`),
      })
      const value = encodeData(groupMetadataValue, version, {
        protocolType: 'consumer',
        generation: 5,
        protocol: 'range',
        leader: 'b',
        currentStateTimestamp: 1_700_000_000_000,
        members: [member('a'), member('b')],
      })
      fixture.log.push({ key: groupKey(), value })
      fixture.restart()
      const { groupState, protocolData, members } = fixture.group
      assert.equal(groupState, 'Stable')
      assert.equal(protocolData, 'range')
      assert.deepEqual(members[0], {
        memberId: 'a',
        groupInstanceId: version >= 3 ? 'instance of a' : null,
        clientId: 'c',
        clientHost: '/h',
        memberMetadata: subscription('topic'),
        memberAssignment: Buffer.from('for a'),
      })
      const joined = { memberId: 'b', generationId: 5 }
      assert.equal(fixture.heartbeat(joined), ErrorCode.NONE)
      assert.ok(fixture.join({ memberId: 'b' }).isWaiting, 'the leader may ask for a rebalance')
      assert.equal(fixture.join({ memberId: 'a' }).response.leader, 'b')
      fixture.advance(1_000_000)
      assert.equal(fixture.group.groupState, 'Empty')
    }
  })

  test('tombstones, keys of other kinds of groups, and keys nobody knows', () => {
    const fixture = new GroupFixture()
    const value = encodeData(offsetCommitValue, 3, OFFSET)
    fixture.log.push({ key: offsetKey(0), value }, { key: offsetKey(0), value: null })
    fixture.log.push({ key: offsetKey(1), value: null }, { key: groupKey(), value: null })
    for (let version = 3; version < 40; version++) {
      fixture.log.push({ key: Buffer.from([0, version, 1, 2, 3]), value })
    }
    fixture.log.push({ key: Buffer.from([0]), value })
    fixture.restart()
    assert.equal(fixture.shard.groupCount, 0)
  })

  test('the partition of a group is Kafka’s', () => {
    // Values of Java's String.hashCode.
    assert.equal(groupPartition('hello', 50), 99_162_322 % 50)
    assert.equal(groupPartition('', 50), 0)
    assert.equal(groupPartition('polygenelubricants', 50), 0, 'Integer.MIN_VALUE')
    assert.equal(groupPartition('my-group', 50), Math.abs(javaHash('my-group')) % 50)
    assert.equal(groupPartition('\u{1f600}é', 50), Math.abs(javaHash('\u{1f600}é')) % 50)
  })
})

function javaHash(text: string): number {
  let hash = 0n
  for (let i = 0; i < text.length; i++) hash = BigInt.asIntN(32, hash * 31n + BigInt(text.charCodeAt(i)))
  return Number(hash)
}

test('a restart keeps generation, members, assignments and offsets', () => {
  const fixture = new GroupFixture()
  const [leader, second] = fixture.stable(2, [{}, { groupInstanceId: 'i', protocols: [range('topic', 'b')] }])
  fixture.commit({ memberId: leader!.memberId, generationId: 1, offsets: [{ offset: 3, metadata: 'm' }] })
  const before = fixture.group
  fixture.restart()
  assert.deepEqual(fixture.group, before)
  assert.equal(fixture.offset(), 3)
  assert.equal(fixture.heartbeat(leader!), ErrorCode.NONE)
  assert.equal(fixture.sync(second!, {}, { groupInstanceId: 'i' }).response.assignment.toString(), 'for i-2')
  fixture.advance(10_000)
  assert.equal(fixture.group.groupState, 'Empty', 'whoever does not show up is removed')
})

test('a restart in the middle of a rebalance falls back to the last generation that was written', () => {
  const fixture = new GroupFixture()
  const [leader, second] = fixture.stable(2)
  for (const { memberId } of [leader!, second!]) fixture.join({ memberId, protocols: [range('new')] })
  assert.equal(fixture.group.groupState, 'CompletingRebalance')
  fixture.restart()
  assert.equal(fixture.group.groupState, 'Stable')
  assert.equal(fixture.heartbeat({ ...leader!, generationId: 2 }), ErrorCode.ILLEGAL_GENERATION)
  assert.equal(fixture.heartbeat(leader!), ErrorCode.NONE)
})

describe('subscriptions', () => {
  const among = (...subscriptions: Buffer[]): string[] | null => {
    const found = subscribedAmong(new Set(['a', 'bé', 'c']), subscriptions)
    return found === null ? null : [...found]
  }

  test('topics of any version, of all members', () => {
    const bytes = subscription('a', 'other', 'bé')
    for (const version of [0, 1, 3, 9]) {
      bytes.writeInt16BE(version)
      assert.deepEqual(among(bytes), ['a', 'bé'])
    }
    assert.deepEqual(among(bytes, bytes, subscription('a', 'other'), subscription(), subscription('c')), [
      'a',
      'bé',
      'c',
    ])
    assert.deepEqual(among(), [])
  })

  test('everything else is nothing, and no count is believed', () => {
    const bytes = subscription('a', 'b')
    const longer = subscription('a', 'b', 'c')
    for (let length = 0; length < 12; length++) {
      assert.equal(among(bytes.subarray(0, length)), null)
      assert.equal(among(bytes, longer.subarray(0, length)), null)
    }
    bytes.writeInt32BE(0x7fff_ffff, 2)
    assert.equal(among(bytes), null)
    bytes.writeInt32BE(-1, 2)
    assert.equal(among(bytes), null)
    bytes.writeInt16BE(-1, 0)
    assert.equal(among(bytes), null)
  })

  test('the same list is read once, and of very many topics nothing is known', () => {
    const most = subscription(...Array.from({ length: MAX_TOPICS_READ }, () => 'a'))
    assert.deepEqual(among(most, most, Buffer.concat([most, Buffer.from('data of the user')])), ['a'])
    assert.equal(among(most, subscription('b')), null)
  })
})
