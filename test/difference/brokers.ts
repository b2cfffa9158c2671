/** The two brokers, set up alike. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Broker } from '../../src/index.ts'
import { briefBrokerJvm, kafkaJars, startKafkaBroker } from '../support/apache-kafka.ts'
import { freePort } from '../support/processes.ts'

/** Set explicitly on both, as \`server.properties\` of Apache Kafka's distribution does: sources are compared too. */
const properties: Readonly<Record<string, string>> = {
  'node.id': '1',
  'log.retention.hours': '168',
  'log.segment.bytes': '1073741824',
  'num.io.threads': '8',
  'num.network.threads': '3',
  'num.recovery.threads.per.data.dir': '1',
  'socket.receive.buffer.bytes': '102400',
  'socket.request.max.bytes': '104857600',
  'socket.send.buffer.bytes': '102400',
  'group.initial.rebalance.delay.ms': '0',
  'log.retention.check.interval.ms': '3600000',
  'num.partitions': '1',
  'offsets.topic.replication.factor': '1',
}

export interface BrokerToAsk extends AsyncDisposable {
  readonly port: number
  readonly dataDir: string
}

export async function startSamsaToAsk(): Promise<BrokerToAsk> {
  const broker = await Broker.start({ profile: 'server', config: properties })
  return {
    port: broker.port,
    dataDir: broker.dataDir,
    [Symbol.asyncDispose]: () => broker.stop(),
  }
}

/** Throws when Apache Kafka is not on this machine. */
export async function startKafkaToAsk(): Promise<BrokerToAsk> {
  const jars = await kafkaJars()
  if (jars === null) throw new Error('Apache Kafka is not in the cache: SAMSA_DOWNLOAD=1 fetches it')
  const parent = await mkdtemp(join(tmpdir(), 'samsa-difference-'))
  const dataDir = join(parent, 'data')
  const broker = await startKafkaBroker(jars, {
    port: await freePort(),
    dataDir,
    // Old records are part of many scenarios, and the first look for them comes after half a minute.
    properties: { ...properties, 'log.initial.task.delay.ms': '3600000' },
    jvmArguments: briefBrokerJvm,
  })
  return {
    port: broker.port,
    dataDir,
    [Symbol.asyncDispose]: async () => {
      await broker.kill()
      if (process.env['SAMSA_KEEP'] !== '1') await rm(parent, { recursive: true, force: true })
    },
  }
}
