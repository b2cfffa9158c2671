import type { ErrorName } from '../../protocol/errors.ts'

/**
 * Operating errors: something in the world went wrong, and whoever reads the log needs a stable name for it.
 * Protocol errors are values (`protocol/errors.ts`) and are never thrown across a room; broken invariants assert.
 */
export type SamsaErrorCode =
  /** An option, a topic to create or a configuration key that cannot be; the message says which, and what may be. */
  | 'SAMSA_CONFIG'
  /** Another process, or another broker of this one, has the data directory. */
  | 'SAMSA_DATA_DIR_LOCKED'
  /** A disk, a directory or a file does not do what it should. */
  | 'SAMSA_DISK_IO'
  /** A port cannot be opened. */
  | 'SAMSA_LISTEN'
  /** Files of a log that no broker left like this. */
  | 'SAMSA_LOG_CORRUPT'
  /** What keeps topics and configurations is damaged or out of reach. */
  | 'SAMSA_METADATA_STORE'
  /** The broker refuses what was asked for, as it would refuse a client; `kafkaError` has Kafka's name of the reason. */
  | 'SAMSA_REFUSED'
  /** The broker was stopped. */
  | 'SAMSA_STOPPED'
  /** The npm package `zookeeper` is missing, or was built for another Node.js; the message has the command that mends it. */
  | 'SAMSA_ZOOKEEPER_CLIENT'

/** Every error that is thrown to the program a broker runs in. `cause` is what went wrong below, where there is such. */
export class SamsaError extends Error {
  /** The kind of error; stays the same between versions. */
  readonly code: SamsaErrorCode
  /** Kafka's name of the error (TOPIC_ALREADY_EXISTS), where it is one of those that clients get; else null. */
  readonly kafkaError: ErrorName | null

  constructor(code: SamsaErrorCode, message: string, cause?: unknown, kafkaError: ErrorName | null = null) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'SamsaError'
    this.code = code
    this.kafkaError = kafkaError
  }
}
