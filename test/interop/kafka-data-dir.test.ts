/**
 * A data directory that Apache Kafka wrote is started by Samsa, and after that by Apache Kafka again: every record of
 * it is served, at its offset, and what the topics' configurations keep is still there after retention ran.
 */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { isDeepStrictEqual } from 'node:util'

import { briefBrokerJvm, type Jars, kafkaJars, startKafkaBroker } from '../support/apache-kafka.ts'
import { type ServerUnderTest, startSamsa } from '../support/broker-process.ts'
import { javaClasses } from '../support/installs.ts'
import { startToolRunner, type ToolRunner } from '../support/kafka-tool-runner.ts'
import { freePort } from '../support/processes.ts'
import { fetchHint, skipMissing } from '../support/requirements.ts'

const timeout = 240_000
const codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd']
const recordsPerCodec = 2_000

for (const ending of ['a clean stop', 'kill -9'] as const) {
  test(`Samsa serves what Apache Kafka wrote before ${ending}`, { timeout }, async (t: TestContext) => {
    const jars = await kafkaJars()
    const classes = jars === null ? null : await javaClasses(jars, ['ToolRunner.java'])
    if (jars === null || classes === null) {
      return skipMissing(t, `Apache Kafka, or java and javac: ${fetchHint}`)
    }
    const work = await mkdtemp(join(tmpdir(), 'samsa-kafka-dir-'))
    try {
      await using tools = startToolRunner(jars, classes)
      const dataDir = join(work, 'data')
      const written = await writeWithKafka(jars, tools, dataDir, ending === 'kill -9')
      const segments = readdirSync(join(dataDir, 'moved-0')).filter((each) => each.endsWith('.log'))
      assert(segments.length >= 3, `Apache Kafka left ${segments.join()}`)
      // The directory belongs to the node that wrote it.
      // Every write has to be on the device, so its files reach ahead of the log while it runs.
      const properties = { 'node.id': '1', 'log.flush.interval.messages': '1' }
      await using samsa = await startSamsa({ dataDir, properties })
      await checkTopic(tools, samsa.bootstrap, written)
      // And it goes on from there: new records follow, and all of it survives a restart.
      const to = ['--bootstrap-server', samsa.bootstrap, '--topic', 'moved']
      await tools.output('kafka-console-producer', to, 'written by Samsa\n')
      const more = new Map(written)
      more.set(`0:${written.size}`, 'written by Samsa')
      await checkTopic(tools, samsa.bootstrap, more)
      await samsa.stop()
      await samsa.start()
      await checkTopic(tools, samsa.bootstrap, more)
      await samsa.stop()
      await checkDump(tools, dataDir, more.size)
      // The way back, too.
      const port = await freePort()
      const kafka = await startKafkaBroker(jars, { port, dataDir, jvmArguments: briefBrokerJvm })
      try {
        await checkTopic(tools, `127.0.0.1:${port}`, more)
      } finally {
        await kafka.stop()
      }
    } finally {
      await rm(work, { recursive: true, force: true })
    }
  })
}

/** Every record of the topic by `partition:offset`, as Apache Kafka itself serves them. */
type Records = ReadonlyMap<string, string>

async function writeWithKafka(
  jars: Jars,
  tools: ToolRunner,
  dataDir: string,
  crash: boolean,
): Promise<Records> {
  const port = await freePort()
  const broker = await startKafkaBroker(jars, {
    port,
    dataDir,
    jvmArguments: briefBrokerJvm,
    properties: { 'log.segment.bytes': '1048576', 'log.index.interval.bytes': '1024' },
  })
  try {
    const bootstrap = `127.0.0.1:${port}`
    const to = ['--bootstrap-server', bootstrap, '--topic', 'moved']
    await tools.output('kafka-topics', [...to, '--create', '--partitions', '1'])
    for (const codec of codecs) {
      // The console producer is idempotent, so the log holds producer ids and sequences too.
      const lines = Array.from({ length: recordsPerCodec }, (_, i) => `${codec} ${i} ${noise(i)}\n`)
      await tools.output('kafka-console-producer', [...to, '--compression-codec', codec], lines.join(''))
    }
    const written = await readTopic(tools, bootstrap, recordsPerCodec * codecs.length)
    assert.equal(written.size, recordsPerCodec * codecs.length)
    return written
  } finally {
    await (crash ? broker.kill() : broker.stop())
  }
}

