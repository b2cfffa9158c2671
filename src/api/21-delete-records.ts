import { ErrorCode } from '../../protocol/errors.ts'
import { deleteRecordsRequest, deleteRecordsResponse } from '../../protocol/messages/21-delete-records.ts'
import type { Partition } from '../broker/partition.ts'
import { withoutEmpty } from './requests/empty-topics.ts'
import { answer, defineApi } from './requests/handler.ts'
import { eachInSlices, inSlices } from './requests/in-slices.ts'

/**
 * DeleteRecords, versions 0-2.
 *
 * Behavior: moves the log start to the offset (-1: the high watermark) and answers it as the low watermark; what lies
 * below it already is no error. Followers learn it with their next fetch, which Kafka waits for. The segments below go
 * with the next retention check. NONE means that no crash brings the records back; where the new start cannot be made durable the
 * answer is KAFKA_STORAGE_ERROR. A topic without `delete` in its cleanup.policy answers POLICY_VIOLATION, one that is
 * internal INVALID_TOPIC_EXCEPTION whatever its policy says.
 */
export const deleteRecords = defineApi({
  request: deleteRecordsRequest,
  response: deleteRecordsResponse,
  versions: [0, 2],
  arrays: {
    topics: {
      repeats: 'merged',
      key: ({ name }) => name,
      cost: 0,
      inside: {
        // As Kafka does it: of a partition that is named twice the last offset counts.
        partitions: { repeats: 'once', key: ({ partitionIndex }) => partitionIndex, cost: 0 },
      },
    },
  },
  handle: answer(async (request, context) => {
    const { broker } = context
    const topics = await eachInSlices(request.topics, context, async ({ name, partitions }) => {
      const deleted = await inSlices(partitions, context, (some) =>
        some.map(({ partitionIndex, offset }) => {
          const partition = broker.partitions.leaderOf(name, partitionIndex)
          // Should the partition change its directory meanwhile, it is this log that must be durable.
          const log = typeof partition === 'number' ? null : partition.log
          return { partitionIndex, partition, log, errorCode: deleteBefore(offset, partition) }
        }),
      )
      return { name, deleted }
    })
    const isDurable = await broker.logs.checkpointLogStartOffsets()
    const answers = topics.map(({ name, deleted }) => ({
      name,
      partitions: deleted.map(({ partitionIndex, partition, log, errorCode }) => {
        if (errorCode !== ErrorCode.NONE || typeof partition === 'number' || log === null)
          return { partitionIndex, lowWatermark: -1, errorCode }
        const lost = partition.errorCode || (isDurable(log) ? 0 : ErrorCode.KAFKA_STORAGE_ERROR)
        return {
          partitionIndex,
          lowWatermark: lost === ErrorCode.NONE ? log.logStartOffset : -1,
          errorCode: lost,
        }
      }),
    }))
    return { topics: withoutEmpty(answers) }
  }),
})

function deleteBefore(offset: number, partition: Partition | ErrorCode): number {
  if (typeof partition === 'number') return partition
  if (partition.isInternal) return ErrorCode.INVALID_TOPIC_EXCEPTION
  return partition.deleteRecordsBefore(offset)
}
