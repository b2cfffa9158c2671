/** Classic groups: joining, syncing, leaving, and what is told about them. */
import { AreaBuilder } from '../scenario.ts'
import { text } from '../session.ts'
import type { Session } from '../session.ts'
import type { Body, Struct } from '../wire.ts'

export const groups = new AreaBuilder('groups')

/** ConsumerProtocolSubscription 0: no topics and, if at all, some data. */
function subscription(data: string | null): Buffer {
  const length = Buffer.alloc(4)
  length.writeInt32BE(data?.length ?? -1)
  return Buffer.concat([Buffer.alloc(6), length, Buffer.from(data ?? '')])
}

const metadata = subscription(null)
const assignment = Buffer.from('assignment')
const protocols = [{ name: 'range', metadata }]
/** The first version in which a member gets its id before it joins. */
const ID_FIRST = 4

export function joining(groupId: string, more: Body = {}): Body {
  return {
    groupId,
    sessionTimeoutMs: 10_000,
    rebalanceTimeoutMs: 10_000,
    memberId: '',
    protocolType: 'consumer',
    protocols,
    ...more,
  }
}

function joiningIn(version: number, groupId: string, more: Body = {}): Body {
  const { rebalanceTimeoutMs, ...rest } = joining(groupId, more)
  return version >= 1 ? { ...rest, rebalanceTimeoutMs: rebalanceTimeoutMs! } : rest
}

/** A member of a stable group of one. */
export async function stable(s: Session, group: string, version = 5, more: Body = {}): Promise<Struct> {
  const first = await s.ask('JoinGroup', version, joiningIn(version, group, more))
  const memberId = text(first, 'memberId')
  const joined =
    first['errorCode'] === 79
      ? await s.ask('JoinGroup', version, joiningIn(version, group, { ...more, memberId }))
      : first
  if (joined['errorCode'] !== 0) return joined
  await s.ask('SyncGroup', 3, {
    groupId: group,
    generationId: joined['generationId']!,
    memberId,
    assignments: [{ memberId, assignment }],
  })
  return joined
}

groups.addVersions('a member joins', 'JoinGroup', async (s, version) => {
  const group = s.name('g')
  await stable(s, group, version)
  await s.ask('DescribeGroups', 5, { groups: [group] })
})

groups.addVersions('a member syncs', 'SyncGroup', async (s, version) => {
  const groupId = s.name('g')
  const first = await s.ask('JoinGroup', 3, joining(groupId))
  const memberId = text(first, 'memberId')
  const body = (more: Body): Body => ({ groupId, generationId: 1, memberId, assignments: [], ...more })
  await s.ask('SyncGroup', version, body({ generationId: 2 }))
  await s.ask('SyncGroup', version, body({ memberId: 'nobody' }))
  await s.ask('SyncGroup', version, body({ groupId: s.name('none') }))
  if (version >= 5) {
    await s.ask('SyncGroup', version, body({ protocolType: 'connect' }))
    await s.ask('SyncGroup', version, body({ protocolName: 'roundrobin' }))
    await s.ask(
      'SyncGroup',
      version,
      body({ protocolType: 'consumer', protocolName: 'range', assignments: [{ memberId, assignment }] }),
    )
  }
  await s.ask('SyncGroup', version, body({ assignments: [{ memberId, assignment }] }))
  await s.ask('SyncGroup', version, body({}))
  await s.ask('DescribeGroups', 4, { groups: [groupId] })
})

groups.addVersions('heartbeats', 'Heartbeat', async (s, version) => {
  const groupId = s.name('g')
  const memberId = text(await stable(s, groupId, 3), 'memberId')
  for (const given of [
    {},
    { generationId: 2 },
    { generationId: 0 },
    { generationId: -1 },
    { memberId: 'nobody' },
    { memberId: '' },
    { groupId: s.name('none') },
    { groupId: '' },
  ])
    await s.ask('Heartbeat', version, { groupId, generationId: 1, memberId, ...given })
})

groups.addVersions('a member leaves', 'LeaveGroup', async (s, version) => {
  const groupId = s.name('g')
  const memberId = text(await stable(s, groupId, 3), 'memberId')
  const leaving = (id: string): Body => (version >= 3 ? { members: [{ memberId: id }] } : { memberId: id })
  await s.ask('LeaveGroup', version, { groupId: s.name('none'), ...leaving(memberId) })
  await s.ask('LeaveGroup', version, { groupId: '', ...leaving(memberId) })
  await s.ask('LeaveGroup', version, { groupId, ...leaving('nobody') })
  await s.ask('LeaveGroup', version, { groupId, ...leaving(memberId) })
  await s.ask('LeaveGroup', version, { groupId, ...leaving(memberId) })
  await s.ask('Heartbeat', 0, { groupId, generationId: 1, memberId })
  await s.ask('DescribeGroups', 4, { groups: [groupId] })
})

