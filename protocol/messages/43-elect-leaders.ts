import { array, int16, int32, int8, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/** Elects leaders. v1: unclean elections (KIP-460). v2: flexible. */

export const electLeadersRequest = request({
  key: 43,
  name: 'ElectLeaders',
  versions: [0, 2],
  flexibleFrom: 2,
  fields: {
    electionType: int8({ since: 1 }),
    topicPartitions: array({ topic: string(), partitions: array(int32()) }, { nullable: true }),
    timeoutMs: int32({ default: 60000 }),
  },
})

export type ElectLeadersRequest = Decoded<typeof electLeadersRequest>

const replicaElectionResult = {
  topic: string(),
  partitionResult: array({
    partitionId: int32(),
    errorCode: int16(),
    errorMessage: string({ nullable: true }),
  }),
}

export const electLeadersResponse = response({
  key: 43,
  name: 'ElectLeaders',
  versions: [0, 2],
  flexibleFrom: 2,
  fields: {
    throttleTimeMs: int32({ default: 0 }),
    errorCode: int16({ since: 1 }),
    replicaElectionResults: array(replicaElectionResult),
  },
})

export type ElectLeadersResponse = Decoded<typeof electLeadersResponse>
