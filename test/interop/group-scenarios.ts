import { subscription } from '../core/group/group-fixture.ts'
import type { GroupSession, Joined } from './group-session.ts'

/**
 * What clients do to groups, well-behaved ones and others. Each scenario has a group of its own, and leaves nothing to
 * chance: who is parked is waited for.
 */
export const groupScenarios: Readonly<Record<string, (group: GroupSession) => Promise<void>>> = {
  async 'nobody is there'(group) {
    const ghost = { memberId: 'ghost', generationId: 1, protocolType: null, protocolName: null }
    await group.join('no group id', 9, { groupId: '' })
    await group.join('short session', 9, { sessionTimeoutMs: 10 })
    await group.join('ghost', 9, { memberId: 'ghost' })
    await group.sync('ghost', 5, ghost)
    await group.sync('ghost', 2, ghost)
    await group.sync('without protocol', 5, ghost, {}, { protocolType: null })
    await group.sync('no group id', 5, ghost, {}, { groupId: '' })
    await group.heartbeat('ghost', ghost)
    await group.heartbeat('no group id', ghost, { groupId: '' })
    await group.leave('ghost', 5, {
      members: [{ memberId: 'ghost' }, { memberId: '', groupInstanceId: 'i' }],
    })
    await group.leave('ghost', 2, { memberId: 'ghost' })
    await group.leave('no group id', 5, { groupId: '', members: [{ memberId: 'ghost' }] })
    const member = { memberId: 'ghost', generationIdOrMemberEpoch: 3 }
    for (const version of [8, 9]) await group.commit('ghost', version, member)
    await group.describe('nothing')
    for (const version of [1, 5, 7, 9]) await group.fetch('nothing', version, [0, 1])
    await group.fetch('all of nothing', 9, null)
    await group.delete('nothing')
    await group.deleteOffsets('nothing', 'topic', 0)
  },

  async 'bad first joins'(group) {
    await group.join('no protocols', 9, { protocols: [] })
    await group.join('no protocols', 2, { protocols: [] })
    await group.join('no protocol type', 9, { protocolType: '' })
  },

  async 'an id that is given out'(group) {
    const { memberId } = await group.join('A', 9)
    const given = { memberId, protocolType: null, protocolName: null }
    await group.heartbeat('A', { ...given, generationId: -1 })
    await group.heartbeat('A in 0', { ...given, generationId: 0 })
    await group.sync('A', 5, { ...given, generationId: 0 })
    await group.commit('A', 8, { memberId, generationIdOrMemberEpoch: 0 })
    await group.commit('administrator', 8)
    await group.leave('A', 5, { members: [{ memberId }] })
    await group.join('A', 9, { memberId })
  },

  async 'one member'(group) {
    const { memberId } = await group.join('A', 9)
    const joined = await group.join('A', 9, { memberId })
    const member = { memberId, generationIdOrMemberEpoch: 1 }
    await group.describe('while it assigns')
    await group.heartbeat('while it assigns', joined)
    await group.heartbeat('of generation 7', { ...joined, generationId: 7 })
    await group.commit('while it assigns', 8, member)
    await group.commit('administrator, while it assigns', 8)
    await group.join('A again, while it assigns', 9, { memberId })
    await group.sync('other type', 5, joined, {}, { protocolType: 'connect' })
    await group.sync('other protocol', 5, joined, {}, { protocolName: 'sticky' })
    await group.sync('other generation', 5, { ...joined, generationId: 3 })
    await group.sync('A', 5, joined, { [memberId]: 'for A', stranger: 'x' })
    await group.describe('stable')
    await group.describe('stable, operations', 5, { includeAuthorizedOperations: true })
    await group.sync('A again', 3, joined)
    await group.heartbeat('stable', joined)
    await group.heartbeat('stable, instance', joined, { groupInstanceId: 'nope' })
    await commits(group, memberId)
    await group.delete('stable')
    await group.deleteOffsets('stable, subscribed', 'topic', 0)
    await group.leave('A', 5, { members: [{ memberId, reason: 'bye' }] })
    await afterTheLast(group, joined)
  },

  async 'old versions, three members'(group) {
    const a = await group.join('A', 3)
    await group.sync('A', 2, a, { [a.memberId]: 'x' })
    const parkedB = group.join('B', 2)
    await group.settled('PreparingRebalance', 2)
    await group.heartbeat('A', a, {}, 2)
    const parkedC = group.join('C', 1)
    await group.settled('PreparingRebalance', 3)
    const a2 = await group.join('A', 3, { memberId: a.memberId })
    const [b, c] = await Promise.all([parkedB, parkedC])
    const waiting = [group.sync('B', 1, b), group.sync('C', 0, c)]
    await group.heartbeat('B', b, {}, 0)
    await group.sync('A', 3, a2, { [a.memberId]: '1', [b.memberId]: '2' })
    await Promise.all(waiting)
    await group.describe('three')
    await group.join('B unchanged', 2, { memberId: b.memberId })
    const leaderAgain = group.join('A leads', 2, { memberId: a.memberId })
    await group.settled('PreparingRebalance', 3)
    await group.heartbeat('B', b)
    await group.commit('B', 8, { memberId: b.memberId, generationIdOrMemberEpoch: b.generationId })
    await group.sync('B', 5, b)
    await group.leave('C', 2, { memberId: c.memberId })
    const protocols = [{ name: 'range', metadata: subscription('topic', 'other') }]
    await Promise.all([group.join('B changed', 2, { memberId: b.memberId, protocols }), leaderAgain])
    await group.leave('A and a stranger', 5, { members: [{ memberId: a.memberId }, { memberId: 'x' }] })
    const alone = await group.join('B', 2, { memberId: b.memberId })
    await group.sync('B', 2, alone, { [b.memberId]: 'all' })
    await group.describe('B alone')
  },

  async protocols(group) {
    const offer = (...names: string[]) => ({
      protocolType: 'x',
      protocols: names.map((name) => ({ name, metadata: Buffer.from(name) })),
    })
    const { memberId } = await group.join('A', 3, offer('p', 'q', 'r'))
    await group.join('other type', 3, { ...offer('p'), protocolType: 'y' })
    await group.join('nothing in common', 3, offer('z'))
    const parked = [group.join('B', 3, offer('r', 'q'))]
    await group.settled('PreparingRebalance', 2)
    parked.push(group.join('C', 3, offer('r', 'z', 'q')))
    await group.settled('PreparingRebalance', 3)
    await Promise.all([...parked, group.join('A', 3, { memberId, ...offer('p', 'q', 'r') })])
    await group.deleteOffsets('not of consumers', 'topic', 0)
    await group.join('A changes its mind', 3, { memberId, ...offer('nope') })
    await group.join('A changes its type', 3, { memberId, ...offer('r'), protocolType: 'zzz' })
  },

  async 'who does not rejoin, and who does not sync'(group) {
    const timeout = { rebalanceTimeoutMs: 2_000, sessionTimeoutMs: 60_000 }
    const a = await group.join('A', 3, timeout)
    await group.sync('A', 2, a, { [a.memberId]: 'x' })
    const b = await group.join('B', 3, timeout)
    await group.heartbeat('A', a)
    await group.settled('Empty', 0)
    await group.heartbeat('B', b)
  },

  async 'who is not heard of'(group) {
    const a = await group.join('A', 3, { sessionTimeoutMs: 2_000 })
    await group.sync('A', 2, a, { [a.memberId]: 'x' })
    await group.settled('Empty', 0)
    await group.heartbeat('A', a)
    await group.describe('empty')
  },

  async 'a change while members sync'(group) {
    const a = await group.join('A', 3)
    await group.sync('A', 2, a, { [a.memberId]: 'x' })
    const parked = group.join('B', 3)
    await group.settled('PreparingRebalance', 2)
    const a2 = await group.join('A', 3, { memberId: a.memberId })
    const b = await parked
    const waiting = group.sync('B', 2, b)
    const parkedC = group.join('C', 3)
    await group.settled('PreparingRebalance', 3)
    await waiting
    await group.heartbeat('A', a2)
    await group.sync('A', 2, a2, { [a.memberId]: 'x' })
    await Promise.all([
      parkedC,
      group.join('B', 3, { memberId: b.memberId }),
      group.join('A', 3, { memberId: a.memberId }),
    ])
    await group.describe('three')
  },

  async 'static members'(group) {
    const asA = { groupInstanceId: 'a' }
    const asB = { groupInstanceId: 'b' }
    const a = await group.join('A', 9, asA)
    await group.sync('A', 5, a, { [a.memberId]: 'for A' }, asA)
    const parked = group.join('B', 5, asB)
    await group.settled('PreparingRebalance', 2)
    const a2 = await group.join('A', 9, { ...asA, memberId: a.memberId })
    const b = await parked
    const waiting = group.sync('B', 3, b, {}, asB)
    await group.sync('A', 5, a2, { [a.memberId]: 'for A', [b.memberId]: 'for B' }, asA)
    await waiting
    await group.describe('two')
    await followerReturns(group, b, asB)
    await leaderReturns(group, a2, asA, asB)
  },

  async 'a static member that changes the protocol'(group) {
    const offer = (...names: string[]) => ({
      groupInstanceId: 'a',
      protocolType: 'x',
      protocols: names.map((name) => ({ name, metadata: Buffer.from(name) })),
    })
    const a = await group.join('A', 9, offer('p', 'q'))
    await group.sync('A', 5, a, { [a.memberId]: 'for A' }, { groupInstanceId: 'a' })
    await group.join('B', 9, offer('q', 'p'))
    await group.describe('of the new protocol')
  },

  async 'two static members of one instance, parked'(group) {
    const asA = { groupInstanceId: 'a' }
    const a = await group.join('A', 9, asA)
    await group.sync('A', 5, a, { [a.memberId]: 'x' }, asA)
    const first = group.join('B', 9, { groupInstanceId: 'b' })
    await group.settled('PreparingRebalance', 2)
    const second = group.join('C', 9, { groupInstanceId: 'b' })
    await first
    await group.join('A', 9, { ...asA, memberId: a.memberId })
    await second
    await group.describe('two')
  },

  async 'simple consumers'(group) {
    await group.commit('simple', 2)
    const partitions = [
      { partitionIndex: 1, committedOffset: 7, committedLeaderEpoch: 4, committedMetadata: 'meta' },
    ]
    await group.commit('simple', 9, { topics: [{ name: 'topic', partitions }] })
    await group.commit('with a member id', 9, { memberId: 'm' })
    await group.commit('in generation 0', 9, { memberId: 'm', generationIdOrMemberEpoch: 0 })
    await group.commit('in generation 1', 8, { memberId: 'm', generationIdOrMemberEpoch: 1 })
    await group.commit('of an instance', 9, { groupInstanceId: 'i' })
    await group.describe('simple')
    for (const states of [['empty'], ['Stable'], ['Empty', 'Stable'], []]) await group.list(states, [])
    for (const types of [['CLASSIC'], ['consumer']]) await group.list([], types)
    await group.fetch('all', 9, null)
    await group.heartbeat('stranger', { memberId: 'x', generationId: 0 })
    await group.leave('stranger', 5, { members: [{ memberId: 'x' }] })
    await group.leave('nobody', 5, { members: [] })
    await group.deleteOffsets('simple', 'topic', 0)
    await group.fetch('all but one', 9, null)
    await group.delete('simple', 'no such group')
    await group.commit('without group id', 8, { groupId: '' })
  },

  async coordinator(group) {
    for (const version of [0, 1, 2, 3]) await group.findCoordinator(version, { key: group.groupId })
    await group.findCoordinator(4, { coordinatorKeys: [group.groupId, ''] })
    await group.findCoordinator(5, { coordinatorKeys: [group.groupId], keyType: 9 })
  },
}

