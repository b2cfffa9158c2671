import { ErrorCode } from '../../protocol/errors.ts'
import { offsetCommitRequest, offsetCommitResponse } from '../../protocol/messages/08-offset-commit.ts'
import { groupOwner } from '../core/group/group-owner.ts'
import type { OffsetToCommit } from '../core/group/group-types.ts'
import { refused } from '../metadata/layout/outcome.ts'
import { defineApi } from './requests/handler.ts'

const FIRST_WITH_GROUP_ID_NOT_FOUND = 9
const TOO_MANY_OFFSETS = refused(ErrorCode.INVALID_COMMIT_OFFSET_SIZE, 'More offsets than one batch holds.')

/**
 * OffsetCommit, versions 0-9.
 *
 * Behavior: offsets of a member in its generation, of a simple consumer (generation -1, no member id), or of an
 * administrator while the group is empty. All offsets of a request are one batch in the log and the answer waits
 * for it. Partitions that do not exist get UNKNOWN_TOPIC_OR_PARTITION, the others are committed all the same.
 * Offsets beyond 10,000 answer INVALID_COMMIT_OFFSET_SIZE: a batch of Kafka's holds fewer. When they do not fit into a
 * batch of the offsets topic (max.message.bytes) none is committed, and all answer UNKNOWN_SERVER_ERROR.
 *
 * Version notes: v0 has no generation: a simple consumer's. v1 commit timestamps are ignored, the broker's clock
 * counts. v2-4 a retention of its own (dropped by KIP-211 in v5), v6 leader epochs (KIP-320), v7 static members
 * (KIP-345), v9 GROUP_ID_NOT_FOUND instead of ILLEGAL_GENERATION for a missing group (KIP-848).
 *
 * Not implemented: v9 member epochs of new-style groups (KIP-848), v10 topic ids.
 */
export const offsetCommit = defineApi({
  request: offsetCommitRequest,
  response: offsetCommitResponse,
  versions: [0, 9],
  arrays: {
    topics: {
      repeats: 'merged',
      key: ({ name }) => name,
      cost: 0,
      inside: {
        partitions: {
          // As Kafka does it: of an offset that is committed twice the last one counts.
          repeats: 'once',
          key: ({ partitionIndex }) => partitionIndex,
          cost: 1,
          beyond: 'refuse the rest',
          excess: TOO_MANY_OFFSETS,
        },
      },
    },
  },
  handle(request, context, respond, refusals) {
    const { broker, apiVersion, clientAddress, clientId } = context
    const offsets: OffsetToCommit[] = []
    const open: { errorCode: number }[] = []
    const named = request.topics.map((topic) => {
      const { name } = topic
      const partitionCount = broker.metadata.topics.get(name)?.partitions.length ?? 0
      const partitions = topic.partitions.map((asked) => {
        const { partitionIndex } = asked
        const result = { partitionIndex, errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION as number }
        if (partitionIndex < 0 || partitionIndex >= partitionCount) return result
        open.push(result)
        offsets.push({
          topic: name,
          partition: partitionIndex,
          offset: asked.committedOffset,
          leaderEpoch: asked.committedLeaderEpoch,
          metadata: asked.committedMetadata ?? '',
        })
        return result
      })
      for (const { element, outcome } of refusals.of(topic, 'partitions'))
        partitions.push({ partitionIndex: element.partitionIndex, errorCode: outcome.errorCode })
      return { name, partitions }
    })
    // Of a topic without partitions Kafka tells only that it is not there.
    const topics = named.filter(
      ({ name, partitions }) => partitions.length > 0 || !broker.metadata.topics.has(name),
    )
    if (offsets.length === 0) {
      respond({ topics })
      return
    }
    const commit = {
      groupId: request.groupId,
      client: groupOwner(`/${clientAddress.host}`, clientId ?? '', clientAddress.port),
      memberId: request.memberId,
      groupInstanceId: request.groupInstanceId,
      generationId: request.generationIdOrMemberEpoch,
      retentionTimeMs: request.retentionTimeMs,
      knowsGroupIdNotFound: apiVersion >= FIRST_WITH_GROUP_ID_NOT_FOUND,
      offsets,
    }
    broker.groups.commit(
      commit,
      context.guard((errorCodes) => {
        open.forEach((result, i) => {
          result.errorCode = errorCodes[i]!
        })
        respond({ topics })
      }),
    )
  },
})
