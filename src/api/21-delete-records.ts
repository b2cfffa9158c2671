import { ErrorCode } from '../../protocol/errors.ts'
import { deleteRecordsRequest, deleteRecordsResponse } from '../../protocol/messages/21-delete-records.ts'
import { answer, defineApi } from './handler.ts'

/**
 * DeleteRecords, versions 0-2.
 *
 * Behavior: moves the log start to the offset (-1: the high watermark) and answers it as the low watermark, which
 * with one replica is the log start. The segments below go with the next retention check; the new start survives a
 * restart. A compacted topic without `delete` in its cleanup.policy answers POLICY_VIOLATION.
 */
export const deleteRecords = defineApi({
  request: deleteRecordsRequest,
  response: deleteRecordsResponse,
  versions: [0, 2],
  handle: answer(async (request, { broker }) => {
    const topics = request.topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ partitionIndex, offset }) => {
        const partition = broker.partitions.get(name, partitionIndex)
        const errorCode =
          partition === undefined
            ? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            : partition.deleteRecordsBefore(offset)
        const lowWatermark = errorCode === ErrorCode.NONE ? partition!.log.logStartOffset : -1
        return { partitionIndex, lowWatermark, errorCode }
      }),
    }))
    await broker.logs.checkpointLogStartOffsets()
    return { topics }
  }),
})
