import { ErrorCode } from '../../../protocol/errors.ts'
import { resolveTopicConfig, TOPIC_DEFAULT_KEYS } from '../../core/config/topic-config.ts'
import { alterInTurn } from './alteration.ts'
import type { ConfigChange, ConfigResource } from './config-change.ts'
import { planBrokerValues, planTopicValues, tellOfNoEffect } from './config-plan.ts'
import type { AlterMode } from './config-plan.ts'
import type { MetadataState } from '../image/metadata-state.ts'
import { DONE, refused } from '../layout/outcome.ts'
import type { Outcome } from '../layout/outcome.ts'
import { writeConfig } from '../layout/store-steps.ts'
import { unknownTopic } from './topic-changes.ts'
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
    mode: AlterMode,
    validateOnly: boolean,
  ): Promise<Outcome> {
    const { queue, logger } = this.#state
    return alterInTurn(queue, logger, resource, () =>
      resource.kind === 'topic'
        ? this.#alterTopic(resource.name, changes, mode, validateOnly)
        : this.#alterBroker(resource.id, changes, mode, validateOnly),
    )
  }

  async #alterTopic(
    name: string,
    changes: readonly ConfigChange[],
    mode: AlterMode,
    validateOnly: boolean,
  ): Promise<Outcome> {
    const state = this.#state
    const topic = state.image.topics.get(name)
    const held = topic?.config.overrides ?? new Map<string, string>()
    const overrides = planTopicValues(name, held, changes, mode, state)
    if (isOutcome(overrides)) return overrides
    if (topic === undefined) return unknownTopic(name)
    if (validateOnly) return DONE
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
    mode: AlterMode,
    validateOnly: boolean,
  ): Promise<Outcome> {
    const state = this.#state
    if (id !== null && id !== state.self.nodeId)
      return refused(
        ErrorCode.INVALID_REQUEST,
        `Unexpected broker id, expected ${state.self.nodeId}, but received ${id}`,
      )
    const held = { defaults: this.clusterDefaults, own: this.brokerValues }
    const planned = planBrokerValues(held, changes, mode, id === null, state)
    if ('errorCode' in planned) return planned
    const { values, config } = planned
    const before = id === null ? held.defaults : held.own
    if (validateOnly) return DONE
    await writeConfig(state.store, paths.brokerConfig(id === null ? CLUSTER_DEFAULTS : String(id)), values)
    if (id === null) this.clusterDefaults = values
    else this.brokerValues = values
    tellOfNoEffect(state.logger, changes, values)
    const reachesTopics = [...before.keys(), ...values.keys()].some(
      (key) => TOPIC_DEFAULT_KEYS.has(key) && before.get(key) !== values.get(key),
    )
    state.config = config
    const topics = reachesTopics ? state.image.reconfigure(config) : []
    await Promise.all(topics.map(async (topic) => state.listener.onTopicConfigChanged(topic)))
    return DONE
  }
}
