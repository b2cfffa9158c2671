import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ErrorCode } from '../../../protocol/errors.ts'
import { GroupFixture, range } from './group-fixture.ts'

describe('the first rebalance of an empty group', () => {
  test('waits for group.initial.rebalance.delay.ms', () => {
    const fixture = new GroupFixture()
    const joined = fixture.join()
    fixture.advance(2_999)
    assert.ok(joined.isWaiting)
    fixture.advance(1)
    assert.equal(joined.response.generationId, 1)
  })

  test('waits longer while members arrive', () => {
    const fixture = new GroupFixture()
    const first = fixture.join()
    fixture.advance(2_000)
    fixture.join()
    fixture.advance(3_000)
    assert.ok(first.isWaiting, 'extended at 3 s, as the second came')
    fixture.join()
    fixture.advance(2_000)
    assert.ok(first.isWaiting, 'extended at 6 s, as the third came')
    fixture.advance(2_000)
    assert.equal(first.response.members.length, 3)
  })

  test('ends no sooner because who was expected does not come', () => {
    const fixture = new GroupFixture()
    const joined = fixture.join()
    const told = fixture.join({ requiresKnownMemberId: true })
    assert.equal(told.response.errorCode, ErrorCode.MEMBER_ID_REQUIRED)
    fixture.leave(told.response.memberId)
    assert.ok(joined.isWaiting)
    fixture.advance(2_999)
    assert.ok(joined.isWaiting)
    fixture.advance(1)
    assert.equal(joined.response.members.length, 1)
  })

  test('waits no longer than the rebalance timeout', () => {
    const fixture = new GroupFixture()
    const first = fixture.join({ rebalanceTimeoutMs: 7_000 })
    for (let i = 0; i < 7; i++) {
      assert.ok(first.isWaiting)
      fixture.join({ rebalanceTimeoutMs: 7_000 })
      fixture.advance(1_000)
    }
    assert.equal(first.response.members.length, 8)
  })

  test('with a delay of 0 takes those who come at the same time', () => {
    const fixture = new GroupFixture({ groupInitialRebalanceDelayMs: 0 })
    const tickets = [fixture.join(), fixture.join()]
    fixture.advance(0)
    assert.equal(tickets[0]!.response.members.length, 2)
    assert.equal(tickets[1]!.response.generationId, 1)
  })

  test('everybody may leave before it ends', () => {
    const fixture = new GroupFixture()
    const joined = fixture.join()
    fixture.leave('client-1')
    assert.equal(joined.response.errorCode, ErrorCode.UNKNOWN_MEMBER_ID)
    fixture.advance(3_000)
    assert.equal(fixture.group.groupState, 'Empty')
  })
})

describe('a rebalance among members', () => {
  test('ends as soon as all have rejoined; only the leader is told the members', () => {
    const fixture = new GroupFixture()
    const [leader, second] = fixture.stable(2)
    const third = fixture.join({ protocols: [range('third')] })
    const rejoined = [leader!, second!].map(({ memberId }) => fixture.join({ memberId }))
    const generation = [...rejoined, third].map((ticket) => ticket.response)
    for (const member of generation) {
      assert.equal(member.generationId, 2)
      assert.equal(member.leader, leader!.memberId)
      assert.equal(member.protocolType, 'consumer')
    }
    assert.deepEqual(
      generation.map(({ members }) => members.length),
      [3, 0, 0],
    )
    assert.deepEqual(generation[0]!.members[2]!.metadata, range('third').metadata)
  })

  test('drops dynamic members that do not rejoin within the longest rebalance timeout', () => {
    const fixture = new GroupFixture()
    const [first, silent] = fixture.stable(2, [
      { rebalanceTimeoutMs: 20_000 },
      { rebalanceTimeoutMs: 30_000 },
    ])
    const rejoined = fixture.join({ memberId: first!.memberId, rebalanceTimeoutMs: 20_000 })
    for (let i = 0; i < 29; i++) {
      fixture.advance(1_000)
      fixture.heartbeat(silent!)
    }
    assert.ok(rejoined.isWaiting)
    fixture.advance(1_000)
    assert.equal(rejoined.response.members.length, 1)
    assert.equal(fixture.heartbeat(silent!), ErrorCode.UNKNOWN_MEMBER_ID)
    assert.ok(fixture.logLines.some((line) => line === 'did not rejoin in time: client-2'))
  })

  test('a leader that does not rejoin is replaced by one who did', () => {
    const fixture = new GroupFixture()
    const [leader, second, third] = fixture.stable(3)
    const rejoined = [third!, second!].map(({ memberId }) =>
      fixture.join({ memberId, protocols: [range('new')] }),
    )
    for (let i = 0; i < 60; i++) {
      fixture.advance(1_000)
      fixture.heartbeat(leader!)
    }
    for (const { response } of rejoined) assert.equal(response.leader, second!.memberId)
  })

  test('generations go on from the last one when a group was empty', () => {
    const fixture = new GroupFixture()
    const [member] = fixture.stable(1)
    fixture.leave(member!.memberId)
    assert.equal(fixture.stable(1)[0]!.generationId, 3)
  })
})

