/** Why bytes could not be decompressed. The caller turns it into an error code. */
export type CompressionFailure = 'invalid' | 'too-large' | 'unsupported'

export class CompressionError extends Error {
  readonly reason: CompressionFailure

  constructor(reason: CompressionFailure, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'CompressionError'
    this.reason = reason
  }
}