const JOINS: Readonly<Record<string, Body>> = {
  'an empty group id': { groupId: '' },
  'a session timeout that is too short': { sessionTimeoutMs: 5_999 },
  'the shortest session timeout': { sessionTimeoutMs: 6_000 },
  'the longest session timeout': { sessionTimeoutMs: 1_800_000 },
  'no protocols': { protocols: [] },
  'no protocol type': { protocolType: '' },
  'a member id that nobody gave': { memberId: 'made-up' },
  'a protocol without a name': { protocols: [{ name: '', metadata }] },
  'two protocols': { protocols: [...protocols, { name: 'roundrobin', metadata }] },
  'another protocol type': { protocolType: 'connect' },
  'an instance id': { groupInstanceId: 'instance' },
  'an empty instance id': { groupInstanceId: '' },
  'an instance id with a blank': { groupInstanceId: 'in stance' },
}
for (const [what, given] of Object.entries(JOINS))
  groups.add(`joins with ${what}`, async (s) => {
    const groupId = s.name('g')
    for (const version of [3, 5, 9]) {
      if (version < 5 && 'groupInstanceId' in given) continue
      await s.ask('JoinGroup', version, joining(`${groupId}-${version}`, given))
      // The shortest may be over by then.
      if (given['sessionTimeoutMs'] !== 6_000)
        await s.ask('DescribeGroups', 4, { groups: [`${groupId}-${version}`] })
    }
  })

groups.add('joins a group with other protocols', async (s) => {
  const group = s.name('g')
  await stable(s, group, 3)
  for (const more of [
    { protocolType: 'connect' },
    { protocols: [{ name: 'sticky', metadata }] },
    { protocols: [] },
    { protocolType: '' },
  ])
    await s.ask('JoinGroup', 3, joining(group, more), { on: 'second' })
  await s.ask('DescribeGroups', 4, { groups: [group] })
})

groups.add('joins again with nothing new', async (s) => {
  const group = s.name('g')
  const memberId = text(await stable(s, group, 3), 'memberId')
  await s.ask('JoinGroup', 3, joining(group, { memberId }))
  await s.ask('Heartbeat', 3, { groupId: group, generationId: 1, memberId })
  await s.ask('Heartbeat', 3, { groupId: group, generationId: 2, memberId })
  await s.ask('SyncGroup', 3, { groupId: group, generationId: 2, memberId, assignments: [] })
  await s.ask('DescribeGroups', 4, { groups: [group] })
})

groups.add('joins again with other metadata', async (s) => {
  const group = s.name('g')
  const memberId = text(await stable(s, group, 3), 'memberId')
  await s.ask(
    'JoinGroup',
    3,
    joining(group, { memberId, protocols: [{ name: 'range', metadata: subscription('other') }] }),
  )
  await s.ask('DescribeGroups', 4, { groups: [group] })
})

for (const version of [3, 5, 9])
  groups.add(`a second member, JoinGroup v${version}`, async (s) => {
    const group = s.name('g')
    const one = text(await stable(s, group, version), 'memberId')
    let two = ''
    if (version >= ID_FIRST)
      two = text(await s.ask('JoinGroup', version, joining(group), { on: 'two' }), 'memberId')
    const waiting = s.ask('JoinGroup', version, joining(group, { memberId: two }), { on: 'two' })
    const rebalancing = (answer: Struct): boolean => answer['errorCode'] === 27
    await s.askUntil(rebalancing, 'Heartbeat', 3, { groupId: group, generationId: 1, memberId: one })
    await s.ask('DescribeGroups', 4, { groups: [group] })
    await s.ask('SyncGroup', 3, { groupId: group, generationId: 1, memberId: one, assignments: [] })
    await s.ask('JoinGroup', version, joining(group, { memberId: one }))
    two = text(await waiting, 'memberId')
    const syncing = s.ask(
      'SyncGroup',
      3,
      { groupId: group, generationId: 2, memberId: two, assignments: [] },
      { on: 'two' },
    )
    await s.ask('DescribeGroups', 4, { groups: [group] })
    const assignments = [one, two].map((memberId, i) => ({ memberId, assignment: Buffer.from(`part ${i}`) }))
    await s.ask('SyncGroup', 3, { groupId: group, generationId: 2, memberId: one, assignments })
    await syncing
    await s.ask('LeaveGroup', 1, { groupId: group, memberId: two }, { on: 'two' })
    await s.ask('Heartbeat', 3, { groupId: group, generationId: 2, memberId: one })
    await s.ask('JoinGroup', version, joining(group, { memberId: one }))
    await s.ask('DescribeGroups', 4, { groups: [group] })
  })

