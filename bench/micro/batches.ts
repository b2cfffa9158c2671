import { buildBatch } from '../../protocol/records/record-builder.ts'

export const RECORD_BYTES = 1024

/** A batch of about this size as a producer sends it: records of 1 KiB, or one smaller record. */
export function producedBatch(bytes: number, timestampMs: number): Buffer {
  const count = Math.max(1, Math.round(bytes / RECORD_BYTES))
  const value = Buffer.alloc(Math.min(bytes, RECORD_BYTES) - 80, 'samsa ')
  return buildBatch(Array.from({ length: count }, () => ({ key: null, value, timestampMs })))
}
