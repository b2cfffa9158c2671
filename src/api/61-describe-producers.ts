import { ErrorCode } from '../../protocol/errors.ts'
import {
  describeProducersRequest,
  describeProducersResponse,
} from '../../protocol/messages/61-describe-producers.ts'
import { answer, defineApi } from './handler.ts'

/** DescribeProducers, version 0 (KIP-664). Behavior: the producers each partition remembers, for admin tools. */
export const describeProducers = defineApi({
  request: describeProducersRequest,
  response: describeProducersResponse,
  versions: [0, 0],
  handle: answer((request, { broker }) => ({
    topics: request.topics.map(({ name, partitionIndexes }) => ({
      name,
      partitions: partitionIndexes.map((partitionIndex) => {
        const partition = broker.partitions.get(name, partitionIndex)
        if (partition === undefined) {
          return { partitionIndex, errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, activeProducers: [] }
        }
        return {
          partitionIndex,
          errorCode: partition.errorCode,
          activeProducers: partition.log.producers.describe(),
        }
      }),
    })),
  })),
})
