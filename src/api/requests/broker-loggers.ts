/** The log of this broker as a resource of the configuration APIs (KIP-412): one logger, whose level may change. */
import { ErrorCode } from '../../../protocol/errors.ts'
import type { Broker } from '../../broker/broker.ts'
import type { DescribedConfig } from '../../core/config/describe-config.ts'
import type { ConfigChange } from '../../metadata/changes/config-change.ts'
import { DONE, refused } from '../../metadata/layout/outcome.ts'
import type { Outcome } from '../../metadata/layout/outcome.ts'
import type { LogThreshold } from '../../ports.ts'
import { brokerIdOf } from './config-resources.ts'

const ROOT = 'root'

type Level = LogThreshold['level']

/** Kafka's names of weights. Ours are fewer, and no client may hide errors. */
const LEVELS: ReadonlyMap<string, Level> = new Map([
  ['TRACE', 'debug'],
  ['DEBUG', 'debug'],
  ['INFO', 'info'],
  ['WARN', 'warn'],
  ['ERROR', 'error'],
  ['FATAL', 'error'],
])

const NAMES: Readonly<Record<Level, string>> = {
  debug: 'DEBUG',
  info: 'INFO',
  warn: 'WARN',
  error: 'ERROR',
}

export function describeLoggers(name: string, broker: Broker): readonly DescribedConfig[] | Outcome {
  if (name === '') return refused(ErrorCode.INVALID_REQUEST, 'Broker id must not be empty')
  const id = brokerIdOf(name)
  if (id === null)
    return refused(ErrorCode.INVALID_REQUEST, `Broker id must be an integer, but it is: ${name}`)
  if (id !== broker.metadata.nodeId)
    return refused(
      ErrorCode.INVALID_REQUEST,
      `Unexpected broker id, expected ${broker.metadata.nodeId} but received ${name}`,
    )
  const { threshold } = broker.logger
  return threshold === undefined ? WITHOUT_LOG : [root(threshold)]
}

const WITHOUT_LOG = refused(ErrorCode.INVALID_REQUEST, 'This broker writes no log.')

function root(threshold: LogThreshold): DescribedConfig {
  return {
    name: ROOT,
    value: NAMES[threshold.level],
    source: 'DYNAMIC_BROKER_LOGGER_CONFIG',
    readOnly: false,
    sensitive: false,
    type: 'UNKNOWN',
    documentation: 'Lines of less weight are not written, until the broker starts again.',
    synonyms: [],
  }
}

/** Until the broker starts again, as in Kafka. */
export function alterLoggers(
  name: string,
  changes: readonly ConfigChange[],
  validateOnly: boolean,
  broker: Broker,
): Outcome {
  const id = brokerIdOf(name)
  if (id === null) return refused(ErrorCode.INVALID_REQUEST, `Node id must be an integer, but it is: ${name}`)
  if (id !== broker.metadata.nodeId)
    return refused(
      ErrorCode.INVALID_REQUEST,
      `Unexpected node id. Expected ${broker.metadata.nodeId}, but received ${name}`,
    )
  const { threshold } = broker.logger
  if (threshold === undefined) return WITHOUT_LOG
  let { level } = threshold
  for (const change of changes) {
    const wanted = levelOf(change)
    if (typeof wanted !== 'string') return wanted
    level = wanted
  }
  if (validateOnly) return DONE
  if (level !== threshold.level) {
    const before = threshold.level
    // Told under both levels, whichever they are.
    broker.logger.error({ before, after: level }, 'a client changed the level of this log')
    threshold.level = level
  }
  return DONE
}

function levelOf({ name, operation, value }: ConfigChange): Level | Outcome {
  if (operation === 'append' || operation === 'subtract')
    return refused(
      ErrorCode.INVALID_REQUEST,
      `${operation.toUpperCase()} operation is not allowed for the BROKER_LOGGER resource`,
    )
  if (operation === 'delete' && name === ROOT)
    return refused(ErrorCode.INVALID_REQUEST, 'Removing the log level of the root logger is not allowed')
  if (operation === 'set' && value === null)
    return refused(ErrorCode.INVALID_REQUEST, `Null value not supported for : ${name}`)
  if (name !== ROOT) return refused(ErrorCode.INVALID_CONFIG, `Logger ${name} does not exist!`)
  return (
    LEVELS.get(value ?? '') ??
    refused(
      ErrorCode.INVALID_CONFIG,
      `Cannot set the log level of ${name} to ${value} as it is not a supported log level. Valid log levels are ${[...LEVELS.keys()].toSorted().join(', ')}`,
    )
  )
}
