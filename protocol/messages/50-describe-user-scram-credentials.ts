import { array, int16, int32, int8, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/** SCRAM credentials of users, without their secrets (KIP-554). */

export const describeUserScramCredentialsRequest = request({
  key: 50,
  name: 'DescribeUserScramCredentials',
  versions: [0, 0],
  flexibleFrom: 0,
  fields: {
    users: array({ name: string() }, { nullable: true }),
  },
})

export type DescribeUserScramCredentialsRequest = Decoded<typeof describeUserScramCredentialsRequest>

const describeUserScramCredentialsResult = {
  user: string(),
  errorCode: int16(),
  errorMessage: string({ nullable: true }),
  credentialInfos: array({ mechanism: int8(), iterations: int32() }),
}

export const describeUserScramCredentialsResponse = response({
  key: 50,
  name: 'DescribeUserScramCredentials',
  versions: [0, 0],
  flexibleFrom: 0,
  fields: {
    throttleTimeMs: int32({ default: 0 }),
    errorCode: int16(),
    errorMessage: string({ nullable: true }),
    results: array(describeUserScramCredentialsResult),
  },
})

export type DescribeUserScramCredentialsResponse = Decoded<typeof describeUserScramCredentialsResponse>
