import {
  describeLogDirsRequest,
  describeLogDirsResponse,
} from '../../protocol/messages/35-describe-log-dirs.ts'
import { answer, defineApi } from './handler.ts'

/**
 * DescribeLogDirs, versions 1-4 (KIP-113).
 *
 * Behavior: every log directory with the partitions asked for (null: all) and their sizes; an offline directory
 * answers KAFKA_STORAGE_ERROR. v4: size and free space of the volume (KIP-827).
 *
 * Not implemented: moving replicas between directories, so `isFutureKey` is always false and `offsetLag` 0.
 */
export const describeLogDirs = defineApi({
  request: describeLogDirsRequest,
  response: describeLogDirsResponse,
  versions: [1, 4],
  handle: answer((request, { broker }) => {
    const wanted =
      request.topics === null
        ? null
        : new Map(request.topics.map(({ topic, partitions }) => [topic, new Set(partitions)]))
    return { results: broker.logs.describe(wanted) }
  }),
})
