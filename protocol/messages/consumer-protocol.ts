import { array, bytes, data, int32, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/**
 * What consumers of a classic group tell each other through the coordinator, which does not look inside
 * (protocol type "consumer"). v1: owned partitions (KIP-429). v2: generation. v3: rack (KIP-881).
 *
 * Readers take a version that they do not know for the last one they do, and ignore what follows.
 */

export const consumerProtocolSubscription = data({
  name: 'ConsumerProtocolSubscription',
  versions: [0, 3],
  fields: {
    topics: array(string()),
    userData: bytes({ nullable: true, default: null }),
    ownedPartitions: array({ topic: string(), partitions: array(int32()) }, { since: 1, ignorable: true }),
    generationId: int32({ since: 2, default: -1, ignorable: true }),
    rackId: string({ since: 3, nullable: true, default: null, ignorable: true }),
  },
})

export type ConsumerProtocolSubscription = Decoded<typeof consumerProtocolSubscription>

export const consumerProtocolAssignment = data({
  name: 'ConsumerProtocolAssignment',
  versions: [0, 3],
  fields: {
    assignedPartitions: array({ topic: string(), partitions: array(int32()) }),
    userData: bytes({ nullable: true, default: null }),
  },
})

export type ConsumerProtocolAssignment = Decoded<typeof consumerProtocolAssignment>
