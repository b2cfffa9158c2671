import { array, bool, int16, int32, int8, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/**
 * The cluster and its brokers (KIP-700). v1: brokers or controllers (KIP-919). v2: fenced brokers
 * (KIP-1073).
 */

export const describeClusterRequest = request({
  key: 60,
  name: 'DescribeCluster',
  versions: [0, 2],
  flexibleFrom: 0,
  fields: {
    includeClusterAuthorizedOperations: bool(),
    endpointType: int8({ since: 1, default: 1 }),
    includeFencedBrokers: bool({ since: 2 }),
  },
})

export type DescribeClusterRequest = Decoded<typeof describeClusterRequest>

const describeClusterBroker = {
  brokerId: int32(),
  host: string(),
  port: int32(),
  rack: string({ nullable: true, default: null }),
  isFenced: bool({ since: 2 }),
}

export const describeClusterResponse = response({
  key: 60,
  name: 'DescribeCluster',
  versions: [0, 2],
  flexibleFrom: 0,
  fields: {
    throttleTimeMs: int32({ default: 0 }),
    errorCode: int16(),
    errorMessage: string({ nullable: true, default: null }),
    endpointType: int8({ since: 1, default: 1 }),
    clusterId: string(),
    controllerId: int32({ default: -1 }),
    brokers: array(describeClusterBroker),
    clusterAuthorizedOperations: int32({ default: -0x8000_0000 }),
  },
})

export type DescribeClusterResponse = Decoded<typeof describeClusterResponse>
