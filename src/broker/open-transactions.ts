import { ErrorCode } from '../../protocol/errors.ts'
import { buildControlBatch } from '../../protocol/records/record-builder.ts'
import type { Logger } from '../ports.ts'
import type { Partition } from './partition.ts'

/**
 * Nobody begins a transaction here, but Apache Kafka may have left some open in a data directory that was taken over. Their
 * coordinator, which would end them, is not here: who reads only what is committed waits before them until an administrator
 * says how they end.
 */

export interface TransactionEnd {
  readonly producerId: number
  readonly producerEpoch: number
  readonly coordinatorEpoch: number
  readonly commits: boolean
}

/** Lines of one start; the rest is one number. */
const MAX_LINES = 20

/** Tells of transactions that are open when the broker starts, and how to end them. */
export function tellOpenTransactions(partitions: Iterable<Partition>, logger: Logger): void {
  let count = 0
  for (const { topic, index, log } of partitions) {
    if (log.failed || log.firstOpenTransactionOffset < 0) continue
    for (const { producerId, currentTxnStartOffset } of log.producers.describe()) {
      if (currentTxnStartOffset < 0 || ++count > MAX_LINES) continue
      const where = `--topic ${topic} --partition ${index} --start-offset ${currentTxnStartOffset}`
      logger.warn(
        { topic, partition: index, producerId, startOffset: currentTxnStartOffset },
        'a transaction was left open, and nobody here ends it: consumers with isolation.level=read_committed wait before it. ' +
          `Apache Kafka ends it when it has the directory again; kafka-transactions.sh abort ${where} drops it here`,
      )
    }
  }
  if (count > MAX_LINES)
    logger.warn(
      { transactions: count },
      'more transactions were left open: kafka-transactions.sh find-hanging',
    )
}

/**
 * Writes the marker that ends the transaction of a producer in a partition, which `leaderOf` just gave. `done` gets NONE when
 * it is as safe as the flush mode says, and at once when the producer has no transaction open there: there is nothing to end.
 */
export function endTransaction(
  partition: Partition,
  end: TransactionEnd,
  nowMs: number,
  done: (errorCode: number) => void,
): void {
  const { producerId, producerEpoch, coordinatorEpoch, commits } = end
  const { producers } = partition.log
  const problem = producers.checkMarker(producerId, producerEpoch, coordinatorEpoch)
  if (problem !== ErrorCode.NONE) return done(problem)
  if (producers.openTransactionOf(producerId) < 0) return done(ErrorCode.NONE)
  // What such a transaction commits are offsets of groups, and their coordinator has not read it.
  if (commits && partition.isInternal) return done(ErrorCode.INVALID_TXN_STATE)
  const marker = buildControlBatch(
    commits ? 'COMMIT' : 'ABORT',
    coordinatorEpoch,
    { producerId, producerEpoch },
    nowMs,
  )
  const { errorCode, lastOffset } = partition.append(marker)
  if (errorCode !== ErrorCode.NONE) return done(errorCode)
  partition.awaitAppended(lastOffset + 1, { appendSettled: (_tag, settled) => done(settled) }, 0)
}