/** Text that does not compress to nothing, so that every codec fills a segment. */
function noise(seed: number): string {
  let state = seed + 1
  let text = ''
  for (let i = 0; i < 150; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    text += (state >>> 16).toString(36)
  }
  return text
}

async function readTopic(tools: ToolRunner, bootstrap: string, count: number): Promise<Records> {
  const shown = ['print.partition=true', 'print.offset=true'].flatMap((each) => [
    '--formatter-property',
    each,
  ])
  const from = ['--bootstrap-server', bootstrap, '--topic', 'moved', '--from-beginning']
  const until = ['--max-messages', `${count}`, '--timeout-ms', '20000']
  const printed = await tools.output('kafka-console-consumer', [...from, ...until, ...shown])
  const records = new Map<string, string>()
  for (const line of printed.trim().split('\n')) {
    const [partition = '', offset = '', value = ''] = line.split('\t')
    records.set(`${partition.split(':')[1]}:${offset.split(':')[1]}`, value)
  }
  return records
}

async function checkTopic(tools: ToolRunner, bootstrap: string, expected: Records): Promise<void> {
  // Reading comes first and waits for all of them: the console producer's shutdown hook, which closes its producer,
  // does not run in the JVM that the tools share, so it may still be sending when it has returned.
  const served = await readTopic(tools, bootstrap, expected.size)
  const ends = await tools.output('kafka-get-offsets', ['--bootstrap-server', bootstrap, '--topic', 'moved'])
  assert.equal(ends.trim(), `moved:0:${expected.size}`)
  assert.equal(served.size, expected.size)
  for (const [place, value] of expected) {
    assert.equal(served.get(place), value, `record ${place}`)
  }
}

async function checkDump(tools: ToolRunner, dataDir: string, count: number): Promise<void> {
  const directory = join(dataDir, 'moved-0')
  const files = (ending: string): string =>
    readdirSync(directory)
      .filter((each) => each.endsWith(ending))
      .toSorted()
      .map((each) => join(directory, each))
      .join(',')
  const deep = ['--files', files('.log'), '--deep-iteration', '--print-data-log']
  const printed = await tools.output('kafka-dump-log', deep)
  assert.doesNotMatch(printed, /isvalid: false|mismatch|Found /)
  assert.equal(printed.match(/^\| offset: \d+/gm)?.length, count)
  const indexes = `${files('.index')},${files('.timeindex')}`
  assert.doesNotMatch(
    await tools.output('kafka-dump-log', ['--files', indexes, '--verify-index-only']),
    /mismatch|Found /,
  )
}

// ------------------------------------------------------------------------------------------------------- policies

const quick = { 'retention.ms': '1000' }
const forEver = { 'retention.ms': '-1' }
/** Topics of every policy. All hold a segment and a half of records, every key of which comes again and again. */
const policies: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  forever: forEver,
  week: { 'retention.ms': '604800000' },
  quick,
  defaults: {},
  bytes: { ...forEver, 'retention.bytes': '100000' },
  compacted: { 'cleanup.policy': 'compact', 'min.cleanable.dirty.ratio': '0.01' },
  both: { 'cleanup.policy': 'compact,delete', ...quick },
}
/** The oldest segment goes by size; all goes by age; nothing goes. */
const leftByPolicy: Readonly<Record<string, 'all' | 'some' | 'none'>> = {
  forever: 'all',
  week: 'all',
  quick: 'none',
  defaults: 'none',
  bytes: 'some',
  compacted: 'all',
  both: 'none',
}
const keyedRecords = 600
/** Where nobody says otherwise, a topic loses its records after a second. */
const quickRetention = {
  'node.id': '1',
  'log.retention.ms': '1000',
  'log.retention.check.interval.ms': '500',
  'log.cleaner.backoff.ms': '500',
}