async function commits(group: GroupSession, memberId: string): Promise<void> {
  await group.commit('fine', 8, { memberId, generationIdOrMemberEpoch: 1 })
  await group.commit('of generation 0', 8, { memberId, generationIdOrMemberEpoch: 0 })
  await group.commit('of no generation', 8, { memberId })
  await group.commit('administrator', 8)
  await group.commit('stranger', 8, { memberId: 'x', generationIdOrMemberEpoch: 1 })
  const partitions = [
    { partitionIndex: 0, committedOffset: 1, committedMetadata: 'x'.repeat(4_097) },
    { partitionIndex: 1, committedOffset: 6, committedLeaderEpoch: 2, committedMetadata: null },
    { partitionIndex: 99, committedOffset: 1, committedMetadata: '' },
  ]
  const topics = [
    { name: 'topic', partitions },
    { name: 'nowhere', partitions: [{ partitionIndex: 0, committedOffset: 1, committedMetadata: '' }] },
  ]
  await group.commit('of all sorts', 8, { memberId, generationIdOrMemberEpoch: 1, topics })
  for (const version of [1, 2, 5, 7, 9]) await group.fetch('three', version, [0, 1, 2])
  for (const version of [7, 9]) await group.fetch('all', version, null)
}

async function afterTheLast(group: GroupSession, joined: Joined): Promise<void> {
  const { memberId } = joined
  await group.describe('empty')
  await group.heartbeat('gone', joined)
  await group.heartbeat('gone, new generation', { ...joined, generationId: 2 })
  await group.sync('gone', 5, joined)
  await group.join('gone', 9, { memberId })
  await group.commit('gone', 8, { memberId, generationIdOrMemberEpoch: 1 })
  const partitions = [{ partitionIndex: 2, committedOffset: 9, committedMetadata: '' }]
  await group.commit('administrator, empty', 8, { topics: [{ name: 'topic', partitions }] })
  await group.deleteOffsets('empty', 'topic', 0, 77)
  await group.deleteOffsets('empty', 'nowhere', 0)
  await group.fetch('what is left', 8, null)
  await group.delete('empty')
  await group.describe('deleted')
}