groups.add('members agree on a protocol', async (s) => {
  const group = s.name('g')
  const named = (...names: string[]): Body => ({ protocols: names.map((name) => ({ name, metadata })) })
  const one = text(await stable(s, group, 3, named('a', 'b', 'c')), 'memberId')
  const waiting = s.ask('JoinGroup', 3, joining(group, named('c', 'b')), { on: 'two' })
  await s.askUntil((answer) => answer['errorCode'] === 27, 'Heartbeat', 3, {
    groupId: group,
    generationId: 1,
    memberId: one,
  })
  await s.ask('JoinGroup', 3, joining(group, { memberId: one, ...named('a', 'b', 'c') }))
  await waiting
})

// --------------------------------------------------------------------------------------------------- static members

const instance = { groupInstanceId: 'instance' }

groups.add('a static member comes back', async (s) => {
  const group = s.name('g')
  for (const version of [5, 9]) {
    const groupId = `${group}-${version}`
    const first = text(await stable(s, groupId, version, instance), 'memberId')
    await s.ask('JoinGroup', version, joining(groupId, instance), { on: 'again' })
    await s.ask('DescribeGroups', 4, { groups: [groupId] })
    await s.ask('Heartbeat', 3, { groupId, generationId: 1, memberId: first, ...instance })
    await s.ask('SyncGroup', 3, { groupId, generationId: 1, memberId: first, assignments: [], ...instance })
    await s.ask('JoinGroup', version, joining(groupId, { memberId: first, ...instance }))
    await s.ask('OffsetCommit', 7, {
      groupId,
      generationIdOrMemberEpoch: 1,
      memberId: first,
      ...instance,
      topics: [],
    })
  }
})

groups.add('a static member comes back with other metadata', async (s) => {
  const groupId = s.name('g')
  await stable(s, groupId, 5, instance)
  const other = { ...instance, protocols: [{ name: 'range', metadata: subscription('other') }] }
  await s.ask('JoinGroup', 5, joining(groupId, other), { on: 'again' })
  await s.ask('DescribeGroups', 4, { groups: [groupId] })
})

groups.add('static members leave', async (s) => {
  const groupId = s.name('g')
  const memberId = text(await stable(s, groupId, 5, instance), 'memberId')
  await s.ask('LeaveGroup', 3, { groupId, members: [{ memberId: '', groupInstanceId: 'nobody' }] })
  await s.ask('LeaveGroup', 3, { groupId, members: [{ memberId: 'nobody', groupInstanceId: 'instance' }] })
  await s.ask('LeaveGroup', 3, { groupId, members: [{ memberId, groupInstanceId: 'nobody' }] })
  await s.ask('LeaveGroup', 4, { groupId, members: [] })
  await s.ask('LeaveGroup', 5, {
    groupId,
    members: [{ memberId: 'x' }, { memberId: '', groupInstanceId: 'instance', reason: 'done' }],
  })
  await s.ask('LeaveGroup', 5, { groupId, members: [{ memberId: '', groupInstanceId: 'instance' }] })
  await s.ask('DescribeGroups', 4, { groups: [groupId] })
})

// -------------------------------------------------------------------------------------------------------- looking

groups.addVersions('groups in every state are described', 'DescribeGroups', async (s, version) => {
  const [one, joined, empty, offsetsOnly] = ['stable', 'joined', 'empty', 'offsets'].map((short) =>
    s.name(short),
  ) as [string, string, string, string]
  await stable(s, one, 3)
  await s.ask('JoinGroup', 3, joining(joined))
  const memberId = text(await stable(s, empty, 3), 'memberId')
  await s.ask('LeaveGroup', 0, { groupId: empty, memberId })
  const name = await s.topic()
  await s.ask('OffsetCommit', 2, {
    groupId: offsetsOnly,
    topics: [{ name, partitions: [{ partitionIndex: 0, committedOffset: 1 }] }],
  })
  await s.ask('DescribeGroups', version, { groups: [one, joined, empty, offsetsOnly, s.name('none'), ''] })
  if (version >= 3)
    await s.ask('DescribeGroups', version, {
      groups: [one, s.name('none')],
      includeAuthorizedOperations: true,
    })
  await s.ask('DescribeGroups', version, { groups: [] })
  await s.ask('DescribeGroups', version, { groups: [one, one] })
})

