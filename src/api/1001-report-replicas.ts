import {
  reportReplicasRequest,
  reportReplicasResponse,
} from '../../protocol/messages/1001-report-replicas.ts'
import { answer, defineApi } from './requests/handler.ts'
import { controllerFor } from './requests/sender.ts'

/**
 * ReportReplicas, version 0. Of Samsa's brokers among themselves.
 *
 * Behavior: the controller no longer counts on damaged replicas of the sender, until their leader says that they are in sync
 * again; and it learns how far logs go where nobody is certain to have everything (KIP-966). Answered when that is stored.
 * NOT_CONTROLLER when another broker is; STALE_BROKER_EPOCH to one that is not accepted yet, or speaks of another life;
 * INVALID_REQUEST to a broker that speaks of another one.
 */
export const reportReplicas = defineApi({
  request: reportReplicasRequest,
  response: reportReplicasResponse,
  versions: [0, 0],
  servedTo: 'peers',
  arrays: {
    damaged: { repeats: 'once', key: partitionKey, cost: 0 },
    logs: { repeats: 'once', key: partitionKey, cost: 0 },
  },
  handle: answer(async ({ brokerId, brokerEpoch, damaged, logs }, context) => {
    const controller = controllerFor(context, brokerId, brokerEpoch)
    if (typeof controller === 'number') return { errorCode: controller }
    return {
      errorCode: await controller.replicasReported(brokerId, brokerEpoch, {
        damaged: damaged.map(({ topicId, partitionIndex }) => ({ topicId, index: partitionIndex })),
        logs: logs.map(({ topicId, partitionIndex, lastEpoch, endOffset }) => ({
          topicId,
          index: partitionIndex,
          lastEpoch,
          endOffset,
        })),
      }),
    }
  }),
})

function partitionKey({ topicId, partitionIndex }: { topicId: string; partitionIndex: number }): string {
  return `${topicId}/${partitionIndex}`
}
