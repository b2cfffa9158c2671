import { ErrorCode, errorName } from '../../protocol/errors.ts'
import { produceRequest, produceResponse } from '../../protocol/messages/00-produce.ts'
import type { ProduceRequest } from '../../protocol/messages/00-produce.ts'
import { ProduceOperation } from '../broker/produce/produce-operation.ts'
import type { ProducedPartition } from '../broker/produce/produced-partition.ts'
import { defineApi } from './requests/handler.ts'
import type { RequestContext } from './requests/handler.ts'
import { LeaderHints } from './requests/leader-hints.ts'

/** From here on an error may say who leads the partition (KIP-951). */
const FIRST_WITH_LEADERS = 10

/**
 * Produce, versions 3-11; 0-2 are advertised and refused.
 *
 * Behavior:
 * - One record batch (magic 2) per partition; it is validated, gets its offsets and leader epoch in place, and is
 *   written as the client sent it.
 * - acks=1 answers when the batch is written under the partition's flush mode, acks=all when that holds on every replica in
 *   sync, acks=0 never; an error under acks=0 closes the connection, as in Kafka, because nothing else can tell the producer.
 * - acks=all below min.insync.replicas is refused with NOT_ENOUGH_REPLICAS; what waits when a shrink below it is agreed on
 *   gets NOT_ENOUGH_REPLICAS_AFTER_APPEND at once, where Kafka lets it time out. It may be committed later all the same.
 * - Idempotent producers: a repeated batch answers the original offset (KIP-98), epoch bumps (KIP-360).
 * - A missing topic is not created: a producer that asked Metadata not to create it, or whose topic was deleted
 *   meanwhile, would get it back by this.
 *
 * Version notes:
 * - v0-2 carry message formats 0 and 1, which nothing writes any more (KIP-724): each partition answers
 *   UNSUPPORTED_FOR_MESSAGE_FORMAT. They stay in ApiVersions because librdkafka up to 2.11 turns compression off
 *   when they are missing (KAFKA-18659).
 * - v7 zstd (KIP-110), v8 record errors (KIP-467), v10 the new leader where another broker leads (KIP-951).
 *
 * Not implemented: transactions; a transactional batch answers INVALID_TXN_STATE, because nobody could end it.
 */
export const produce = defineApi({
  request: produceRequest,
  response: produceResponse,
  versions: [0, 11],
  pipelined: true,
  arrays: {
    topicData: {
      repeats: 'kept',
      cost: 0,
      inside: { partitionData: { repeats: 'kept', cost: 0 } },
    },
  },
  handle(request, context, respond) {
    const { broker, apiVersion } = context
    const refusal = refuse(request, apiVersion)
    const done = context.guard((partitions: readonly ProducedPartition[]) => {
      if (request.acks !== 0) {
        // Acknowledged is written: the log has let go of the batches. After an error or a timeout it may not have.
        const allSucceeded = partitions.every(succeeded)
        if (allSucceeded) context.releaseBytes()
        if (allSucceeded || apiVersion < FIRST_WITH_LEADERS)
          respond({ responses: toResponses(request, partitions) })
        else respond(withLeaders(request, partitions, context))
        return
      }
      const failed = partitions.find((partition) => partition.errorCode !== ErrorCode.NONE)
      if (failed === undefined) respond(null)
      else context.refuse(`acks=0 and ${errorName(failed.errorCode)}`)
    })
    const operation = new ProduceOperation(broker, request, apiVersion, refusal, done, context)
    operation.start()
  },
})

function succeeded(partition: ProducedPartition): boolean {
  return partition.errorCode === ErrorCode.NONE
}

/** The error of the request as a whole, 0 when its partitions are to be looked at. */
function refuse(request: ProduceRequest, apiVersion: number): ErrorCode {
  if (apiVersion < 3) return ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT
  if (request.acks !== 0 && request.acks !== 1 && request.acks !== -1) return ErrorCode.INVALID_REQUIRED_ACKS
  return ErrorCode.NONE
}

function withLeaders(
  request: ProduceRequest,
  partitions: readonly ProducedPartition[],
  context: RequestContext,
) {
  const hints = new LeaderHints(context)
  let next = 0
  const told: ProducedPartition[] = []
  for (const { name, partitionData } of request.topicData)
    for (const { index } of partitionData) {
      const result = partitions[next++]!
      const currentLeader = hints.of(name, index, result.errorCode)
      told.push(currentLeader === null ? result : Object.assign({ currentLeader }, result))
    }
  return { responses: toResponses(request, told), nodeEndpoints: hints.endpoints }
}

/** `partitions` holds the results in the order of the request. Of a topic without any nothing is said, as in Kafka. */
function toResponses(request: ProduceRequest, partitions: readonly ProducedPartition[]) {
  let next = 0
  const responses = []
  for (const { name, partitionData } of request.topicData)
    if (partitionData.length > 0)
      responses.push({ name, partitionResponses: partitionData.map(() => partitions[next++]!) })
  return responses
}
