import { ErrorCode } from '../../protocol/errors.ts'
import {
  saslAuthenticateRequest,
  saslAuthenticateResponse,
} from '../../protocol/messages/36-sasl-authenticate.ts'
import { answer, defineApi } from './requests/handler.ts'

const NOTHING = Buffer.alloc(0)

/**
 * SaslAuthenticate, versions 0-2.
 *
 * Behavior: ILLEGAL_SASL_STATE, as Kafka answers on a listener without SASL.
 *
 * Not implemented: SASL.
 */
export const saslAuthenticate = defineApi({
  request: saslAuthenticateRequest,
  response: saslAuthenticateResponse,
  versions: [0, 2],
  arrays: {},
  handle: answer(() => ({
    errorCode: ErrorCode.ILLEGAL_SASL_STATE,
    errorMessage: 'This listener has no SASL.',
    authBytes: NOTHING,
  })),
})
