/** What a request to change a configuration comes to, before anything is written. */
import { ErrorCode } from '../../../protocol/errors.ts'
import { brokerConfigProblem, brokerDefinition } from '../../core/config/broker-config.ts'
import type { BrokerConfig } from '../../core/config/broker-config.ts'
import { splitList } from '../../core/config/definition.ts'
import type { ConfigDefinition } from '../../core/config/definition.ts'
import { isSecurityKey } from '../../core/config/keys-without-effect.ts'
import { topicConfigProblem, topicDefinition } from '../../core/config/topic-config.ts'
import { refused } from '../layout/outcome.ts'
import type { Outcome } from '../layout/outcome.ts'

export interface ConfigChange {
  readonly name: string
  readonly operation: 'set' | 'delete' | 'append' | 'subtract'
  readonly value: string | null
}

/** A configuration that can be changed. `broker` null: the dynamic values of all brokers. */
export type ConfigResource =
  | { readonly kind: 'topic'; readonly name: string }
  | { readonly kind: 'broker'; readonly id: number | null }

type Values = ReadonlyMap<string, string>

/** Names and values of keys that nobody knows are kept: for plug-ins of Kafka, not for files of a client. */
const MAX_RESOURCE_BYTES = 262_144
/** Far more than there are keys. */
const MAX_CHANGES = 1_000
/** What a string in an answer can carry, and every value must fit into the answer of DescribeConfigs. */
const MAX_VALUE_BYTES = 32_767

/** `current` after the changes, or why not. `inherited` is what APPEND and SUBTRACT start from where nothing is set. */
export function changedValues(
  current: Values,
  changes: readonly ConfigChange[],
  definitionOf: (name: string) => ConfigDefinition<unknown> | undefined,
  inherited: (name: string) => string,
): Values | Outcome {
  if (changes.length > MAX_CHANGES)
    return refused(ErrorCode.INVALID_REQUEST, `More than ${MAX_CHANGES} changes of one resource.`)
  const next = new Map(current)
  const seen = new Set<string>()
  for (const { name, operation, value } of changes) {
    if (seen.has(name))
      return refused(ErrorCode.INVALID_REQUEST, `Error due to duplicate config keys: ${name}`)
    seen.add(name)
    if (operation === 'delete') {
      next.delete(name)
      continue
    }
    if (value === null) return refused(ErrorCode.INVALID_REQUEST, `Null value not supported for : ${name}`)
    if (operation !== 'set' && definitionOf(name)?.type !== 'LIST')
      return refused(
        ErrorCode.INVALID_CONFIG,
        `Can't ${operation.toUpperCase()} to key ${name} because its type is not LIST.`,
      )
    const changed =
      operation === 'set'
        ? value
        : changedList(splitList(next.get(name) ?? inherited(name)), operation, splitList(value))
    if (Buffer.byteLength(changed) > MAX_VALUE_BYTES)
      return refused(ErrorCode.INVALID_CONFIG, `${name} would be longer than ${MAX_VALUE_BYTES} bytes.`)
    next.set(name, changed)
  }
  return next
}

function changedList(
  elements: readonly string[],
  operation: 'append' | 'subtract',
  changed: readonly string[],
): string {
  const known = new Set(operation === 'append' ? elements : changed)
  const kept =
    operation === 'append'
      ? [...elements, ...changed.filter((element) => !known.has(element))]
      : elements.filter((element) => !known.has(element))
  return kept.join(',')
}

/** The optional packages that write it where Node.js itself does not. */
const WRITERS: ReadonlyMap<string, string> = new Map([
  ['lz4', 'lz4-napi'],
  ['zstd', '@toondepauw/node-zstd'],
])

/** Why a compression.type cannot be had, and what mends it. */
export function nothingWrites(type: string): string {
  const remedy = WRITERS.get(type.trim())
  const advice = remedy === undefined ? '' : `, for want of the optional package ${remedy}`
  return `compression.type=${type}: nothing on this machine writes ${type}${advice}`
}

/** Null when what the values want to be compressed with can be written on this machine. */
export function codecProblem(values: Values, canCompress: (type: string) => boolean): Outcome | null {
  const type = values.get('compression.type')
  if (type === undefined || canCompress(type.trim())) return null
  return refused(ErrorCode.INVALID_CONFIG, nothingWrites(type))
}

/** Null when the values may be a topic's overrides. */
export function topicValuesProblem(values: Values, broker: BrokerConfig): Outcome | null {
  const problem = topicConfigProblem(values, broker)
  return problem === null ? null : refused(ErrorCode.INVALID_CONFIG, problem)
}

/**
 * Null when the values may be set dynamically, for one broker or (`everywhere`) for all of them. Keys that nobody knows
 * are kept, as in Kafka; a client that sets up encryption or logins must not think that it did.
 */
export function brokerValuesProblem(values: Values, everywhere: boolean): Outcome | null {
  let sizeBytes = 0
  for (const [name, value] of values) {
    sizeBytes += Buffer.byteLength(name) + Buffer.byteLength(value)
    const definition = brokerDefinition(name)
    if (definition?.update === 'read-only' || isSecurityKey(name))
      return refused(ErrorCode.INVALID_REQUEST, `Cannot update these configs dynamically: [${name}]`)
    if (everywhere && definition?.update === 'per-broker')
      return refused(
        ErrorCode.INVALID_REQUEST,
        `Cannot update these configs at default cluster level, broker id must be specified: [${name}]`,
      )
    const problem = brokerConfigProblem(name, value)
    if (problem !== null) return refused(ErrorCode.INVALID_REQUEST, problem)
  }
  if (sizeBytes > MAX_RESOURCE_BYTES)
    return refused(
      ErrorCode.POLICY_VIOLATION,
      `The configuration would be larger than ${MAX_RESOURCE_BYTES} bytes.`,
    )
  return null
}

/** The values in Kafka's spelling (`TRUE` becomes `true`). They are known to be allowed. */
export function normalized(values: Values, kind: ConfigResource['kind']): Map<string, string> {
  const definitionOf = kind === 'topic' ? topicDefinition : brokerDefinition
  return new Map(
    [...values].map(([name, value]) => [name, definitionOf(name)?.read(value.trim())?.text ?? value]),
  )
}
