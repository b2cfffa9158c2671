import { ErrorCode } from '../../protocol/errors.ts'
import { listOffsetsRequest, listOffsetsResponse } from '../../protocol/messages/02-list-offsets.ts'
import type { ListOffsetsRequest } from '../../protocol/messages/02-list-offsets.ts'
import type { Partition } from '../broker/partition.ts'
import type { Log } from '../log/log.ts'
import type { OffsetAndTimestamp } from '../log/log-types.ts'
import { refused } from '../metadata/layout/outcome.ts'
import type { LookupWork } from '../log/read/timestamp-lookup.ts'
import { withoutEmpty } from './requests/empty-topics.ts'
import { answer, defineApi } from './requests/handler.ts'
import type { RequestContext } from './requests/handler.ts'
import { eachInSlices } from './requests/in-slices.ts'
import { senderError } from './requests/sender.ts'

const LATEST = -1
const EARLIEST = -2
const MAX_TIMESTAMP = -3
const EARLIEST_LOCAL = -4
const LATEST_TIERED = -5
const EARLIEST_NOT_TIERED = -6
/** The first version in which a negative timestamp means something. */
const SINCE_VERSION: Readonly<Record<number, number>> = {
  [LATEST]: 1,
  [EARLIEST]: 1,
  [MAX_TIMESTAMP]: 7,
  [EARLIEST_LOCAL]: 8,
  [LATEST_TIERED]: 9,
  [EARLIEST_NOT_TIERED]: 11,
}
const READ_COMMITTED = 1
/** Nobody in particular, who wants to see what replicas see. */
const DEBUGGING_REPLICA_ID = -2

interface Found {
  readonly errorCode: number
  readonly timestamp: number | bigint
  readonly offset: number
  readonly leaderEpoch: number
}

const PARTITION_REPEATED = refused(ErrorCode.INVALID_REQUEST, 'The request names this partition twice.')
const NOTHING: Found = { errorCode: ErrorCode.NONE, timestamp: -1, offset: -1, leaderEpoch: -1 }

/**
 * ListOffsets, versions 1-11.
 *
 * Behavior: -1 latest (high watermark, or last stable offset for read_committed), -2 earliest, -3 the record with
 * the largest timestamp, a timestamp >= 0 the first record at or after it; -1/-1 when there is none. A partition that
 * is named twice is not looked up and answers INVALID_REQUEST, as in Kafka. While a leader that was just elected does not
 * know yet how far its predecessor had come, the latest offset and times behind it answer OFFSET_NOT_AVAILABLE (KIP-207),
 * before v5 LEADER_NOT_AVAILABLE. To a replica, and to the debugging id -2, the latest offset is the end of the log. Who is not
 * the broker that it says it is, is a consumer: Kafka believes it, where there is no authorizer.
 *
 * Version notes: v4 leader epochs (KIP-320), v7 -3 (KIP-734), v8 -4 earliest local offset (KIP-405; the log start,
 * nothing is tiered), v9 -5 last tiered offset (KIP-1005; none), v10 a timeout for what is tiered (KIP-1075), v11 -6
 * the first offset that is not tiered yet (KIP-1023; none, as where nothing is tiered).
 */
export const listOffsets = defineApi({
  request: listOffsetsRequest,
  response: listOffsetsResponse,
  versions: [1, 11],
  arrays: {
    topics: {
      repeats: 'merged',
      key: ({ name }) => name,
      cost: 0,
      inside: {
        partitions: {
          repeats: 'refused',
          key: ({ partitionIndex }) => partitionIndex,
          repeated: PARTITION_REPEATED,
          cost: 0,
        },
      },
    },
  },
  handle: answer(async (request, context, refusals) => {
    const reader = readerOf(request, context)
    const work = new RequestLookups(context)
    const topics = await eachInSlices(request.topics, context, async (topic) => {
      const partitions = await eachInSlices(topic.partitions, context, (asked) =>
        lookUpAsked(topic.name, asked, reader, context, work),
      )
      for (const { element, outcome } of refusals.of(topic, 'partitions'))
        partitions.push({ partitionIndex: element.partitionIndex, ...failed(outcome.errorCode) })
      return { name: topic.name, partitions }
    })
    return { topics: withoutEmpty(topics) }
  }),
})

