import type { Steps } from '../../protocol/compile.ts'
import { ErrorCode } from '../../protocol/errors.ts'
import { fetchRequest, fetchResponse } from '../../protocol/messages/01-fetch.ts'
import type { FetchRequest } from '../../protocol/messages/01-fetch.ts'
import type { Encodable } from '../../protocol/schema.ts'
import { FEW_PARTITIONS, FetchOperation } from '../broker/fetch/fetch-operation.ts'
import type { FetchedPartition, FetchingFollower } from '../broker/fetch/fetch-operation.ts'
import type { FetchContext, FetchSessions } from '../broker/fetch/fetch-sessions.ts'
import { defineApi, finishSteps } from './requests/handler.ts'
import type { RequestContext, Respond } from './requests/handler.ts'
import { LeaderHints, type LeaderHint } from './requests/leader-hints.ts'
import { senderError } from './requests/sender.ts'

const READ_COMMITTED = 1
const FIRST_WITH_TOPIC_IDS = 13
/** From here on an error may say who leads the partition (KIP-951). */
const FIRST_WITH_LEADERS = 16
/** An answer of more is made in steps. */
const MANY_PARTITIONS = 2_000
const NONE_ABORTED: readonly never[] = []

/**
 * Fetch, versions 4-18.
 *
 * Behavior:
 * - Answers at once when `minBytes` are there, on any error, or without `maxWaitMs`; else waits for what is missing. A
 *   request of more than 128 partitions waits a second at most, whether it names them or its session remembers them.
 * - Partitions are read in the order of the request; the first one with data returns at least one whole batch,
 *   whatever the limits (KIP-74). Reading begins at the batch that contains the offset.
 * - read_committed stops at the last stable offset and names aborted transactions (a log that Kafka wrote may have
 *   some).
 * - A replica id is a follower's: its fetch offset says what it has written, and it gets what the leader has written,
 *   above the high watermark too. One that is no replica of the partition gets NOT_LEADER_OR_FOLLOWER, or
 *   UNKNOWN_LEADER_EPOCH when it says which epoch it knows; an older incarnation STALE_BROKER_EPOCH. With
 *   OFFSET_OUT_OF_RANGE a follower is told where the log starts.
 *
 * Version notes:
 * - v7 incremental sessions (KIP-227), v9 leader epochs (KIP-320), v12 diverging epochs (KIP-595), v13 topic ids
 *   (KIP-516), v15 replica state (KIP-903), v16 the new leader where another broker leads (KIP-951), v17 and v18 are
 *   for followers.
 * - v11 rackId (KIP-392) is read and ignored: only the leader serves.
 * - v0-3 would need conversion to old message formats and are not advertised.
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
    const sessions = sessionsOf(context)
    const partitions = (): number => sessions.partitionsOf(request, context.apiVersion)
    if (partitions() <= FEW_PARTITIONS) resolve(request, context, respond)
    else context.standsFor(partitions, () => resolveMany(request, context, respond))
  },
})

function sessionsOf({ broker, peer }: RequestContext): FetchSessions {
  return peer === null ? broker.fetchSessions : broker.peerFetchSessions
}

function resolve(request: FetchRequest, context: RequestContext, respond: Respond<FetchResponse>): void {
  const { apiVersion, clientAddress } = context
  begin(request, context, sessionsOf(context).resolve(request, apiVersion, clientAddress.host), respond)
}

function resolveMany(request: FetchRequest, context: RequestContext, respond: Respond<FetchResponse>): void {
  const { apiVersion, clientAddress } = context
  const steps = sessionsOf(context).resolveInSteps(request, apiVersion, clientAddress.host)
  finishSteps(steps, context, (session) => begin(request, context, session, respond))
}

function begin(
  request: FetchRequest,
  context: RequestContext,
  session: FetchContext | ErrorCode,
  respond: Respond<FetchResponse>,
): void {
  if (typeof session === 'number') {
    respond({ errorCode: session, sessionId: 0, responses: [] })
    return
  }
  const { broker, apiVersion } = context
  const follower = followerOf(request, context)
  const readCommitted = request.isolationLevel === READ_COMMITTED && follower === null
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
      follower,
      answers: context.answers,
      guard: context,
      // Over the loopback the kernel copies either way, and many small pieces wake the client more often.
      slices: !context.clientIsLocal,
    },
    (results) => {
      for (const { pieces } of results) context.attach(pieces)
      if (follower === null) broker.topicMetrics.fetched(results)
      const answer = new Answer(context, session, readCommitted)
      if (results.length <= MANY_PARTITIONS) respond(answer.all(results))
      else finishSteps(answer.allInSteps(results), context, respond)
    },
  )
  context.whenAbandoned(() => operation.cancel())
  operation.start()
}

/** Only who said hello as that broker is believed to be it. */
function followerOf(
  { replicaId, replicaState }: FetchRequest,
  context: RequestContext,
): FetchingFollower | null {
  const id = Math.max(replicaState.replicaId, replicaId)
  if (id < 0) return null
  const epoch = replicaState.replicaEpoch
  const errorCode = senderError(context, id, epoch)
  const refusal = errorCode === ErrorCode.INVALID_REQUEST ? ErrorCode.NOT_LEADER_OR_FOLLOWER : errorCode
  return { id, epoch, refusal }
}

