/** Broker keys about identity, listeners, requests, topics, groups and producers. */
import {
  boolean,
  int,
  list,
  listInText,
  long,
  MAX_INT,
  MIN_SEGMENT_BYTES,
  oneOf,
  optionalList,
  optionalString,
  short,
  string,
} from './definition.ts'

const anyTime = { update: 'cluster-wide' } as const

export const identityKeys = {
  'broker.id': int(
    0,
    { min: 0 },
    'Number of this broker in its cluster. node.id is the same setting under its newer name.',
  ),
  'broker.rack': optionalString('Rack or zone this broker stands in, told to clients in Metadata.'),
  'log.dirs': list(
    './samsa-data',
    { atLeastOne: true },
    'Directories that hold the logs; the first one also holds the metadata. log.dir is the same setting for one directory.',
  ),
  'metadata.log.dir': optionalString(
    'Where Apache Kafka kept its own metadata, when that was in none of log.dirs. It is read when the topics that Kafka wrote are taken over, and never written.',
  ),
  'cluster.id': optionalString(
    'Id a new cluster is created with, and that an existing one must have. By default one of 22 characters of base64url is made.',
  ),
} as const

export const listenerKeys = {
  listeners: list(
    'PLAINTEXT://127.0.0.1:9092',
    { atLeastOne: true },
    'Addresses the broker listens on, as NAME://host:port. An empty host means every interface, port 0 picks a free port.',
  ),
  'advertised.listeners': optionalList(
    'Addresses clients are told to connect to, as NAME://host:port. By default the address the client already reached.',
  ),
  'listener.security.protocol.map': listInText(
    'SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT',
    'Protocol each listener name speaks, as NAME:PROTOCOL. Only PLAINTEXT works in this version.',
  ),
  'controller.listener.names': optionalList(
    'Listeners of a controller quorum. They are not opened: there is none.',
  ),
  'inter.broker.listener.name': optionalString('Listener that brokers use among themselves.'),
  'security.inter.broker.protocol': oneOf(
    'PLAINTEXT',
    ['PLAINTEXT'],
    'Protocol brokers use among themselves when inter.broker.listener.name is not set.',
  ),
  'authorizer.class.name': oneOf(
    '',
    [''],
    'Authorizer to use. None exists in this version, so it must stay empty.',
  ),
  'samsa.admin.listener': string(
    '',
    'Address of the HTTP port for /metrics and /health, as host:port. Empty opens none.',
  ),
  'samsa.admin.allowed.hosts': list(
    '',
    {},
    'Host names under which /metrics may be asked for, besides localhost, addresses and the hosts of all listeners; * for any.',
  ),
} as const

export const requestKeys = {
  'socket.request.max.bytes': int(104_857_600, { min: 1 }, 'Bytes of the largest request a client may send.'),
  'socket.listen.backlog.size': int(
    1_024,
    { min: 1 },
    'Connections that may wait to be accepted; the system may allow fewer.',
  ),
  'queued.max.request.bytes': long(
    67_108_864,
    { min: -1 },
    'Bytes of requests held in memory over all connections; when they are reached, reading stops until some are answered. -1 sets no limit.',
  ),
  'max.connections': int(20_000, { min: 0 }, 'Connections the broker accepts in total.', anyTime),
  'max.connections.per.ip': int(
    2_000,
    { min: 0 },
    'Connections the broker accepts from one address.',
    anyTime,
  ),
  'max.connections.per.ip.overrides': listInText(
    '',
    'Exceptions to max.connections.per.ip, as address:count.',
    anyTime,
  ),
  'connections.max.idle.ms': long(
    600_000,
    { min: 0 },
    'Milliseconds after which a connection without traffic is closed.',
  ),
  'samsa.request.timeout.ms': int(
    30_000,
    { min: 1 },
    'Milliseconds a client may take to send the rest of a request it began, besides what its bytes may take at samsa.response.min.rate while there is memory.',
  ),
  'samsa.queued.max.response.bytes': long(
    67_108_864,
    { min: 1_048_576 },
    'Bytes of answers held in memory over all connections; when they are reached, no request begins until some are taken.',
  ),
  'samsa.response.max.bytes': long(
    16_777_216,
    { min: 1 },
    'Bytes of unread answers of one connection at which its requests are no longer read.',
  ),
  'samsa.response.min.rate': int(
    16_384,
    { min: 0 },
    'Bytes a second at which a client must take its answers. Who is slower for a minute, or for seconds while others wait for that memory, is disconnected.',
  ),
  'fetch.max.bytes': int(57_671_680, { min: 1024 }, 'Bytes of records in the largest answer to a fetch.'),
  'max.incremental.fetch.session.cache.slots': int(
    1_000,
    { min: 0 },
    'Incremental fetch sessions that are kept at a time.',
  ),
  'max.request.partition.size.limit': int(
    2_000,
    { min: 1 },
    'Partitions in the largest answer to DescribeTopicPartitions.',
  ),
  'samsa.min.free.bytes': long(
    67_108_864,
    { min: 0 },
    'Free bytes of a log directory below which produce requests are refused and reads go on.',
  ),
} as const

