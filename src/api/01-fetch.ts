import { ErrorCode } from '../../protocol/errors.ts'
import { fetchRequest, fetchResponse } from '../../protocol/messages/01-fetch.ts'
import { FetchOperation } from '../broker/fetch-operation.ts'
import type { FetchedPartition } from '../broker/fetch-operation.ts'
import type { FetchContext, FetchTarget } from '../broker/fetch-sessions.ts'
import { defineApi } from './requests/handler.ts'
import type { RequestContext } from './requests/handler.ts'

const READ_COMMITTED = 1
const FIRST_WITH_TOPIC_IDS = 13
const NONE_ABORTED: readonly never[] = []

/**
 * Fetch, versions 4-18.
 *
 * Behavior:
 * - Answers at once when `minBytes` are there, on any error, or without `maxWaitMs`; else waits for what is missing. A
 *   request that names very many partitions waits a second at most: sessions are for those.
 * - Partitions are read in the order of the request; the first one with data returns at least one whole batch,
 *   whatever the limits (KIP-74). Reading begins at the batch that contains the offset.
 * - read_committed stops at the last stable offset and names aborted transactions (a log that Kafka wrote may have
 *   some).
 * - A replica id is a follower's, and nobody follows: NOT_LEADER_OR_FOLLOWER, as to one that the partition does not have.
 *
 * Version notes:
 * - v7 incremental sessions (KIP-227), v9 leader epochs (KIP-320), v12 diverging epochs (KIP-595), v13 topic ids
 *   (KIP-516), v15 replica state (KIP-903), v16 endpoints (KIP-951; never filled), v17 and v18 are for followers.
 * - v11 rackId (KIP-392) is read and ignored: there is one replica.
 * - v0-3 would need conversion to old message formats and are not advertised.
 *
 * Not implemented: fetches of followers.
 */
export const fetch = defineApi({
  request: fetchRequest,
  response: fetchResponse,
  versions: [4, 18],
  arrays: {
    topics: {
      repeats: 'merged',
      key: topicKey,
      cost: 0,
      inside: { partitions: { repeats: 'once', key: ({ partition }) => partition, cost: 0 } },
    },
    forgottenTopicsData: {
      repeats: 'merged',
      key: topicKey,
      cost: 0,
      inside: { partitions: { repeats: 'once', cost: 0 } },
    },
  },
  handle(request, context, respond) {
    const { broker, apiVersion } = context
    const session = broker.fetchSessions.resolve(request, apiVersion, context.clientAddress.host)
    if (typeof session === 'number') {
      respond({ errorCode: session, sessionId: 0, responses: [] })
      return
    }
    const readCommitted = request.isolationLevel === READ_COMMITTED
    const maxBytes = Math.max(0, Math.min(request.maxBytes, broker.config['fetch.max.bytes']))
    const operation = new FetchOperation(
      broker,
      {
        targets: session.targets,
        maxBytes,
        minBytes: Math.min(request.minBytes, maxBytes),
        maxWaitMs: Math.min(request.maxWaitMs, context.longestWaitMs),
        readCommitted,
        byId: apiVersion >= FIRST_WITH_TOPIC_IDS,
        fromFollower: request.replicaId >= 0 || request.replicaState.replicaId >= 0,
        answers: context.answers,
        guard: context,
        // Over the loopback the kernel copies either way, and many small pieces wake the client more often.
        slices: !context.clientIsLocal,
      },
      (results) => {
        for (const { pieces } of results) context.attach(pieces)
        broker.topicMetrics.fetched(results)
        respond(toResponse(context, session, results, readCommitted))
      },
    )
    context.whenAbandoned(() => operation.cancel())
    operation.start()
  },
})

/** As Kafka does it: of a partition that is named twice the last mention counts. */
function topicKey({ topic, topicId }: { readonly topic: string; readonly topicId: string }): string {
  return `${topicId}${topic}`
}

function toResponse(
  context: RequestContext,
  session: FetchContext,
  results: readonly FetchedPartition[],
  readCommitted: boolean,
) {
  const told = session.incremental ? results.filter(hasNews) : results
  const served: FetchTarget[] = []
  const responses: FetchResponseTopic[] = []
  for (const result of told) {
    const { target } = result
    target.sentHighWatermark = result.highWatermark
    target.sentLogStartOffset = result.logStartOffset
    if (result.sizeBytes > 0) served.push(target)
    let topic = responses.at(-1)
    if (topic === undefined || topic.topic !== target.topic || topic.topicId !== target.topicId) {
      topic = { topic: target.topic, topicId: target.topicId, partitions: [] }
      responses.push(topic)
    }
    topic.partitions.push(toPartition(result, context.apiVersion, readCommitted))
  }
  if (session.sessionId !== 0) context.broker.fetchSessions.moveToEnd(session, served)
  return { errorCode: ErrorCode.NONE, sessionId: session.sessionId, responses }
}

interface FetchResponseTopic {
  readonly topic: string
  readonly topicId: string
  readonly partitions: ReturnType<typeof toPartition>[]
}

function toPartition(result: FetchedPartition, apiVersion: number, readCommitted: boolean) {
  // KAFKA_STORAGE_ERROR came with v6; before, clients only know to look for another leader (KIP-112).
  const storageError = result.errorCode === ErrorCode.KAFKA_STORAGE_ERROR && apiVersion < 6
  return {
    partitionIndex: result.target.partition,
    errorCode: storageError ? ErrorCode.NOT_LEADER_OR_FOLLOWER : result.errorCode,
    highWatermark: result.highWatermark,
    lastStableOffset: result.lastStableOffset,
    logStartOffset: result.logStartOffset,
    abortedTransactions: abortedTransactions(result, readCommitted),
    records: result.pieces,
    ...(result.divergingEpoch === null ? {} : { divergingEpoch: result.divergingEpoch }),
  }
}

const IS_NOT_THERE: ReadonlySet<number> = new Set<ErrorCode>([
  ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
  ErrorCode.UNKNOWN_TOPIC_ID,
])

/** Null says that nobody looked, which Kafka does not say of a partition that is not there. */
function abortedTransactions(result: FetchedPartition, readCommitted: boolean) {
  const { aborted, errorCode, nextOffset, sizeBytes, target } = result
  if (errorCode !== ErrorCode.NONE) return IS_NOT_THERE.has(errorCode) ? NONE_ABORTED : null
  if (!readCommitted) return null
  return sizeBytes === 0 ? NONE_ABORTED : (aborted?.within(target.fetchOffset, nextOffset) ?? NONE_ABORTED)
}

/** Whether an incremental answer must mention the partition (KIP-227). */
function hasNews(result: FetchedPartition): boolean {
  return (
    result.sizeBytes > 0 ||
    result.errorCode !== ErrorCode.NONE ||
    result.divergingEpoch !== null ||
    result.highWatermark !== result.target.sentHighWatermark ||
    result.logStartOffset !== result.target.sentLogStartOffset
  )
}
