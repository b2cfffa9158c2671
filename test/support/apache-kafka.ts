/**
 * Apache Kafka from Maven Central: its broker, to compare with, and its command line tools, to test with.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, open, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { cached, mayDownload } from './cache.ts'
import {
  adopt,
  end,
  exitOf,
  freePort,
  run,
  runOrThrow,
  type RunOptions,
  type RunResult,
  waitUntilServing,
  works,
} from './processes.ts'

export const kafkaVersion = '4.3.1'

/** Jars on disk, ready for `java -cp`. */
export interface Jars {
  readonly directory: string
  readonly classPath: string
}

export interface JarOptions {
  /** Fetch what is missing; otherwise only the cache is used. Default: only in CI or with `SAMSA_DOWNLOAD=1`. */
  readonly download?: boolean
}

/** Apache Kafka's broker and tools; null when java is missing, or the jars are and cannot be fetched. */
export function kafkaJars(options: JarOptions = {}): Promise<Jars | null> {
  return mavenJars(
    `kafka-${kafkaVersion}`,
    [
      `org.apache.kafka:kafka_2.13:${kafkaVersion}`,
      `org.apache.kafka:kafka-tools:${kafkaVersion}`,
      // Without a binding the broker's log would be lost; this one writes to standard error.
      'org.slf4j:slf4j-simple:1.7.36',
    ],
    options,
  )
}

/** Apache Kafka's Java client alone, of any version; null as above. */
export function kafkaClientJars(version: string, options: JarOptions = {}): Promise<Jars | null> {
  return mavenJars(`kafka-clients-${version}`, [`org.apache.kafka:kafka-clients:${version}`], options)
}

/** The last Apache Kafka whose metadata is in ZooKeeper; null as above. */
export function kafkaOfZooKeeperJars(options: JarOptions = {}): Promise<Jars | null> {
  return mavenJars('kafka-3.9.1', ['org.apache.kafka:kafka_2.13:3.9.1'], options)
}

/** Copies artifacts (`group:artifact:version`) with all they need at run time into the cache. */
export async function mavenJars(
  name: string,
  artifacts: readonly string[],
  options: JarOptions = {},
): Promise<Jars | null> {
  if (!(await works('java', ['-version']))) return null
  const download = (options.download ?? mayDownload) && (await works('mvn', ['-version']))
  const directory = await cached(name, download, async (work) => {
    await writeFile(join(work, 'pom.xml'), pom(artifacts))
    await runOrThrow(
      'mvn',
      ['-q', '-B', 'dependency:copy-dependencies', '-DoutputDirectory=.', '-DincludeScope=runtime'],
      { cwd: work, timeoutMs: 300_000 },
    )
  })
  return directory === null ? null : { directory, classPath: join(directory, '*') }
}

function pom(artifacts: readonly string[]): string {
  const dependencies = artifacts.map((artifact) => {
    const [group, name, version] = artifact.split(':')
    return `<dependency><groupId>${group}</groupId><artifactId>${name}</artifactId><version>${version}</version></dependency>`
  })
  return `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>samsa</groupId><artifactId>jars</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>${dependencies.join('\n')}</dependencies></project>\n`
}

/** Short-lived JVMs start almost twice as fast without the second compiler and with one collector thread. */
export const toolJvm: readonly string[] = [
  '-XX:TieredStopAtLevel=1',
  '-XX:+UseSerialGC',
  '-Xshare:auto',
  '-Xmx256m',
]

/** For a broker that does not live long either: a quarter less to do until it serves. */
export const briefBrokerJvm: readonly string[] = [
  '-XX:TieredStopAtLevel=1',
  '-XX:+UseSerialGC',
  '-Xshare:auto',
  '-Xmx512m',
]

