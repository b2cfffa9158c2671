import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { ErrorCode } from '../../../protocol/errors.ts'
import { groupOwner } from '../../../src/core/group/group-owner.ts'
import { GroupFixture } from './group-fixture.ts'

const SESSION_MS = 1_800_000
/** A quarter of it is one connection's, a third one client's, half one host's. */
const MAX_GROUPS = 30

const ATTACKER = { clientHost: '/10.0.0.66', clientId: 'attacker', clientPort: 50_001 }
const NEIGHBOUR = { clientHost: '/10.0.0.66', clientId: 'neighbour', clientPort: 50_002 }
/** Another connection under the attacker's name. */
const NAMESAKE = { ...ATTACKER, clientPort: 50_003 }
const STRANGER = { clientHost: '/10.0.0.1', clientId: 'stranger', clientPort: 50_001 }

type Client = typeof ATTACKER

/** One JoinGroup of a new group: the first of the two steps since KIP-394, or the only one before. */
function joins(
  fixture: GroupFixture,
  client: Client,
  groupId: string,
  requiresKnownMemberId = true,
): boolean {
  const ticket = fixture.join({ ...client, groupId, sessionTimeoutMs: SESSION_MS, requiresKnownMemberId })
  return ticket.isWaiting || ticket.response.errorCode === ErrorCode.MEMBER_ID_REQUIRED
}

function commits(fixture: GroupFixture, client: Client, groupId: string): boolean {
  const [errorCode] = fixture.commit({ client, groupId }).response
  assert.ok(errorCode === ErrorCode.NONE || errorCode === ErrorCode.INVALID_COMMIT_OFFSET_SIZE)
  return errorCode === ErrorCode.NONE
}

/** How many of so many new groups a client gets. */
function invent(count: number, create: (groupId: string) => boolean): number {
  let made = 0
  for (let n = 0; n < count; n++) if (create(`invented-${n}`)) made++
  return made
}

const exists = (fixture: GroupFixture, groupId: string): boolean =>
  fixture.shard.describe(groupId).groupState !== 'Dead'

