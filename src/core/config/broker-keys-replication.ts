/** Broker keys about replicas. Where one broker is the cluster nothing follows it, and they decide nothing. */
import { boolean, int, long } from './definition.ts'

export const replicationKeys = {
  'auto.leader.rebalance.enable': boolean(
    true,
    'Whether brokers that come back lead again what they led, after a while. Only in a cluster.',
  ),
  'controlled.shutdown.enable': boolean(
    true,
    'Whether a broker that stops has others lead its partitions first. Only in a cluster.',
  ),
  'eligible.leader.replicas.enable': boolean(
    true,
    'Whether replicas that left the in-sync set when it was below min.insync.replicas may lead again (KIP-966). Only in a cluster.',
  ),
  'leader.imbalance.check.interval.seconds': long(
    300,
    { min: 1 },
    'Seconds between two looks of the controller whether brokers lead their share.',
  ),
  'min.insync.replicas': int(
    1,
    { min: 1 },
    'Replicas that must have a record before a producer with acks=all is acknowledged; without so many in sync it is refused.',
    { update: 'cluster-wide' },
  ),
  'num.replica.fetchers': int(
    1,
    { min: 1 },
    'Connections over which this broker follows each of the others.',
    { update: 'cluster-wide' },
  ),
  'replica.fetch.backoff.ms': int(
    1_000,
    { min: 0 },
    'Milliseconds after which a follower asks again when a partition could not be fetched.',
  ),
  'replica.fetch.max.bytes': int(1_048_576, { min: 0 }, 'Bytes a follower asks for of each partition.'),
  'replica.fetch.min.bytes': int(1, { min: 0 }, 'Bytes a follower waits for; see replica.fetch.wait.max.ms.'),
  'replica.fetch.response.max.bytes': int(
    10_485_760,
    { min: 0 },
    'Bytes a follower asks for in one fetch of all partitions.',
  ),
  'replica.fetch.wait.max.ms': int(500, { min: 0 }, 'Milliseconds a fetch of a follower waits for records.'),
  'replica.lag.time.max.ms': long(
    30_000,
    { min: 1 },
    'Milliseconds after which a follower that has not had all records leaves the in-sync set.',
  ),
  'replica.socket.timeout.ms': int(
    30_000,
    { min: 1 },
    'Milliseconds after which a broker gives up a connection to another one that does not answer.',
  ),
  'unclean.leader.election.enable': boolean(
    false,
    'Whether a replica that may lack acknowledged records may lead when no other can. Only in a cluster.',
    { update: 'cluster-wide' },
  ),
} as const