/** Runs a main class to its end, with the start-up flags of a short-lived JVM. */
export function runJava(
  jars: Jars,
  mainClass: string,
  args: readonly string[],
  options: RunOptions & { readonly classPath?: readonly string[]; readonly log?: string } = {},
): Promise<RunResult> {
  const classPath = [jars.classPath, ...(options.classPath ?? [])].join(':')
  const log = `-Dorg.slf4j.simpleLogger.defaultLogLevel=${options.log ?? 'error'}`
  return run('java', [...toolJvm, log, '-cp', classPath, mainClass, ...args], options)
}

/** The main classes behind Apache Kafka's shell scripts. */
export const kafkaTools = {
  'kafka-topics': 'org.apache.kafka.tools.TopicCommand',
  'kafka-configs': 'kafka.admin.ConfigCommand',
  'kafka-consumer-groups': 'org.apache.kafka.tools.consumer.group.ConsumerGroupCommand',
  'kafka-console-producer': 'org.apache.kafka.tools.ConsoleProducer',
  'kafka-console-consumer': 'org.apache.kafka.tools.consumer.ConsoleConsumer',
  'kafka-verifiable-producer': 'org.apache.kafka.tools.VerifiableProducer',
  'kafka-verifiable-consumer': 'org.apache.kafka.tools.VerifiableConsumer',
  'kafka-get-offsets': 'org.apache.kafka.tools.GetOffsetShell',
  'kafka-leader-election': 'org.apache.kafka.tools.LeaderElectionCommand',
  'kafka-log-dirs': 'org.apache.kafka.tools.LogDirsCommand',
  'kafka-reassign-partitions': 'org.apache.kafka.tools.reassign.ReassignPartitionsCommand',
  'kafka-transactions': 'org.apache.kafka.tools.TransactionsCommand',
  'kafka-delete-records': 'org.apache.kafka.tools.DeleteRecordsCommand',
  'kafka-metadata-quorum': 'org.apache.kafka.tools.MetadataQuorumCommand',
  'kafka-dump-log': 'org.apache.kafka.tools.DumpLogSegments',
  'kafka-broker-api-versions': 'org.apache.kafka.tools.BrokerApiVersionsCommand',
  'kafka-storage': 'kafka.tools.StorageTool',
  'kafka-producer-perf-test': 'org.apache.kafka.tools.ProducerPerformance',
  'kafka-e2e-latency': 'org.apache.kafka.tools.EndToEndLatency',
} as const

export type KafkaTool = keyof typeof kafkaTools

export function runKafkaTool(
  jars: Jars,
  tool: KafkaTool,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  return runJava(jars, kafkaTools[tool], args, options)
}

export interface KafkaBrokerOptions {
  /** The client port, on 127.0.0.1. The controller gets a free one of its own. */
  readonly port: number
  /** Created and formatted when it is empty. */
  readonly dataDir: string
  /** Added to, or instead of, the settings of the `server.properties` that Apache Kafka ships. */
  readonly properties?: Readonly<Record<string, string>>
  /** Default: what `kafka-server-start` uses (1 GiB heap, G1). */
  readonly jvmArguments?: readonly string[]
  readonly startTimeoutMs?: number
}

/** What `kafka-server-start` passes to the JVM when nobody sets anything. */
export const kafkaServerJvm: readonly string[] = [
  '-Xmx1G',
  '-Xms1G',
  '-server',
  '-XX:+UseG1GC',
  '-XX:MaxGCPauseMillis=20',
  '-XX:InitiatingHeapOccupancyPercent=35',
  '-XX:+ExplicitGCInvokesConcurrent',
  '-Djava.awt.headless=true',
]