/** Looked at in vain by one request: only batches whose headers promise later records than they hold cost any of it. */
const MAX_VAIN_BYTES = 64 * 1024 * 1024

/** What the lookups of one request share. */
class RequestLookups implements LookupWork {
  vainBytesLeft = MAX_VAIN_BYTES
  readonly #context: RequestContext

  constructor(context: RequestContext) {
    this.#context = context
  }

  get abandoned(): boolean {
    return this.#context.abandoned
  }

  decompress(codec: number, data: Buffer, piece: (bytes: Buffer) => boolean): Promise<void> {
    const { broker, clientAddress } = this.#context
    return broker.codecLine.decompress(clientAddress, codec, data, (bytes) => !this.abandoned && piece(bytes))
  }
}

/** A replica sees what no consumer may see yet. */
type Reader = 'replica' | 'consumer' | 'read_committed'

function readerOf({ replicaId, isolationLevel }: ListOffsetsRequest, context: RequestContext): Reader {
  const isReplica = replicaId === DEBUGGING_REPLICA_ID || senderError(context, replicaId) === ErrorCode.NONE
  if (isReplica) return 'replica'
  return isolationLevel === READ_COMMITTED ? 'read_committed' : 'consumer'
}

function endFor(reader: Reader, partition: Partition): number {
  if (reader === 'replica') return partition.log.logEndOffset
  return reader === 'read_committed' ? partition.lastStableOffset : partition.highWatermark
}

type AskedPartition = ListOffsetsRequest['topics'][number]['partitions'][number]

async function lookUpAsked(
  topic: string,
  { partitionIndex, timestamp, currentLeaderEpoch }: AskedPartition,
  reader: Reader,
  context: RequestContext,
  work: LookupWork,
): Promise<Found & { readonly partitionIndex: number }> {
  if (timestamp < 0 && context.apiVersion < (SINCE_VERSION[timestamp] ?? Infinity))
    return { partitionIndex, ...failed(ErrorCode.UNSUPPORTED_VERSION) }
  const partition = context.broker.partitions.leaderOf(topic, partitionIndex, currentLeaderEpoch)
  const found =
    typeof partition === 'number' ? failed(partition) : await lookUp(partition, timestamp, reader, work)
  // OFFSET_NOT_AVAILABLE came with v5; before, clients know of leaders that are not ready (KIP-207).
  return found.errorCode === ErrorCode.OFFSET_NOT_AVAILABLE && context.apiVersion < 5
    ? { partitionIndex, ...failed(ErrorCode.LEADER_NOT_AVAILABLE) }
    : { partitionIndex, ...found }
}

async function lookUp(
  partition: Partition,
  timestamp: number,
  reader: Reader,
  work: LookupWork,
): Promise<Found> {
  const { log, leaderEpoch } = partition
  const end = endFor(reader, partition)
  const mayBeStale = reader !== 'replica' && partition.highWatermarkMayBeStale
  switch (timestamp) {
    case LATEST:
      if (mayBeStale) return failed(ErrorCode.OFFSET_NOT_AVAILABLE)
      return { ...NOTHING, offset: end, leaderEpoch }
    case EARLIEST:
    case EARLIEST_LOCAL:
      return {
        ...NOTHING,
        offset: log.logStartOffset,
        leaderEpoch: log.epochs.epochAt(log.logStartOffset),
      }
    case LATEST_TIERED:
    case EARLIEST_NOT_TIERED:
      return NOTHING
    default: {
      const found = await find(log, timestamp, end, work)
      if (found !== null) return { ...NOTHING, ...found }
      // Nothing found says nothing when the partition went away meanwhile, or to another directory.
      if (log !== partition.log) return lookUp(partition, timestamp, reader, work)
      return failed(
        partition.leaderError(-1) || (mayBeStale ? ErrorCode.OFFSET_NOT_AVAILABLE : ErrorCode.NONE),
      )
    }
  }
}

async function find(
  log: Log,
  timestamp: number,
  end: number,
  work: LookupWork,
): Promise<OffsetAndTimestamp | null> {
  if (timestamp !== MAX_TIMESTAMP) return log.offsetForTimestamp(timestamp, end, work)
  const found = await log.offsetOfMaxTimestamp(work)
  return found !== null && found.offset < end ? found : null
}

function failed(errorCode: number): Found {
  return { ...NOTHING, errorCode }
}
