import { ErrorCode } from '../../protocol/errors.ts'
import { electLeadersRequest, electLeadersResponse } from '../../protocol/messages/43-elect-leaders.ts'
import type { Metadata } from '../metadata/metadata.ts'
import { defineApi, inSteps } from './requests/handler.ts'

const PREFERRED = 0
const UNCLEAN = 1
const TYPES = [PREFERRED, UNCLEAN]

/**
 * ElectLeaders, versions 0-2.
 *
 * Behavior: a partition whose leader is already the preferred one, or that has any leader when an unclean election is
 * asked for, answers ELECTION_NOT_NEEDED. One without a leader answers that none is available: the only broker
 * there is does not hold the partition's records. Null asks for all partitions and answers those that changed: none.
 *
 * Version notes: v1 election type (KIP-460), v2 flexible.
 *
 * Not implemented: moving a leadership, which takes more than one broker.
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
  handle: inSteps(function* (request, { broker }) {
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
  }),
})

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
