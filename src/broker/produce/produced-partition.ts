import type { RecordError } from '../../log/append/batch-problem.ts'

/** What Produce answers for one partition, in the shape of the response. */
export interface ProducedPartition {
  readonly index: number
  errorCode: number
  baseOffset: number
  logAppendTimeMs: number | bigint
  logStartOffset: number
  recordErrors: readonly RecordError[]
  errorMessage: string | null
  /** Settled: an error, or safe under the partition's promise. */
  settled: boolean
  /** No log holds its batch any more. */
  letGo: boolean
}
