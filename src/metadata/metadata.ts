import type { ErrorCode } from '../../protocol/errors.ts'
import type { BrokerConfig } from '../core/config/broker-config.ts'
import type { ConfigChange, ConfigResource } from './changes/config-change.ts'
import type { CreateTopicResult } from './changes/topic-changes.ts'
import type { NewTopic } from './changes/topic-plan.ts'
import type { ClusterDuties } from './cluster-duties.ts'
import type { BrokerImage, TopicImage } from './image/metadata-image.ts'
import type { Outcome } from './layout/outcome.ts'

/**
 * Topics, configurations and ids, as the other parts of a broker see them: what it knows of the cluster, and who to ask for
 * changes.
 *
 * Reading is synchronous. A change is answered when it is stored, and carried out wherever it must be. Nothing here throws
 * for what a client asked; outcomes carry error codes.
 */
export interface Metadata {
  readonly clusterId: string
  readonly nodeId: number
  /** Grows each time a broker registers under this id, also when it does so again in a new session. */
  readonly brokerEpoch: number
  /** The configuration with its dynamic values. */
  readonly config: BrokerConfig
  /** By name. */
  readonly topics: ReadonlyMap<string, TopicImage>
  /** By id, also those that do not serve now. */
  readonly brokers: ReadonlyMap<number, BrokerImage>
  /** -1: none that is known. */
  readonly controllerId: number
  readonly partitionCount: number
  /** Dynamic values that hold for every broker. */
  readonly clusterDefaults: ReadonlyMap<string, string>
  /** Dynamic values of this broker. */
  readonly brokerValues: ReadonlyMap<string, string>
  /** Null where one broker is all there is. */
  readonly cluster: ClusterDuties | null

  topicById(topicId: string): TopicImage | undefined
  /**
   * One result per topic, in order. Names that appear twice are refused before this is called. `forBroker`: another broker
   * asks, which may want internal topics, too.
   */
  createTopics(
    topics: readonly NewTopic[],
    validateOnly: boolean,
    forBroker?: boolean,
  ): Promise<CreateTopicResult[]>
  /** Resolves to an error code: 0 when the topic exists now and has its leader. */
  autoCreateTopic(name: string): Promise<ErrorCode>
  /** Grows a topic to `count` partitions. `assignments`: replicas of each new partition, null to choose them here. */
  createPartitions(
    name: string,
    count: number,
    assignments: readonly (readonly number[])[] | null,
    validateOnly: boolean,
  ): Promise<Outcome>
  deleteTopic(name: string): Promise<Outcome>
  incrementalAlterConfigs(
    resource: ConfigResource,
    changes: readonly ConfigChange[],
    validateOnly: boolean,
  ): Promise<Outcome>
  /** The values become the whole configuration of the resource. */
  replaceConfigs(
    resource: ConfigResource,
    values: readonly { readonly name: string; readonly value: string | null }[],
    validateOnly: boolean,
  ): Promise<Outcome>
  /** A producer id that was never given out before. Rejects when the store does. */
  nextProducerId(): Promise<number>
  /** Waits for the changes under way, then ends the session with the store. */
  close(): Promise<void>
}