describe('sync', () => {
  test('members wait for the leader and get what it assigned; nothing for whom it forgot', () => {
    const fixture = new GroupFixture()
    const tickets = [fixture.join(), fixture.join(), fixture.join()]
    fixture.advance(6_000)
    const [leader, second, third] = tickets.map((ticket) => ticket.response)
    const waiting = [fixture.sync(second!), fixture.sync(third!)]
    assert.ok(waiting.every((ticket) => ticket.isWaiting))
    const own = fixture.sync(leader!, { 'client-1': 'a', 'client-2': 'b', stranger: 'c' })
    const assigned = [own, ...waiting].map(({ response }) => response.assignment.toString())
    assert.deepEqual(assigned, ['a', 'b', ''])
    assert.equal(own.response.protocolType, 'consumer')
    assert.equal(own.response.protocolName, 'range')
    assert.equal(fixture.group.groupState, 'Stable')
  })

  test('a member that comes later gets its assignment at once', () => {
    const fixture = new GroupFixture()
    const tickets = [fixture.join(), fixture.join()]
    fixture.advance(6_000)
    fixture.sync(tickets[0]!.response, { 'client-2': 'late' })
    assert.equal(fixture.sync(tickets[1]!.response).response.assignment.toString(), 'late')
  })

  test('nobody is answered before the assignment is in the log', () => {
    const fixture = new GroupFixture()
    const tickets = [fixture.join(), fixture.join()]
    fixture.advance(6_000)
    fixture.holdAppends = true
    const synced = tickets.map(({ response }) => fixture.sync(response, { 'client-1': 'x' }))
    assert.ok(synced.every((ticket) => ticket.isWaiting))
    assert.equal(fixture.group.groupState, 'CompletingRebalance')
    fixture.completeAppends()
    assert.deepEqual(
      synced.map(({ response }) => response.assignment.toString()),
      ['x', ''],
    )
  })

  test('an assignment that cannot be written is an error for all, and they start over', () => {
    for (const [logError, clientError] of [
      [ErrorCode.NOT_LEADER_OR_FOLLOWER, ErrorCode.NOT_COORDINATOR],
      [ErrorCode.KAFKA_STORAGE_ERROR, ErrorCode.NOT_COORDINATOR],
      [ErrorCode.NOT_ENOUGH_REPLICAS, ErrorCode.COORDINATOR_NOT_AVAILABLE],
      [ErrorCode.REQUEST_TIMED_OUT, ErrorCode.COORDINATOR_NOT_AVAILABLE],
      [ErrorCode.MESSAGE_TOO_LARGE, ErrorCode.UNKNOWN_SERVER_ERROR],
    ] as const) {
      const fixture = new GroupFixture()
      const tickets = [fixture.join(), fixture.join()]
      fixture.advance(6_000)
      fixture.holdAppends = true
      const synced = tickets.map(({ response }) => fixture.sync(response, { 'client-1': 'x' }))
      fixture.completeAppends(logError)
      for (const { response } of synced) assert.equal(response.errorCode, clientError)
      assert.equal(fixture.group.groupState, 'PreparingRebalance')
      fixture.restart()
      assert.equal(fixture.shard.groupCount, 0)
    }
  })

  test('an assignment that does not fit into one batch is refused before it is written', () => {
    const fixture = new GroupFixture({ appendableBytes: () => 5_000 })
    const tickets = [fixture.join(), fixture.join()]
    fixture.advance(6_000)
    const assigned = { 'client-1': 'x'.repeat(3_000), 'client-2': 'y'.repeat(3_000) }
    const synced = [1, 0].map((i) => fixture.sync(tickets[i]!.response, assigned))
    for (const { response } of synced) assert.equal(response.errorCode, ErrorCode.UNKNOWN_SERVER_ERROR)
    assert.equal(fixture.group.groupState, 'PreparingRebalance')
    assert.deepEqual(fixture.log, [])
  })

  test('an assignment that is written after the next rebalance began changes nothing', () => {
    const fixture = new GroupFixture()
    const joined = fixture.join()
    fixture.advance(3_000)
    fixture.holdAppends = true
    const synced = fixture.sync(joined.response, { 'client-1': 'old' })
    fixture.join()
    assert.equal(synced.response.errorCode, ErrorCode.REBALANCE_IN_PROGRESS)
    fixture.completeAppends()
    assert.equal(fixture.group.groupState, 'PreparingRebalance')
  })

  test('a SyncGroup sent again takes the place of the one that is parked', () => {
    const fixture = new GroupFixture()
    const tickets = [fixture.join(), fixture.join()]
    fixture.advance(6_000)
    const first = fixture.sync(tickets[1]!.response)
    const again = fixture.sync(tickets[1]!.response)
    assert.equal(first.response.errorCode, ErrorCode.REBALANCE_IN_PROGRESS)
    fixture.sync(tickets[0]!.response, { 'client-2': 'b' })
    assert.equal(again.response.assignment.toString(), 'b')
  })

  test('is for members of the current generation, with the group’s protocol', () => {
    const fixture = new GroupFixture()
    const [member] = fixture.stable(1)
    const code = (options: Parameters<GroupFixture['sync']>[2]) =>
      fixture.sync(member!, {}, options).response.errorCode
    assert.equal(code({ groupId: '' }), ErrorCode.INVALID_GROUP_ID)
    assert.equal(code({ groupId: 'other' }), ErrorCode.UNKNOWN_MEMBER_ID)
    assert.equal(code({ memberId: 'x' }), ErrorCode.UNKNOWN_MEMBER_ID)
    assert.equal(code({ generationId: 0 }), ErrorCode.ILLEGAL_GENERATION)
    assert.equal(code({ protocolType: 'connect' }), ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
    assert.equal(code({ protocolName: 'sticky' }), ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
    assert.equal(code({ protocolType: 'consumer', protocolName: 'range' }), ErrorCode.NONE)
    fixture.join()
    assert.equal(code({}), ErrorCode.REBALANCE_IN_PROGRESS)
  })

  test('members that do not sync within the rebalance timeout are removed', () => {
    const fixture = new GroupFixture()
    const tickets = [fixture.join(), fixture.join({ rebalanceTimeoutMs: 20_000 })]
    fixture.advance(6_000)
    const [leader, silent] = tickets.map((ticket) => ticket.response)
    fixture.sync(leader!)
    for (let i = 0; i < 59; i++) {
      fixture.advance(1_000)
      assert.equal(fixture.heartbeat(leader!), ErrorCode.NONE)
      assert.equal(fixture.heartbeat(silent!), ErrorCode.NONE)
    }
    fixture.advance(1_000)
    assert.equal(fixture.heartbeat(silent!), ErrorCode.UNKNOWN_MEMBER_ID)
    assert.equal(fixture.heartbeat(leader!), ErrorCode.REBALANCE_IN_PROGRESS)
  })

  test('a leader that does not sync within the rebalance timeout is removed, and those who wait are told', () => {
    const fixture = new GroupFixture()
    const tickets = [fixture.join(), fixture.join()]
    fixture.advance(6_000)
    const [leader, follower] = tickets.map((ticket) => ticket.response)
    const waiting = fixture.sync(follower!)
    for (let i = 0; i < 60; i++) {
      fixture.advance(1_000)
      fixture.heartbeat(leader!)
    }
    assert.equal(waiting.response.errorCode, ErrorCode.REBALANCE_IN_PROGRESS)
    const rejoined = fixture.join({ memberId: follower!.memberId })
    assert.equal(rejoined.response.leader, follower!.memberId)
  })
})

describe('static members, KIP-345', () => {
  test('join at once, with an id made from the instance', () => {
    const fixture = new GroupFixture()
    const [member] = fixture.stable(1, [{ groupInstanceId: 'i', requiresKnownMemberId: true }])
    assert.equal(member!.memberId, 'i-1')
    assert.equal(member!.members[0]!.groupInstanceId, 'i')
  })

  test('come back under a new id without a rebalance and keep their assignment; the old id is fenced', () => {
    const fixture = new GroupFixture()
    const [leader, old] = fixture.stable(2, [{ groupInstanceId: 'a' }, { groupInstanceId: 'b' }])
    const back = fixture.join({ groupInstanceId: 'b' }).response
    assert.equal(back.errorCode, 0)
    assert.notEqual(back.memberId, old!.memberId)
    assert.equal(back.generationId, 1)
    assert.equal(back.leader, leader!.memberId)
    assert.equal(fixture.group.groupState, 'Stable')
    assert.equal(
      fixture.sync(back, {}, { groupInstanceId: 'b' }).response.assignment.toString(),
      'for b-2',
      'what the old id had',
    )
    assert.equal(fixture.heartbeat(old!, 'b'), ErrorCode.FENCED_INSTANCE_ID)
    assert.equal(
      fixture.sync(old!, {}, { groupInstanceId: 'b' }).response.errorCode,
      ErrorCode.FENCED_INSTANCE_ID,
    )
    assert.equal(
      fixture.join({ memberId: old!.memberId, groupInstanceId: 'b' }).response.errorCode,
      ErrorCode.FENCED_INSTANCE_ID,
    )
    const { memberId, generationId } = old!
    assert.deepEqual(fixture.commit({ memberId, generationId, groupInstanceId: 'b' }).response, [
      ErrorCode.FENCED_INSTANCE_ID,
    ])
    assert.equal(fixture.heartbeat(old!), ErrorCode.UNKNOWN_MEMBER_ID)
    assert.equal(fixture.heartbeat(leader!, 'a'), ErrorCode.NONE)
  })

  test('a leader that comes back before v9 is told that somebody else leads', () => {
    const fixture = new GroupFixture()
    const [leader] = fixture.stable(2, [{ groupInstanceId: 'a' }, { groupInstanceId: 'b' }])
    const back = fixture.join({ groupInstanceId: 'a' }).response
    assert.equal(back.leader, leader!.memberId)
    assert.deepEqual(back.members, [])
    assert.equal(back.skipAssignment, false)
  })

  test('KIP-814: from v9 on it is told that it leads, whom, and to skip the assignment', () => {
    const fixture = new GroupFixture()
    fixture.stable(2, [{ groupInstanceId: 'a' }, { groupInstanceId: 'b' }])
    const leader = fixture.join({ groupInstanceId: 'a', supportsSkippingAssignment: true }).response
    assert.equal(leader.leader, leader.memberId)
    assert.equal(leader.members.length, 2)
    assert.equal(leader.skipAssignment, true)
    const follower = fixture.join({ groupInstanceId: 'b', supportsSkippingAssignment: true }).response
    assert.equal(follower.leader, leader.memberId)
    assert.equal(follower.skipAssignment, false)
    assert.deepEqual(follower.members, [])
  })

  test('the new id is answered when the log has it, and survives a restart', () => {
    const fixture = new GroupFixture()
    fixture.stable(1, [{ groupInstanceId: 'a' }])
    fixture.holdAppends = true
    const back = fixture.join({ groupInstanceId: 'a' })
    assert.ok(back.isWaiting)
    fixture.completeAppends()
    const { memberId } = back.response
    fixture.restart()
    assert.equal(fixture.heartbeat({ memberId, generationId: 1 }, 'a'), ErrorCode.NONE)
  })

  test('the old id stays when the new one cannot be written', () => {
    const fixture = new GroupFixture()
    const [old] = fixture.stable(1, [{ groupInstanceId: 'a' }])
    fixture.holdAppends = true
    const back = fixture.join({ groupInstanceId: 'a' })
    fixture.completeAppends(ErrorCode.NOT_LEADER_OR_FOLLOWER)
    assert.equal(back.response.errorCode, ErrorCode.NOT_COORDINATOR)
    assert.equal(fixture.heartbeat(old!, 'a'), ErrorCode.NONE)
    assert.equal(fixture.sync(old!).response.assignment.toString(), 'for a-1')
  })

  test('two at once: the later one counts, each is answered', () => {
    const fixture = new GroupFixture()
    fixture.stable(1, [{ groupInstanceId: 'a' }])
    fixture.holdAppends = true
    const first = fixture.join({ groupInstanceId: 'a' })
    const second = fixture.join({ groupInstanceId: 'a' })
    assert.equal(first.response.errorCode, ErrorCode.FENCED_INSTANCE_ID)
    fixture.completeAppends()
    assert.equal(second.response.errorCode, 0)
  })

  test('a rebalance that begins while the new id is written answers it', () => {
    const fixture = new GroupFixture()
    fixture.stable(1, [{ groupInstanceId: 'a' }])
    fixture.holdAppends = true
    const back = fixture.join({ groupInstanceId: 'a' })
    const other = fixture.join()
    assert.equal(back.response.generationId, 2)
    fixture.completeAppends()
    assert.equal(other.response.leader, back.response.memberId)
  })

  test('a change of the selected protocol needs a rebalance', () => {
    const fixture = new GroupFixture()
    const sticky = { name: 'sticky', metadata: Buffer.from('s') }
    fixture.stable(1, [{ groupInstanceId: 'a', protocols: [range(), sticky] }])
    const back = fixture.join({ groupInstanceId: 'a', protocols: [sticky, range()] })
    assert.equal(back.response.generationId, 2)
    assert.equal(back.response.protocolName, 'sticky')
  })

  test('who is replaced while parked is fenced', () => {
    const fixture = new GroupFixture()
    const first = fixture.join({ groupInstanceId: 'a' })
    const second = fixture.join({ groupInstanceId: 'a' })
    assert.equal(first.response.errorCode, ErrorCode.FENCED_INSTANCE_ID)
    fixture.advance(6_000)
    const { response } = second
    const follower = fixture.join({ groupInstanceId: 'b' })
    assert.equal(response.errorCode, 0)
    assert.ok(follower.isWaiting)
  })

  test('who is replaced while members sync starts the rebalance over', () => {
    const fixture = new GroupFixture()
    const tickets = [fixture.join({ groupInstanceId: 'a' }), fixture.join({ groupInstanceId: 'b' })]
    fixture.advance(6_000)
    const synced = fixture.sync(tickets[1]!.response)
    const back = fixture.join({ groupInstanceId: 'b' })
    assert.equal(synced.response.errorCode, ErrorCode.FENCED_INSTANCE_ID)
    assert.equal(fixture.group.groupState, 'PreparingRebalance')
    fixture.join({ memberId: tickets[0]!.response.memberId, groupInstanceId: 'a' })
    assert.equal(back.response.generationId, 2)
  })

  test('a rebalance does not drop them; their session does', () => {
    const fixture = new GroupFixture()
    const [first, absent] = fixture.stable(2, [
      { rebalanceTimeoutMs: 5_000 },
      { groupInstanceId: 'b', rebalanceTimeoutMs: 5_000, sessionTimeoutMs: 30_000 },
    ])
    const rejoined = fixture.join({
      memberId: first!.memberId,
      protocols: [range('new')],
      rebalanceTimeoutMs: 5_000,
    })
    fixture.advance(5_000)
    assert.equal(rejoined.response.members.length, 2)
    assert.equal(absent!.generationId, 1)
  })

  test('a group whose static members are all absent waits for them or for their sessions to end', () => {
    const fixture = new GroupFixture()
    const [first] = fixture.stable(2, [
      { rebalanceTimeoutMs: 5_000 },
      { groupInstanceId: 'b', rebalanceTimeoutMs: 5_000, sessionTimeoutMs: 60_000 },
    ])
    fixture.leave(first!.memberId)
    fixture.advance(20_000)
    assert.equal(fixture.group.groupState, 'PreparingRebalance')
    assert.equal(fixture.group.members.length, 1)
    fixture.advance(40_000)
    assert.equal(fixture.group.groupState, 'Empty')
  })
})
