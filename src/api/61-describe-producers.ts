import type { Steps } from '../../protocol/compile.ts'
import { ErrorCode, errorMessage } from '../../protocol/errors.ts'
import {
  describeProducersRequest,
  describeProducersResponse,
} from '../../protocol/messages/61-describe-producers.ts'
import type { Partition } from '../broker/partition.ts'
import type { ProducerView } from '../core/transaction/producer-state.ts'
import { refused } from '../metadata/layout/outcome.ts'
import type { Outcome } from '../metadata/layout/outcome.ts'
import { topicNameProblem } from '../metadata/layout/topic-names.ts'
import { PARTITIONS_BY_TOPIC } from './requests/array-rules.ts'
import { defineApi, inSteps } from './requests/handler.ts'

/** Producers in one answer, of all partitions together: some 4 MB. A partition may remember more than that. */
const MAX_PRODUCERS = 100_000
/** Producers between two chances for others. */
const PRODUCERS_PER_STEP = 1_000

/**
 * DescribeProducers, version 0 (KIP-664).
 *
 * Behavior: the producers each partition remembers, for admin tools; a partition that is named twice is answered
 * once. Partitions whose producers do not fit into what is left of 100,000 answer POLICY_VIOLATION and none of them.
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
        const described = yield* describe(name, partition, partitionIndex, room)
        room -= described.activeProducers.length
        partitions.push(described)
        yield
      }
      topics.push({ name, partitions })
    }
    return { topics }
  }),
})

function* describe(
  topic: string,
  partition: Partition | undefined,
  partitionIndex: number,
  room: number,
): Steps<Described> {
  const activeProducers: ProducerView[] = []
  if (partition === undefined) return { partitionIndex, ...missing(topic), activeProducers }
  const { producers } = partition.log
  if (producers.size > room) return { partitionIndex, ...tooMany(producers.size), activeProducers }
  for (const producer of producers.views()) {
    activeProducers.push(producer)
    if (activeProducers.length % PRODUCERS_PER_STEP === 0) yield
  }
  return { partitionIndex, errorCode: partition.errorCode, activeProducers }
}

interface Described {
  readonly partitionIndex: number
  readonly errorCode: number
  readonly errorMessage?: string | null
  readonly activeProducers: readonly ProducerView[]
}

function tooMany(producers: number): Outcome {
  return refused(
    ErrorCode.POLICY_VIOLATION,
    producers > MAX_PRODUCERS
      ? `The partition has ${producers} producers, and one answer holds ${MAX_PRODUCERS}.`
      : `The answer holds ${MAX_PRODUCERS} producers at most: ask for fewer partitions.`,
  )
}

function missing(topic: string): Outcome {
  const problem = topicNameProblem(topic)
  return problem === null
    ? refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, errorMessage(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION))
    : refused(ErrorCode.INVALID_TOPIC_EXCEPTION, problem)
}
