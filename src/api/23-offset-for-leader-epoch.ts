import { ErrorCode } from '../../protocol/errors.ts'
import {
  offsetForLeaderEpochRequest,
  offsetForLeaderEpochResponse,
} from '../../protocol/messages/23-offset-for-leader-epoch.ts'
import type { OffsetForLeaderEpochRequest } from '../../protocol/messages/23-offset-for-leader-epoch.ts'
import type { Partition } from '../broker/partition.ts'
import { defineApi, inSteps } from './requests/handler.ts'

/**
 * OffsetForLeaderEpoch, versions 0-4.
 *
 * Behavior: the largest epoch not above the asked one, and its end offset (the start of the next epoch, or the log
 * end offset for the latest); -1/-1 when the log knows none (KIP-101, KIP-279).
 *
 * Version notes: v2 current leader epoch (KIP-320), v3 replica id (ignored: followers and consumers are told the same).
 */
export const offsetForLeaderEpoch = defineApi({
  request: offsetForLeaderEpochRequest,
  response: offsetForLeaderEpochResponse,
  versions: [0, 4],
  arrays: {
    topics: {
      repeats: 'merged',
      key: ({ topic }) => topic,
      cost: 0,
      inside: { partitions: { repeats: 'once', key: ({ partition }) => partition, cost: 0 } },
    },
  },
  handle: inSteps(function* (request, { broker }) {
    const topics = []
    for (const { topic, partitions } of request.topics) {
      const answers = []
      for (const asked of partitions) {
        answers.push(
          endOffsetOf(asked, broker.partitions.leaderOf(topic, asked.partition, asked.currentLeaderEpoch)),
        )
        yield
      }
      topics.push({ topic, partitions: answers })
    }
    return { topics }
  }),
})

type AskedPartition = OffsetForLeaderEpochRequest['topics'][number]['partitions'][number]

function endOffsetOf(asked: AskedPartition, found: Partition | ErrorCode) {
  if (typeof found === 'number') return { partition: asked.partition, errorCode: found }
  const end = found.log.epochs.endOffsetFor(asked.leaderEpoch, found.log.logEndOffset)
  return {
    partition: asked.partition,
    errorCode: ErrorCode.NONE,
    leaderEpoch: end.epoch,
    endOffset: end.endOffset,
  }
}
