import { ErrorCode } from '../../../protocol/errors.ts'
import type { BrokerConfig } from '../../core/config/broker-config.ts'
import { resolveTopicConfig } from '../../core/config/topic-config.ts'
import type { ControllerCore } from '../../core/controller/controller.ts'
import { isActive } from '../../core/replication/partition-state.ts'
import type { Logger, Random } from '../../ports.ts'
import { alterInTurn } from '../changes/alteration.ts'
import { codecProblem } from '../changes/config-change.ts'
import type { ConfigChange, ConfigResource } from '../changes/config-change.ts'
import { planBrokerValues, planTopicValues, tellOfNoEffect } from '../changes/config-plan.ts'
import type { AlterMode, ConfigRules } from '../changes/config-plan.ts'
import { failedCreation, nameProblem, topicKey, unknownTopic } from '../changes/topic-changes.ts'
import type { CreateTopicResult } from '../changes/topic-changes.ts'
import { isOutcome, planConfigs, planGrowth, planTopic } from '../changes/topic-plan.ts'
import type { Assignment, NewTopic, PlanRules } from '../changes/topic-plan.ts'
import type { ElectionResult } from '../cluster-duties.ts'
import { KeyedQueue } from '../image/keyed-queue.ts'
import type { MetadataImage, PartitionImage } from '../image/metadata-image.ts'
import { DONE, refused } from '../layout/outcome.ts'
import type { Outcome } from '../layout/outcome.ts'
import { writeConfig } from '../layout/store-steps.ts'
import { collisionKey } from '../layout/topic-names.ts'
import { randomUuid } from '../layout/uuid.ts'
import { CLUSTER_DEFAULTS, encodeTopic, paths } from '../layout/znodes.ts'
import type { ControllerDriver } from './controller-driver.ts'
import { EVERY_BROKER, rulesOf } from './controller-load.ts'
import type { WantedChanges } from './wanted-changes.ts'

type Values = ReadonlyMap<string, string>

const NO_VALUES: Values = new Map()
/** What there are not enough brokers for now. */
const MAY_DO_SOON: ReadonlySet<ErrorCode> = new Set([
  ErrorCode.INVALID_REPLICATION_FACTOR,
  ErrorCode.INVALID_REPLICA_ASSIGNMENT,
])
/** ZooKeeper keeps a little more in a node, and hangs up on who brings more than it keeps. */
const MAX_TOPIC_BYTES = 1_000_000

export interface ChangesParts {
  readonly world: { readonly random: Random; readonly logger: Logger }
  /** What this broker knows of the cluster: it may be a moment behind what the core knows. */
  readonly image: MetadataImage
  /** With the dynamic values that hold for this broker. */
  readonly config: () => BrokerConfig
  readonly canCompress: (type: string) => boolean
}

/**
 * Changes that clients ask for, on the active controller: checked here, decided by the core, stored, and answered when all
 * brokers that serve have carried them out.
 */
export class ClusterChanges implements WantedChanges {
  readonly #driver: ControllerDriver
  readonly #parts: ChangesParts
  readonly #queue = new KeyedQueue()
  /** Topics between their check and their publication, by the key names collide under. */
  readonly #creating = new Map<string, string>()
  #creatingPartitions = 0

  constructor(driver: ControllerDriver, parts: ChangesParts) {
    this.#driver = driver
    this.#parts = parts
  }

