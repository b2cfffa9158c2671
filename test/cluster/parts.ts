/** What the tests of a cluster need from package registries. */
import { join } from 'node:path'

import { kafkaJars, kafkaOfZooKeeperJars, type Jars, toolJvm } from '../support/apache-kafka.ts'
import { goFile, javaClasses, pythonPackages } from '../support/installs.ts'
import { repositoryRoot } from '../support/processes.ts'
import { fetchHint } from '../support/requirements.ts'
import { zookeeperClient, zookeeperJars } from '../support/zookeeper.ts'

export interface ClusterParts {
  /** ZooKeeper's. */
  readonly jars: Jars
  /** What `samsa.zookeeper.module` must be. */
  readonly client: string
  /** Apache Kafka's own. */
  readonly kafka: Jars
  /** The compiled `ToolRunner.java`. */
  readonly toolRunner: string
  readonly programs: readonly LoadProgram[]
}

/** A program of `clients`: what it is called with, and who it is in the cluster. Each has a group of its own. */
export interface LoadProgram {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly producers: readonly string[]
  readonly group: string
}

const clients = join(repositoryRoot, 'test/cluster/clients')

/** franz-go as load; null when it is missing. */
export function franzLoad(): Promise<string | null> {
  return goFile(join(clients, 'load.go'))
}

/** The command that prints what Apache Kafka reads in ZooKeeper, which it is to be told of; null when something is missing. */
export async function znodesCommand(): Promise<readonly string[] | null> {
  const jars = await kafkaOfZooKeeperJars()
  const classes = jars === null ? null : await javaClasses(jars, [join(clients, 'Znodes.java')])
  if (jars === null || classes === null) return null
  return ['java', ...toolJvm, '-cp', `${classes}:${jars.classPath}`, 'Znodes']
}

/** Null when something is missing. */
export async function clusterParts(): Promise<ClusterParts | null> {
  const [jars, client, kafka, packages, franz] = await Promise.all([
    zookeeperJars('3.9.5'),
    zookeeperClient(),
    kafkaJars(),
    pythonPackages(),
    franzLoad(),
  ])
  if (jars === null || client === null || kafka === null || packages === null || franz === null) return null
  const toolRunner = await javaClasses(kafka, ['ToolRunner.java'])
  const java = await javaClasses(kafka, [join(clients, 'Load.java')])
  if (toolRunner === null || java === null) return null
  const programs = [
    {
      name: 'librdkafka',
      command: 'python3',
      args: [join(clients, 'load.py')],
      env: { PYTHONPATH: packages, PYTHONDONTWRITEBYTECODE: '1' },
      producers: ['one', 'two'],
      group: 'readers',
    },
    { name: 'franz-go', command: franz, args: [], producers: ['franz'], group: 'readers-franz' },
    {
      name: 'the Java client',
      command: 'java',
      args: [
        ...toolJvm,
        '-Dorg.slf4j.simpleLogger.defaultLogLevel=off',
        '-cp',
        `${java}:${kafka.classPath}`,
        'Load',
      ],
      producers: ['java'],
      group: 'readers-java',
    },
  ]
  return { jars, client, kafka, toolRunner, programs }
}

export const whatIsMissing = `ZooKeeper 3.9.5, the npm package zookeeper, Apache Kafka with a JDK, confluent-kafka for Python or franz-go: ${fetchHint}`
