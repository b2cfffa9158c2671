/** What the tests of a cluster need from package registries. */
import type { Jars } from '../support/apache-kafka.ts'
import { pythonPackages } from '../support/installs.ts'
import { fetchHint } from '../support/requirements.ts'
import { zookeeperClient, zookeeperJars } from '../support/zookeeper.ts'

export interface ClusterParts {
  readonly jars: Jars
  /** What `samsa.zookeeper.module` must be. */
  readonly client: string
  /** confluent-kafka for Python: where it is. */
  readonly packages: string
}

/** Null when something is missing. */
export async function clusterParts(): Promise<ClusterParts | null> {
  const [jars, client, packages] = await Promise.all([
    zookeeperJars('3.9.5'),
    zookeeperClient(),
    pythonPackages(),
  ])
  return jars === null || client === null || packages === null ? null : { jars, client, packages }
}

export const whatIsMissing = `ZooKeeper 3.9.5, the npm package zookeeper or confluent-kafka for Python: ${fetchHint}`
