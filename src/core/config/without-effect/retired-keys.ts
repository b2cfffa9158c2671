/** Keys of earlier releases of Kafka, and families of keys that are read by parts of Kafka, not by its broker itself. */

const RETIRED = 'Kafka has retired it, and nothing here reads it'
const LISTENER = 'listeners speak PLAINTEXT and share their settings in this version'
const PLUGIN = 'classes of Java cannot be loaded'
const REMOTE = 'there is no remote storage in this version'
const SECURITY = 'there is no encryption and no login in this version'

const PREFIXES: readonly (readonly [string, string])[] = [
  ['confluent.', PLUGIN],
  ['kafka.metrics.', PLUGIN],
  ['listener.name.', LISTENER],
  ['password.encoder.', RETIRED],
  ['remote.log.', REMOTE],
  ['rlmm.config.', REMOTE],
  ['rsm.config.', REMOTE],
  ['sasl.', SECURITY],
  ['ssl.', SECURITY],
  ['zookeeper.ssl.', 'the connection to ZooKeeper is not encrypted in this version'],
]

const KEYS: ReadonlyMap<string, string> = new Map([
  ['allow.everyone.if.no.acl.found', SECURITY],
  ['super.users', SECURITY],
  ['group.protocol', 'it is a setting of consumers'],
  ...[
    'advertised.host.name',
    'advertised.port',
    'auto.include.jmx.reporter',
    'broker.id.generation.enable',
    'compression.lz4.block',
    'control.plane.listener.name',
    'controlled.shutdown.max.retries',
    'controlled.shutdown.retry.backoff.ms',
    'delegation.token.master.key',
    'group.coordinator.new.enable',
    'host.name',
    'leader.imbalance.per.broker.percentage',
    'log.cleaner.hash.algorithm',
    'log.message.downconversion.enable',
    'log.message.format.version',
    'log.message.timestamp.difference.max.ms',
    'offsets.commit.required.acks',
    'port',
    'quota.consumer.default',
    'quota.producer.default',
    'reserved.broker.max.id',
    'zookeeper.clientCnxnSocket',
    'zookeeper.max.in.flight.requests',
    'zookeeper.metadata.migration.enable',
    'zookeeper.sync.time.ms',
  ].map((key) => [key, RETIRED] as const),
])

export function retiredReason(key: string): string | undefined {
  return KEYS.get(key) ?? PREFIXES.find(([prefix]) => key.startsWith(prefix))?.[1]
}