describe('a client that invents groups', () => {
  for (const [how, requiresKnownMemberId] of [
    ['takes ids and does not use them', true],
    ['joins and is not heard of again', false],
  ] as const) {
    test(`${how}: it bars nobody else's way, and pushes out its own, the oldest first`, () => {
      const fixture = new GroupFixture({ maxGroups: MAX_GROUPS })
      assert.ok(joins(fixture, NEIGHBOUR, 'neighbour', false))
      const attack = (groupId: string): boolean => joins(fixture, ATTACKER, groupId, requiresKnownMemberId)
      const made = invent(10_000, attack)
      assert.ok(made < MAX_GROUPS / 2)
      assert.ok(joins(fixture, STRANGER, 'stranger'))
      assert.ok(joins(fixture, NEIGHBOUR, 'neighbour-2'))
      assert.ok(joins(fixture, NAMESAKE, 'namesake'))
      fixture.advance(20_000)
      assert.ok(attack('later'))
      // Others have come since, so its share is smaller than it was: some go, and none behind one that stays.
      const stayed = Array.from({ length: made }, (_, n) => exists(fixture, `invented-${n}`))
      assert.ok(stayed.indexOf(true) > 0 && stayed.indexOf(true) <= 4, stayed.join())
      assert.equal(stayed.lastIndexOf(false), stayed.indexOf(true) - 1)
      for (const groupId of ['neighbour', 'neighbour-2', 'stranger'])
        assert.ok(exists(fixture, groupId), groupId)
    })
  }

  test('by committing: what is committed stays, others find room, and so do members of the same client', () => {
    const fixture = new GroupFixture({ maxGroups: MAX_GROUPS })
    const made = invent(10_000, (groupId) => commits(fixture, ATTACKER, groupId))
    assert.ok(made >= MAX_GROUPS / 4 && made < MAX_GROUPS / 3, `${made} groups`)
    assert.ok(commits(fixture, STRANGER, 'stranger'))
    assert.ok(commits(fixture, NEIGHBOUR, 'neighbour'))
    assert.ok(commits(fixture, NAMESAKE, 'namesake'))
    assert.ok(joins(fixture, ATTACKER, 'with members'))
    fixture.advance(6 * 24 * 3_600_000)
    assert.ok(!commits(fixture, ATTACKER, 'one more'))
    for (let n = 0; n < made; n++) assert.equal(fixture.offset('topic', 0, `invented-${n}`), 1)
    assert.ok(commits(fixture, ATTACKER, 'invented-3'), 'a group that is there goes on')
    fixture.advance(2 * 24 * 3_600_000)
    fixture.expireOffsets()
    assert.ok(commits(fixture, ATTACKER, 'one more'))
  })

  test('under a new name each time: its host has half, and others of the host go on when its groups are idle', () => {
    const fixture = new GroupFixture({ maxGroups: MAX_GROUPS })
    let name = 0
    const renamed = (): Client => ({ ...ATTACKER, clientId: `attacker-${name++}` })
    const made = invent(10_000, (groupId) => joins(fixture, renamed(), groupId, false))
    assert.ok(made <= MAX_GROUPS / 2)
    assert.ok(joins(fixture, STRANGER, 'stranger'))
    fixture.advance(20_000)
    assert.ok(joins(fixture, NEIGHBOUR, 'neighbour'))
    assert.ok(exists(fixture, 'stranger'))
  })

  test('from many hosts: what nobody was heard of for a while goes', () => {
    const fixture = new GroupFixture({ maxGroups: MAX_GROUPS })
    let host = 0
    invent(10_000, (groupId) => joins(fixture, { ...ATTACKER, clientHost: `/10.1.0.${host++}` }, groupId))
    fixture.advance(20_000)
    assert.ok(joins(fixture, STRANGER, 'stranger'))
  })

  test('fills memory: the same holds for bytes', () => {
    const fixture = new GroupFixture({ maxGroups: 1_000_000, maxStateBytes: 3_000_000 })
    const protocols = [{ name: 'range', metadata: Buffer.alloc(90_000) }]
    const made = invent(1_000, (groupId) => fixture.join({ ...ATTACKER, groupId, protocols }).isWaiting)
    assert.ok(made > 5 && made <= 11, `${made} groups`)
    assert.ok(fixture.join({ ...STRANGER, groupId: 'stranger', protocols }).isWaiting)
    assert.ok(fixture.join({ ...NEIGHBOUR, groupId: 'neighbour', protocols }).isWaiting)
  })
})

describe('who is heard of', () => {
  test('stays, however many groups its client invents', () => {
    const fixture = new GroupFixture({ maxGroups: MAX_GROUPS })
    const [member] = fixture.stable(1, [{ ...ATTACKER }])
    for (let n = 0; n < 50; n++) {
      joins(fixture, ATTACKER, `invented-${n}`)
      fixture.advance(3_000)
      assert.equal(fixture.heartbeat(member!), ErrorCode.NONE)
    }
    assert.ok(exists(fixture, 'invented-49'))
  })

  test('and was not: its parked join is answered, and it starts over', () => {
    const fixture = new GroupFixture({ maxGroups: 3, groupInitialRebalanceDelayMs: 60_000 })
    const parked = fixture.join({ ...ATTACKER, groupId: 'first' })
    assert.ok(parked.isWaiting)
    fixture.advance(20_000)
    assert.ok(joins(fixture, ATTACKER, 'second'))
    assert.equal(parked.response.errorCode, ErrorCode.UNKNOWN_MEMBER_ID)
    assert.ok(!exists(fixture, 'first'))
    assert.ok(fixture.logLines.some((line) => line.includes('makes room')))
  })
})

