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
import { nowUs } from '../load/clock.ts'
import { removeScratch, removeScratchAtExit, scratchDirectory } from '../scratch.ts'
import { firstProduce } from './first-produce.ts'
import { MEASURING_SETTINGS, type RunningBroker, type Target, describeSettings } from './target.ts'

/** Apache Kafka in KRaft mode, broker and controller in one process, with the settings and the heap it ships with. */
export async function apacheKafka(
  directory: string,
  name = 'kafka',
  settings: Readonly<Record<string, string>> = {},
): Promise<Target> {
  const jars = await kafkaJars({ download: true })
  if (jars === null) throw new Error('Apache Kafka needs java, and mvn to be fetched once')
  const fresh = (): Promise<Formatted> => formatted(jars, directory, settings)
  return {
    name,
    description: `Apache Kafka ${kafkaVersion}, KRaft combined, ${describeSettings(settings)}, ${kafkaServerJvm.join(' ')}`,
    // Its controller fences its own broker, for a moment.
    awakeMs: 500,
    withoutAddon: null,
    start: async () => start(jars, await fresh()),
    measureStart: async () => {
      const place = await fresh()
      const startedUs = nowUs()
      const starting = start(jars, place)
      try {
        return (
          ((await Promise.race([
            firstProduce({ host: '127.0.0.1', port: place.port }, 'first', 60_000),
            starting.then(() => new Promise<never>(() => undefined)),
          ])) -
            startedUs) /
          1_000
        )
      } finally {
        await (await starting).stop()
      }
    },
  }
}

interface Formatted {
  readonly base: string
  readonly dataDir: string
  readonly port: number
  readonly properties: Readonly<Record<string, string>>
}

/** Kafka wants its directory formatted by a tool beforehand; that is not part of its start. */
async function formatted(
  jars: Jars,
  directory: string,
  settings: Readonly<Record<string, string>>,
): Promise<Formatted> {
  const base = await scratchDirectory(directory, 'bench-kafka-')
  const port = await freePort()
  const controllerPort = await freePort()
  const properties = {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map': 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT',
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    'controller.quorum.bootstrap.servers': `127.0.0.1:${controllerPort}`,
    'log.dirs': join(base, 'data'),
    ...MEASURING_SETTINGS,
    ...settings,
  }
  const file = join(base, 'format.properties')
  await writeFile(
    file,
    Object.entries(properties)
      .map(([key, value]) => `${key}=${value}\n`)
      .join(''),
  )
  const format = ['format', '--standalone', '--cluster-id', 'c2Ftc2EtYmVuY2gtcGVlcg', '--config', file]
  const result = await runKafkaTool(jars, 'kafka-storage', format)
  removeScratchAtExit()
  if (result.code !== 0) throw new Error(`kafka-storage format failed:\n${result.stdout}\n${result.stderr}`)
  return { base, dataDir: join(base, 'data'), port, properties }
}

/** Thousands of logs to recover take a while. */
const RESTART_MS = 300_000

async function start(jars: Jars, place: Formatted): Promise<RunningBroker> {
  const { port, dataDir, properties } = place
  let broker = await startKafkaBroker(jars, { port, dataDir, properties })
  let starting: Promise<KafkaBroker> | null = null
  return {
    endpoint: { host: '127.0.0.1', port },
    get pid() {
      return broker.pid
    },
    dataDirectory: dataDir,
    printed: () => readFile(`${dataDir}.log`, 'utf8'),
    kill: () => broker.kill(),
    restart: async () => {
      starting = startKafkaBroker(jars, { port, dataDir, properties, startTimeoutMs: RESTART_MS })
      starting.then(
        (started) => (broker = started),
        () => undefined,
      )
    },
    stop: async () => {
      await starting?.catch(() => undefined)
      await broker.stop()
      await removeScratch(place.base)
    },
  }
}
