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
}

export interface RecordError {
  readonly batchIndex: number
  readonly batchIndexErrorMessage: string | null
}