groups.addVersions('groups are listed', 'ListGroups', async (s, version) => {
  const [one, two, empty] = ['a', 'b', 'c'].map((short) => s.name(short)) as [string, string, string]
  await stable(s, one, 3)
  await s.ask('JoinGroup', 3, joining(two, { protocolType: 'connect' }))
  const memberId = text(await stable(s, empty, 3), 'memberId')
  await s.ask('LeaveGroup', 0, { groupId: empty, memberId })
  const filters: Body[] = [{}]
  if (version >= 4)
    for (const states of [
      ['Stable'],
      ['stable', 'Empty'],
      ['CompletingRebalance'],
      ['Dead'],
      ['nonsense'],
      [''],
    ])
      filters.push({ statesFilter: states })
  if (version >= 5)
    for (const types of [['classic'], ['Classic'], ['consumer'], ['share'], ['nonsense'], ['']])
      filters.push({ typesFilter: types })
  for (const filter of filters) await s.ask('ListGroups', version, filter)
})

groups.addVersions('groups are deleted', 'DeleteGroups', async (s, version) => {
  const [one, empty] = [s.name('stable'), s.name('empty')]
  await stable(s, one, 3)
  const memberId = text(await stable(s, empty, 3), 'memberId')
  await s.ask('LeaveGroup', 0, { groupId: empty, memberId })
  await s.ask('DeleteGroups', version, { groupsNames: [one, empty, s.name('none'), ''] })
  await s.ask('DeleteGroups', version, { groupsNames: [empty, one] })
  await s.ask('DeleteGroups', version, { groupsNames: [] })
  await s.ask('DescribeGroups', 4, { groups: [one, empty] })
})

groups.add('a group is named twice when it is deleted', async (s) => {
  const groupId = s.name('g')
  const memberId = text(await stable(s, groupId, 3), 'memberId')
  await s.ask('LeaveGroup', 0, { groupId, memberId })
  await s.ask('DeleteGroups', 2, { groupsNames: [groupId, groupId] })
})

groups.addVersions('coordinators', 'FindCoordinator', async (s, version) => {
  const asked: Body[] = [{ key: s.name('g') }, { key: '' }]
  if (version >= 1) for (const keyType of [0, 2, 3, -1]) asked.push({ key: s.name('g'), keyType })
  if (version < 4) for (const body of asked) await s.ask('FindCoordinator', version, body)
  else
    for (const { key, keyType = 0 } of asked)
      await s.ask('FindCoordinator', version, { keyType, coordinatorKeys: [key!, s.name('h')] })
  if (version >= 4) await s.ask('FindCoordinator', version, { keyType: 0, coordinatorKeys: [] })
  if (version >= 4)
    await s.ask('FindCoordinator', version, { keyType: 0, coordinatorKeys: [s.name('g'), s.name('g')] })
})

groups.add('a member whose connection ends stays', async (s) => {
  const groupId = s.name('g')
  const joined = await s.ask('JoinGroup', 3, joining(groupId), { on: 'gone' })
  await s.hangUp('gone')
  await s.ask('Heartbeat', 3, { groupId, generationId: 1, memberId: text(joined, 'memberId') })
})

groups.add('an assignment that does not fit into one batch of the log', async (s) => {
  const groupId = s.name('g')
  const first = await s.ask('JoinGroup', 5, joining(groupId))
  const memberId = text(first, 'memberId')
  const joined = await s.ask('JoinGroup', 5, joining(groupId, { memberId }))
  const generationId = joined['generationId']!
  const assignments = [{ memberId, assignment: Buffer.alloc(1_100_000) }]
  await s.ask('SyncGroup', 3, { groupId, generationId, memberId, assignments })
  await s.ask('Heartbeat', 3, { groupId, generationId, memberId })
  await s.ask('JoinGroup', 5, joining(groupId, { memberId }))
  await s.ask('DescribeGroups', 5, { groups: [groupId] })
})
