import { ErrorCode } from '../../protocol/errors.ts'
import {
  writeTxnMarkersRequest,
  writeTxnMarkersResponse,
} from '../../protocol/messages/27-write-txn-markers.ts'
import { endTransaction } from '../broker/open-transactions.ts'
import type { TransactionEnd } from '../broker/open-transactions.ts'
import { PARTITIONS_BY_TOPIC } from './requests/array-rules.ts'
import type { RequestContext } from './requests/handler.ts'
import { answer, defineApi } from './requests/handler.ts'
import { eachInSlices, inSlices } from './requests/in-slices.ts'

/**
 * WriteTxnMarkers, versions 1-2 (KIP-664: `kafka-transactions.sh abort`).
 *
 * Behavior: ends transactions that Apache Kafka left open in a data directory, which nobody else does here. NONE means
 * that the marker is as safe as a record. Errors of producer and coordinator epochs are Kafka's; a producer without an open
 * transaction in the partition gets NONE and no marker, and a commit of group offsets is refused with INVALID_TXN_STATE.
 *
 * Not implemented: transactions. `transactionVersion` is not looked at.
 */
export const writeTxnMarkers = defineApi({
  request: writeTxnMarkersRequest,
  response: writeTxnMarkersResponse,
  versions: [1, 2],
  arrays: {
    markers: {
      repeats: 'kept',
      cost: 0,
      inside: {
        topics: PARTITIONS_BY_TOPIC,
      },
    },
  },
  handle: answer(async ({ markers }, context) => ({
    markers: await eachInSlices(markers, context, async (marker) => {
      const { producerId, producerEpoch, coordinatorEpoch, transactionResult: commits } = marker
      const end = { producerId, producerEpoch, coordinatorEpoch, commits }
      return {
        producerId,
        topics: await eachInSlices(marker.topics, context, async ({ name, partitionIndexes }) => ({
          name,
          partitions: await endedIn(name, partitionIndexes, end, context),
        })),
      }
    }),
  })),
})

interface EndedPartition {
  readonly partitionIndex: number
  errorCode: number
}

/** Markers of many partitions are on their way to the disk together. */
async function endedIn(
  topic: string,
  partitionIndexes: readonly number[],
  end: TransactionEnd,
  context: RequestContext,
): Promise<EndedPartition[]> {
  const waits: Promise<void>[] = []
  const ended = await inSlices(partitionIndexes, context, (some) =>
    some.map((partitionIndex) => {
      const result: EndedPartition = { partitionIndex, errorCode: ErrorCode.NONE }
      const wait = endIn(topic, partitionIndex, end, context, result)
      if (wait !== null) waits.push(wait)
      return result
    }),
  )
  await Promise.all(waits)
  return ended
}

/** Null when `result` has its code already. */
function endIn(
  topic: string,
  index: number,
  end: TransactionEnd,
  { broker, clientAddress }: RequestContext,
  result: EndedPartition,
): Promise<void> | null {
  const partition = broker.partitions.leaderOf(topic, index)
  if (typeof partition === 'number') {
    result.errorCode = partition
    return null
  }
  const isOpen = partition.log.producers.openTransactionOf(end.producerId) >= 0
  let settle: (() => void) | null = null
  let isSettled = false
  endTransaction(partition, end, broker.clock.nowMs(), (errorCode) => {
    result.errorCode = errorCode
    isSettled = true
    settle?.()
  })
  if (isOpen)
    broker.logger.warn(
      {
        topic,
        partition: index,
        producerId: end.producerId,
        commit: end.commits,
        client: clientAddress.host,
      },
      'an administrator ends a transaction',
    )
  return isSettled ? null : new Promise((resolve) => void (settle = resolve))
}
