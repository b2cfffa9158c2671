import { ErrorCode } from '../../protocol/errors.ts'
import { describeQuorumRequest, describeQuorumResponse } from '../../protocol/messages/55-describe-quorum.ts'
import { answer, defineApi } from './requests/handler.ts'

/**
 * DescribeQuorum, versions 0-2 (KIP-595).
 *
 * Behavior: UNSUPPORTED_VERSION with the reason. There is no quorum to describe, and an empty one would make tools
 * report a cluster without a controller.
 *
 * Not implemented: KRaft.
 */
export const describeQuorum = defineApi({
  request: describeQuorumRequest,
  response: describeQuorumResponse,
  versions: [0, 2],
  arrays: {
    topics: { repeats: 'kept', cost: 0, inside: { partitions: { repeats: 'kept', cost: 0 } } },
  },
  handle: answer(() => ({
    errorCode: ErrorCode.UNSUPPORTED_VERSION,
    errorMessage: 'This broker keeps the metadata itself: there is no KRaft quorum.',
    topics: [],
  })),
})
