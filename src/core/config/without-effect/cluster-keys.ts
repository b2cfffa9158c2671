/** Keys of Kafka's clusters, threads and buffers. What stands in the place of a sentence about the key is why it has no effect. */
import {
  MAX_LONG_TEXT,
  boolean,
  double,
  int,
  list,
  long,
  optionalInt,
  optionalList,
  string,
} from '../definition.ts'

const QUORUM = 'one broker keeps the metadata itself, without a controller quorum'
const REPLICATION = 'there is one broker, so nothing is replicated'
const THREADS = 'one event loop serves all requests and does the work in the background'
const SOCKETS =
  'the system sizes the buffers of sockets, Node.js has no call for it; the broker opens no connections itself'
const VERSION = 'admin tools read it, and nothing in this broker depends on it'
const ROOM = 'segments grow as they are written, with room reserved ahead where writes are durable'
const LZ4 = 'the library here has one level of lz4'
const TUNING = 'what this tunes is built otherwise here'

export const quorumKeys = {
  'broker.heartbeat.interval.ms': int(2_000, {}, QUORUM),
  'broker.session.timeout.ms': int(9_000, {}, QUORUM),
  'controller.performance.always.log.threshold.ms': long(2_000, { min: 0 }, QUORUM, { hidden: true }),
  'controller.performance.sample.period.ms': long(60_000, { min: 100 }, QUORUM, { hidden: true }),
  'controller.quorum.append.linger.ms': int(25, { min: 0 }, QUORUM),
  'controller.quorum.auto.join.enable': boolean(false, QUORUM),
  'controller.quorum.bootstrap.servers': list('', {}, QUORUM),
  'controller.quorum.election.backoff.max.ms': int(1_000, { min: 0 }, QUORUM),
  'controller.quorum.election.timeout.ms': int(1_000, { min: 0 }, QUORUM),
  'controller.quorum.fetch.max.bytes': int(1_048_576, { min: 1 }, QUORUM),
  'controller.quorum.fetch.snapshot.max.bytes': int(1_048_576, { min: 1 }, QUORUM),
  'controller.quorum.fetch.timeout.ms': int(2_000, { min: 0 }, QUORUM),
  'controller.quorum.request.timeout.ms': int(2_000, { min: 0 }, QUORUM),
  'controller.quorum.retry.backoff.ms': int(20, { min: 0 }, QUORUM),
  'controller.quorum.voters': list('', {}, QUORUM),
  'controller.socket.timeout.ms': int(30_000, {}, QUORUM),
  'early.start.listeners': optionalList(QUORUM),
  'initial.broker.registration.timeout.ms': int(60_000, {}, QUORUM),
  'internal.metadata.delete.delay.millis': long(60_000, {}, QUORUM, { hidden: true }),
  'internal.metadata.log.segment.bytes': optionalInt({}, QUORUM, { hidden: true }),
  'internal.metadata.max.batch.size.in.bytes': int(8_388_608, {}, QUORUM, { hidden: true }),
  'metadata.log.max.record.bytes.between.snapshots': long(20_971_520, { min: 1 }, QUORUM),
  'metadata.log.max.snapshot.interval.ms': long(3_600_000, { min: 0 }, QUORUM),
  'metadata.log.segment.bytes': int(1_073_741_824, { min: 8_388_608 }, QUORUM),
  'metadata.log.segment.ms': long(604_800_000, {}, QUORUM),
  'metadata.max.idle.interval.ms': int(500, { min: 0 }, QUORUM),
  'metadata.max.retention.bytes': long(104_857_600, {}, QUORUM),
  'metadata.max.retention.ms': long(604_800_000, {}, QUORUM),
  'process.roles': optionalList(QUORUM),
  'server.max.startup.time.ms': long(MAX_LONG_TEXT, { min: 0 }, QUORUM, { hidden: true }),
  'unstable.api.versions.enable': boolean(false, QUORUM, { hidden: true }),
  'unstable.feature.versions.enable': boolean(false, QUORUM, { hidden: true }),
} as const

