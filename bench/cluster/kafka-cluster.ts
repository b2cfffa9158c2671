import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type Jars,
  type KafkaBroker,
  kafkaJars,
  kafkaServerJvm,
  kafkaVersion,
  runKafkaTool,
  startKafkaBroker,
} from '../../test/support/apache-kafka.ts'
import { freePort } from '../../test/support/processes.ts'
import { removeScratch, removeScratchAtExit, scratchDirectory } from '../scratch.ts'
import {
  CLUSTER_SETTINGS,
  type Cluster,
  type ClusterSettings,
  type ClusterTarget,
  type Member,
} from './cluster.ts'

const IDS = [1, 2, 3]

/** Three nodes of Apache Kafka, each broker and controller, with the settings and the heap it ships with. */
export async function kafkaCluster(directory: string): Promise<ClusterTarget> {
  const jars = await kafkaJars({ download: true })
  if (jars === null) throw new Error('Apache Kafka needs java, and mvn to be fetched once')
  return {
    name: 'kafka',
    description: `three nodes of Apache Kafka ${kafkaVersion}, KRaft combined, ${kafkaServerJvm.join(' ')}`,
    // Its broker.session.timeout.ms is 9 s.
    patienceMs: 15_000,
    start: (settings) => start(jars, directory, settings),
  }
}

async function start(jars: Jars, directory: string, settings: ClusterSettings): Promise<Cluster> {
  const base = await scratchDirectory(directory, 'bench-kafka-cluster-')
  const controllers = await Promise.all(IDS.map(() => freePort()))
  const voters = controllers.map((port, i) => `${IDS[i]}@127.0.0.1:${port}`).join(',')
  const members = await Promise.all(
    IDS.map((id, i) => startMember(jars, base, id, { voters, controllerPort: controllers[i]!, settings })),
  )
  return {
    members,
    zooKeeper: null,
    controllerId: () => quorumLeader(jars, members),
    stop: async () => {
      await Promise.allSettled(members.map((member) => member.terminate()))
      await removeScratch(base)
    },
  }
}

async function quorumLeader(jars: Jars, members: readonly Member[]): Promise<number> {
  const bootstrap = members.map(({ endpoint }) => `127.0.0.1:${endpoint.port}`).join(',')
  const { stdout, stderr } = await runKafkaTool(jars, 'kafka-metadata-quorum', [
    '--bootstrap-server',
    bootstrap,
    'describe',
    '--status',
  ])
  const leader = /^LeaderId:\s+(\d+)$/m.exec(stdout)?.[1]
  if (leader === undefined) throw new Error(`kafka-metadata-quorum names no leader:\n${stdout}\n${stderr}`)
  return Number(leader)
}

interface Quorum {
  readonly voters: string
  readonly controllerPort: number
  readonly settings: ClusterSettings
}

async function startMember(
  jars: Jars,
  base: string,
  id: number,
  { voters, controllerPort, settings }: Quorum,
): Promise<Member> {
  const port = await freePort()
  const dataDir = join(base, `data-${id}`)
  const properties = {
    ...CLUSTER_SETTINGS,
    ...settings,
    'process.roles': 'broker,controller',
    'node.id': String(id),
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map': 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT',
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    'controller.quorum.voters': voters,
    'controller.quorum.bootstrap.servers': '',
    'log.dirs': dataDir,
    'transaction.state.log.replication.factor': '3',
    'transaction.state.log.min.isr': '2',
    'share.coordinator.state.topic.replication.factor': '3',
    'share.coordinator.state.topic.min.isr': '2',
  }
  const file = join(base, `format-${id}.properties`)
  const lines = Object.entries(properties).map(([key, value]) => `${key}=${value}\n`)
  await writeFile(file, lines.join(''))
  const format = await runKafkaTool(jars, 'kafka-storage', [
    'format',
    '--cluster-id',
    'c2Ftc2EtYmVuY2gtcGVlcg',
    '--config',
    file,
  ])
  removeScratchAtExit()
  if (format.code !== 0) throw new Error(`kafka-storage format failed:\n${format.stdout}\n${format.stderr}`)
  const launch = (): Promise<KafkaBroker> =>
    startKafkaBroker(jars, { port, dataDir, properties, startTimeoutMs: 120_000 })
  let broker: KafkaBroker | null = null
  // One alone has no quorum, so it is not waited for: whoever measures waits until leaders are known.
  let starting = launch()
  starting.then(
    (started) => (broker = started),
    () => undefined,
  )
  const running = async (): Promise<KafkaBroker> => (broker = await starting)
  const signal = (name: NodeJS.Signals): void => {
    if (broker !== null) process.kill(broker.pid, name)
  }
  return {
    id,
    endpoint: { host: '127.0.0.1', port },
    dataDirectory: dataDir,
    pids: () => (broker === null ? [] : [broker.pid]),
    kill: async () => (await running()).kill(),
    freeze: () => signal('SIGSTOP'),
    thaw: () => signal('SIGCONT'),
    terminate: async () => {
      const ending = await running()
      signal('SIGCONT')
      await ending.stop()
    },
    start: async () => {
      starting = launch()
      starting.then(
        (started) => (broker = started),
        () => undefined,
      )
    },
    printed: () => readFile(`${dataDir}.log`, 'utf8'),
  }
}
