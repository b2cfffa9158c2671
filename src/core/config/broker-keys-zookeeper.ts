/** Broker keys about keeping the metadata in a ZooKeeper ensemble. */
import { boolean, int, optionalInt, optionalString, secret, string } from './definition.ts'

export const zookeeperKeys = {
  'zookeeper.connect': optionalString(
    'Servers of the ZooKeeper ensemble that keeps topics and configurations, as host:port[,host:port...][/chroot]. Without it they are kept in the first of log.dirs.',
  ),
  'zookeeper.session.timeout.ms': int(
    6_000,
    { min: 1 },
    'Milliseconds after which ZooKeeper takes a broker for dead that it hears nothing from.',
  ),
  'zookeeper.connection.timeout.ms': optionalInt(
    { min: 1 },
    'Milliseconds a start waits for a ZooKeeper server. By default zookeeper.session.timeout.ms.',
  ),
  'zookeeper.set.acl': boolean(
    false,
    'Whether only this broker may change the nodes it makes in ZooKeeper; it needs samsa.zookeeper.credentials.',
  ),
  'samsa.zookeeper.credentials': secret(
    'Name and password, as user:password, with which the broker logs in to ZooKeeper by the digest scheme.',
  ),
  'samsa.zookeeper.module': string('zookeeper', 'Name or path of the npm package that speaks to ZooKeeper.'),
} as const