test('a group in the log that makes room is gone from the log too, and comes back when that fails', () => {
  const fixture = new GroupFixture({ maxGroups: 3 })
  const [member] = fixture.stable(1, [{ ...ATTACKER }])
  fixture.leave(member!.memberId)
  assert.equal(fixture.group.groupState, 'Empty')
  fixture.advance(20_000)
  fixture.holdAppends = true
  assert.ok(joins(fixture, ATTACKER, 'second'))
  assert.equal(fixture.join({ ...ATTACKER }).response.errorCode, ErrorCode.COORDINATOR_NOT_AVAILABLE)
  fixture.completeAppends(ErrorCode.KAFKA_STORAGE_ERROR)
  assert.equal(fixture.group.groupState, 'Empty')
  fixture.advance(20_000)
  assert.ok(joins(fixture, ATTACKER, 'third'))
  fixture.completeAppends()
  fixture.holdAppends = false
  fixture.restart()
  assert.equal(fixture.shard.groupCount, 0)
})

test("groups from the log are nobody's until a client is heard of, and leave room", () => {
  const fixture = new GroupFixture({ maxGroups: MAX_GROUPS })
  const made = invent(100, (groupId) => commits(fixture, ATTACKER, groupId))
  fixture.restart()
  assert.equal(fixture.shard.groupCount, made)
  const again = invent(100, (groupId) => commits(fixture, ATTACKER, `again-${groupId}`))
  assert.ok(again > 0 && again < made, `${again} after ${made}`)
  assert.ok(commits(fixture, STRANGER, 'stranger'))
  for (let n = 0; n < made; n++) assert.ok(commits(fixture, ATTACKER, `invented-${n}`))
  assert.ok(!commits(fixture, ATTACKER, 'one more'))
})

test('whatever happens, what is counted is what is there, and nothing is left in the end', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(7), fc.nat(5), fc.nat(40)), { minLength: 100, maxLength: 400 }),
      (steps) => {
        const fixture = new GroupFixture({ maxGroups: MAX_GROUPS, maxStateBytes: 200_000 })
        for (const [what, who, which] of steps) {
          const client = {
            clientHost: `/10.0.0.${who % 3}`,
            clientId: `client-${who}`,
            clientPort: which % 2,
          }
          const groupId = `group-${which}`
          fixture.holdAppends = which % 5 === 0
          if (what <= 1) joins(fixture, client, groupId, what === 0)
          else if (what === 2) fixture.commit({ client, groupId })
          else if (what === 3) fixture.deleteGroup(groupId)
          else if (what === 4) fixture.advance(which * 1_000)
          else if (what === 5) fixture.completeAppends(which % 2 === 0 ? 0 : ErrorCode.KAFKA_STORAGE_ERROR)
          else if (what === 6) fixture.expireOffsets()
          else fixture.restart()
        }
        fixture.holdAppends = false
        fixture.completeAppends()
        assert.equal(fixture.budget.groups, fixture.shard.groupCount)
        assert.ok(fixture.budget.bytes >= fixture.budget.groups)
        fixture.advance(SESSION_MS * 2)
        fixture.advance(8 * 24 * 3_600_000)
        fixture.expireOffsets()
        assert.deepEqual([fixture.shard.groupCount, fixture.budget.groups, fixture.budget.bytes], [0, 0, 0])
      },
    ),
  )
})

test('ids that nobody used make room in a group for those who come', () => {
  const fixture = new GroupFixture({ maxPendingMembers: 5 })
  const take = (): number =>
    fixture.join({ requiresKnownMemberId: true, sessionTimeoutMs: SESSION_MS }).response.errorCode
  for (let n = 0; n < 5; n++) assert.equal(take(), ErrorCode.MEMBER_ID_REQUIRED)
  assert.equal(take(), ErrorCode.GROUP_MAX_SIZE_REACHED)
  fixture.advance(20_000)
  assert.ok(fixture.joinWithId({ sessionTimeoutMs: SESSION_MS }).isWaiting)
})

test('of a client id only so much is kept as tells clients apart', () => {
  const long = groupOwner('/127.0.0.1', 'x'.repeat(30_000), 1)
  assert.ok(long.clientId.length < 200)
  assert.notEqual(long.clientId, groupOwner('/127.0.0.1', `${'x'.repeat(30_000)}y`, 1).clientId)
})
