/**
 * A data directory that Apache Kafka wrote is started by Samsa, and after that by Apache Kafka again: every record of
 * it is served, at its offset.
 */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'

import { type Jars, kafkaJars, startKafkaBroker } from '../support/apache-kafka.ts'
import { startSamsa } from '../support/broker-process.ts'
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
      const kafka = await startKafkaBroker(jars, { port, dataDir })
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
