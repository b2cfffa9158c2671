import { ErrorCode } from '../../protocol/errors.ts'
import {
  alterReplicaLogDirsRequest,
  alterReplicaLogDirsResponse,
} from '../../protocol/messages/34-alter-replica-log-dirs.ts'
import type { Broker } from '../broker/broker.ts'
import { defineApi, inSteps } from './requests/handler.ts'
import { CHANGE } from './requests/request-limits.ts'

/**
 * AlterReplicaLogDirs, versions 1-2 (KIP-113).
 *
 * Behavior: a partition begins to move to the directory, which DescribeLogDirs shows; another directory redirects a move
 * that is under way, the partition's own ends it. LOG_DIR_NOT_FOUND for a path that is none of `log.dirs`, which are
 * compared letter by letter. Of a partition that is named several times the last directory counts.
 * KAFKA_STORAGE_ERROR while a log directory is offline: a copy may lie in it.
 *
 * Not implemented: Kafka remembers the directory for a partition that does not exist yet.
 */
export const alterReplicaLogDirs = defineApi({
  request: alterReplicaLogDirsRequest,
  response: alterReplicaLogDirsResponse,
  versions: [1, 2],
  arrays: {
    dirs: {
      repeats: 'merged',
      key: ({ path }) => path,
      cost: 0,
      inside: {
        topics: {
          repeats: 'merged',
          key: ({ name }) => name,
          cost: 0,
          inside: { partitions: { repeats: 'once', ...CHANGE } },
        },
      },
    },
  },
  handle: inSteps(function* (request, { broker }, refusals) {
    const wanted = new Map<string, Map<number, string | null>>()
    for (const { path, topics } of request.dirs) {
      for (const topic of topics) {
        const partitions = wanted.get(topic.name) ?? new Map<number, string | null>()
        for (const index of topic.partitions) {
          partitions.set(index, path)
          yield
        }
        for (const { element } of refusals.of(topic, 'partitions')) partitions.set(element, null)
        if (partitions.size > 0) wanted.set(topic.name, partitions)
      }
    }
    const results = []
    for (const [topicName, byIndex] of wanted) {
      const partitions = []
      for (const [partitionIndex, path] of byIndex) {
        const errorCode =
          path === null ? CHANGE.excess.errorCode : alter(broker, topicName, partitionIndex, path)
        partitions.push({ partitionIndex, errorCode })
        yield
      }
      results.push({ topicName, partitions })
    }
    return { results }
  }),
})

function alter(broker: Broker, topic: string, index: number, path: string): ErrorCode {
  const errorCode = broker.logs.alterDirectory(topic, index, path)
  if (errorCode !== ErrorCode.UNKNOWN_TOPIC_OR_PARTITION) return errorCode
  // It is there, and its log is not.
  const partition = broker.leaderOfPublished(topic, index)
  return typeof partition === 'number' ? partition : ErrorCode.KAFKA_STORAGE_ERROR
}