/** As Kafka does it: of a partition that is named twice the last mention counts. */
function topicKey({ topic, topicId }: { readonly topic: string; readonly topicId: string }): string {
  return `${topicId}${topic}`
}

/** What is told of what was read. */
class Answer {
  readonly #context: RequestContext
  readonly #session: FetchContext
  readonly #readCommitted: boolean
  readonly #topics: FetchResponseTopic[] = []
  /** As most answers have no error, made with the first. */
  #leaders: LeaderHints | null = null
  /** More could be read than the answer has. */
  #isCut = false

  constructor(context: RequestContext, session: FetchContext, readCommitted: boolean) {
    this.#context = context
    this.#session = session
    this.#readCommitted = readCommitted
  }

  all(results: readonly FetchedPartition[]): FetchResponse {
    this.#isCut = results.some(foundNoRoom)
    for (const result of results) this.#add(result)
    return this.#response()
  }

  *allInSteps(results: readonly FetchedPartition[]): Steps<FetchResponse> {
    this.#isCut = results.some(foundNoRoom)
    for (const result of results) {
      this.#add(result)
      yield
    }
    return this.#response()
  }

  #response(): FetchResponse {
    const { sessionId } = this.#session
    const nodeEndpoints = this.#leaders?.endpoints ?? NO_ENDPOINTS
    return { errorCode: ErrorCode.NONE, sessionId, responses: this.#topics, nodeEndpoints }
  }

  #add(result: FetchedPartition): void {
    const { sessionId, incremental } = this.#session
    if (incremental && !hasNews(result)) return
    const { target } = result
    // Who has to cut its log first makes nothing of the high watermark: it is to hear of it again.
    target.sentHighWatermark = result.divergingEpoch === null ? result.highWatermark : -1
    target.sentLogStartOffset = result.logStartOffset
    let topic = this.#topics.at(-1)
    if (topic === undefined || topic.topic !== target.topic || topic.topicId !== target.topicId) {
      topic = { topic: target.topic, topicId: target.topicId, partitions: [] }
      this.#topics.push(topic)
    }
    const { apiVersion } = this.#context
    topic.partitions.push(toPartition(result, this.#leaderOf(result), apiVersion, this.#readCommitted))
    if (this.#isCut && sessionId !== 0 && result.sizeBytes > 0)
      sessionsOf(this.#context).moveToEnd(sessionId, target)
  }

  #leaderOf({ topic, target, errorCode }: FetchedPartition): LeaderHint | null {
    if (errorCode === ErrorCode.NONE || this.#context.apiVersion < FIRST_WITH_LEADERS) return null
    this.#leaders ??= new LeaderHints(this.#context)
    return this.#leaders.of(topic, target.partition, errorCode)
  }
}

type FetchResponse = Encodable<typeof fetchResponse>
const NO_ENDPOINTS: LeaderHints['endpoints'] = []

interface FetchResponseTopic {
  readonly topic: string
  readonly topicId: string
  readonly partitions: ReturnType<typeof toPartition>[]
}

function toPartition(
  result: FetchedPartition,
  currentLeader: LeaderHint | null,
  apiVersion: number,
  readCommitted: boolean,
) {
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
    ...(currentLeader === null ? {} : { currentLeader }),
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

/** There is more than the answer takes along. */
function foundNoRoom({ nextOffset, upperOffset }: FetchedPartition): boolean {
  return nextOffset < upperOffset
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