  createTopics(topics: readonly NewTopic[], validateOnly: boolean): Promise<CreateTopicResult[]> {
    return Promise.all(topics.map((topic) => this.#create(topic, validateOnly)))
  }

  #create(topic: NewTopic, validateOnly: boolean): Promise<CreateTopicResult> {
    return this.#queue.run(topicKey(topic.name), async () => {
      const { image, canCompress, world } = this.#parts
      const config = this.#parts.config()
      const problem = nameProblem(topic.name, image, (key) => this.#creating.get(key))
      if (problem !== null) return failedCreation(topic.name, problem)
      const assignment = await this.#planned(() => planTopic(topic, this.#rules()))
      if (isOutcome(assignment)) return failedCreation(topic.name, assignment)
      const overrides = planConfigs(topic, config)
      if (isOutcome(overrides)) return failedCreation(topic.name, overrides)
      const unwritable = codecProblem(overrides, canCompress)
      if (unwritable !== null) return failedCreation(topic.name, unwritable)
      const topicId = randomUuid(world.random)
      const tooLarge = sizeProblem(topicId, assignment)
      if (tooLarge !== null) return failedCreation(topic.name, tooLarge)
      const created = {
        ...DONE,
        name: topic.name,
        topicId,
        numPartitions: assignment.length,
        replicationFactor: assignment[0]!.length,
        config: resolveTopicConfig(overrides, config),
      }
      if (validateOnly) return created
      const outcome = await this.#make(topic.name, topicId, assignment, overrides)
      return outcome.errorCode === ErrorCode.NONE ? created : failedCreation(topic.name, outcome)
    })
  }

  /** Where a cluster starts, or a broker of it, or one has another session, there are enough in a moment. */
  async #planned(plan: () => Assignment | Outcome): Promise<Assignment | Outcome> {
    const planned = plan()
    if (!isOutcome(planned) || !MAY_DO_SOON.has(planned.errorCode)) return planned
    return (await this.#driver.untilAllServe()) ? plan() : planned
  }

