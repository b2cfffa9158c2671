import { ErrorCode } from '../../../protocol/errors.ts'
import {
  controlledShutdownRequest,
  controlledShutdownResponse,
} from '../../../protocol/messages/07-controlled-shutdown.ts'
import { createTopicsRequest, createTopicsResponse } from '../../../protocol/messages/19-create-topics.ts'
import { deleteTopicsRequest, deleteTopicsResponse } from '../../../protocol/messages/20-delete-topics.ts'
import { alterConfigsRequest, alterConfigsResponse } from '../../../protocol/messages/33-alter-configs.ts'
import {
  createPartitionsRequest,
  createPartitionsResponse,
} from '../../../protocol/messages/37-create-partitions.ts'
import { electLeadersRequest, electLeadersResponse } from '../../../protocol/messages/43-elect-leaders.ts'
import {
  incrementalAlterConfigsRequest,
  incrementalAlterConfigsResponse,
} from '../../../protocol/messages/44-incremental-alter-configs.ts'
import {
  alterPartitionRequest,
  alterPartitionResponse,
} from '../../../protocol/messages/56-alter-partition.ts'
import {
  reportReplicasRequest,
  reportReplicasResponse,
} from '../../../protocol/messages/1001-report-replicas.ts'
import { ZERO_UUID } from '../../../protocol/schema.ts'
import type { Decoded, Encodable, MessageSchema } from '../../../protocol/schema.ts'
import type { BrokerConfig } from '../../core/config/broker-config.ts'
import { resolveTopicConfig } from '../../core/config/topic-config.ts'
import type { Proposal, ReplicaReport } from '../../core/controller/controller-types.ts'
import type { Exchange } from '../../wire/broker-link.ts'
import { LinkError } from '../../wire/link-error.ts'
import type { ConfigChange, ConfigResource } from '../changes/config-change.ts'
import type { AlterMode } from '../changes/config-plan.ts'
import { failedCreation } from '../changes/topic-changes.ts'
import type { CreateTopicResult } from '../changes/topic-changes.ts'
import type { NewTopic } from '../changes/topic-plan.ts'
import type { ElectionResult, ProposalAnswers } from '../cluster-duties.ts'
import { refused } from '../layout/outcome.ts'
import type { Outcome } from '../layout/outcome.ts'
import type { ControllerLink } from './controller-link.ts'
import type { WantedChanges } from './wanted-changes.ts'

const CREATE_TOPICS = { request: createTopicsRequest, response: createTopicsResponse, version: 7 } as const
const DELETE_TOPICS = { request: deleteTopicsRequest, response: deleteTopicsResponse, version: 5 } as const
const CREATE_PARTITIONS = {
  request: createPartitionsRequest,
  response: createPartitionsResponse,
  version: 3,
} as const
const ALTER_CONFIGS = { request: alterConfigsRequest, response: alterConfigsResponse, version: 2 } as const
const INCREMENTAL_ALTER_CONFIGS = {
  request: incrementalAlterConfigsRequest,
  response: incrementalAlterConfigsResponse,
  version: 1,
} as const
const ELECT_LEADERS = { request: electLeadersRequest, response: electLeadersResponse, version: 2 } as const
const ALTER_PARTITION = {
  request: alterPartitionRequest,
  response: alterPartitionResponse,
  version: 3,
} as const
const CONTROLLED_SHUTDOWN = {
  request: controlledShutdownRequest,
  response: controlledShutdownResponse,
  version: 3,
} as const
const REPORT_REPLICAS = {
  request: reportReplicasRequest,
  response: reportReplicasResponse,
  version: 0,
} as const

/** A controller is elected in less; who asks longer than that is told to ask again. */
const PATIENCE_MS = 10_000
/** For the work itself, as the request says to the controller. */
const TIMEOUT_MS = 30_000
/** The controller may be just being elected, and a leader asks again anyway. */
const PROPOSE_MS = 1_000

const TOPIC = 2
const BROKER = 4
const OPERATIONS: readonly ConfigChange['operation'][] = ['set', 'delete', 'append', 'subtract']
const PREFERRED = 0
const UNCLEAN = 1

