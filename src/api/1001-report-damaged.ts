import { ErrorCode } from '../../protocol/errors.ts'
import { reportDamagedRequest, reportDamagedResponse } from '../../protocol/messages/1001-report-damaged.ts'
import { answer, defineApi } from './requests/handler.ts'

/**
 * ReportDamaged, version 0. Of Samsa's brokers among themselves.
 *
 * Behavior: the controller no longer counts on these replicas of the sender, until their leader says that they are in sync
 * again (KIP-966). NOT_CONTROLLER when another broker is; INVALID_REQUEST to a broker that speaks of another one.
 */
export const reportDamaged = defineApi({
  request: reportDamagedRequest,
  response: reportDamagedResponse,
  versions: [0, 0],
  servedTo: 'peers',
  arrays: {
    replicas: {
      repeats: 'once',
      key: ({ topicId, partitionIndex }) => `${topicId}/${partitionIndex}`,
      cost: 0,
    },
  },
  handle: answer(({ brokerId, brokerEpoch, replicas }, { broker, peer }) => {
    const { cluster } = broker.metadata
    if (cluster === null) return { errorCode: ErrorCode.NOT_CONTROLLER }
    if (peer?.brokerId !== brokerId) return { errorCode: ErrorCode.INVALID_REQUEST }
    const damaged = replicas.map(({ topicId, partitionIndex }) => ({ topicId, index: partitionIndex }))
    return { errorCode: cluster.damaged(brokerId, brokerEpoch, damaged) }
  }),
})
