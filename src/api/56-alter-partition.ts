import { alterPartitionRequest, alterPartitionResponse } from '../../protocol/messages/56-alter-partition.ts'
import type {
  AlterPartitionRequest,
  AlterPartitionResponse,
} from '../../protocol/messages/56-alter-partition.ts'
import type { Proposal, ProposalAnswer } from '../core/controller/controller-types.ts'
import { answer, defineApi } from './requests/handler.ts'
import { controllerFor } from './requests/sender.ts'

const FIRST_WITH_EPOCHS = 3
/** Of a member whose incarnation the leader does not name. */
const ANY_EPOCH = -1
const RECOVERED = 0

type AskedPartition = AlterPartitionRequest['topics'][number]['partitions'][number]
type TopicAnswer = AlterPartitionResponse['topics'][number]

/**
 * AlterPartition, versions 2-3. Only brokers of the cluster may ask.
 *
 * Behavior: the controller decides on the ISRs that a leader asks for; each partition answers with its state after that, or
 * with the reason why not. NOT_CONTROLLER when another broker is; INVALID_REQUEST to a broker that asks for another one,
 * STALE_BROKER_EPOCH for another life of it.
 *
 * Version notes: v2 topic ids (KIP-841), v3 the incarnation of each member (KIP-903). v0 and v1 are about names of topics, and
 * are not served.
 */
export const alterPartition = defineApi({
  request: alterPartitionRequest,
  response: alterPartitionResponse,
  versions: [2, 3],
  servedTo: 'peers',
  arrays: {
    topics: {
      repeats: 'merged',
      key: ({ topicId }) => topicId,
      cost: 0,
      inside: {
        partitions: {
          repeats: 'once',
          key: ({ partitionIndex }) => partitionIndex,
          cost: 0,
          inside: {
            newIsr: { repeats: 'once', cost: 0 },
            newIsrWithEpochs: { repeats: 'once', key: ({ brokerId }) => brokerId, cost: 0 },
          },
        },
      },
    },
  },
  handle: answer(async (request, context) => {
    const controller = controllerFor(context, request.brokerId, request.brokerEpoch)
    if (typeof controller === 'number') return { errorCode: controller, topics: [] }
    const proposals = request.topics.flatMap(({ topicId, partitions }) =>
      partitions.map((partition) => toProposal(topicId, partition, context.apiVersion)),
    )
    const { errorCode, answers } = await controller.alterPartitions(
      request.brokerId,
      request.brokerEpoch,
      proposals,
    )
    return { errorCode, topics: byTopic(answers) }
  }),
})

function toProposal(topicId: string, asked: AskedPartition, apiVersion: number): Proposal {
  const { partitionIndex, leaderEpoch, partitionEpoch, leaderRecoveryState } = asked
  const isr =
    apiVersion >= FIRST_WITH_EPOCHS
      ? asked.newIsrWithEpochs.map(({ brokerId, brokerEpoch }) => ({ id: brokerId, epoch: brokerEpoch }))
      : asked.newIsr.map((id) => ({ id, epoch: ANY_EPOCH }))
  const recovered = leaderRecoveryState === RECOVERED
  return { topicId, index: partitionIndex, isr, leaderEpoch, partitionEpoch, recovered }
}

function byTopic(answers: readonly ProposalAnswer[]): TopicAnswer[] {
  const topics = new Map<string, TopicAnswer['partitions'][number][]>()
  for (const one of answers) {
    const partitions = topics.get(one.topicId) ?? []
    topics.set(one.topicId, partitions)
    partitions.push(toAnswer(one))
  }
  return [...topics].map(([topicId, partitions]) => ({ topicId, partitions }))
}

function toAnswer({ index, errorCode, state }: ProposalAnswer): TopicAnswer['partitions'][number] {
  return {
    partitionIndex: index,
    errorCode,
    leaderId: state?.leader ?? -1,
    leaderEpoch: state?.leaderEpoch ?? -1,
    isr: state?.isr ?? [],
    leaderRecoveryState: state?.leaderRecoveryState ?? RECOVERED,
    partitionEpoch: state?.partitionEpoch ?? -1,
  }
}
