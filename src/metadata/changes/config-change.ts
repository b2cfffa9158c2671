/** What a request to change a configuration comes to, before anything is written. */
import { ErrorCode } from '../../../protocol/errors.ts'
import { brokerConfigProblem, brokerDefinition } from '../../core/config/broker-config.ts'
import { splitList } from '../../core/config/definition.ts'
import type { ConfigDefinition } from '../../core/config/definition.ts'
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
    if (operation === 'set') {
      next.set(name, value)
      continue
    }
    if (definitionOf(name)?.type !== 'LIST')
      return refused(
        ErrorCode.INVALID_CONFIG,
        `Can't ${operation} to key ${name} because its type is not LIST.`,
      )
    const list = changedList(splitList(next.get(name) ?? inherited(name)), operation, splitList(value))
    if (Buffer.byteLength(list) > MAX_VALUE_BYTES)
      return refused(ErrorCode.INVALID_CONFIG, `${name} would be longer than ${MAX_VALUE_BYTES} bytes.`)
    next.set(name, list)
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

/** Null when the values may be a topic's overrides. */
export function topicValuesProblem(values: Values): Outcome | null {
  const problem = topicConfigProblem(values)
  return problem === null ? null : refused(ErrorCode.INVALID_CONFIG, problem)
}

/** Null when the values may be set dynamically, for one broker or (`everywhere`) for all of them. */
export function brokerValuesProblem(values: Values, everywhere: boolean): Outcome | null {
  for (const [name, value] of values) {
    const definition = brokerDefinition(name)
    if (definition === undefined)
      return refused(ErrorCode.INVALID_CONFIG, `Unknown broker configuration ${name}.`)
    if (definition.update === 'read-only' || (everywhere && definition.update === 'per-broker'))
      return refused(ErrorCode.INVALID_REQUEST, `Cannot update these configs dynamically: ${name}`)
    const problem = brokerConfigProblem(name, value)
    if (problem !== null) return refused(ErrorCode.INVALID_CONFIG, problem)
  }
  return null
}

/** The values in Kafka's spelling (`TRUE` becomes `true`). They are known to be allowed. */
export function normalized(values: Values, kind: ConfigResource['kind']): Map<string, string> {
  const definitionOf = kind === 'topic' ? topicDefinition : brokerDefinition
  return new Map(
    [...values].map(([name, value]) => [name, definitionOf(name)?.read(value.trim())?.text ?? value]),
  )
}
