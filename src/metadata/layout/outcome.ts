import { ErrorCode } from '../../../protocol/errors.ts'
import { codeOf } from '../../core/is-error.ts'
import type { MetadataStoreError } from '../../ports.ts'

/** How a change of the metadata ended, for the client that asked for it. */
export interface Outcome {
  readonly errorCode: ErrorCode
  readonly errorMessage: string | null
}

export const DONE: Outcome = { errorCode: ErrorCode.NONE, errorMessage: null }

/** Messages quote what the client sent, and answers carry strings of 32,767 bytes at most. */
const MAX_MESSAGE_LENGTH = 1_000

export function shortened(message: string | null): string | null {
  if (message === null || message.length <= MAX_MESSAGE_LENGTH) return message
  return `${message.slice(0, MAX_MESSAGE_LENGTH)}...`
}

export function refused(errorCode: ErrorCode, errorMessage: string): Outcome {
  return { errorCode, errorMessage: shortened(errorMessage) }
}

export function hasStoreCode(error: unknown, code: MetadataStoreError['code']): boolean {
  return codeOf(error) === code
}

/** What a client is told when the store or the disk failed under its request. */
export function failureOutcome(error: unknown): Outcome {
  if (hasStoreCode(error, 'SESSION_EXPIRED') || hasStoreCode(error, 'CONNECTION_LOSS'))
    return refused(ErrorCode.NOT_CONTROLLER, 'The metadata store is out of reach.')
  return refused(ErrorCode.KAFKA_STORAGE_ERROR, 'The change could not be stored.')
}
