import { ErrorCode } from '../../protocol/errors.ts'
import {
  describeUserScramCredentialsRequest,
  describeUserScramCredentialsResponse,
} from '../../protocol/messages/50-describe-user-scram-credentials.ts'
import { defineApi, inSteps } from './requests/handler.ts'

const UNKNOWN = {
  errorCode: ErrorCode.RESOURCE_NOT_FOUND,
  errorMessage: 'This user has no SCRAM credentials.',
}
const REPEATED = {
  errorCode: ErrorCode.DUPLICATE_RESOURCE,
  errorMessage: 'The request names this user more than once.',
}

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
  arrays: {
    users: { repeats: 'refused', key: ({ name }) => name, repeated: REPEATED, cost: 0 },
  },
  handle: inSteps(function* (request, _context, refusals) {
    const results = []
    for (const { name } of request.users ?? []) {
      results.push({ user: name, ...UNKNOWN, credentialInfos: [] })
      yield
    }
    for (const { element, outcome } of refusals.of(request, 'users')) {
      results.push({ user: element.name, ...outcome, credentialInfos: [] })
      yield
    }
    return { errorCode: ErrorCode.NONE, errorMessage: null, results }
  }),
})