for (const ending of ['a clean stop', 'kill -9 and with snapshots of the metadata'] as const) {
  test(`topics keep their policies after ${ending}`, { timeout }, async (t: TestContext) => {
    const jars = await kafkaJars()
    const classes = jars === null ? null : await javaClasses(jars, ['ToolRunner.java'])
    if (jars === null || classes === null) {
      return skipMissing(t, `Apache Kafka, or java and javac: ${fetchHint}`)
    }
    const work = await mkdtemp(join(tmpdir(), 'samsa-kafka-guest-'))
    try {
      await using tools = startToolRunner(jars, classes)
      const dataDir = join(work, 'data')
      const ids = await makePolicies(jars, tools, dataDir, ending !== 'a clean stop')
      await using samsa = await startSamsa({ dataDir, properties: quickRetention })
      await checkPolicies(tools, samsa, ids)
      await samsa.stop()
      await samsa.start()
      await checkPolicies(tools, samsa, ids)
      assert.match(await samsa.log(), /NOT ENFORCED/)
      const ours = ['--bootstrap-server', samsa.bootstrap, '--topic', 'ours']
      await tools.output('kafka-topics', [...ours, '--create', '--config', 'retention.ms=-1'])
      await tools.output('kafka-console-producer', [...ours, '--timeout', '0'], 'a\nb\nc\n')
      await until(async () => (await offsets(tools, samsa.bootstrap))['ours'] === '0..3')
      await samsa.stop()
      await changeWithKafka(jars, tools, dataDir)
      await samsa.start()
      // Kafka did not know it, and set it aside.
      assert.equal((await offsets(tools, samsa.bootstrap))['ours'], '0..3')
      assert.deepEqual(
        Object.keys(await topicIds(tools, samsa.bootstrap)).toSorted(byName),
        [...Object.keys(ids).filter((name) => name !== 'week'), 'later', 'ours'].toSorted(byName),
      )
      assert.equal((await configOf(tools, samsa.bootstrap, 'defaults'))['retention.ms'], '-1')
      // Nobody knows anything any more.
      await samsa.stop()
      const lost = readdirSync(dataDir).filter((name) => /^samsa-|^__cluster_metadata/.test(name))
      for (const name of lost) await rm(join(dataDir, name), { recursive: true })
      await samsa.start()
      const before = await offsets(tools, samsa.bootstrap)
      await new Promise((resolve) => setTimeout(resolve, 3_000))
      assert.deepEqual(await offsets(tools, samsa.bootstrap), before)
      assert.equal(before['forever'], `0..${keyedRecords}`)
      assert.equal(
        (await samsa.log()).match(/nobody knows the topic's configuration/g)?.length,
        Object.keys(before).length,
      )
    } finally {
      await rm(work, { recursive: true, force: true })
    }
  })
}

function byName(a: string, b: string): number {
  return a < b ? -1 : 1
}

/** Ids of the topics that are left, by name. */
async function makePolicies(
  jars: Jars,
  tools: ToolRunner,
  dataDir: string,
  crash: boolean,
): Promise<Record<string, string>> {
  const port = await freePort()
  const broker = await startKafkaBroker(jars, {
    port,
    dataDir,
    jvmArguments: briefBrokerJvm,
    properties: {
      'log.segment.bytes': '1048576',
      'log.retention.ms': '-1',
      ...(crash ? { 'metadata.log.max.record.bytes.between.snapshots': '500' } : {}),
    },
  })
  try {
    const bootstrap = ['--bootstrap-server', `127.0.0.1:${port}`]
    for (const [topic, config] of [...Object.entries(policies), ['gone', forEver] as const]) {
      const configs = Object.entries(config).flatMap(([key, value]) => ['--config', `${key}=${value}`])
      await tools.output('kafka-topics', [...bootstrap, '--create', '--topic', topic, ...configs])
    }
    await tools.output('kafka-topics', [...bootstrap, '--delete', '--topic', 'gone'])
    const quota = [
      '--alter',
      '--entity-type',
      'clients',
      '--entity-name',
      'app',
      '--add-config',
      'request_percentage=9',
    ]
    await tools.output('kafka-configs', [...bootstrap, ...quota])
    const lines = Array.from({ length: keyedRecords }, (_, i) => `key ${i % 10}\t${noise(i).repeat(6)}\n`)
    for (const topic of Object.keys(policies)) {
      const keyed = ['--topic', topic, '--reader-property', 'parse.key=true']
      await tools.output('kafka-console-producer', [...bootstrap, ...keyed], lines.join(''))
    }
    // The producers may still be sending.
    const all = Object.fromEntries(Object.keys(policies).map((topic) => [topic, `0..${keyedRecords}`]))
    await until(async () => isDeepStrictEqual(await offsets(tools, `127.0.0.1:${port}`), all))
    return await topicIds(tools, `127.0.0.1:${port}`)
  } finally {
    await (crash ? broker.kill() : broker.stop())
  }
}

async function topicIds(tools: ToolRunner, bootstrap: string): Promise<Record<string, string>> {
  const described = await tools.output('kafka-topics', [
    '--bootstrap-server',
    bootstrap,
    '--describe',
    '--exclude-internal',
  ])
  return Object.fromEntries(
    [...described.matchAll(/^Topic: (\S+)\s+TopicId: (\S+)/gm)].map(([, name, id]) => [name, id]),
  )
}

async function configOf(
  tools: ToolRunner,
  bootstrap: string,
  topic: string,
): Promise<Record<string, string>> {
  const of = ['--describe', '--entity-type', 'topics', '--entity-name', topic]
  const described = await tools.output('kafka-configs', ['--bootstrap-server', bootstrap, ...of])
  return Object.fromEntries(
    [...described.matchAll(/^\s+([\w.]+)=(\S*) sensitive/gm)].map(([, key, value]) => [key, value]),
  )
}

/** `first..next` by topic. */
async function offsets(tools: ToolRunner, bootstrap: string): Promise<Record<string, string>> {
  const at = async (time: string): Promise<Map<string, string>> => {
    const to = ['--bootstrap-server', bootstrap, '--exclude-internal-topics', '--time', time]
    const printed = await tools.output('kafka-get-offsets', to)
    return new Map(
      printed
        .trim()
        .split('\n')
        .map((line) => [line.split(':')[0]!, line.split(':')[2]!]),
    )
  }
  const [first, next] = [await at('-2'), await at('-1')]
  return Object.fromEntries([...first].map(([topic, offset]) => [topic, `${offset}..${next.get(topic)}`]))
}

async function checkPolicies(
  tools: ToolRunner,
  samsa: ServerUnderTest,
  ids: Readonly<Record<string, string>>,
): Promise<void> {
  assert.deepEqual(Object.keys(ids).toSorted(byName), Object.keys(policies).toSorted(byName))
  assert.deepEqual(await topicIds(tools, samsa.bootstrap), ids)
  for (const [topic, config] of Object.entries(policies))
    assert.deepEqual(await configOf(tools, samsa.bootstrap, topic), config, topic)
  const all = `0..${keyedRecords}`
  const none = `${keyedRecords}..${keyedRecords}`
  const left = async (): Promise<Record<string, string>> => {
    const found = Object.entries(await offsets(tools, samsa.bootstrap))
    const whats = found.map(([topic, range]) => [
      topic,
      range === all ? 'all' : range === none ? 'none' : 'some',
    ])
    return Object.fromEntries(whats) as Record<string, string>
  }
  await until(async () =>
    Object.entries(await left()).every(([topic, what]) => what !== 'all' || leftByPolicy[topic] === 'all'),
  )
  assert.deepEqual(await left(), leftByPolicy, await samsa.log())
}

/** Comes true within a minute, however busy the machine is. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + 60_000
  while (!(await isSo())) {
    assert(performance.now() < deadlineMs, isSo.toString())
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

/** Apache Kafka has the directory again. */
async function changeWithKafka(jars: Jars, tools: ToolRunner, dataDir: string): Promise<void> {
  const port = await freePort()
  const kafka = await startKafkaBroker(jars, { port, dataDir, jvmArguments: briefBrokerJvm })
  try {
    const bootstrap = ['--bootstrap-server', `127.0.0.1:${port}`]
    assert.equal((await offsets(tools, `127.0.0.1:${port}`))['forever'], `0..${keyedRecords}`)
    await tools.output('kafka-topics', [...bootstrap, '--create', '--topic', 'later'])
    await tools.output('kafka-topics', [...bootstrap, '--delete', '--topic', 'week'])
    const alter = [
      '--alter',
      '--entity-type',
      'topics',
      '--entity-name',
      'defaults',
      '--add-config',
      'retention.ms=-1',
    ]
    await tools.output('kafka-configs', [...bootstrap, ...alter])
  } finally {
    await kafka.stop()
  }
}