/** Changes that clients ask this broker for, which is not the controller: the same request goes there. */
export class ForwardedChanges implements WantedChanges {
  readonly #admin: ControllerLink
  readonly #isrs: ControllerLink
  readonly #config: () => BrokerConfig

  /** Answers come in the order of the requests, and some take long: so ISRs have a connection of their own. */
  constructor(admin: ControllerLink, isrs: ControllerLink, config: () => BrokerConfig) {
    this.#admin = admin
    this.#isrs = isrs
    this.#config = config
  }

  async createTopics(topics: readonly NewTopic[], validateOnly: boolean): Promise<CreateTopicResult[]> {
    const body = { topics, timeoutMs: TIMEOUT_MS, validateOnly }
    const answer = await this.#ask(CREATE_TOPICS, body)
    if ('errorCode' in answer) return topics.map(({ name }) => failedCreation(name, answer))
    const byName = new Map(answer.topics.map((result) => [result.name, result]))
    return topics.map(({ name, configs }) => {
      const result = byName.get(name)
      if (result === undefined) return failedCreation(name, NO_ANSWER)
      const outcome = outcomeOf(result)
      if (outcome.errorCode !== ErrorCode.NONE) return failedCreation(name, outcome)
      const overrides = new Map(configs.map((each) => [each.name, each.value ?? '']))
      return {
        ...outcome,
        name,
        topicId: result.topicId === ZERO_UUID ? null : result.topicId,
        numPartitions: result.numPartitions,
        replicationFactor: result.replicationFactor,
        config: resolveTopicConfig(overrides, this.#config()),
      }
    })
  }

  async deleteTopic(name: string): Promise<Outcome> {
    const answer = await this.#ask(DELETE_TOPICS, { topics: [], topicNames: [name], timeoutMs: TIMEOUT_MS })
    return 'errorCode' in answer ? answer : outcomeOf(answer.responses[0])
  }

  async createPartitions(
    name: string,
    count: number,
    assignments: readonly (readonly number[])[] | null,
    validateOnly: boolean,
  ): Promise<Outcome> {
    const added = assignments === null ? null : assignments.map((brokerIds) => ({ brokerIds }))
    const body = { topics: [{ name, count, assignments: added }], timeoutMs: TIMEOUT_MS, validateOnly }
    const answer = await this.#ask(CREATE_PARTITIONS, body)
    return 'errorCode' in answer ? answer : outcomeOf(answer.results[0])
  }

  async alterConfigs(
    resource: ConfigResource,
    changes: readonly ConfigChange[],
    mode: AlterMode,
    validateOnly: boolean,
  ): Promise<Outcome> {
    const named =
      resource.kind === 'topic'
        ? { resourceType: TOPIC, resourceName: resource.name }
        : { resourceType: BROKER, resourceName: resource.id === null ? '' : String(resource.id) }
    const configs = changes.map(({ name, operation, value }) => ({
      name,
      configOperation: OPERATIONS.indexOf(operation),
      value,
    }))
    const body = { resources: [{ ...named, configs }], validateOnly }
    const answer = await (mode === 'replace'
      ? this.#ask(ALTER_CONFIGS, body)
      : this.#ask(INCREMENTAL_ALTER_CONFIGS, body))
    return 'errorCode' in answer ? answer : outcomeOf(answer.responses[0])
  }

  async electLeaders(
    type: 'preferred' | 'unclean',
    partitions: readonly { readonly topic: string; readonly index: number }[] | null,
  ): Promise<readonly ElectionResult[] | ErrorCode> {
    const byTopic = new Map<string, number[]>()
    for (const { topic, index } of partitions ?? [])
      byTopic.set(topic, [...(byTopic.get(topic) ?? []), index])
    const topicPartitions =
      partitions === null ? null : [...byTopic].map(([topic, indexes]) => ({ topic, partitions: indexes }))
    const answer = await this.#ask(ELECT_LEADERS, {
      electionType: type === 'preferred' ? PREFERRED : UNCLEAN,
      topicPartitions,
      timeoutMs: TIMEOUT_MS,
    })
    if (!('replicaElectionResults' in answer)) return answer.errorCode
    if (answer.errorCode !== 0) return answer.errorCode as ErrorCode
    return answer.replicaElectionResults.flatMap(({ topic, partitionResult }) =>
      partitionResult.map(({ partitionId, errorCode, errorMessage }) => ({
        topic,
        partition: partitionId,
        errorCode: errorCode as ErrorCode,
        errorMessage,
      })),
    )
  }

