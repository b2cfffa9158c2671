import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ErrorCode } from '../../../protocol/errors.ts'
import { GROUP, GroupFixture, range, subscription } from './group-fixture.ts'

describe('joining', () => {
  test('a group id is needed', () => {
    const fixture = new GroupFixture()
    assert.equal(fixture.join({ groupId: '' }).response.errorCode, ErrorCode.INVALID_GROUP_ID)
  })

  test('the session timeout must be within the limits', () => {
    const fixture = new GroupFixture()
    for (const sessionTimeoutMs of [5_999, 1_800_001, -1]) {
      assert.equal(fixture.join({ sessionTimeoutMs }).response.errorCode, ErrorCode.INVALID_SESSION_TIMEOUT)
    }
    assert.ok(fixture.join({ sessionTimeoutMs: 6_000 }).isWaiting)
    assert.ok(fixture.join({ sessionTimeoutMs: 1_800_000 }).isWaiting)
  })

  test('a member id that nobody gave out is unknown, with a group and without', () => {
    const fixture = new GroupFixture()
    assert.equal(fixture.join({ memberId: 'x' }).response.errorCode, ErrorCode.UNKNOWN_MEMBER_ID)
    assert.equal(fixture.shard.groupCount, 0)
    fixture.stable(1)
    assert.equal(fixture.join({ memberId: 'x' }).response.errorCode, ErrorCode.UNKNOWN_MEMBER_ID)
  })

  test('KIP-394: a new dynamic member is told its id and joins with it', () => {
    const fixture = new GroupFixture()
    const told = fixture.join({ requiresKnownMemberId: true }).response
    assert.equal(told.errorCode, ErrorCode.MEMBER_ID_REQUIRED)
    assert.equal(told.memberId, 'client-1')
    assert.equal(fixture.group.members.length, 0)
    const joined = fixture.join({ memberId: told.memberId, requiresKnownMemberId: true })
    fixture.advance(3_000)
    assert.equal(joined.response.memberId, told.memberId)
    assert.equal(joined.response.errorCode, 0)
  })

  test('KIP-394: an id that is not used for a session timeout is forgotten, and its group with it', () => {
    const fixture = new GroupFixture()
    const { memberId } = fixture.join({ requiresKnownMemberId: true }).response
    fixture.advance(9_999)
    assert.equal(fixture.shard.groupCount, 1)
    fixture.advance(1)
    assert.equal(fixture.shard.groupCount, 0)
    assert.equal(fixture.join({ memberId }).response.errorCode, ErrorCode.UNKNOWN_MEMBER_ID)
    assert.equal(fixture.budget.bytes, 0)
    assert.equal(fixture.deadlines.size, 0)
  })

  test('KIP-394: a rebalance waits for ids that were given out', () => {
    const fixture = new GroupFixture()
    const [member] = fixture.stable(1)
    const { memberId } = fixture.join({ requiresKnownMemberId: true }).response
    const rejoined = fixture.join({ memberId: member!.memberId })
    assert.ok(rejoined.isWaiting)
    const second = fixture.join({ memberId })
    assert.equal(rejoined.response.generationId, 2)
    assert.equal(second.response.generationId, 2)
  })

  test('KIP-394: a rebalance goes on when an id that was given out expires', () => {
    const fixture = new GroupFixture()
    const [member] = fixture.stable(1)
    fixture.join({ requiresKnownMemberId: true, sessionTimeoutMs: 6_000 })
    const rejoined = fixture.join({ memberId: member!.memberId })
    fixture.advance(5_999)
    assert.ok(rejoined.isWaiting)
    fixture.advance(1)
    assert.equal(rejoined.response.generationId, 2)
  })

  test('ids given out are capped', () => {
    const fixture = new GroupFixture({ maxPendingMembers: 2 })
    const codes = [1, 2, 3].map(() => fixture.join({ requiresKnownMemberId: true }).response.errorCode)
    assert.deepEqual(codes, [
      ErrorCode.MEMBER_ID_REQUIRED,
      ErrorCode.MEMBER_ID_REQUIRED,
      ErrorCode.GROUP_MAX_SIZE_REACHED,
    ])
  })

  test('a member id always fits into a string of the protocol', () => {
    const fixture = new GroupFixture()
    const clientId = `${'x'.repeat(4_095)}\u{1f600}${'x'.repeat(20_000)}`
    const { memberId } = fixture.join({ clientId, requiresKnownMemberId: true }).response
    assert.ok(Buffer.byteLength(memberId) < 0x7fff)
    assert.equal(Buffer.from(memberId).toString(), memberId, 'survives the wire')
  })

  test('all members need the protocol type and a protocol in common', () => {
    const fixture = new GroupFixture()
    assert.equal(fixture.join({ protocols: [] }).response.errorCode, ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
    assert.equal(fixture.join({ protocolType: '' }).response.errorCode, ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
    assert.equal(fixture.shard.groupCount, 0)
    fixture.stable(1)
    const sticky = { name: 'sticky', metadata: Buffer.alloc(0) }
    assert.equal(
      fixture.join({ protocols: [sticky] }).response.errorCode,
      ErrorCode.INCONSISTENT_GROUP_PROTOCOL,
    )
    assert.equal(
      fixture.join({ protocolType: 'connect' }).response.errorCode,
      ErrorCode.INCONSISTENT_GROUP_PROTOCOL,
    )
    assert.ok(fixture.join({ protocols: [sticky, range()] }).isWaiting)
  })

  test('the protocol is the one most members prefer among those all have', () => {
    const fixture = new GroupFixture()
    const protocol = (name: string) => ({ name, metadata: Buffer.from(name) })
    const [a, b, c] = ['a', 'b', 'c'].map(protocol)
    const joined = fixture.stable(3, [
      { protocols: [c!, a!, b!] },
      { protocols: [b!, a!] },
      { protocols: [b!, a!] },
    ])
    for (const member of joined) assert.equal(member.protocolName, 'b')
    assert.deepEqual(
      joined[0]!.members.map(({ metadata }) => metadata.toString()),
      ['b', 'b', 'b'],
    )
  })

  test('a protocol that a member lists twice counts once', () => {
    const fixture = new GroupFixture()
    const [first] = fixture.stable(1, [{ protocols: [range(), range()] }])
    fixture.leave(first!.memberId)
    assert.equal(fixture.stable(1)[0]!.protocolName, 'range')
  })

  test('the group does not grow beyond group.max.size', () => {
    const fixture = new GroupFixture({ groupMaxSize: 2 })
    const [first] = fixture.stable(2)
    assert.equal(fixture.join().response.errorCode, ErrorCode.GROUP_MAX_SIZE_REACHED)
    assert.equal(fixture.heartbeat(first!), ErrorCode.NONE)
  })

  test('a static member that comes back fits into a full group', () => {
    const fixture = new GroupFixture({ groupMaxSize: 2 })
    fixture.stable(2, [{}, { groupInstanceId: 'i' }])
    assert.equal(fixture.join({ groupInstanceId: 'i' }).response.errorCode, ErrorCode.NONE)
    assert.equal(fixture.join({ groupInstanceId: 'j' }).response.errorCode, ErrorCode.GROUP_MAX_SIZE_REACHED)
  })

  test('when group.max.size was lowered the last to rejoin are sent away', () => {
    const fixture = new GroupFixture()
    const [first, second, third] = fixture.stable(3)
    const smaller = new GroupFixture({ groupMaxSize: 2 })
    smaller.log.push(...fixture.log)
    smaller.restart()
    assert.equal(smaller.group.groupState, 'PreparingRebalance')
    const rejoined = [first!, second!].map(({ memberId }) => smaller.join({ memberId }))
    assert.ok(rejoined.every((ticket) => ticket.isWaiting))
    const last = smaller.join({ memberId: third!.memberId })
    assert.equal(last.response.errorCode, ErrorCode.GROUP_MAX_SIZE_REACHED)
    for (const ticket of rejoined) assert.equal(ticket.response.generationId, 2)
  })

  test('a member offers no more ways of assigning than it may, and all of them count', () => {
    const fixture = new GroupFixture({ maxMemberProtocols: 3 })
    const offering = (...names: string[]) => ({
      protocols: names.map((name) => ({ name, metadata: Buffer.alloc(0) })),
    })
    assert.equal(fixture.join(offering('a', 'b', 'c', 'd')).response.errorCode, ErrorCode.INVALID_REQUEST)
    assert.equal(fixture.join(offering('a', 'a', 'a', 'a')).response.errorCode, ErrorCode.INVALID_REQUEST)
    const first = fixture.join(offering('a', 'b', 'c'))
    const second = fixture.join(offering('d', 'c', 'b'))
    const third = fixture.join(offering('c', 'b', 'a'))
    fixture.advance(10_000)
    for (const { response } of [first, second, third]) assert.equal(response.protocolName, 'c')
  })

  test('groups and their memory are capped', () => {
    const fixture = new GroupFixture({ maxGroups: 1, maxMemberMetadataBytes: 1_000, maxStateBytes: 14_500 })
    const metadata = (bytes: number) => ({ protocols: [{ name: 'range', metadata: Buffer.alloc(bytes) }] })
    assert.equal(fixture.join(metadata(1_000)).response.errorCode, ErrorCode.INVALID_REQUEST)
    const [member] = fixture.stable(1)
    assert.equal(fixture.join({ groupId: 'other' }).response.errorCode, ErrorCode.GROUP_MAX_SIZE_REACHED)
    assert.ok(fixture.join().isWaiting)
    assert.equal(fixture.join(metadata(600)).response.errorCode, ErrorCode.GROUP_MAX_SIZE_REACHED)
    const { memberId } = member!
    assert.equal(
      fixture.join({ memberId, ...metadata(800) }).response.errorCode,
      ErrorCode.GROUP_MAX_SIZE_REACHED,
    )
    assert.equal(fixture.group.members.length, 1)
    assert.ok(fixture.logLines.some((line) => line.startsWith('no room for more')))
  })

  test('a new member that gets no generation within five minutes is dropped and told to start over', () => {
    const fixture = new GroupFixture()
    const [member] = fixture.stable(1, [{ sessionTimeoutMs: 1_800_000, rebalanceTimeoutMs: 600_000 }])
    const second = fixture.join({ rebalanceTimeoutMs: 600_000 })
    fixture.advance(299_999)
    assert.ok(second.isWaiting)
    fixture.advance(1)
    assert.equal(second.response.errorCode, ErrorCode.UNKNOWN_MEMBER_ID)
    assert.equal(second.response.memberId, '')
    assert.equal(fixture.group.members.length, 1)
    assert.equal(fixture.heartbeat(member!), ErrorCode.REBALANCE_IN_PROGRESS)
  })

  test('a JoinGroup sent again takes the place of the one that is parked', () => {
    const fixture = new GroupFixture()
    const first = fixture.joinWithId()
    const { memberId } = fixture.group.members[0]!
    const again = fixture.join({ memberId })
    assert.equal(first.response.errorCode, ErrorCode.REBALANCE_IN_PROGRESS)
    fixture.advance(3_000)
    assert.equal(again.response.generationId, 1)
  })
})

describe('joining again', () => {
  test('a follower whose metadata did not change gets the current generation, without a rebalance', () => {
    const fixture = new GroupFixture()
    const [leader, follower] = fixture.stable(2)
    const again = fixture.join({ memberId: follower!.memberId }).response
    assert.equal(again.generationId, 1)
    assert.equal(again.leader, leader!.memberId)
    assert.deepEqual(again.members, [])
    assert.equal(fixture.group.groupState, 'Stable')
    assert.equal(fixture.sync(again).response.assignment.toString(), `for ${follower!.memberId}`)
  })

  test('a member whose metadata changed starts a rebalance', () => {
    const fixture = new GroupFixture()
    const [, follower] = fixture.stable(2)
    assert.ok(fixture.join({ memberId: follower!.memberId, protocols: [range('other')] }).isWaiting)
    assert.equal(fixture.group.groupState, 'PreparingRebalance')
  })

  test('KIP-429: the leader rejoins right after Stable and starts the second, cooperative rebalance', () => {
    const fixture = new GroupFixture()
    const [leader, follower] = fixture.stable(2)
    const first = fixture.join({ memberId: leader!.memberId })
    assert.equal(fixture.heartbeat(follower!), ErrorCode.REBALANCE_IN_PROGRESS)
    const second = fixture.join({ memberId: follower!.memberId })
    assert.equal(first.response.generationId, 2)
    assert.equal(first.response.leader, leader!.memberId)
    assert.equal(first.response.members.length, 2)
    assert.equal(second.response.generationId, 2)
  })

  test('while members sync: same metadata, same generation again; the leader gets the members again', () => {
    const fixture = new GroupFixture()
    const tickets = [fixture.join(), fixture.join()]
    fixture.advance(6_000)
    const [leader, follower] = tickets.map((ticket) => ticket.response)
    assert.equal(fixture.group.groupState, 'CompletingRebalance')
    const leaderAgain = fixture.join({ memberId: leader!.memberId }).response
    assert.deepEqual(leaderAgain, leader)
    assert.deepEqual(fixture.join({ memberId: follower!.memberId }).response, follower)
    assert.equal(fixture.group.groupState, 'CompletingRebalance')
  })

  test('while members sync: changed metadata starts over and those who wait are told', () => {
    const fixture = new GroupFixture()
    const tickets = [fixture.join(), fixture.join()]
    fixture.advance(6_000)
    const [leader, follower] = tickets.map((ticket) => ticket.response)
    const synced = fixture.sync(follower!)
    assert.ok(synced.isWaiting)
    fixture.join({ memberId: leader!.memberId, protocols: [range('other')] })
    assert.equal(synced.response.errorCode, ErrorCode.REBALANCE_IN_PROGRESS)
    assert.equal(fixture.group.groupState, 'PreparingRebalance')
  })

  test('a group that lost its members knows none of them', () => {
    const fixture = new GroupFixture()
    const [member] = fixture.stable(1)
    fixture.leave(member!.memberId)
    assert.equal(fixture.group.groupState, 'Empty')
    assert.equal(fixture.join({ memberId: member!.memberId }).response.errorCode, ErrorCode.UNKNOWN_MEMBER_ID)
  })
})

describe('heartbeats and sessions', () => {
  test('a heartbeat is for members of the current generation', () => {
    const fixture = new GroupFixture()
    assert.equal(fixture.heartbeat({ memberId: 'x', generationId: 1 }), ErrorCode.UNKNOWN_MEMBER_ID)
    const [member] = fixture.stable(1)
    const { memberId, generationId } = member!
    assert.equal(fixture.heartbeat({ memberId: 'x', generationId }), ErrorCode.UNKNOWN_MEMBER_ID)
    assert.equal(
      fixture.heartbeat({ memberId, generationId: generationId + 1 }),
      ErrorCode.ILLEGAL_GENERATION,
    )
    assert.equal(fixture.heartbeat({ memberId, generationId }), ErrorCode.NONE)
  })

  test('heartbeats keep a member; without them it is removed when its session ends', () => {
    const fixture = new GroupFixture()
    const [first, second] = fixture.stable(2)
    for (let i = 0; i < 5; i++) {
      fixture.advance(9_000)
      fixture.heartbeat(first!)
      if (i < 3) assert.equal(fixture.heartbeat(second!), ErrorCode.NONE)
    }
    assert.equal(fixture.heartbeat(second!), ErrorCode.UNKNOWN_MEMBER_ID)
    assert.equal(fixture.heartbeat(first!), ErrorCode.REBALANCE_IN_PROGRESS)
    assert.ok(fixture.logLines.some((line) => line.includes('was not heard of for 10000 ms')))
  })

  test('a heartbeat counts while the group rebalances', () => {
    const fixture = new GroupFixture()
    const [leader, follower] = fixture.stable(2)
    fixture.join({ memberId: leader!.memberId })
    for (let i = 0; i < 5; i++) {
      fixture.advance(9_000)
      assert.equal(fixture.heartbeat(follower!), ErrorCode.REBALANCE_IN_PROGRESS)
    }
  })

  test('a heartbeat is fine while the leader works on the assignment', () => {
    const fixture = new GroupFixture()
    const joined = fixture.join()
    fixture.advance(3_000)
    assert.equal(fixture.heartbeat(joined.response), ErrorCode.NONE)
  })

  test('the session does not end for a member that is parked in JoinGroup', () => {
    const fixture = new GroupFixture()
    const [leader, follower] = fixture.stable(2)
    const rejoined = fixture.join({ memberId: leader!.memberId })
    for (let i = 0; i < 5; i++) {
      fixture.advance(9_000)
      fixture.heartbeat(follower!)
    }
    assert.ok(rejoined.isWaiting)
    const other = fixture.join({ memberId: follower!.memberId })
    assert.equal(rejoined.response.errorCode, 0)
    assert.equal(other.response.errorCode, 0)
  })

  test('the session does not end for a member that is parked in SyncGroup, and starts anew with the answer', () => {
    const fixture = new GroupFixture()
    const tickets = [fixture.join(), fixture.join()]
    fixture.advance(6_000)
    const [leader, follower] = tickets.map((ticket) => ticket.response)
    const synced = fixture.sync(follower!)
    for (let i = 0; i < 3; i++) {
      fixture.advance(9_000)
      assert.equal(fixture.heartbeat(leader!), ErrorCode.NONE)
    }
    fixture.sync(leader!)
    assert.equal(synced.response.errorCode, 0)
    fixture.advance(9_999)
    assert.equal(fixture.heartbeat(follower!), ErrorCode.NONE)
  })

  test('the last member that goes silent leaves an empty group, in the log too', () => {
    const fixture = new GroupFixture()
    fixture.stable(1)
    fixture.advance(10_000)
    assert.equal(fixture.group.groupState, 'Empty')
    fixture.restart()
    assert.equal(fixture.group.groupState, 'Empty')
    assert.equal(fixture.group.protocolType, 'consumer')
  })
})

describe('leaving', () => {
  test('the others rebalance, and the leader is elected anew', () => {
    const fixture = new GroupFixture()
    const [leader, second, third] = fixture.stable(3)
    assert.deepEqual(fixture.leave(leader!.memberId).response, { errorCode: 0, memberErrorCodes: [0] })
    const tickets = [second!, third!].map(({ memberId }) => fixture.join({ memberId }))
    for (const { response } of tickets) {
      assert.equal(response.generationId, 2)
      assert.equal(response.leader, second!.memberId)
    }
    assert.equal(tickets[0]!.response.members.length, 2)
    assert.equal(tickets[1]!.response.members.length, 0)
  })

  test('each of several members has its own error', () => {
    const fixture = new GroupFixture()
    const [first, second] = fixture.stable(2, [{}, { groupInstanceId: 'i' }])
    const { memberErrorCodes } = fixture.leave(
      first!.memberId,
      'nobody',
      { memberId: 'wrong', groupInstanceId: 'i' },
      { memberId: second!.memberId, groupInstanceId: 'j' },
      { memberId: '' },
      { groupInstanceId: 'j' },
    ).response
    assert.deepEqual(memberErrorCodes, [
      ErrorCode.NONE,
      ErrorCode.UNKNOWN_MEMBER_ID,
      ErrorCode.FENCED_INSTANCE_ID,
      ErrorCode.UNKNOWN_MEMBER_ID,
      ErrorCode.UNKNOWN_MEMBER_ID,
      ErrorCode.UNKNOWN_MEMBER_ID,
    ])
  })

  test('an administrator removes a static member by its instance id', () => {
    const fixture = new GroupFixture()
    fixture.stable(1, [{ groupInstanceId: 'i' }])
    assert.deepEqual(fixture.leave({ groupInstanceId: 'i' }).response.memberErrorCodes, [0])
    assert.equal(fixture.group.groupState, 'Empty')
  })

  test('an id that was given out can be given back', () => {
    const fixture = new GroupFixture()
    const { memberId } = fixture.join({ requiresKnownMemberId: true }).response
    assert.deepEqual(fixture.leave(memberId).response.memberErrorCodes, [0])
    assert.equal(fixture.shard.groupCount, 0)
  })

  test('a group that does not exist knows no members', () => {
    const fixture = new GroupFixture()
    assert.deepEqual(fixture.leave('a', 'b').response, {
      errorCode: 0,
      memberErrorCodes: [ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.UNKNOWN_MEMBER_ID],
    })
  })

  test('the answer to the last one waits until the empty group is in the log', () => {
    const fixture = new GroupFixture()
    const [member] = fixture.stable(1)
    fixture.holdAppends = true
    const left = fixture.leave(member!.memberId)
    assert.ok(left.isWaiting)
    fixture.completeAppends()
    assert.equal(left.response.errorCode, 0)
  })

  test('parked requests of a member that is removed are answered', () => {
    const fixture = new GroupFixture()
    const tickets = [fixture.join(), fixture.join()]
    fixture.advance(6_000)
    const [leader, follower] = tickets.map((ticket) => ticket.response)
    const synced = fixture.sync(follower!)
    fixture.leave(follower!.memberId)
    assert.equal(synced.response.errorCode, ErrorCode.UNKNOWN_MEMBER_ID)
    const rejoined = fixture.join({ memberId: leader!.memberId })
    assert.equal(rejoined.response.generationId, 2)
    const parked = fixture.joinWithId({ protocols: [range('other')] })
    fixture.leave(fixture.group.members[1]!.memberId)
    assert.equal(parked.response.errorCode, ErrorCode.UNKNOWN_MEMBER_ID)
  })

  test('ids and reasons fill no log, however long clients make them', () => {
    const fixture = new GroupFixture()
    const long = 'x'.repeat(30_000)
    const [member] = fixture.stable(1, [{ clientId: long }])
    fixture.leave({ memberId: member!.memberId, reason: long })
    const lines = fixture.logLines.filter((line) => line.includes('xxx'))
    assert.ok(lines.length > 0)
    for (const line of lines) assert.ok(line.length < 1_200, `${line.length} characters`)
  })

  test('the log says who left and why', () => {
    const fixture = new GroupFixture()
    const [member] = fixture.stable(2)
    fixture.leave({ memberId: member!.memberId, reason: 'the consumer is being closed' })
    assert.ok(
      fixture.logLines.includes('rebalance begins: left: client-1 (the consumer is being closed)'),
      fixture.logLines.join('\n'),
    )
  })
})

test('describe: metadata in Stable only, and Dead for a group nobody knows', () => {
  const fixture = new GroupFixture()
  const describe = () => fixture.shard.describe(GROUP)
  assert.deepEqual(describe(), {
    errorCode: 0,
    groupId: GROUP,
    groupState: 'Dead',
    protocolType: '',
    protocolData: '',
    members: [],
  })
  const [member] = fixture.stable(1, [{ groupInstanceId: 'i' }])
  const stable = describe()
  assert.equal(stable.protocolData, 'range')
  assert.deepEqual(stable.members, [
    {
      memberId: member!.memberId,
      groupInstanceId: 'i',
      clientId: 'client',
      clientHost: '/127.0.0.1',
      memberMetadata: subscription('topic'),
      memberAssignment: Buffer.from('for i-1'),
    },
  ])
  fixture.join()
  assert.equal(describe().groupState, 'PreparingRebalance')
  assert.equal(describe().protocolData, '')
  assert.equal(describe().members[0]!.memberMetadata.length, 0)
})
