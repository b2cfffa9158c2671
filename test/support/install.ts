/**
 * Fills the cache with everything the interop tests bring from package registries, so that the tests themselves
 * download nothing.
 */
import { franzLoad } from '../cluster/parts.ts'
import { kafkaClientJars, kafkaJars, kafkaOfZooKeeperJars } from './apache-kafka.ts'
import { goProgram, nodeOfLine, packageLinters, platformaticPackage, pythonPackages } from './installs.ts'
import { works } from './processes.ts'
import { zookeeperClient, zookeeperJars } from './zookeeper.ts'

const parts: Readonly<Record<string, () => Promise<unknown>>> = {
  "Apache Kafka's broker and tools": () => kafkaJars(),
  'Apache Kafka 3.9, for its nodes in ZooKeeper': () => kafkaOfZooKeeperJars(),
  "Apache Kafka's Java client 2.8.2": () => kafkaClientJars('2.8.2'),
  'Python packages': () => pythonPackages(),
  'Node.js 20': () => nodeOfLine(20),
  'Node.js 24': () => nodeOfLine(24),
  '@platformatic/kafka': () => platformaticPackage(),
  'publint and attw': () => packageLinters(),
  'ZooKeeper 3.9': () => zookeeperJars('3.9.5'),
  'ZooKeeper 3.8': () => zookeeperJars('3.8.6'),
  "ZooKeeper's client for Node.js 20": () => clientFor(20),
  "ZooKeeper's client for Node.js 24": () => clientFor(24),
  'the franz-go program': () => goProgram('franz'),
  'the sarama program': () => goProgram('sarama'),
  'franz-go as load': () => franzLoad(),
  kcat: async () => ((await works('kcat', ['-V'])) ? 'kcat' : null),
}

async function clientFor(line: number): Promise<string | null> {
  const node = await nodeOfLine(line)
  return node === null ? null : zookeeperClient(node)
}

/** Fetches what is not there yet and says so; false when a part cannot be had. */
export async function fetchAll(): Promise<boolean> {
  const fetched = await Promise.all(
    Object.entries(parts).map(async ([name, bring]) => {
      const began = Date.now()
      let problem = 'missing'
      const got = await bring().catch((error: unknown) => {
        problem = String(error)
        return null
      })
      console.log(got === null ? `${name}: ${problem}` : `${name}: ready after ${Date.now() - began} ms`)
      return got !== null
    }),
  )
  return fetched.every((each) => each)
}
