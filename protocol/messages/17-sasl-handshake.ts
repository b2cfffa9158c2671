import { array, int16, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/** Which SASL mechanism the client wants. v1: SaslAuthenticate comes next. Never became flexible. */

export const saslHandshakeRequest = request({
  key: 17,
  name: 'SaslHandshake',
  versions: [0, 1],
  fields: {
    mechanism: string(),
  },
})

export type SaslHandshakeRequest = Decoded<typeof saslHandshakeRequest>

export const saslHandshakeResponse = response({
  key: 17,
  name: 'SaslHandshake',
  versions: [0, 1],
  fields: {
    errorCode: int16(),
    mechanisms: array(string()),
  },
})

export type SaslHandshakeResponse = Decoded<typeof saslHandshakeResponse>
