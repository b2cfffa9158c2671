/**
 * Kafka keys that are accepted and have no effect here, so that an existing `server.properties` or compose file
 * starts unchanged: the controller quorum and ZooKeeper (one node keeps its own metadata), parts of Kafka that
 * this broker does not have, and tuning of Kafka's threads.
 */
const PREFIXES: readonly string[] = [
  'alter.config.policy.',
  'alter.log.dirs.',
  'auto.include.jmx.',
  'client.quota.callback.',
  'connection.failed.authentication.',
  'connections.max.reauth.',
  'controlled.shutdown.',
  'controller.',
  'create.topic.policy.',
  'delegation.token.',
  'early.start.listeners',
  'eligible.leader.replicas.',
  'follower.fetch.',
  'group.consumer.',
  'group.coordinator.',
  'group.share.',
  'group.streams.',
  'kafka.metrics.',
  'leader.imbalance.',
  'listener.name.',
  'log.cleaner.dedupe.',
  'log.cleaner.io.',
  'log.dir.failure.',
  'log.local.retention.',
  'metadata.',
  'metric.',
  'metrics.',
  'offsets.topic.compression.',
  'password.encoder.',
  'producer.id.expiration.check.',
  'process.roles',
  'quorum.',
  'quota.',
  'remote.log.',
  'replica.',
  'replication.quota.',
  'reserved.broker.',
  'sasl.',
  'security.providers',
  'share.coordinator.',
  'socket.connection.setup.',
  'ssl.',
  'telemetry.max.',
  'transaction.',
  'transactional.id.',
  'unstable.',
  'zookeeper.',
]

const KEYS: ReadonlySet<string> = new Set([
  'max.connection.creation.rate',
  'auto.leader.rebalance.enable',
  'broker.heartbeat.interval.ms',
  'broker.id.generation.enable',
  'broker.session.timeout.ms',
  'compression.lz4.block',
  'fetch.purgatory.purge.interval.requests',
  'delete.records.purgatory.purge.interval.requests',
  'producer.purgatory.purge.interval.requests',
  'group.protocol',
  'initial.broker.registration.timeout.ms',
  'leader.replication.throttled.rate',
  'leader.replication.throttled.replicas',
  'follower.replication.throttled.rate',
  'follower.replication.throttled.replicas',
  'log.cleaner.threads',
  'log.cleaner.hash.algorithm',
  'log.initial.task.delay.ms',
  'log.message.downconversion.enable',
  'log.message.format.version',
  'log.message.timestamp.difference.max.ms',
  'num.replica.alter.log.dirs.threads',
  'log.flush.start.offset.checkpoint.interval.ms',
  'num.replica.fetchers',
  'offsets.commit.timeout.ms',
  'offsets.load.buffer.size',
  'offsets.commit.required.acks',
  'principal.builder.class',
  'request.timeout.ms',
  'server.max.startup.time.ms',
  'super.users',
  'allow.everyone.if.no.acl.found',
])

export function isIgnoredKey(key: string): boolean {
  return KEYS.has(key) || PREFIXES.some((prefix) => key.startsWith(prefix))
}

/** Those of them that have no end of their own to guess. */
export function ignoredKeys(): Iterable<string> {
  return KEYS
}