  /** The same, of brokers that do not serve as it turns out. */
  async #made(
    tell: (core: ControllerCore, reply: (errorCode: ErrorCode) => void) => void,
  ): Promise<ErrorCode> {
    const errorCode = await this.#driver.askForCode(tell)
    if (!MAY_DO_SOON.has(errorCode) || !(await this.#driver.untilAllServe())) return errorCode
    return this.#driver.askForCode(tell)
  }

  async #make(
    name: string,
    topicId: string,
    assignment: readonly (readonly number[])[],
    overrides: Values,
  ): Promise<Outcome> {
    const driver = this.#driver
    const key = collisionKey(name)
    this.#creating.set(key, name)
    this.#creatingPartitions += assignment.length
    driver.overrides.set(topicId, overrides)
    const assignments = assignment.map((replicas) => ({ replicas, adding: [], removing: [] }))
    const rules = rulesOf(name, overrides, this.#parts.config(), driver.damaged)
    const errorCode = await this.#made((core, reply) =>
      core.createTopic({ name, topicId, assignments, rules }, reply),
    )
    if (errorCode === ErrorCode.NONE) {
      await driver.carriedOut()
      this.#parts.world.logger.info({ topic: name, topicId, partitions: assignment.length }, 'topic created')
    } else driver.overrides.delete(topicId)
    this.#creating.delete(key)
    this.#creatingPartitions -= assignment.length
    return outcomeOf(errorCode, `Topic '${name}'`)
  }

  createPartitions(
    name: string,
    count: number,
    assignments: readonly (readonly number[])[] | null,
    validateOnly: boolean,
  ): Promise<Outcome> {
    return this.#queue.run(topicKey(name), async () => {
      const topic = this.#parts.image.topics.get(name)
      if (topic === undefined) return { errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, errorMessage: null }
      if (topic.internal)
        return refused(ErrorCode.INVALID_REQUEST, `Topic ${name} is internal and keeps its partitions.`)
      // What the image does not know yet counts, too.
      const known = this.#driver.core.assignmentsOf(topic.topicId) ?? topic.partitions
      const current = known.map(({ replicas }) => replicas)
      const added = await this.#planned(() => planGrowth(current, count, assignments, this.#rules()))
      if (isOutcome(added)) return added
      const tooLarge = sizeProblem(topic.topicId, [...current, ...added])
      if (tooLarge !== null) return tooLarge
      if (validateOnly) return DONE
      const errorCode = await this.#made((core, reply) =>
        core.growTopic(
          topic.topicId,
          added.map((replicas) => ({ replicas, adding: [], removing: [] })),
          reply,
        ),
      )
      if (errorCode === ErrorCode.NONE) await this.#driver.carriedOut()
      return outcomeOf(errorCode, `Topic '${name}'`)
    })
  }

  deleteTopic(name: string): Promise<Outcome> {
    return this.#queue.run(topicKey(name), async () => {
      const topic = this.#parts.image.topics.get(name)
      if (topic === undefined) return unknownTopic(name)
      if (topic.internal)
        return refused(ErrorCode.INVALID_TOPIC_EXCEPTION, `Topic ${name} is internal and cannot be deleted.`)
      const errorCode = await this.#driver.askForCode((core, reply) => core.deleteTopic(topic.topicId, reply))
      // It was deleted already, and this broker has not heard of it yet.
      if (errorCode === ErrorCode.UNKNOWN_TOPIC_ID) return unknownTopic(name)
      if (errorCode === ErrorCode.NONE) await this.#driver.carriedOut()
      this.#parts.world.logger.info({ topic: name, topicId: topic.topicId }, 'topic deleted')
      return outcomeOf(errorCode, `Topic '${name}'`)
    })
  }

  async electLeaders(
    type: 'preferred' | 'unclean',
    partitions: readonly { readonly topic: string; readonly index: number }[] | null,
  ): Promise<readonly ElectionResult[] | ErrorCode> {
    const { image } = this.#parts
    const isNeeded = ({ leader, replicas }: PartitionImage): boolean =>
      type === 'preferred' ? leader !== replicas[0] : leader === -1
    const asked =
      partitions ??
      [...image.topics.values()].flatMap((topic) =>
        topic.partitions.filter(isNeeded).map(({ index }) => ({ topic: topic.name, index })),
      )
    const results = await Promise.all(
      asked.map(async ({ topic, index }) => {
        const topicId = image.topics.get(topic)?.topicId ?? ''
        const errorCode = await this.#driver.askForCode((core, reply) =>
          core.elect(topicId, index, type, reply),
        )
        return { topic, partition: index, errorCode, errorMessage: null }
      }),
    )
    await this.#driver.carriedOut()
    return results.some(({ errorCode }) => errorCode === ErrorCode.NOT_CONTROLLER)
      ? ErrorCode.NOT_CONTROLLER
      : results
  }

  alterConfigs(
    resource: ConfigResource,
    changes: readonly ConfigChange[],
    mode: AlterMode,
    validateOnly: boolean,
  ): Promise<Outcome> {
    return alterInTurn(this.#queue, this.#parts.world.logger, resource, () =>
      resource.kind === 'topic'
        ? this.#alterTopic(resource.name, changes, mode, validateOnly)
        : this.#alterBroker(resource.id ?? EVERY_BROKER, changes, mode, validateOnly),
    )
  }

  async #alterTopic(
    name: string,
    changes: readonly ConfigChange[],
    mode: AlterMode,
    validateOnly: boolean,
  ): Promise<Outcome> {
    const driver = this.#driver
    const topic = this.#parts.image.topics.get(name)
    const held = driver.overrides.get(topic?.topicId ?? '') ?? NO_VALUES
    const overrides = planTopicValues(name, held, changes, mode, this.#configRules())
    if (isOutcome(overrides)) return overrides
    if (topic === undefined) return unknownTopic(name)
    const damage = this.#refusalOf(paths.topicConfig(name))
    if (damage !== null) return damage
    if (validateOnly) return DONE
    await writeConfig(driver.store, paths.topicConfig(name), overrides)
    if (driver.isOver) return outcomeOf(ErrorCode.NOT_CONTROLLER, name)
    driver.overrides.set(topic.topicId, overrides)
    driver.rulesChanged(name, this.#parts.config())
    await driver.carriedOut()
    return DONE
  }

  async #alterBroker(
    id: number,
    changes: readonly ConfigChange[],
    mode: AlterMode,
    validateOnly: boolean,
  ): Promise<Outcome> {
    const driver = this.#driver
    const nodeId = this.#parts.config()['broker.id']
    if (id !== EVERY_BROKER && !this.#parts.image.brokers.has(id))
      return refused(ErrorCode.INVALID_REQUEST, `Broker ${id} is not registered.`)
    const held = {
      defaults: driver.configs.get(EVERY_BROKER) ?? NO_VALUES,
      own: driver.configs.get(id === EVERY_BROKER ? nodeId : id) ?? NO_VALUES,
    }
    const planned = planBrokerValues(held, changes, mode, id === EVERY_BROKER, this.#configRules())
    if ('errorCode' in planned) return planned
    const name = id === EVERY_BROKER ? CLUSTER_DEFAULTS : String(id)
    const path = paths.brokerConfig(name)
    const damage = this.#refusalOf(path)
    if (damage !== null) return damage
    if (validateOnly) return DONE
    const { values } = planned
    await writeConfig(driver.store, path, values)
    // Who is controller by now may have read what was there before.
    if (driver.isOver) return outcomeOf(ErrorCode.NOT_CONTROLLER, name)
    driver.configs.set(id, values)
    tellOfNoEffect(this.#parts.world.logger, changes, values)
    driver.act((core) => core.configChanged(id, values))
    // What topics do not say themselves may mean something else now.
    if (id === EVERY_BROKER) driver.rulesChanged(null, planned.config)
    await driver.carriedOut()
    return DONE
  }

  /** Of what cannot be read nobody knows what a change would leave of it. */
  #refusalOf(path: string): Outcome | null {
    const damage = this.#driver.damaged.of(path)
    if (damage === undefined) return null
    const message = `${path} in ZooKeeper cannot be read (${damage.reason}): repair or remove it first.`
    return refused(ErrorCode.INVALID_CONFIG, message)
  }

  #configRules(): ConfigRules {
    return { config: this.#parts.config(), canCompress: this.#parts.canCompress }
  }

  #rules(): PlanRules {
    const { image, world } = this.#parts
    const config = this.#parts.config()
    const brokers = [...image.brokers.values()].filter((broker) => isActive(broker))
    return {
      brokers,
      registered: new Set(image.brokers.keys()),
      start: brokers.length === 0 ? 0 : world.random.uint32() % brokers.length,
      defaultPartitions: config['num.partitions'],
      defaultReplicationFactor: config['default.replication.factor'],
      partitionsLeft: config['samsa.max.partitions'] - image.partitionCount - this.#creatingPartitions,
      limitedBy: 'samsa.max.partitions',
    }
  }
}

/** What the store refused would end the term of the controller, and of the next one that is asked. */
function sizeProblem(topicId: string, assignment: readonly (readonly number[])[]): Outcome | null {
  if (encodeTopic(topicId, assignment).length <= MAX_TOPIC_BYTES) return null
  return refused(
    ErrorCode.POLICY_VIOLATION,
    `${assignment.length} partitions with these replicas are more than one topic can have: its node in ZooKeeper would be larger than ${MAX_TOPIC_BYTES} bytes.`,
  )
}

function outcomeOf(errorCode: ErrorCode, what: string): Outcome {
  switch (errorCode) {
    case ErrorCode.NONE:
      return DONE
    case ErrorCode.TOPIC_ALREADY_EXISTS:
      return refused(errorCode, `${what} already exists.`)
    case ErrorCode.NOT_CONTROLLER:
      return refused(errorCode, 'This broker is not the controller any more.')
    case ErrorCode.INVALID_REPLICA_ASSIGNMENT:
      return refused(errorCode, `${what}: no replica of one of its partitions serves now.`)
    default:
      return refused(errorCode, `${what} cannot be changed now.`)
  }
}