export const diskKeys = {
  'samsa.io': oneOf(
    'auto',
    ['auto', 'uring', 'threads'],
    'How durable writes reach the device: uring writes past the page cache by io_uring, threads writes and flushes by a pool of threads, auto takes uring where it works.',
  ),
  'samsa.staging.bytes': long(
    67_108_864,
    { min: 2_097_152, max: 17_179_869_184 },
    'Most memory that durable writes by io_uring are copied through. Consumers at the tail are served from it.',
  ),
} as const

export const topicKeys = {
  'num.partitions': int(1, { min: 1 }, 'Partitions of a topic that is created without a number.'),
  'default.replication.factor': int(1, { min: 1 }, 'Replicas of a topic that is created without a number.'),
  'auto.create.topics.enable': boolean(
    true,
    'Whether a topic is created when a client asks for its metadata and allows that.',
  ),
  'delete.topic.enable': boolean(true, 'Whether clients may delete topics.'),
  'samsa.max.partitions': int(
    100_000,
    { min: 1 },
    'Partitions the cluster may hold over all topics; creating more is refused.',
  ),
} as const

export const groupKeys = {
  'group.min.session.timeout.ms': int(
    6_000,
    { min: 0 },
    'Shortest session timeout a group member may ask for.',
  ),
  'group.max.session.timeout.ms': int(
    1_800_000,
    { min: 0 },
    'Longest session timeout a group member may ask for.',
  ),
  'group.initial.rebalance.delay.ms': int(
    3_000,
    { min: 0 },
    'Milliseconds an empty group waits for more members before its first assignment.',
  ),
  'group.max.size': int(5_000, { min: 1, max: MAX_INT }, 'Members one group may have.'),
  'offset.metadata.max.bytes': int(
    4_096,
    { min: 0 },
    'Bytes of the largest metadata text a committed offset may carry.',
  ),
  'offsets.retention.minutes': int(
    10_080,
    { min: 1 },
    'Minutes committed offsets stay after their group lost its last member.',
  ),
  'offsets.retention.check.interval.ms': long(
    600_000,
    { min: 1 },
    'Milliseconds between two looks for expired offsets.',
  ),
  'offsets.topic.num.partitions': int(50, { min: 1 }, 'Partitions of __consumer_offsets.'),
  'offsets.topic.replication.factor': short(
    1,
    { min: 1 },
    'Replicas of __consumer_offsets. 3 where zookeeper.connect is set.',
  ),
  'offsets.topic.segment.bytes': int(
    104_857_600,
    { min: MIN_SEGMENT_BYTES },
    'Segment size of __consumer_offsets in bytes.',
  ),
  'producer.id.expiration.ms': int(
    86_400_000,
    { min: 1 },
    'Milliseconds after which the state of a silent idempotent producer is dropped.',
    anyTime,
  ),
  'samsa.max.producers': int(
    250_000,
    { min: 1_000 },
    'Idempotent producers that are remembered, summed over the partitions they write to; beyond it the partition with most of them forgets those silent for longest.',
  ),
} as const

export const recoveryKeys = {
  'num.recovery.threads.per.data.dir': int(
    2,
    { min: 1 },
    'Logs of one directory that are recovered at a time when the broker starts after an unclean stop.',
    anyTime,
  ),
} as const
