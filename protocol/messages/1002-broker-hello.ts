import { int16, int32, int64, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/** Of brokers among themselves: who opened a connection, before anything else on it. Not in Kafka. */

export const brokerHelloRequest = request({
  key: 1002,
  name: 'BrokerHello',
  versions: [0, 0],
  flexibleFrom: 0,
  fields: { clusterId: string(), brokerId: int32(), brokerEpoch: int64() },
})

export type BrokerHelloRequest = Decoded<typeof brokerHelloRequest>

export const brokerHelloResponse = response({
  key: 1002,
  name: 'BrokerHello',
  versions: [0, 0],
  flexibleFrom: 0,
  fields: { errorCode: int16() },
})

export type BrokerHelloResponse = Decoded<typeof brokerHelloResponse>
