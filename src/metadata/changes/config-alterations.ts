import { ErrorCode } from '../../../protocol/errors.ts'
import { brokerDefaultText, brokerDefinition } from '../../core/config/broker-config.ts'
import { withStoredConfig } from '../../core/config/held-config.ts'
import { reasonWithoutEffect } from '../../core/config/keys-without-effect.ts'
import {
  resolveTopicConfig,
  TOPIC_DEFAULT_KEYS,
  topicDefinition,
  topicSetting,
} from '../../core/config/topic-config.ts'
import { SamsaError } from '../../core/samsa-error.ts'
import {
  brokerValuesProblem,
  changedValues,
  codecProblem,
  normalized,
  topicValuesProblem,
} from './config-change.ts'
import type { ConfigChange, ConfigResource } from './config-change.ts'
import type { MetadataState } from '../image/metadata-state.ts'
import { DONE, failureOutcome, refused } from '../layout/outcome.ts'
import type { Outcome } from '../layout/outcome.ts'
import { writeConfig } from '../layout/store-steps.ts'
import { topicNameProblem } from '../layout/topic-names.ts'
import { topicKey, unknownTopic } from './topic-changes.ts'
import { isOutcome } from './topic-plan.ts'
import { CLUSTER_DEFAULTS, paths } from '../layout/znodes.ts'

type Values = ReadonlyMap<string, string>

/** Changes of topic overrides and of the brokers' dynamic values. */
export class ConfigAlterations {
  /** Dynamic values of all brokers, and of this one. */
  clusterDefaults: Values
  brokerValues: Values
  readonly #state: MetadataState

  constructor(state: MetadataState, clusterDefaults: Values, brokerValues: Values) {
    this.#state = state
    this.clusterDefaults = clusterDefaults
    this.brokerValues = brokerValues
  }

  /** `replace`: the changes are all there is afterwards. */
  alter(
    resource: ConfigResource,
    changes: readonly ConfigChange[],
    mode: 'incremental' | 'replace',
    validateOnly: boolean,
  ): Promise<Outcome> {
    const work = async (): Promise<Outcome> => {
      try {
        return resource.kind === 'topic'
          ? await this.#alterTopic(resource.name, changes, mode, validateOnly)
          : await this.#alterBroker(resource.id, changes, mode, validateOnly)
      } catch (error) {
        this.#state.logger.error({ error, resource }, 'a configuration could not be changed')
        return failureOutcome(error)
      }
    }
    return this.#state.queue.run(resource.kind === 'topic' ? topicKey(resource.name) : 'brokers', work)
  }

  async #alterTopic(
    name: string,
    changes: readonly ConfigChange[],
    mode: 'incremental' | 'replace',
    validateOnly: boolean,
  ): Promise<Outcome> {
    const state = this.#state
    if (name === '') return refused(ErrorCode.INVALID_REQUEST, 'Default topic resources are not allowed.')
    const badName = topicNameProblem(name)
    if (badName !== null) return refused(ErrorCode.INVALID_TOPIC_EXCEPTION, badName)
    const topic = state.image.topics.get(name)
    const held = topic?.config.overrides ?? new Map<string, string>()
    const current = mode === 'replace' ? new Map<string, string>() : held
    const inherited = (key: string): string =>
      topicSetting(key, new Map(), state.config)?.effectiveText ?? topicDefinition(key)?.defaultText ?? ''
    const changed = changedValues(current, changes, topicDefinition, inherited)
    if (isOutcome(changed)) return changed
    const problem = topicValuesProblem(changed, state.config) ?? codecProblem(changed, state.canCompress)
    if (problem !== null) return problem
    if (topic === undefined) return unknownTopic(name)
    if (validateOnly) return DONE
    const overrides = normalized(changed, 'topic')
    await writeConfig(state.store, paths.topicConfig(name), overrides)
    // The topic may have been resolved again under another broker configuration meanwhile, but not changed otherwise.
    const next = { ...state.image.topics.get(name)!, config: resolveTopicConfig(overrides, state.config) }
    state.image.put(next)
    state.tellOfNoEffect(
      name,
      changes.map((change) => change.name).filter((key) => overrides.has(key)),
    )
    await state.listener.onTopicConfigChanged(next)
    return DONE
  }

  async #alterBroker(
    id: number | null,
    changes: readonly ConfigChange[],
    mode: 'incremental' | 'replace',
    validateOnly: boolean,
  ): Promise<Outcome> {
    const state = this.#state
    if (id !== null && id !== state.self.nodeId)
      return refused(
        ErrorCode.INVALID_REQUEST,
        `Unexpected broker id, expected ${state.self.nodeId}, but received ${id}`,
      )
    const held = id === null ? this.clusterDefaults : this.brokerValues
    const current = mode === 'replace' ? new Map<string, string>() : held
    const inherited = (key: string): string =>
      state.config.settings.get(key)?.[0]?.text ?? brokerDefaultText(key, state.config) ?? ''
    const changed = changedValues(current, changes, brokerDefinition, inherited)
    if (isOutcome(changed)) return changed
    const problem = brokerValuesProblem(changed, id === null) ?? codecProblem(changed, state.canCompress)
    if (problem !== null) return problem
    const values = normalized(changed, 'broker')
    const [defaults, own] = id === null ? [values, this.brokerValues] : [this.clusterDefaults, values]
    let config
    try {
      config = withStoredConfig(state.config, defaults, own).config
    } catch (error) {
      if (error instanceof SamsaError) return refused(ErrorCode.INVALID_REQUEST, error.message)
      throw error
    }
    if (validateOnly) return DONE
    await writeConfig(state.store, paths.brokerConfig(id === null ? CLUSTER_DEFAULTS : String(id)), values)
    this.clusterDefaults = defaults
    this.brokerValues = own
    this.#tellOfNoEffect(changes, values)
    const reachesTopics = [...held.keys(), ...values.keys()].some(
      (key) => TOPIC_DEFAULT_KEYS.has(key) && held.get(key) !== values.get(key),
    )
    state.config = config
    const topics = reachesTopics ? state.image.reconfigure(config) : []
    await Promise.all(topics.map(async (topic) => state.listener.onTopicConfigChanged(topic)))
    return DONE
  }
  /** As at the start for those of files. */
  #tellOfNoEffect(changes: readonly ConfigChange[], values: Values): void {
    for (const { name } of changes) {
      if (!values.has(name)) continue
      const reason =
        brokerDefinition(name) === undefined
          ? 'neither Kafka nor this broker knows it'
          : reasonWithoutEffect(name)
      if (reason !== undefined)
        this.#state.logger.warn({ key: name, reason }, 'a configuration was set that has no effect here')
    }
  }
}
