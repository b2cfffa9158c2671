import { array, bool, int16, int32, int64, int8, request, response, string, uuid } from '../schema.ts'
import type { Decoded, Encodable } from '../schema.ts'

/**
 * Of brokers among themselves: a broker asks its controller for what has become of the cluster. It says how far it knows
 * and has carried it out, and is answered when there is more, or after a while with nothing. Not in Kafka.
 */

export const metadataPollRequest = request({
  key: 1000,
  name: 'MetadataPoll',
  versions: [0, 0],
  flexibleFrom: 0,
  fields: {
    brokerId: int32(),
    brokerEpoch: int64(),
    /** Of the controller from which it has what it knows; -1: it knows nothing. */
    controllerEpoch: int32(),
    /** The last change that it knows. */
    sequence: int64(),
    /** The last one up to which it has carried out all: a disk may hold up what lies on it. */
    carriedOut: int64(),
    maxWaitMs: int32(),
  },
})

export type MetadataPollRequest = Decoded<typeof metadataPollRequest>

const endpoint = { name: string(), host: string(), port: int32() }

const value = { name: string(), value: string() }

const broker = {
  id: int32(),
  epoch: int64(),
  fenced: bool(),
  shuttingDown: bool(),
  rack: string({ nullable: true }),
  endpoints: array(endpoint),
}

const topic = {
  name: string(),
  topicId: uuid(),
  overrides: array(value),
}

const partition = {
  topicId: uuid(),
  index: int32(),
  replicas: array(int32()),
  adding: array(int32()),
  removing: array(int32()),
  leader: int32(),
  leaderEpoch: int32(),
  leaderBrokerEpoch: int64(),
  controllerEpoch: int32(),
  partitionEpoch: int32(),
  isr: array(int32()),
  elr: array(int32()),
  lastKnownElr: array(int32()),
  leaderRecoveryState: int8(),
  minIsr: int32(),
  /** What is stored of it makes no sense: nobody leads it, and the rest says nothing. */
  damaged: bool(),
}

/** Dynamic values of a broker, -1: of all. */
const config = { brokerId: int32(), values: array(value) }

const change = {
  sequence: int64(),
  topicsGone: array(uuid()),
  /** Names of topics of which nothing can be read. In the one change that is all there is. */
  damagedTopics: array(string()),
  brokers: array(broker),
  topics: array(topic),
  partitions: array(partition),
  configs: array(config),
}

export const metadataPollResponse = response({
  key: 1000,
  name: 'MetadataPoll',
  versions: [0, 0],
  flexibleFrom: 0,
  fields: {
    errorCode: int16(),
    controllerEpoch: int32(),
    /** The one change is all there is: what it does not name is gone. */
    full: bool(),
    changes: array(change),
  },
})

export type MetadataPollResponse = Decoded<typeof metadataPollResponse>
/** What happened to the cluster at once: to be carried out in the order of the fields. */
export type MetadataChange = Encodable<typeof metadataPollResponse>['changes'][number]
