import { array, int16, int32, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/**
 * Moves replicas between the log directories of one broker (KIP-113).
 *
 * v2: flexible.
 */

export const alterReplicaLogDirsRequest = request({
  key: 34,
  name: 'AlterReplicaLogDirs',
  versions: [1, 2],
  flexibleFrom: 2,
  fields: {
    dirs: array({
      path: string(),
      topics: array({ name: string(), partitions: array(int32()) }),
    }),
  },
})

export type AlterReplicaLogDirsRequest = Decoded<typeof alterReplicaLogDirsRequest>

export const alterReplicaLogDirsResponse = response({
  key: 34,
  name: 'AlterReplicaLogDirs',
  versions: [1, 2],
  flexibleFrom: 2,
  fields: {
    throttleTimeMs: int32({ default: 0 }),
    results: array({
      topicName: string(),
      partitions: array({ partitionIndex: int32(), errorCode: int16() }),
    }),
  },
})

export type AlterReplicaLogDirsResponse = Decoded<typeof alterReplicaLogDirsResponse>
