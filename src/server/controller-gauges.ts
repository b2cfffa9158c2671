import { isActive } from '../core/replication/partition-state.ts'
import type { PartitionImage } from '../metadata/image/metadata-image.ts'
import type { Metadata } from '../metadata/metadata.ts'
import type { Metrics } from '../ports.ts'

/**
 * Figures of the cluster that Kafka's controller gives. Those of partitions and brokers are 0 elsewhere, so that the sum over
 * all brokers is right. `offlineHere`: partitions of a dead disk, where one broker is the cluster.
 */
export function registerControllerGauges(
  metrics: Metrics,
  metadata: Metadata,
  offlineHere: () => number,
): void {
  const gauge = (name: string, help: string, read: () => number): void =>
    metrics.gauge(`kafka_controller_kafkacontroller_${name}`, help, () => [{ value: read() }])
  const isController = (): boolean => metadata.controllerId === metadata.nodeId
  const partitions = (counts: (partition: PartitionImage) => boolean): number => {
    if (!isController()) return 0
    let count = 0
    for (const topic of metadata.topics.values())
      for (const partition of topic.partitions) if (counts(partition)) count += 1
    return count
  }
  const brokers = (isServing: boolean): number =>
    isController()
      ? [...metadata.brokers.values()].filter((broker) => isActive(broker) === isServing).length
      : 0
  gauge('activecontrollercount', 'Whether this broker is the controller.', () => Number(isController()))
  gauge('offlinepartitionscount', 'Partitions without a leader.', () =>
    metadata.cluster === null ? offlineHere() : partitions(({ leader }) => leader === -1),
  )
  gauge('preferredreplicaimbalancecount', 'Partitions that another than their first replica leads.', () =>
    partitions(({ leader, replicas }) => leader !== replicas[0]),
  )
  gauge('activebrokercount', 'Brokers that serve.', () => brokers(true))
  gauge('fencedbrokercount', 'Brokers that are registered or were, and do not serve.', () => brokers(false))
  gauge('globalpartitioncount', 'Partitions of the cluster.', () => metadata.partitionCount)
  gauge('globaltopiccount', 'Topics of the cluster.', () => metadata.topics.size)
}
