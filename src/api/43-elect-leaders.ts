import { ErrorCode } from '../../protocol/errors.ts'
import { electLeadersRequest, electLeadersResponse } from '../../protocol/messages/43-elect-leaders.ts'
import type { ElectLeadersRequest } from '../../protocol/messages/43-elect-leaders.ts'
import type { Encodable } from '../../protocol/schema.ts'
import type { ClusterDuties, ElectionResult } from '../metadata/cluster-duties.ts'
import type { Metadata } from '../metadata/metadata.ts'
import { answer, defineApi, inSteps } from './requests/handler.ts'

const PREFERRED = 0
const UNCLEAN = 1
const TYPES = [PREFERRED, UNCLEAN]

type Elected = Encodable<typeof electLeadersResponse>
type PartitionResult = Elected['replicaElectionResults'][number]['partitionResult'][number]

/**
 * ElectLeaders, versions 0-2.
 *
 * Behavior: a partition whose leader is already the preferred one, or that has any leader when an unclean election is
 * asked for, answers ELECTION_NOT_NEEDED. Others get a leader from the controller, or the reason why not. Where there is only
 * one broker, a partition without a leader has none available: that broker does not hold its records. Null asks for all
 * partitions and answers those that needed one.
 *
 * Version notes: v1 election type (KIP-460), v2 flexible.
 */
export const electLeaders = defineApi({
  request: electLeadersRequest,
  response: electLeadersResponse,
  versions: [0, 2],
  arrays: {
    topicPartitions: {
      repeats: 'merged',
      key: ({ topic }) => topic,
      cost: 0,
      inside: { partitions: { repeats: 'once', cost: 0 } },
    },
  },
  handle(request, context, respond, refusals) {
    const { cluster } = context.broker.metadata
    if (cluster === null) inOneNode(request, context, respond, refusals)
    else inCluster(cluster)(request, context, respond, refusals)
  },
})

const inOneNode = inSteps<ElectLeadersRequest, Elected>(function* (request, { broker }) {
  const electionType = request.electionType ?? PREFERRED
  const replicaElectionResults = []
  for (const { topic, partitions } of request.topicPartitions ?? []) {
    const partitionResult = []
    for (const partitionId of partitions) {
      partitionResult.push({ partitionId, ...elect(broker.metadata, topic, partitionId, electionType) })
      yield
    }
    replicaElectionResults.push({ topic, partitionResult })
  }
  const errorCode = TYPES.includes(electionType) ? ErrorCode.NONE : ErrorCode.INVALID_REQUEST
  return { errorCode, replicaElectionResults }
})

const inCluster = (cluster: ClusterDuties) =>
  answer<ElectLeadersRequest, Elected>(async ({ electionType, topicPartitions }) => {
    const type = electionType ?? PREFERRED
    const asked =
      topicPartitions?.flatMap(({ topic, partitions }) => partitions.map((index) => ({ topic, index }))) ??
      null
    const outcome = TYPES.includes(type)
      ? await cluster.electLeaders(type === UNCLEAN ? 'unclean' : 'preferred', asked)
      : ErrorCode.INVALID_REQUEST
    if (typeof outcome !== 'number') return { errorCode: ErrorCode.NONE, ...byTopic(outcome, asked === null) }
    // Before v1 only partitions have errors.
    const failures = (asked ?? []).map(({ topic, index }) => ({
      topic,
      partition: index,
      errorCode: outcome,
      errorMessage: null,
    }))
    return { errorCode: outcome, ...byTopic(failures, false) }
  })

/** Of all partitions only those are told of that needed an election. */
function byTopic(results: readonly ElectionResult[], ofAll: boolean) {
  const topics = new Map<string, PartitionResult[]>()
  for (const { topic, partition, errorCode, errorMessage } of results) {
    if (ofAll && errorCode === ErrorCode.ELECTION_NOT_NEEDED) continue
    const partitionResult = topics.get(topic) ?? []
    topics.set(topic, partitionResult)
    partitionResult.push({ partitionId: partition, errorCode, errorMessage })
  }
  return {
    replicaElectionResults: [...topics].map(([topic, partitionResult]) => ({ topic, partitionResult })),
  }
}

function elect(metadata: Metadata, topic: string, index: number, electionType: number) {
  if (!TYPES.includes(electionType))
    return {
      errorCode: ErrorCode.INVALID_REQUEST,
      errorMessage: `There is no election type ${electionType}.`,
    }
  const partition = metadata.topics.get(topic)?.partitions[index]
  if (partition === undefined)
    return { errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, errorMessage: 'This partition does not exist.' }
  if (partition.leader !== -1)
    return { errorCode: ErrorCode.ELECTION_NOT_NEEDED, errorMessage: 'The partition has its leader.' }
  return {
    errorCode:
      electionType === PREFERRED
        ? ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE
        : ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE,
    errorMessage: 'No broker that holds the partition is alive.',
  }
}
