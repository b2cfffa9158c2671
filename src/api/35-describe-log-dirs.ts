import {
  describeLogDirsRequest,
  describeLogDirsResponse,
} from '../../protocol/messages/35-describe-log-dirs.ts'
import { defineApi, inSteps } from './requests/handler.ts'

/**
 * DescribeLogDirs, versions 1-5 (KIP-113).
 *
 * Behavior: every log directory with the partitions asked for (null: all) and their sizes; an offline directory
 * answers KAFKA_STORAGE_ERROR. v4: size and free space of the volume (KIP-827). v5: none is cordoned (KIP-1066).
 * What is on its way into a directory has `isFutureKey`, and in `offsetLag` how much of the log is still to be copied.
 */
export const describeLogDirs = defineApi({
  request: describeLogDirsRequest,
  response: describeLogDirsResponse,
  versions: [1, 5],
  arrays: {
    topics: {
      repeats: 'merged',
      key: ({ topic }) => topic,
      cost: 0,
      inside: { partitions: { repeats: 'once', cost: 0 } },
    },
  },
  handle: inSteps(function* (request, { broker }) {
    let wanted: Map<string, Set<number>> | null = null
    if (request.topics !== null) {
      wanted = new Map()
      for (const { topic, partitions } of request.topics) {
        wanted.set(topic, new Set(partitions))
        yield
      }
    }
    return { results: yield* broker.logs.describe(wanted) }
  }),
})