async function followerReturns(
  group: GroupSession,
  b: Joined,
  asB: { groupInstanceId: string },
): Promise<void> {
  const { memberId, generationId } = b
  const b2 = await group.join('B returned', 5, asB)
  await group.heartbeat('old B', b, asB)
  await group.heartbeat('old B without instance', b)
  await group.sync('old B', 3, b, {}, asB)
  await group.commit('old B', 8, { memberId, generationIdOrMemberEpoch: generationId, ...asB })
  await group.join('old B', 5, { ...asB, memberId })
  await group.sync('B returned', 3, b2, {}, asB)
  await group.describe('with B returned')
}

async function leaderReturns(
  group: GroupSession,
  a: Joined,
  asA: { groupInstanceId: string },
  asB: { groupInstanceId: string },
): Promise<void> {
  await group.join('A returned before v9', 8, asA)
  const a3 = await group.join('A returned', 9, asA)
  await group.sync('A returned', 5, a3, {}, asA)
  await group.join('B returned to A', 9, asB)
  await group.describe('with A returned')
  const protocols = [{ name: 'range', metadata: subscription('other') }]
  const a4 = await group.join('A of other topics', 9, { ...asA, protocols })
  const members = [
    { memberId: a.memberId, ...asA },
    { memberId: 'x', groupInstanceId: 'nope' },
    { memberId: '', groupInstanceId: 'nope' },
  ]
  await group.leave('by wrong names', 5, { members })
  await group.leave('B, by an administrator', 5, { members: [{ memberId: '', ...asB }] })
  await group.heartbeat('A alone', a4, asA)
  await group.join('A alone', 9, { ...asA, memberId: a4.memberId })
  await group.describe('A alone')
  await group.join('A returned before it assigned', 9, asA)
  await group.describe('A returned before it assigned')
}
