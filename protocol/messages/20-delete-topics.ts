import { array, int16, int32, request, response, string, uuid } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/** Deletes topics. v4: flexible. v5: error messages (KIP-599). v6: by topic id (KIP-516). */

export const deleteTopicsRequest = request({
  key: 20,
  name: 'DeleteTopics',
  versions: [0, 6],
  flexibleFrom: 4,
  fields: {
    topics: array({ name: string({ nullable: true, default: null }), topicId: uuid() }, { since: 6 }),
    topicNames: array(string(), { until: 5, ignorable: true }),
    timeoutMs: int32(),
  },
})

export type DeleteTopicsRequest = Decoded<typeof deleteTopicsRequest>

const deletableTopicResult = {
  name: string({ nullable: 6 }),
  topicId: uuid({ since: 6, ignorable: true }),
  errorCode: int16(),
  errorMessage: string({ since: 5, nullable: true, default: null, ignorable: true }),
}

export const deleteTopicsResponse = response({
  key: 20,
  name: 'DeleteTopics',
  versions: [0, 6],
  flexibleFrom: 4,
  fields: {
    throttleTimeMs: int32({ since: 1, default: 0, ignorable: true }),
    responses: array(deletableTopicResult),
  },
})

export type DeleteTopicsResponse = Decoded<typeof deleteTopicsResponse>
