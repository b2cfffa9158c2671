/** What a request to change a configuration makes of it: the values there are then, or why not. */
import { ErrorCode } from '../../../protocol/errors.ts'
import { brokerDefaultText, brokerDefinition } from '../../core/config/broker-config.ts'
import type { BrokerConfig } from '../../core/config/broker-config.ts'
import { withStoredConfig } from '../../core/config/held-config.ts'
import { reasonWithoutEffect } from '../../core/config/keys-without-effect.ts'
import { topicDefinition, topicSetting } from '../../core/config/topic-config.ts'
import { SamsaError } from '../../core/samsa-error.ts'
import type { Logger } from '../../ports.ts'
import { refused } from '../layout/outcome.ts'
import type { Outcome } from '../layout/outcome.ts'
import { topicNameProblem } from '../layout/topic-names.ts'
import {
  brokerValuesProblem,
  changedValues,
  codecProblem,
  normalized,
  topicValuesProblem,
} from './config-change.ts'
import type { ConfigChange } from './config-change.ts'
import { isOutcome } from './topic-plan.ts'

type Values = ReadonlyMap<string, string>

/** `replace`: the changes are all there is afterwards. */
export type AlterMode = 'incremental' | 'replace'

export interface ConfigRules {
  readonly config: BrokerConfig
  /** Whether batches can be written with this `compression.type`. */
  readonly canCompress: (type: string) => boolean
}

/** Overrides of a topic. `held`: what it has now. */
export function planTopicValues(
  name: string,
  held: Values,
  changes: readonly ConfigChange[],
  mode: AlterMode,
  { config, canCompress }: ConfigRules,
): Values | Outcome {
  if (name === '') return refused(ErrorCode.INVALID_REQUEST, 'Default topic resources are not allowed.')
  const badName = topicNameProblem(name)
  if (badName !== null) return refused(ErrorCode.INVALID_TOPIC_EXCEPTION, badName)
  const current = mode === 'replace' ? new Map<string, string>() : held
  const inherited = (key: string): string =>
    topicSetting(key, new Map(), config)?.effectiveText ?? topicDefinition(key)?.defaultText ?? ''
  const changed = changedValues(current, changes, topicDefinition, inherited)
  if (isOutcome(changed)) return changed
  const problem = topicValuesProblem(changed, config) ?? codecProblem(changed, canCompress)
  return problem ?? normalized(changed, 'topic')
}

/** Dynamic values of all brokers, and of one of them. */
export interface BrokerValues {
  readonly defaults: Values
  readonly own: Values
}

/** `everywhere`: the values of all brokers change, else those of the one. */
export function planBrokerValues(
  held: BrokerValues,
  changes: readonly ConfigChange[],
  mode: AlterMode,
  everywhere: boolean,
  { config, canCompress }: ConfigRules,
): { readonly values: Values; readonly config: BrokerConfig } | Outcome {
  const before = everywhere ? held.defaults : held.own
  const current = mode === 'replace' ? new Map<string, string>() : before
  const inherited = (key: string): string =>
    config.settings.get(key)?.[0]?.text ?? brokerDefaultText(key, config) ?? ''
  const changed = changedValues(current, changes, brokerDefinition, inherited)
  if (isOutcome(changed)) return changed
  const problem = brokerValuesProblem(changed, everywhere) ?? codecProblem(changed, canCompress)
  if (problem !== null) return problem
  const values = normalized(changed, 'broker')
  const [defaults, own] = everywhere ? [values, held.own] : [held.defaults, values]
  try {
    return { values, config: withStoredConfig(config, defaults, own).config }
  } catch (error) {
    if (error instanceof SamsaError) return refused(ErrorCode.INVALID_REQUEST, error.message)
    throw error
  }
}

/** As at the start for those of files. */
export function tellOfNoEffect(logger: Logger, changes: readonly ConfigChange[], values: Values): void {
  for (const { name } of changes) {
    if (!values.has(name)) continue
    const reason =
      brokerDefinition(name) === undefined
        ? 'neither Kafka nor this broker knows it'
        : reasonWithoutEffect(name)
    if (reason !== undefined)
      logger.warn({ key: name, reason }, 'a configuration was set that has no effect here')
  }
}
