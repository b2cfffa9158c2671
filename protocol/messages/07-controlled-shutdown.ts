import { array, int16, int32, int64, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/** A broker that wants to stop asks the controller to move its partitions. v0 had a header of its own. v2: broker
 * epochs (KIP-380). v3: flexible. */

export const controlledShutdownRequest = request({
  key: 7,
  name: 'ControlledShutdown',
  versions: [1, 3],
  flexibleFrom: 3,
  fields: { brokerId: int32(), brokerEpoch: int64({ since: 2, default: -1 }) },
})

export type ControlledShutdownRequest = Decoded<typeof controlledShutdownRequest>

export const controlledShutdownResponse = response({
  key: 7,
  name: 'ControlledShutdown',
  versions: [1, 3],
  flexibleFrom: 3,
  fields: {
    errorCode: int16(),
    remainingPartitions: array({ topicName: string(), partitionIndex: int32() }),
  },
})

export type ControlledShutdownResponse = Decoded<typeof controlledShutdownResponse>
