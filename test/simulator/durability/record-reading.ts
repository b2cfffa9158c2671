import { strict as assert } from 'node:assert'
import { ErrorCode } from '../../../protocol/errors.ts'
import { fetchRequest, fetchResponse } from '../../../protocol/messages/01-fetch.ts'
import { listOffsetsRequest, listOffsetsResponse } from '../../../protocol/messages/02-list-offsets.ts'
import * as batch from '../../../protocol/records/record-batch.ts'
import { RecordReader } from '../../../protocol/records/record-reader.ts'
import type { SimClient } from '../sim-client.ts'

/** A consumer of a few lines, which trusts nobody: it checks every checksum and that no offset is missing. */

const EARLIEST_TIMESTAMP = -2

export interface Fetched {
  readonly errorCode: number
  readonly highWatermark: number
  readonly records: Buffer
}

export async function fetchOnce(
  client: SimClient,
  topic: string,
  partition: number,
  fetchOffset: number,
  maxBytes: number,
): Promise<Fetched> {
  const fetched = { partition, fetchOffset, partitionMaxBytes: maxBytes, logStartOffset: -1 }
  const body = {
    replicaId: -1,
    maxWaitMs: 0,
    minBytes: 0,
    maxBytes: 1 << 24,
    topics: [{ topic, partitions: [{ ...fetched, currentLeaderEpoch: -1 }] }],
    forgottenTopicsData: [],
  }
  const call = { request: fetchRequest, response: fetchResponse, version: 11 } as const
  const { responses } = await client.send(call, body)
  const answer = responses[0]?.partitions[0]
  assert(answer !== undefined)
  const { errorCode, highWatermark } = answer
  return { errorCode, highWatermark, records: answer.records ?? Buffer.alloc(0) }
}

export async function earliestOffset(client: SimClient, topic: string, partition: number): Promise<number> {
  const partitions = [{ partitionIndex: partition, currentLeaderEpoch: -1, timestamp: EARLIEST_TIMESTAMP }]
  const call = { request: listOffsetsRequest, response: listOffsetsResponse, version: 5 } as const
  const { topics } = await client.send(call, {
    replicaId: -1,
    isolationLevel: 0,
    topics: [{ name: topic, partitions }],
  })
  const answer = topics[0]?.partitions[0]
  assert(answer !== undefined)
  assert.equal(answer.errorCode, 0, `earliest offset of ${topic}-${partition}`)
  return answer.offset
}

/**
 * Gives the values from `offset` on to `use`, in the order of their offsets. Returns what is wrong with the bytes, or
 * null. Offsets are dense here: nobody compacts these topics, so one that is missing was lost.
 */
export function readValues(
  bytes: Buffer,
  offset: number,
  use: (value: string, offset: number) => void,
): string | null {
  let next = offset
  for (let at = 0; at < bytes.length; at += batch.batchSizeBytes(bytes, at)) {
    const problem = batch.batchProblem(bytes, at, bytes.length)
    if (problem !== null) return `${problem} where offset ${next} is due`
    const base = batch.baseOffset(bytes, at)
    if (base > next) return `offset ${base} where ${next} is due`
    const reader = new RecordReader(
      bytes,
      batch.recordCount(bytes, at),
      at + batch.BATCH_OVERHEAD,
      at + batch.batchSizeBytes(bytes, at),
    )
    while (reader.next()) {
      // The first batch may begin before the offset that was asked for.
      if (base + reader.offsetDelta < next) continue
      if (base + reader.offsetDelta > next) return `offset ${base + reader.offsetDelta} where ${next} is due`
      use(reader.value()?.toString() ?? '', next)
      next += 1
    }
    if (reader.problem !== null) return reader.problem
    if (next === offset) return `batch ${base} has nothing from offset ${offset} on`
  }
  return null
}

export interface PartitionContent {
  readonly logStartOffset: number
  readonly values: string[]
  /** What ended the reading before the end of the log; null when it was read as a whole. */
  readonly problem: string | null
}

/** All a partition holds. What retention deletes meanwhile is not in it. */
export async function readPartition(
  client: SimClient,
  topic: string,
  partition: number,
): Promise<PartitionContent> {
  let logStartOffset = await earliestOffset(client, topic, partition)
  let values: string[] = []
  for (;;) {
    const next = logStartOffset + values.length
    const answer = await fetchOnce(client, topic, partition, next, 1 << 20)
    if (answer.errorCode === ErrorCode.OFFSET_OUT_OF_RANGE) {
      logStartOffset = await earliestOffset(client, topic, partition)
      // Below the start: deleted meanwhile. Anywhere else there is no excuse.
      if (logStartOffset <= next) return { logStartOffset, values, problem: `${next} is out of range` }
      values = []
      continue
    }
    if (answer.errorCode !== 0) return { logStartOffset, values, problem: `error ${answer.errorCode}` }
    const problem = readValues(answer.records, next, (value) => values.push(value))
    if (problem !== null) return { logStartOffset, values, problem }
    if (logStartOffset + values.length >= answer.highWatermark) break
    if (logStartOffset + values.length === next)
      return { logStartOffset, values, problem: `nothing at ${next}` }
  }
  return { logStartOffset, values, problem: null }
}
