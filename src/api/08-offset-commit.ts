import { ErrorCode } from '../../protocol/errors.ts'
import { offsetCommitRequest, offsetCommitResponse } from '../../protocol/messages/08-offset-commit.ts'
import type { OffsetToCommit } from '../core/group/group-types.ts'
import { defineApi } from './handler.ts'

const FIRST_WITH_GROUP_ID_NOT_FOUND = 9

/**
 * OffsetCommit, versions 0-9.
 *
 * Behavior: offsets of a member in its generation, of a simple consumer (generation -1, no member id), or of an
 * administrator while the group is empty. All offsets of a request are one batch in the log and the answer waits
 * for it. Partitions that do not exist get UNKNOWN_TOPIC_OR_PARTITION, the others are committed all the same.
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
  handle(request, { broker, apiVersion }, respond) {
    const offsets: OffsetToCommit[] = []
    const open: { errorCode: number }[] = []
    const topics = request.topics.map(({ name, partitions }) => {
      const partitionCount = broker.metadata.topics.get(name)?.partitions.length ?? 0
      return {
        name,
        partitions: partitions.map((asked) => {
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
        }),
      }
    })
    if (offsets.length === 0) {
      respond({ topics })
      return
    }
    const commit = {
      groupId: request.groupId,
      memberId: request.memberId,
      groupInstanceId: request.groupInstanceId,
      generationId: request.generationIdOrMemberEpoch,
      retentionTimeMs: request.retentionTimeMs,
      knowsGroupIdNotFound: apiVersion >= FIRST_WITH_GROUP_ID_NOT_FOUND,
      offsets,
    }
    broker.groups.commit(commit, (errorCodes) => {
      open.forEach((result, i) => {
        result.errorCode = errorCodes[i]!
      })
      respond({ topics })
    })
  },
})