/** The values of `config/server.properties` in Apache Kafka's own distribution. */
const shippedProperties: Readonly<Record<string, string>> = {
  'process.roles': 'broker,controller',
  'node.id': '1',
  'inter.broker.listener.name': 'PLAINTEXT',
  'controller.listener.names': 'CONTROLLER',
  'listener.security.protocol.map': 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT',
  'num.network.threads': '3',
  'num.io.threads': '8',
  'socket.send.buffer.bytes': '102400',
  'socket.receive.buffer.bytes': '102400',
  'socket.request.max.bytes': '104857600',
  'num.partitions': '1',
  'num.recovery.threads.per.data.dir': '1',
  'offsets.topic.replication.factor': '1',
  'share.coordinator.state.topic.replication.factor': '1',
  'share.coordinator.state.topic.min.isr': '1',
  'transaction.state.log.replication.factor': '1',
  'transaction.state.log.min.isr': '1',
  'log.retention.hours': '168',
  'log.segment.bytes': '1073741824',
  'log.retention.check.interval.ms': '300000',
}

export interface KafkaBroker {
  readonly port: number
  readonly pid: number
  readonly dataDir: string
  /** SIGTERM, then waits: partitions are closed and the clean marker is written. The exit code (143 is normal). */
  stop(): Promise<number | null>
  /** SIGKILL. */
  kill(): Promise<void>
  /** The exit code, once the process has ended by itself; null after a signal. */
  exited(): Promise<number | null>
}

const clusterId = 'c2Ftc2EtdGVzdC1wZWVyMQ'

/** Starts one KRaft broker that is also its controller, and waits until clients can work. */
export async function startKafkaBroker(jars: Jars, options: KafkaBrokerOptions): Promise<KafkaBroker> {
  await mkdir(options.dataDir, { recursive: true })
  const propertiesFile = await writeProperties(options)
  if (!existsSync(join(options.dataDir, 'meta.properties'))) await format(jars, propertiesFile)
  const logFile = `${options.dataDir}.log`
  const log = await open(logFile, 'a')
  const child = adopt(
    spawn(
      'java',
      [
        ...(options.jvmArguments ?? kafkaServerJvm),
        '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
        '-cp',
        jars.classPath,
        'kafka.Kafka',
        propertiesFile,
      ],
      { stdio: ['ignore', log.fd, log.fd] },
    ),
  )
  await log.close()
  try {
    await waitUntilServing(options.port, {
      timeoutMs: options.startTimeoutMs ?? 60_000,
      alive: () => child.exitCode === null && child.signalCode === null,
    })
  } catch (error) {
    await end(child, 'SIGKILL')
    const printed = await readFile(logFile, 'utf8')
    throw new Error(`Apache Kafka did not start:\n${printed.slice(-4_000)}`, { cause: error })
  }
  return handle(child, options)
}

function handle(child: ChildProcess, options: KafkaBrokerOptions): KafkaBroker {
  if (child.pid === undefined) throw new Error('java has no pid')
  return {
    port: options.port,
    pid: child.pid,
    dataDir: options.dataDir,
    stop: () => end(child, 'SIGTERM', 60_000),
    kill: async () => {
      await end(child, 'SIGKILL')
    },
    exited: () => exitOf(child),
  }
}

async function writeProperties(options: KafkaBrokerOptions): Promise<string> {
  const file = `${options.dataDir}.properties`
  const controllerPort = await freePort()
  const properties: Record<string, string> = {
    ...shippedProperties,
    listeners: `PLAINTEXT://127.0.0.1:${options.port},CONTROLLER://127.0.0.1:${controllerPort}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${options.port}`,
    'controller.quorum.bootstrap.servers': `127.0.0.1:${controllerPort}`,
    'log.dirs': options.dataDir,
    ...options.properties,
  }
  await writeFile(
    file,
    Object.entries(properties)
      .map(([key, value]) => `${key}=${value}\n`)
      .join(''),
  )
  return file
}

async function format(jars: Jars, propertiesFile: string): Promise<void> {
  const result = await runKafkaTool(jars, 'kafka-storage', [
    'format',
    '--standalone',
    '--cluster-id',
    clusterId,
    '--config',
    propertiesFile,
  ])
  if (result.code !== 0)
    throw new Error(`Apache Kafka could not format its directory:\n${result.stdout}\n${result.stderr}`)
}
