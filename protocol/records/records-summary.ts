import { RecordStream } from './record-stream.ts'

/** What the records of a batch have in common, when all of them are there and their offsets are their places. */
export interface RecordsSummary {
  readonly minTimestampDelta: number
  readonly maxTimestampDelta: number
  /** A record has no key. */
  readonly hasKeyless: boolean
}

/** Null when something is wrong with a record, or a timestamp is beyond what a number holds. */
export function summarizeRecords(body: Iterable<Buffer>, recordCount: number): RecordsSummary | null {
  const stream = new RecordStream(recordCount)
  let minTimestampDelta = Infinity
  let maxTimestampDelta = -Infinity
  let hasKeyless = false
  for (const piece of body) {
    stream.feed(piece)
    while (stream.next()) {
      const { timestampDelta } = stream
      if (stream.offsetDelta !== stream.index || stream.wideDelta !== null) return null
      if (timestampDelta < minTimestampDelta) minTimestampDelta = timestampDelta
      if (timestampDelta > maxTimestampDelta) maxTimestampDelta = timestampDelta
      if (stream.keyLength < 0) hasKeyless = true
    }
    if (stream.problem !== null) return null
  }
  stream.end()
  return stream.problem === null ? { minTimestampDelta, maxTimestampDelta, hasKeyless } : null
}
