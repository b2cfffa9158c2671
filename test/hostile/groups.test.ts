import assert from 'node:assert/strict'
import { test } from 'node:test'
import { offsetCommitRequest, offsetCommitResponse } from '../../protocol/messages/08-offset-commit.ts'
import {
  findCoordinatorRequest,
  findCoordinatorResponse,
} from '../../protocol/messages/10-find-coordinator.ts'
import { joinGroupRequest, joinGroupResponse } from '../../protocol/messages/11-join-group.ts'
import { listGroupsRequest, listGroupsResponse } from '../../protocol/messages/16-list-groups.ts'
import { createTopicsRequest, createTopicsResponse } from '../../protocol/messages/19-create-topics.ts'
import { ErrorCode } from '../../protocol/errors.ts'
import { RawClient } from '../support/raw-client.ts'
import { startTarget, startWatchedTarget, within } from './target.ts'

const createTopics = { request: createTopicsRequest, response: createTopicsResponse, version: 4 } as const
const findCoordinator = {
  request: findCoordinatorRequest,
  response: findCoordinatorResponse,
  version: 2,
} as const
const listGroups = { request: listGroupsRequest, response: listGroupsResponse, version: 4 } as const
const join = { request: joinGroupRequest, response: joinGroupResponse, version: 5 } as const
const commit = { request: offsetCommitRequest, response: offsetCommitResponse, version: 8 } as const

/** Twice that many: joined, and committed to. */
const INVENTED = 50_000
const AT_ONCE = 1_000

function joining(groupId: string, memberId = '') {
  return {
    groupId,
    sessionTimeoutMs: 1_800_000,
    rebalanceTimeoutMs: 60_000,
    memberId,
    groupInstanceId: null,
    protocolType: 'consumer',
    protocols: [{ name: 'range', metadata: Buffer.alloc(0) }],
  }
}

function committing(groupId: string) {
  const partitions = [
    { partitionIndex: 0, committedOffset: 1, committedLeaderEpoch: -1, committedMetadata: '' },
  ]
  const topics = [{ name: 't', partitions }]
  return { groupId, generationIdOrMemberEpoch: -1, memberId: '', groupInstanceId: null, topics }
}

/** The attack of one client. */
async function invent(
  port: number,
  ask: (client: RawClient, groupId: string) => Promise<unknown>,
): Promise<void> {
  const client = await RawClient.connect(port)
  for (let n = 0; n < INVENTED; n += AT_ONCE)
    await within(Promise.all(Array.from({ length: AT_ONCE }, (_, i) => ask(client, `invented-${n + i}`))))
  client.close()
}

/** Of the groups of that name some are there, and not all: on a slow machine old ones may have gone for new ones. */
async function holdsAShare(port: number, prefix: string): Promise<void> {
  const client = await RawClient.connect(port)
  const { groups } = await within(client.send(listGroups, { statesFilter: [] }))
  client.close()
  const held = groups.filter(({ groupId }) => groupId.startsWith(prefix)).length
  assert.ok(held > 5_000 && held < INVENTED / 2, `${held} groups of ${INVENTED} named ${prefix}`)
}

/** A group that forms as every consumer forms one. */
async function formsGroup(port: number, groupId: string): Promise<void> {
  const client = await RawClient.connect(port)
  const first = await within(client.send(join, joining(groupId)))
  assert.equal(first.errorCode, ErrorCode.MEMBER_ID_REQUIRED)
  const { errorCode } = await within(client.send(join, joining(groupId, first.memberId)))
  assert.equal(errorCode, ErrorCode.NONE)
  client.close()
}

test('a hundred thousand invented groups, joined and committed to, bar nobody else', async () => {
  await using target = await startTarget()
  const admin = await RawClient.connect(target.port)
  const topic = { name: 't', numPartitions: 1, replicationFactor: 1, assignments: [], configs: [] }
  await admin.send(createTopics, { topics: [topic], timeoutMs: 30_000, validateOnly: false })
  await admin.send(findCoordinator, { key: 'g', keyType: 0 })
  await target.survives(async () => {
    await invent(target.port, (client, groupId) => client.send(commit, committing(groupId)))
    await holdsAShare(target.port, 'invented-')
    await formsGroup(target.port, 'after commits')
    const other = await RawClient.connect(target.port)
    const { topics } = await within(other.send(commit, committing('after commits, without members')))
    assert.equal(topics[0]!.partitions[0]!.errorCode, ErrorCode.NONE)
    other.close()
    await invent(target.port, (client, groupId) => client.send(join, joining(`j-${groupId}`)))
    await formsGroup(target.port, 'after joins')
    await holdsAShare(target.port, 'j-')
  })
  admin.close()
})

/** Reading all that they subscribe to takes a second. */
const SUBSCRIBERS = 16
const SUBSCRIBED_TOPICS = 200_000
const MAX_PIECE_MS = 300

/** A ConsumerProtocolSubscription of very many topics with two letters each. */
function hugeSubscription(): Buffer {
  const metadata = Buffer.alloc(6 + SUBSCRIBED_TOPICS * 4 + 4)
  metadata.writeInt32BE(SUBSCRIBED_TOPICS, 2)
  for (let i = 0; i < SUBSCRIBED_TOPICS; i++) {
    metadata.writeInt16BE(2, 6 + i * 4)
    metadata.writeUInt16BE(0x2121 + (i % 0x5050), 8 + i * 4)
  }
  metadata.writeInt32BE(-1, 6 + SUBSCRIBED_TOPICS * 4)
  return metadata
}

test('a generation of members that subscribe to millions of topics does not hold the loop', async () => {
  await using target = await startWatchedTarget()
  const clients = await Promise.all(Array.from({ length: SUBSCRIBERS }, () => RawClient.connect(target.port)))
  await clients[0]!.send(findCoordinator, { key: 'g', keyType: 0 })
  const protocols = [{ name: 'range', metadata: hugeSubscription() }]
  const ids: string[] = []
  for (const client of clients) {
    const { memberId } = await within(client.send(join, { ...joining('g'), protocols }))
    ids.push(memberId)
  }
  const rejoin = () => clients.map((client, i) => client.send(join, { ...joining('g', ids[i]), protocols }))
  await target.survives(async () => {
    // Some of them have a generation without the others, who make them join once more.
    const first = rejoin()
    await within(Promise.race(first))
    target.longestPieceMs()
    const answers = await within(Promise.all([...first, ...rejoin()]))
    assert.equal(Math.max(...answers.map(({ members }) => members.length)), SUBSCRIBERS)
    for (const { errorCode } of answers.slice(SUBSCRIBERS)) assert.equal(errorCode, ErrorCode.NONE)
    const heldMs = target.longestPieceMs()
    assert.ok(heldMs <= MAX_PIECE_MS, `the loop was held for ${heldMs} ms`)
  })
  for (const client of clients) client.close()
})
