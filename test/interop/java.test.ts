/**
 * Apache Kafka's own Java client: today's, and one from before Kafka 3.
 */
import { test, type TestContext } from 'node:test'

import { type Jars, kafkaClientJars, kafkaJars, kafkaVersion, toolJvm } from '../support/apache-kafka.ts'
import { startServer } from '../support/broker-process.ts'
import { javaClasses } from '../support/installs.ts'
import { fetchHint, skipMissing } from '../support/requirements.ts'
import { runClientProgram } from './client-program.ts'

const common = ['Steps.java', 'InteropClient.java', 'JavaAdmin.java']

const commonSteps = [
  'cooperative group of two',
  'static member comes back without a rebalance',
  'admin: cluster',
  'admin: configs',
  'admin: groups',
  'admin: offsets',
  'admin: log directories',
  'admin: partitions, records, topics',
  'admin: leaders and reassignments',
  'admin: quotas, users, access control',
]

async function runJavaClient(
  t: TestContext,
  jars: Jars | null,
  more: {
    readonly sources?: readonly string[]
    readonly args?: readonly string[]
    readonly steps?: readonly string[]
  },
): Promise<void> {
  if (jars === null) return skipMissing(t, `Apache Kafka's Java client, or java: ${fetchHint}`)
  const classes = await javaClasses(jars, [...common, ...(more.sources ?? [])])
  if (classes === null) return skipMissing(t, "javac, to compile the Java client's program: install a JDK")
  await using server = await startServer()
  await runClientProgram(t, server, {
    command: 'java',
    args: [
      ...toolJvm,
      '-Dorg.slf4j.simpleLogger.defaultLogLevel=error',
      '-cp',
      `${classes}:${jars.classPath}`,
      'InteropClient',
      server.bootstrap,
      ...(more.args ?? []),
    ],
    steps: [...commonSteps, ...(more.steps ?? [])],
  })
}

test(`kafka-clients ${kafkaVersion}`, { timeout: 170_000 }, async (t) => {
  await runJavaClient(t, await kafkaJars(), {
    sources: ['ModernAdmin.java'],
    args: ['ModernAdmin'],
    steps: [
      'admin: topics by name and by id',
      'admin: newer kinds of offsets',
      'admin: producers and transactions',
      'admin: groups by state',
      'admin: features and resources',
    ],
  })
})

test('kafka-clients 2.8.2', { timeout: 170_000 }, async (t) => {
  await runJavaClient(t, await kafkaClientJars('2.8.2'), {})
})
