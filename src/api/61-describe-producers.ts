import { ErrorCode, errorMessage } from '../../protocol/errors.ts'
import {
  describeProducersRequest,
  describeProducersResponse,
} from '../../protocol/messages/61-describe-producers.ts'
import type { Partition } from '../broker/partition.ts'
import { refused } from '../metadata/layout/outcome.ts'
import type { Outcome } from '../metadata/layout/outcome.ts'
import { topicNameProblem } from '../metadata/layout/topic-names.ts'
import { PARTITIONS_BY_TOPIC } from './requests/array-rules.ts'
import { defineApi, inSteps } from './requests/handler.ts'

/** Producers in one answer, of all partitions together: some 4 MB. A partition remembers 5,000. */
const MAX_PRODUCERS = 100_000

/**
 * DescribeProducers, version 0 (KIP-664).
 *
 * Behavior: the producers each partition remembers, for admin tools; a partition that is named twice is answered
 * once. Partitions behind 100,000 producers answer POLICY_VIOLATION.
 */
export const describeProducers = defineApi({
  request: describeProducersRequest,
  response: describeProducersResponse,
  versions: [0, 0],
  arrays: {
    topics: PARTITIONS_BY_TOPIC,
  },
  handle: inSteps(function* (request, { broker }) {
    const topics = []
    let room = MAX_PRODUCERS
    for (const { name, partitionIndexes } of request.topics) {
      const partitions = []
      for (const partitionIndex of partitionIndexes) {
        const partition = broker.partitions.get(name, partitionIndex)
        const described = describe(name, partition, partitionIndex, room)
        room -= described.activeProducers.length
        partitions.push(described)
        yield
      }
      topics.push({ name, partitions })
    }
    return { topics }
  }),
})

function describe(topic: string, partition: Partition | undefined, partitionIndex: number, room: number) {
  if (partition === undefined) return { partitionIndex, ...missing(topic), activeProducers: [] }
  if (room <= 0)
    return {
      partitionIndex,
      errorCode: ErrorCode.POLICY_VIOLATION,
      errorMessage: `The answer holds more than ${MAX_PRODUCERS} producers: ask for fewer partitions.`,
      activeProducers: [],
    }
  return {
    partitionIndex,
    errorCode: partition.errorCode,
    activeProducers: partition.log.producers.describe(),
  }
}

function missing(topic: string): Outcome {
  const problem = topicNameProblem(topic)
  return problem === null
    ? refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, errorMessage(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION))
    : refused(ErrorCode.INVALID_TOPIC_EXCEPTION, problem)
}
