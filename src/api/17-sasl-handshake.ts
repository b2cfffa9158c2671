import { ErrorCode } from '../../protocol/errors.ts'
import { saslHandshakeRequest, saslHandshakeResponse } from '../../protocol/messages/17-sasl-handshake.ts'
import { answer, defineApi } from './requests/handler.ts'

/**
 * SaslHandshake, versions 0-1.
 *
 * Behavior: ILLEGAL_SASL_STATE, as Kafka answers on a listener without SASL: nobody has to say who he is.
 *
 * Not implemented: SASL.
 */
export const saslHandshake = defineApi({
  request: saslHandshakeRequest,
  response: saslHandshakeResponse,
  versions: [0, 1],
  arrays: {},
  handle: answer(() => ({ errorCode: ErrorCode.ILLEGAL_SASL_STATE, mechanisms: [] })),
})