  /** Rejects with a LinkError. */
  async alterPartitions(
    brokerId: number,
    brokerEpoch: number,
    proposals: readonly Proposal[],
  ): Promise<ProposalAnswers> {
    const byTopic = new Map<string, Proposal[]>()
    for (const proposal of proposals)
      byTopic.set(proposal.topicId, [...(byTopic.get(proposal.topicId) ?? []), proposal])
    const topics = [...byTopic].map(([topicId, ofTopic]) => ({
      topicId,
      partitions: ofTopic.map(({ index, leaderEpoch, partitionEpoch, isr }) => ({
        partitionIndex: index,
        leaderEpoch,
        newIsrWithEpochs: isr.map(({ id, epoch }) => ({ brokerId: id, brokerEpoch: epoch })),
        // Whoever leads after an unclean election proposes nothing before it recovered.
        leaderRecoveryState: 0,
        partitionEpoch,
      })),
    }))
    const answer = await this.#isrs.ask(ALTER_PARTITION, { brokerId, brokerEpoch, topics }, PROPOSE_MS)
    const codes = new Map<string, number>()
    for (const { topicId, partitions } of answer.topics)
      for (const { partitionIndex, errorCode } of partitions)
        codes.set(`${topicId}/${partitionIndex}`, errorCode)
    return {
      errorCode: answer.errorCode as ErrorCode,
      answers: proposals.map(({ topicId, index }) => ({
        topicId,
        index,
        errorCode: (codes.get(`${topicId}/${index}`) ?? ErrorCode.UNKNOWN_SERVER_ERROR) as ErrorCode,
        state: null,
      })),
    }
  }

  /** NETWORK_EXCEPTION when nobody answered. */
  async controlledShutdown(brokerId: number, brokerEpoch: number): Promise<ErrorCode> {
    try {
      const answer = await this.#admin.ask(CONTROLLED_SHUTDOWN, { brokerId, brokerEpoch }, 0)
      return answer.errorCode as ErrorCode
    } catch (error) {
      if (error instanceof LinkError) return ErrorCode.NETWORK_EXCEPTION
      throw error
    }
  }

  /** NETWORK_EXCEPTION when nobody answered. */
  async replicasReported(brokerId: number, brokerEpoch: number, report: ReplicaReport): Promise<ErrorCode> {
    const damaged = report.damaged.map(({ topicId, index }) => ({ topicId, partitionIndex: index }))
    const logs = report.logs.map(({ index, ...log }) => ({ ...log, partitionIndex: index }))
    try {
      const answer = await this.#isrs.ask(REPORT_REPLICAS, { brokerId, brokerEpoch, damaged, logs }, 0)
      return answer.errorCode as ErrorCode
    } catch (error) {
      if (error instanceof LinkError) return ErrorCode.NETWORK_EXCEPTION
      throw error
    }
  }

  async #ask<Request extends MessageSchema, Response extends MessageSchema>(
    exchange: Exchange<Request, Response>,
    body: Encodable<Request>,
  ): Promise<Decoded<Response> | Outcome> {
    try {
      return await this.#admin.ask(exchange, body, PATIENCE_MS)
    } catch (error) {
      if (!(error instanceof LinkError)) throw error
      const wasNotAsked = error.failure === 'refused' || error.failure === 'unreachable'
      return wasNotAsked ? NO_CONTROLLER : NO_ANSWER
    }
  }
}

const NO_CONTROLLER = refused(ErrorCode.NOT_CONTROLLER, 'The controller cannot be reached now.')
const NO_ANSWER = refused(
  ErrorCode.REQUEST_TIMED_OUT,
  'The controller did not answer: the change may have been made, or not.',
)

function outcomeOf(
  result: { readonly errorCode: number; readonly errorMessage: string | null } | undefined,
): Outcome {
  if (result === undefined) return NO_ANSWER
  return { errorCode: result.errorCode as ErrorCode, errorMessage: result.errorMessage }
}
