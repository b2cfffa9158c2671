import assert from 'node:assert/strict'
import { decompress } from '../../protocol/compression.ts'
import { summarizeRecords } from '../../protocol/records/records-summary.ts'
import type { BatchProblem } from '../../src/log/append/batch-problem.ts'
import { UnreadBatch, validateProduceBatch } from '../../src/log/append/validate.ts'
import type { LogConfig } from '../../src/log/log-config.ts'
import { Seeded } from './seed.ts'

const random = new Seeded()

/**
 * As a Produce does it. The records of a compressed batch are shown as one piece and, of a copy, in pieces of any size, which
 * must come to the same.
 */
export function validated(
  records: Buffer | null,
  config: LogConfig,
  nowMs: number,
  apiVersion = 9,
): BatchProblem | null {
  const copy = records === null ? null : Buffer.from(records)
  const found = validateProduceBatch(records, config, nowMs, apiVersion)
  if (!(found instanceof UnreadBatch)) return found
  const again = validateProduceBatch(copy, config, nowMs, apiVersion)
  assert(again instanceof UnreadBatch)
  let body: Buffer
  try {
    body = decompress(found.codec, found.body, 64 << 20)
  } catch (error) {
    return found.undecodable(error)
  }
  const summary = summarizeRecords([body], found.recordCount)
  const summarized = validateProduceBatch(
    records === null ? null : Buffer.from(records),
    config,
    nowMs,
    apiVersion,
  )
  assert(summarized instanceof UnreadBatch)
  const isAccepted = summary !== null && summarized.accepts(summary)
  found.piece(body)
  const outcome = found.end()
  if (isAccepted) assert.deepEqual([outcome, summarized.records], [null, records], 'a summary hides nothing')
  const inPieces = endedInPieces(again, body)
  assert.deepEqual(
    [inPieces?.errorCode, inPieces?.recordErrors],
    [outcome?.errorCode, outcome?.recordErrors],
    `seed ${random.seed}: ${inPieces?.message}, ${outcome?.message}`,
  )
  if (outcome === null) assert.deepEqual(copy, records)
  return outcome
}

function endedInPieces(batch: UnreadBatch, body: Buffer): BatchProblem | null {
  const most = random.pick([1, 3, 20, 1000, 100_000])
  for (let at = 0; at < body.length;) {
    // A buffer of its own, which is gone afterwards, as it is with a decoder.
    const bytes = Buffer.from(body.subarray(at, at + random.between(1, most)))
    at += bytes.length
    if (!batch.piece(bytes)) break
    bytes.fill(0xff)
  }
  return batch.end()
}
