import { ErrorCode } from '../../protocol/errors.ts'
import {
  describeUserScramCredentialsRequest,
  describeUserScramCredentialsResponse,
} from '../../protocol/messages/50-describe-user-scram-credentials.ts'
import { answer, defineApi } from './handler.ts'

/**
 * DescribeUserScramCredentials, version 0 (KIP-554).
 *
 * Behavior: no user has credentials. Asking for all answers an empty list, asking for one RESOURCE_NOT_FOUND.
 *
 * Not implemented: SASL.
 */
export const describeUserScramCredentials = defineApi({
  request: describeUserScramCredentialsRequest,
  response: describeUserScramCredentialsResponse,
  versions: [0, 0],
  handle: answer((request) => {
    const times = new Map<string, number>()
    for (const { name } of request.users ?? []) times.set(name, (times.get(name) ?? 0) + 1)
    const results = [...times].map(([user, count]) => ({
      user,
      errorCode: count === 1 ? ErrorCode.RESOURCE_NOT_FOUND : ErrorCode.DUPLICATE_RESOURCE,
      errorMessage:
        count === 1 ? 'This user has no SCRAM credentials.' : 'The request names this user more than once.',
      credentialInfos: [],
    }))
    return { errorCode: ErrorCode.NONE, errorMessage: null, results }
  }),
})
