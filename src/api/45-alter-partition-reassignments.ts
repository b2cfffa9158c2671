import { ErrorCode } from '../../protocol/errors.ts'
import {
  alterPartitionReassignmentsRequest,
  alterPartitionReassignmentsResponse,
} from '../../protocol/messages/45-alter-partition-reassignments.ts'
import type { Metadata } from '../metadata/metadata.ts'
import { DONE, refused } from '../metadata/layout/outcome.ts'
import type { Outcome } from '../metadata/layout/outcome.ts'
import { defineApi, inSteps } from './requests/handler.ts'

/**
 * AlterPartitionReassignments, versions 0-1 (KIP-455).
 *
 * Behavior: a partition asked to lie where it lies already succeeds; other replica lists name brokers that do not
 * exist and answer INVALID_REPLICA_ASSIGNMENT. Cancelling answers NO_REASSIGNMENT_IN_PROGRESS.
 *
 * Version notes: v1 may forbid a change of the replication factor (KIP-860).
 *
 * Not implemented: moving partitions, which takes more than one broker.
 */
export const alterPartitionReassignments = defineApi({
  request: alterPartitionReassignmentsRequest,
  response: alterPartitionReassignmentsResponse,
  versions: [0, 1],
  arrays: {
    topics: {
      repeats: 'merged',
      key: ({ name }) => name,
      cost: 0,
      inside: {
        partitions: {
          // As KRaft does it: each mention is answered.
          repeats: 'kept',
          cost: 0,
          inside: { replicas: { repeats: 'kept', cost: 0 } },
        },
      },
    },
  },
  handle: inSteps(function* (request, { broker }) {
    const responses = []
    for (const { name, partitions } of request.topics) {
      const answers = []
      for (const { partitionIndex, replicas } of partitions) {
        answers.push({ partitionIndex, ...reassign(broker.metadata, name, partitionIndex, replicas) })
        yield
      }
      responses.push({ name, partitions: answers })
    }
    return {
      allowReplicationFactorChange: request.allowReplicationFactorChange ?? true,
      errorCode: ErrorCode.NONE,
      // Kafka says this of a request that names no topic, beside NONE.
      errorMessage: request.topics.length === 0 ? 'The request names no topic.' : null,
      responses,
    }
  }),
})

function reassign(
  metadata: Metadata,
  topic: string,
  index: number,
  replicas: readonly number[] | null,
): Outcome {
  const partition = metadata.topics.get(topic)?.partitions[index]
  if (partition === undefined)
    return refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, 'This partition does not exist.')
  if (replicas === null) return { errorCode: ErrorCode.NO_REASSIGNMENT_IN_PROGRESS, errorMessage: null }
  if (replicas.length === 0 || new Set(replicas).size !== replicas.length)
    return refused(
      ErrorCode.INVALID_REPLICA_ASSIGNMENT,
      'A partition needs at least one replica, and each on a broker of its own.',
    )
  const unknown = replicas.find((id) => !metadata.brokers.has(id))
  if (unknown !== undefined)
    return refused(ErrorCode.INVALID_REPLICA_ASSIGNMENT, `Broker ${unknown} is not registered.`)
  const same =
    replicas.length === partition.replicas.length && replicas.every((id) => partition.replicas.includes(id))
  return same
    ? DONE
    : refused(ErrorCode.INVALID_REPLICA_ASSIGNMENT, 'The brokers of this partition cannot be reached.')
}