export const replicationKeys = {
  'alter.log.dirs.replication.quota.window.num': int(11, { min: 1 }, REPLICATION),
  'alter.log.dirs.replication.quota.window.size.seconds': int(1, { min: 1 }, REPLICATION),
  'num.replica.alter.log.dirs.threads': optionalInt({}, REPLICATION),
  'replica.high.watermark.checkpoint.interval.ms': long(5_000, {}, REPLICATION),
  'replica.socket.receive.buffer.bytes': int(65_536, {}, REPLICATION),
  'replication.quota.window.num': int(11, { min: 1 }, REPLICATION),
  'replication.quota.window.size.seconds': int(1, { min: 1 }, REPLICATION),
  'request.timeout.ms': int(30_000, {}, REPLICATION),
  'leader.replication.throttled.rate': long(MAX_LONG_TEXT, { min: 0 }, REPLICATION, {
    update: 'cluster-wide',
    hidden: true,
  }),
  'follower.replication.throttled.rate': long(MAX_LONG_TEXT, { min: 0 }, REPLICATION, {
    update: 'cluster-wide',
    hidden: true,
  }),
  'unclean.leader.election.interval.ms': long(300_000, { min: 1 }, REPLICATION, { hidden: true }),
} as const

export const threadKeys = {
  'background.threads': int(10, { min: 1 }, THREADS, { update: 'cluster-wide' }),
  'log.cleaner.threads': int(1, { min: 0 }, THREADS, { update: 'cluster-wide' }),
  'num.io.threads': int(8, { min: 1 }, THREADS, { update: 'cluster-wide' }),
  'num.network.threads': int(3, { min: 1 }, THREADS, { update: 'cluster-wide' }),
  'queued.max.requests': int(500, { min: 1 }, THREADS),
} as const

export const socketKeys = {
  'socket.connection.setup.timeout.max.ms': long(30_000, {}, SOCKETS),
  'socket.connection.setup.timeout.ms': long(10_000, {}, SOCKETS),
  'socket.receive.buffer.bytes': int(102_400, {}, SOCKETS),
  'socket.send.buffer.bytes': int(102_400, {}, SOCKETS),
} as const

export const tuningKeys = {
  'compression.lz4.level': int(9, { min: 1, max: 17 }, LZ4, { update: 'cluster-wide' }),
  'cordoned.log.dirs': list('', {}, TUNING, { update: 'per-broker' }),
  'delete.records.purgatory.purge.interval.requests': int(1, {}, TUNING),
  'fetch.purgatory.purge.interval.requests': int(1_000, {}, TUNING),
  'log.cleaner.io.buffer.load.factor': double(0.9, {}, TUNING, { update: 'cluster-wide' }),
  'log.cleaner.io.buffer.size': int(524_288, { min: 0 }, TUNING, { update: 'cluster-wide' }),
  'log.dir.failure.timeout.ms': long(30_000, { min: 1 }, TUNING),
  'log.flush.start.offset.checkpoint.interval.ms': int(60_000, { min: 0 }, TUNING),
  'log.initial.task.delay.ms': long(30_000, { min: 0 }, TUNING, { hidden: true }),
  'inter.broker.protocol.version': string('3.9-IV0', VERSION, { update: 'cluster-wide' }),
  'log.preallocate': boolean(false, ROOM, { update: 'cluster-wide' }),
  'offsets.commit.timeout.ms': int(5_000, { min: 1 }, TUNING),
  'offsets.load.buffer.size': int(5_242_880, { min: 1 }, TUNING),
  'offsets.topic.compression.codec': int(0, {}, TUNING),
  'producer.id.expiration.check.interval.ms': int(600_000, { min: 1 }, TUNING, { hidden: true }),
  'producer.purgatory.purge.interval.requests': int(1_000, {}, TUNING),
} as const
