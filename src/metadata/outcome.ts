import { ErrorCode } from '../../protocol/errors.ts'
import type { MetadataStoreError } from '../ports.ts'

/** How a change of the metadata ended, for the client that asked for it. */
export interface Outcome {
  readonly errorCode: ErrorCode
  readonly errorMessage: string | null
}

export const DONE: Outcome = { errorCode: ErrorCode.NONE, errorMessage: null }

export function refused(errorCode: ErrorCode, errorMessage: string): Outcome {
  return { errorCode, errorMessage }
}

export function hasStoreCode(error: unknown, code: MetadataStoreError['code']): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}

/** What a client is told when the store or the disk failed under its request. */
export function failureOutcome(error: unknown): Outcome {
  if (hasStoreCode(error, 'SESSION_EXPIRED') || hasStoreCode(error, 'CONNECTION_LOSS'))
    return refused(ErrorCode.NOT_CONTROLLER, 'The metadata store is out of reach.')
  return refused(ErrorCode.KAFKA_STORAGE_ERROR, 'The change could not be stored.')
}
