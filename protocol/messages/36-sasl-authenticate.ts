import { bytes, int16, int64, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/** One step of a SASL exchange. v1: how long the session lasts (KIP-368). v2: flexible. */

export const saslAuthenticateRequest = request({
  key: 36,
  name: 'SaslAuthenticate',
  versions: [0, 2],
  flexibleFrom: 2,
  fields: {
    authBytes: bytes(),
  },
})

export type SaslAuthenticateRequest = Decoded<typeof saslAuthenticateRequest>

export const saslAuthenticateResponse = response({
  key: 36,
  name: 'SaslAuthenticate',
  versions: [0, 2],
  flexibleFrom: 2,
  fields: {
    errorCode: int16(),
    errorMessage: string({ nullable: true }),
    authBytes: bytes(),
    sessionLifetimeMs: int64({ since: 1, default: 0, ignorable: true }),
  },
})

export type SaslAuthenticateResponse = Decoded<typeof saslAuthenticateResponse>
