/** What a client is told of brokers and leaders, by the listener that it came through. */
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ErrorCode } from '../../../protocol/errors.ts'
import { metadataRequest, metadataResponse } from '../../../protocol/messages/03-metadata.ts'
import {
  describeClusterRequest,
  describeClusterResponse,
} from '../../../protocol/messages/60-describe-cluster.ts'
import {
  describeTopicPartitionsRequest,
  describeTopicPartitionsResponse,
} from '../../../protocol/messages/75-describe-topic-partitions.ts'
import { metadata } from '../../../src/api/03-metadata.ts'
import { describeCluster } from '../../../src/api/60-describe-cluster.ts'
import { describeTopicPartitions } from '../../../src/api/75-describe-topic-partitions.ts'
import type { BrokerImage, PartitionImage } from '../../../src/metadata/image/metadata-image.ts'
import { newTopic } from '../../metadata/metadata-harness.ts'
import { type AdminHarness, versionsOf, withAdmin } from '../admin-harness.ts'

const OTHER = 1
const FENCED = 2
const ELSEWHERE = 3
const MISSING = 4

function brokerOf(id: number, listener: string, fenced = false): BrokerImage {
  const endpoints = new Map([[listener, { host: `host-${id}`, port: 9000 + id }]])
  return { id, epoch: 5, fenced, shuttingDown: false, rack: `r${id}`, endpoints }
}

/** One topic, of which each partition has another one of these as its leader. */
async function withBrokers(body: (admin: AdminHarness) => Promise<void>): Promise<void> {
  await withAdmin(async (admin) => {
    await admin.metadata.createTopics([newTopic('a', 5)], false)
    const brokers = new Map(admin.metadata.brokers)
    for (const broker of [
      brokerOf(OTHER, 'PLAINTEXT'),
      brokerOf(FENCED, 'PLAINTEXT', true),
      brokerOf(ELSEWHERE, 'INSIDE'),
    ])
      brokers.set(broker.id, broker)
    const topic = admin.metadata.topics.get('a')!
    const partitions = topic.partitions.map((partition, index): PartitionImage => ({
      ...partition,
      leader: index,
      leaderEpoch: 3,
      replicas: [index, 0, FENCED, MISSING],
      elr: [OTHER],
      lastKnownElr: [FENCED],
    }))
    Object.defineProperty(admin.metadata, 'brokers', { value: brokers })
    Object.defineProperty(admin.metadata, 'topics', { value: new Map([['a', { ...topic, partitions }]]) })
    await body(admin)
  })
}

const { NONE, LEADER_NOT_AVAILABLE, LISTENER_NOT_FOUND } = ErrorCode

test('clients are told of the brokers that serve on their listener, and of leaders that they can reach', async () => {
  await withBrokers(async (admin) => {
    for (const version of versionsOf(metadata)) {
      const schemas = [metadataRequest, metadataResponse] as const
      const answer = await admin.call(metadata, version, schemas, { topics: [{ name: 'a' }] })
      assert.deepEqual(
        answer.brokers.map(({ nodeId, host, port }) => [nodeId, host, port]),
        [
          [0, 'reached.example', 9092],
          [OTHER, 'host-1', 9001],
        ],
      )
      assert.deepEqual(
        answer.topics[0]!.partitions.map(({ errorCode, leaderId }) => [errorCode, leaderId]),
        [
          [NONE, 0],
          [NONE, OTHER],
          [LEADER_NOT_AVAILABLE, -1],
          [version >= 6 ? LISTENER_NOT_FOUND : LEADER_NOT_AVAILABLE, -1],
          [LEADER_NOT_AVAILABLE, -1],
        ],
      )
      if (version < 7) continue
      const [{ leaderEpoch, offlineReplicas, replicaNodes } = assert.fail()] = answer.topics[0]!.partitions
      assert.deepEqual([leaderEpoch, offlineReplicas], [3, [FENCED, MISSING]])
      assert.deepEqual(replicaNodes, [0, 0, FENCED, MISSING])
    }
  })
})

test('DescribeTopicPartitions tells who else may lead', async () => {
  await withBrokers(async (admin) => {
    const schemas = [describeTopicPartitionsRequest, describeTopicPartitionsResponse] as const
    const body = { topics: [{ name: 'a' }], responsePartitionLimit: 9, cursor: null }
    const { topics } = await admin.call(describeTopicPartitions, 0, schemas, body)
    const partition = topics[0]!.partitions[ELSEWHERE]!
    assert.deepEqual([partition.errorCode, partition.leaderId], [LISTENER_NOT_FOUND, -1])
    assert.deepEqual([partition.eligibleLeaderReplicas, partition.lastKnownElr], [[OTHER], [FENCED]])
  })
})

test('DescribeCluster tells of fenced brokers when it is asked to', async () => {
  await withBrokers(async (admin) => {
    const schemas = [describeClusterRequest, describeClusterResponse] as const
    for (const version of versionsOf(describeCluster))
      for (const all of version >= 2 ? [true, false] : [false]) {
        const fenced = version >= 2 ? { includeFencedBrokers: all } : {}
        const body = { includeClusterAuthorizedOperations: false, ...fenced }
        const { brokers } = await admin.call(describeCluster, version, schemas, body)
        assert.deepEqual(
          brokers.map(({ brokerId, host, rack, isFenced }) => [brokerId, host, rack, isFenced]),
          [
            [0, 'reached.example', null, false],
            [OTHER, 'host-1', 'r1', false],
            ...(all ? [[FENCED, 'host-2', 'r2', true]] : []),
          ],
        )
      }
  })
})
