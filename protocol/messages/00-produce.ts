import { array, int16, int32, int64, records, request, response, string, struct, uuid } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/**
 * Records from a producer.
 *
 * v3: record batches (magic 2) and transactions (KIP-98). v5: logStartOffset. v7: zstd (KIP-110). v8:
 * errors per record (KIP-467). v9: flexible. v10: the new leader in the answer (KIP-951). v12: partitions
 * join a transaction by being written to (KIP-890). v13: topic ids instead of names (KIP-516).
 */

const topicProduceData = {
  name: string({ until: 12, ignorable: true }),
  topicId: uuid({ since: 13, ignorable: true }),
  partitionData: array({ index: int32(), records: records({ nullable: true }) }),
}

export const produceRequest = request({
  key: 0,
  name: 'Produce',
  versions: [0, 13],
  flexibleFrom: 9,
  fields: {
    transactionalId: string({ since: 3, nullable: true, default: null }),
    acks: int16(),
    timeoutMs: int32(),
    topicData: array(topicProduceData),
  },
})

export type ProduceRequest = Decoded<typeof produceRequest>

const partitionProduceResponse = {
  index: int32(),
  errorCode: int16(),
  baseOffset: int64(),
  logAppendTimeMs: int64({ since: 2, default: -1, ignorable: true }),
  logStartOffset: int64({ since: 5, default: -1, ignorable: true }),
  recordErrors: array(
    { batchIndex: int32(), batchIndexErrorMessage: string({ nullable: true, default: null }) },
    { since: 8, ignorable: true },
  ),
  errorMessage: string({ since: 8, nullable: true, default: null, ignorable: true }),
  currentLeader: struct(
    { leaderId: int32({ default: -1 }), leaderEpoch: int32({ default: -1 }) },
    { since: 10, tag: 0 },
  ),
}

const topicProduceResponse = {
  name: string({ until: 12, ignorable: true }),
  topicId: uuid({ since: 13, ignorable: true }),
  partitionResponses: array(partitionProduceResponse),
}

export const produceResponse = response({
  key: 0,
  name: 'Produce',
  versions: [0, 13],
  flexibleFrom: 9,
  fields: {
    responses: array(topicProduceResponse),
    throttleTimeMs: int32({ since: 1, default: 0, ignorable: true }),
    nodeEndpoints: array(
      { nodeId: int32(), host: string(), port: int32(), rack: string({ nullable: true, default: null }) },
      { since: 10, tag: 0 },
    ),
  },
})

export type ProduceResponse = Decoded<typeof produceResponse>
