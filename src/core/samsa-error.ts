/**
 * Operating errors: something in the world went wrong, and whoever reads the log needs a stable name for it.
 * Protocol errors are values (`protocol/errors.ts`) and are never thrown across a room; broken invariants assert.
 */
export type SamsaErrorCode =
  | 'SAMSA_CONFIG'
  | 'SAMSA_DATA_DIR_LOCKED'
  | 'SAMSA_DISK_IO'
  | 'SAMSA_LISTEN'
  | 'SAMSA_LOG_CORRUPT'
  | 'SAMSA_METADATA_STORE'
  | 'SAMSA_STOPPED'

export class SamsaError extends Error {
  readonly code: SamsaErrorCode

  constructor(code: SamsaErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'SamsaError'
    this.code = code
  }
}
