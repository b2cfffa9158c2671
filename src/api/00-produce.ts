import { ErrorCode, errorName } from '../../protocol/errors.ts'
import { produceRequest, produceResponse } from '../../protocol/messages/00-produce.ts'
import type { ProduceRequest } from '../../protocol/messages/00-produce.ts'
import { ProduceOperation } from '../broker/produce-operation.ts'
import type { ProducedPartition } from '../broker/produced-partition.ts'
import { defineApi } from './requests/handler.ts'

/**
 * Produce, versions 3-11; 0-2 are advertised and refused.
 *
 * Behavior:
 * - One record batch (magic 2) per partition; it is validated, gets its offsets and leader epoch in place, and is
 *   written as the client sent it.
 * - acks=1 and acks=all answer when the batch is written under the partition's flush mode, acks=0 never answers; an
 *   error under acks=0 closes the connection, as in Kafka, because nothing else can tell the producer.
 * - Idempotent producers: a repeated batch answers the original offset (KIP-98), epoch bumps (KIP-360).
 * - A missing topic is not created: a producer that asked Metadata not to create it, or whose topic was deleted
 *   meanwhile, would get it back by this.
 *
 * Version notes:
 * - v0-2 carry message formats 0 and 1, which nothing writes any more (KIP-724): each partition answers
 *   UNSUPPORTED_FOR_MESSAGE_FORMAT. They stay in ApiVersions because librdkafka up to 2.11 turns compression off
 *   when they are missing (KAFKA-18659).
 * - v7 zstd (KIP-110), v8 record errors (KIP-467), v10 new leader in the answer (KIP-951; one node: never filled).
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
        if (partitions.every(succeeded)) context.releaseBytes()
        respond({ responses: toResponses(request, partitions) })
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

/** `partitions` holds the results in the order of the request. Of a topic without any nothing is said, as in Kafka. */
function toResponses(request: ProduceRequest, partitions: readonly ProducedPartition[]) {
  let next = 0
  const responses = []
  for (const { name, partitionData } of request.topicData)
    if (partitionData.length > 0)
      responses.push({ name, partitionResponses: partitionData.map(() => partitions[next++]!) })
  return responses
}
