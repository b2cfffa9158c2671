import type { Broker } from '../broker/broker.ts'
import type { Log } from '../log/log.ts'
import type { GaugeSample, Metrics } from '../ports.ts'

/** Figures of the broker as a whole, under the names that dashboards of Kafka read. */
export function registerBrokerGauges(metrics: Metrics, broker: Broker): void {
  const gauge = (name: string, help: string, read: () => number): void =>
    metrics.gauge(name, help, () => [{ value: read() }])
  const offline = (): number => {
    let count = 0
    for (const partition of broker.partitions.all()) if (partition.errorCode !== 0) count += 1
    return count
  }
  gauge(
    'kafka_server_replicamanager_partitioncount',
    'Partitions on this broker.',
    () => broker.partitions.count,
  )
  gauge(
    'kafka_server_replicamanager_leadercount',
    'Partitions this broker leads.',
    () => broker.partitions.count - offline(),
  )
  gauge('kafka_server_replicamanager_offlinereplicacount', 'Partitions whose log directory failed.', offline)
  gauge('kafka_server_replicamanager_underreplicatedpartitions', 'Partitions with missing replicas.', () => 0)
  gauge(
    'kafka_server_replicamanager_underminisrpartitioncount',
    'Partitions below min.insync.replicas.',
    offline,
  )
  gauge(
    'kafka_controller_kafkacontroller_activecontrollercount',
    'Whether this broker is the controller.',
    () => 1,
  )
  gauge('kafka_controller_kafkacontroller_offlinepartitionscount', 'Partitions without a leader.', offline)
  gauge(
    'kafka_controller_kafkacontroller_globalpartitioncount',
    'Partitions of the cluster.',
    () => broker.metadata.partitionCount,
  )
  gauge(
    'kafka_controller_kafkacontroller_globaltopiccount',
    'Topics of the cluster.',
    () => broker.metadata.topics.size,
  )
  const perLog = (name: string, help: string, read: (log: Log) => number): void =>
    metrics.gauge(name, help, () => samples(broker, read))
  perLog('kafka_log_log_size', 'Bytes of a partition.', (log) => log.sizeBytes)
  perLog('kafka_log_log_logendoffset', 'Offset the next record gets.', (log) => log.logEndOffset)
  perLog('kafka_log_log_logstartoffset', 'Offset of the first record.', (log) => log.logStartOffset)
  perLog('kafka_log_log_numlogsegments', 'Segments of a partition.', (log) => log.segmentCount)
}

function* samples(broker: Broker, read: (log: Log) => number): Generator<GaugeSample> {
  for (const { topic, index, log } of broker.partitions.all()) {
    yield { labels: { topic, partition: String(index) }, value: read(log) }
  }
}
