import { ErrorCode } from '../../protocol/errors.ts'
import type { Broker } from '../broker/broker.ts'
import type { Partition } from '../broker/partition.ts'
import type { Log } from '../log/log.ts'
import type { GaugeSample, Metrics } from '../ports.ts'
import { registerControllerGauges } from './controller-gauges.ts'

/** Figures of the broker as a whole, under the names that dashboards of Kafka read. */
export function registerBrokerGauges(metrics: Metrics, broker: Broker): void {
  const gauge = (name: string, help: string, read: () => number): void =>
    metrics.gauge(name, help, () => [{ value: read() }])
  const count = (matches: (partition: Partition) => boolean): number => {
    let matching = 0
    for (const partition of broker.partitions.all()) if (matches(partition)) matching += 1
    return matching
  }
  const ofPartitions = (name: string, help: string, matches: (partition: Partition) => boolean): void =>
    gauge(`kafka_server_replicamanager_${name}`, help, () => count(matches))
  gauge(
    'kafka_server_replicamanager_partitioncount',
    'Partitions on this broker.',
    () => broker.partitions.count,
  )
  ofPartitions('leadercount', 'Partitions this broker leads.', leads)
  ofPartitions('offlinereplicacount', 'Partitions whose log directory failed.', isOffline)
  ofPartitions(
    'underreplicatedpartitions',
    'Partitions led here with replicas that are not in sync.',
    (partition) => leads(partition) && partition.image.isr.length < partition.image.replicas.length,
  )
  ofPartitions(
    'underminisrpartitioncount',
    'Partitions below min.insync.replicas.',
    (partition) =>
      isOffline(partition) || (leads(partition) && partition.image.isr.length < partition.image.minIsr),
  )
  ofPartitions(
    'atminisrpartitioncount',
    'Partitions led here with as many replicas in sync as min.insync.replicas asks for.',
    (partition) => leads(partition) && partition.image.isr.length === partition.image.minIsr,
  )
  registerControllerGauges(metrics, broker.metadata, () => count(isOffline))
  const perLog = (name: string, help: string, read: (log: Log) => number): void =>
    metrics.gauge(name, help, () => samples(broker, read))
  perLog('kafka_log_log_size', 'Bytes of a partition.', (log) => log.sizeBytes)
  perLog('kafka_log_log_logendoffset', 'Offset the next record gets.', (log) => log.logEndOffset)
  perLog('kafka_log_log_logstartoffset', 'Offset of the first record.', (log) => log.logStartOffset)
  perLog('kafka_log_log_numlogsegments', 'Segments of a partition.', (log) => log.segmentCount)
  metrics.gauge(
    'samsa_fully_replicated_offset',
    'Lowest end of the logs of all replicas, as the leader knows it; -1 while one has not fetched from it. Where there are several.',
    () => fullyReplicated(broker),
  )
}

function isOffline({ errorCode }: Partition): boolean {
  return errorCode !== ErrorCode.NONE
}

function leads(partition: Partition): boolean {
  return partition.role === 'leader' && !isOffline(partition)
}

function* fullyReplicated(broker: Broker): Generator<GaugeSample> {
  for (const partition of broker.partitions.all()) {
    const { topic, index, image, fullyReplicatedOffset } = partition
    if (leads(partition) && image.replicas.length > 1)
      yield { labels: { topic, partition: String(index) }, value: fullyReplicatedOffset }
  }
}

function* samples(broker: Broker, read: (log: Log) => number): Generator<GaugeSample> {
  for (const { topic, index, log } of broker.partitions.all()) {
    yield { labels: { topic, partition: String(index) }, value: read(log) }
  }
}
