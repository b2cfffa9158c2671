import { ErrorCode } from '../../../protocol/errors.ts'

/** Why a batch is not appended. */
export interface BatchProblem {
  readonly errorCode: number
  readonly message: string
  readonly recordErrors: readonly RecordError[]
  /** Nobody asked the partition: the answer does not say where its log starts. */
  readonly ofRequest?: boolean
}

export interface RecordError {
  readonly batchIndex: number
  readonly batchIndexErrorMessage: string | null
}

const NO_RECORD_ERRORS: readonly RecordError[] = []

export function problem(errorCode: number, message: string): BatchProblem {
  return { errorCode, message, recordErrors: NO_RECORD_ERRORS }
}

export function invalidRecord(message: string): BatchProblem {
  return problem(ErrorCode.INVALID_RECORD, message)
}
