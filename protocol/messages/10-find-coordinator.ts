import { array, int16, int32, int8, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/**
 * The broker that coordinates a group or a transactional id.
 *
 * v1: keyType 0 is a group, 1 a transactional id. v3: flexible. v4: several keys in one request (KIP-699).
 * v6: share groups, keyType 2 (KIP-932).
 */

export const findCoordinatorRequest = request({
  key: 10,
  name: 'FindCoordinator',
  versions: [0, 6],
  flexibleFrom: 3,
  fields: {
    key: string({ until: 3 }),
    keyType: int8({ since: 1, default: 0 }),
    coordinatorKeys: array(string(), { since: 4 }),
  },
})

export type FindCoordinatorRequest = Decoded<typeof findCoordinatorRequest>

const coordinator = {
  key: string(),
  nodeId: int32(),
  host: string(),
  port: int32(),
  errorCode: int16(),
  errorMessage: string({ nullable: true }),
}

export const findCoordinatorResponse = response({
  key: 10,
  name: 'FindCoordinator',
  versions: [0, 6],
  flexibleFrom: 3,
  fields: {
    throttleTimeMs: int32({ since: 1, default: 0, ignorable: true }),
    errorCode: int16({ until: 3 }),
    errorMessage: string({ since: 1, until: 3, nullable: true, ignorable: true }),
    nodeId: int32({ until: 3 }),
    host: string({ until: 3 }),
    port: int32({ until: 3 }),
    coordinators: array(coordinator, { since: 4 }),
  },
})

export type FindCoordinatorResponse = Decoded<typeof findCoordinatorResponse>
