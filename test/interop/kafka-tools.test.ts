/**
 * Apache Kafka's own command line tools against the broker, and its log dump on the broker's files.
 */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test, type TestContext } from 'node:test'

import { type Jars, kafkaJars, type KafkaTool, runKafkaTool } from '../support/apache-kafka.ts'
import { peerIsKafka, type ServerUnderTest, startSamsa, startServer } from '../support/broker-process.ts'
import { javaClasses } from '../support/installs.ts'
import { startToolRunner, type ToolRunner } from '../support/kafka-tool-runner.ts'
import { fetchHint, skipMissing } from '../support/requirements.ts'

const timeout = 60_000
const topic = 'tools'
const codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

const jars = await kafkaJars()
const classes = jars === null ? null : await javaClasses(jars, ['ToolRunner.java'])

if (jars === null || classes === null) {
  test("Apache Kafka's tools", (t: TestContext) =>
    skipMissing(t, `Apache Kafka's tools, or java and javac: ${fetchHint}`))
} else {
  toolTests(jars, classes)
}

function toolTests(kafka: Jars, compiled: string): void {
  describe("Apache Kafka's tools", { concurrency: false, timeout: 170_000 }, () => {
    let server: ServerUnderTest
    let tools: ToolRunner

    before(async () => {
      server = await startServer({ properties: { 'auto.create.topics.enable': 'false' } })
      tools = startToolRunner(kafka, compiled)
    })
    after(async () => {
      await tools[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
    })

    function call(tool: KafkaTool, args: readonly string[], input?: string): Promise<string> {
      return tools.output(tool, ['--bootstrap-server', server.bootstrap, ...args], input)
    }

    /** These two print their result in a shutdown hook, so they need a JVM of their own. */
    async function alone(tool: KafkaTool, args: readonly string[]): Promise<string> {
      const result = await runKafkaTool(kafka, tool, ['--bootstrap-server', server.bootstrap, ...args])
      assert.equal(result.code, 0, `${tool}\n${result.stdout}\n${result.stderr}`)
      return result.stdout
    }

    test('kafka-topics', { timeout }, async () => {
      const create = ['--create', '--topic', topic, '--partitions', '2', '--replication-factor', '1']
      await call('kafka-topics', [...create, '--config', 'segment.bytes=1048576'])
      const again = await tools.run('kafka-topics', ['--bootstrap-server', server.bootstrap, ...create])
      assert.equal(again.code, 1)
      assert.match(again.stdout + again.stderr, /already exists/)
      const described = await call('kafka-topics', ['--describe', '--topic', topic])
      assert.match(described, /PartitionCount: 2\tReplicationFactor: 1\tConfigs: .*segment\.bytes=1048576/)
      assert.match(described, /Partition: 1\tLeader: (\d+)\tReplicas: \1\tIsr: \1/)
      await call('kafka-topics', ['--alter', '--topic', topic, '--partitions', '4'])
      assert.match(await call('kafka-topics', ['--describe', '--topic', topic]), /PartitionCount: 4/)
      await call('kafka-topics', ['--create', '--topic', 'tools-short-lived'])
      assert.match(await call('kafka-topics', ['--list']), /^tools-short-lived$/m)
      await call('kafka-topics', ['--delete', '--topic', 'tools-short-lived'])
      assert.doesNotMatch(await call('kafka-topics', ['--list']), /^tools-short-lived$/m)
    })

    test('kafka-configs', { timeout }, async () => {
      const entity = ['--entity-type', 'topics', '--entity-name', topic]
      await call('kafka-configs', [
        '--alter',
        ...entity,
        '--add-config',
        'retention.ms=3600000,max.message.bytes=2000000',
      ])
      const described = await call('kafka-configs', ['--describe', ...entity])
      assert.match(
        described,
        /retention\.ms=3600000 sensitive=false synonyms=\{DYNAMIC_TOPIC_CONFIG:retention\.ms=3600000/,
      )
      await call('kafka-configs', ['--alter', ...entity, '--delete-config', 'retention.ms'])
      assert.doesNotMatch(await call('kafka-configs', ['--describe', ...entity]), /retention\.ms=3600000/)
      assert.match(await call('kafka-configs', ['--describe', '--all', ...entity]), /cleanup\.policy=delete/)
      const node = peerIsKafka ? '1' : '0'
      const broker = ['--entity-type', 'brokers', '--entity-name', node]
      assert.match(
        await call('kafka-configs', ['--describe', '--all', ...broker]),
        /log\.segment\.bytes=1073741824/,
      )
      const to = ['--bootstrap-server', server.bootstrap, '--alter', ...entity]
      const wrong = await tools.run('kafka-configs', [...to, '--add-config', 'retention.ms=soon'])
      assert.equal(wrong.code, 1)
    })

    test('kafka-console-producer and kafka-console-consumer, every codec', { timeout }, async () => {
      for (const codec of codecs) {
        const lines = Array.from({ length: 20 }, (_, i) => `h:${codec}\tkey ${i}\t${codec} ${i}\n`).join('')
        const to = ['--topic', topic, '--compression-codec', codec]
        const parse = ['parse.key=true', 'parse.headers=true'].flatMap((each) => ['--reader-property', each])
        await call('kafka-console-producer', [...to, ...parse], lines)
      }
      const shown = ['print.key=true', 'print.headers=true'].flatMap((each) => ['--formatter-property', each])
      const count = codecs.length * 20
      const from = [
        '--topic',
        topic,
        '--from-beginning',
        '--max-messages',
        `${count}`,
        '--timeout-ms',
        '20000',
      ]
      const rows = (await call('kafka-console-consumer', [...from, ...shown])).trim().split('\n')
      const sent = codecs.flatMap((codec) =>
        Array.from({ length: 20 }, (_, i) => `h:${codec}\tkey ${i}\t${codec} ${i}`),
      )
      assert.deepEqual(rows.toSorted(), sent.toSorted())
    })

    test('kafka-verifiable-producer and kafka-verifiable-consumer', { timeout }, async () => {
      await call('kafka-topics', ['--create', '--topic', 'verifiable'])
      const produced = await alone('kafka-verifiable-producer', [
        '--topic',
        'verifiable',
        '--max-messages',
        '500',
      ])
      assert.match(produced, /"name":"tool_data","sent":500,"acked":500/)
      const group = ['--topic', 'verifiable', '--group-id', 'verifiable', '--reset-policy', 'earliest']
      const consumed = await alone('kafka-verifiable-consumer', [...group, '--max-messages', '500'])
      const counts = [
        ...consumed.matchAll(
          /"name":"records_consumed".*?"count":(\d+)|"count":(\d+).*?"name":"records_consumed"/g,
        ),
      ]
      assert.equal(
        counts.reduce((sum, match) => sum + Number(match[1] ?? match[2]), 0),
        500,
      )
      assert.match(
        consumed,
        /"name":"offsets_committed".*"success":true|"success":true.*"name":"offsets_committed"/,
      )
    })

    test('kafka-get-offsets', { timeout }, async () => {
      const latest = await call('kafka-get-offsets', ['--topic', 'verifiable'])
      const total = latest
        .trim()
        .split('\n')
        .reduce((sum, line) => sum + Number(line.split(':')[2]), 0)
      assert.equal(total, 500)
      const earliest = await call('kafka-get-offsets', ['--topic', 'verifiable', '--time', 'earliest'])
      assert.deepEqual(earliest.trim().split('\n'), ['verifiable:0:0'])
      await call('kafka-get-offsets', ['--topic', 'verifiable', '--time', 'max-timestamp'])
    })

    test('kafka-consumer-groups', { timeout }, async () => {
      assert.match(await call('kafka-consumer-groups', ['--list']), /^verifiable$/m)
      const group = ['--group', 'verifiable']
      const described = await call('kafka-consumer-groups', ['--describe', ...group])
      const rows = described.split('\n').filter((line) => line.startsWith('verifiable'))
      assert.equal(rows.length, 1)
      for (const row of rows) {
        const [, , , committed, end, lag] = row.split(/\s+/)
        assert.equal(committed, end)
        assert.equal(lag, '0')
      }
      assert.match(await call('kafka-consumer-groups', ['--describe', '--state', ...group]), /Empty\s+0/)
      const reset = ['--reset-offsets', ...group, '--topic', 'verifiable', '--to-earliest', '--execute']
      await call('kafka-consumer-groups', reset)
      const after = await call('kafka-consumer-groups', ['--describe', ...group])
      assert.match(after, /verifiable\s+verifiable\s+0\s+0\s+\d+\s+\d+/)
      await call('kafka-consumer-groups', ['--delete-offsets', ...group, '--topic', 'verifiable:0'])
      await call('kafka-consumer-groups', ['--delete', ...group])
      assert.doesNotMatch(await call('kafka-consumer-groups', ['--list']), /^verifiable$/m)
    })

    test('kafka-log-dirs', { timeout }, async () => {
      const printed = await call('kafka-log-dirs', ['--describe', '--topic-list', 'verifiable'])
      const line = printed.split('\n').find((each) => each.startsWith('{'))
      const described = JSON.parse(line ?? '') as {
        brokers: {
          logDirs: {
            logDir: string
            error: string | null
            partitions: { partition: string; size: number }[]
          }[]
        }[]
      }
      const [dir] = described.brokers[0]?.logDirs ?? []
      assert.equal(dir?.logDir, server.dataDir)
      assert.equal(dir?.error, null)
      assert.deepEqual(
        dir?.partitions.map((each) => each.partition),
        ['verifiable-0'],
      )
      assert(dir?.partitions.every((each) => each.size > 0))
    })

    test(
      'kafka-reassign-partitions moves between log directories',
      { timeout, skip: peerIsKafka },
      async () => {
        const logDirs = ['one', 'two'].map((name) => `${server.dataDir}-${name}`)
        await using moving = await startSamsa({ dataDir: `${server.dataDir}-moving`, logDirs })
        const run = (tool: KafkaTool, args: readonly string[]): Promise<string> =>
          tools.output(tool, ['--bootstrap-server', moving.bootstrap, ...args])
        await run('kafka-topics', ['--create', '--topic', 'moved', '--partitions', '4'])
        const places = [0, 1, 2, 3].map((partition) => ({
          topic: 'moved',
          partition,
          replicas: [0],
          log_dirs: [logDirs[1]],
        }))
        const file = `${server.dataDir}.moves.json`
        await writeFile(file, JSON.stringify({ partitions: places, version: 1 }))
        const reassign = (...args: string[]): Promise<string> =>
          run('kafka-reassign-partitions', ['--reassignment-json-file', file, ...args])
        const begun = await reassign('--execute', '--replica-alter-log-dirs-throttle', '10000000')
        assert.match(begun, /The replica-alter-dir throttle limit was set to 10000000 B\/s/)
        assert.equal([...begun.matchAll(/Successfully started moving log directory/g)].length, 4)
        const isVerified = (printed: string): boolean =>
          [...printed.matchAll(/Reassignment of replica moved-\d-0 completed successfully/g)].length === 4
        for (let tries = 0; ; tries++) {
          const verified = await reassign('--verify')
          if (isVerified(verified)) break
          assert.ok(tries < 50, verified)
        }
        const described = await run('kafka-log-dirs', ['--describe', '--topic-list', 'moved'])
        assert.doesNotMatch(described, /"isFuture":true/)
        assert.deepEqual(
          readdirSync(logDirs[1]!)
            .filter((name) => name.startsWith('moved-'))
            .toSorted(),
          [0, 1, 2, 3].map((partition) => `moved-${partition}`),
        )
      },
    )

    test('kafka-delete-records', { timeout }, async () => {
      const file = `${server.dataDir}.delete.json`
      await writeFile(
        file,
        JSON.stringify({ partitions: [{ topic: 'verifiable', partition: 0, offset: 20 }], version: 1 }),
      )
      assert.match(
        await call('kafka-delete-records', ['--offset-json-file', file]),
        /partition: verifiable-0\s+low_watermark: 20/,
      )
      const earliest = await call('kafka-get-offsets', ['--topic', 'verifiable', '--time', 'earliest'])
      assert.deepEqual(earliest.trim().split('\n'), ['verifiable:0:20'])
    })

    test('kafka-broker-api-versions', { timeout }, async () => {
      const printed = await call('kafka-broker-api-versions', [])
      for (const name of ['Produce', 'Fetch', 'Metadata', 'JoinGroup', 'CreateTopics', 'DescribeCluster']) {
        assert.match(printed, new RegExp(`\\t${name}\\(\\d+\\): .* \\[usable: \\d+\\]`))
      }
    })

    test('kafka-producer-perf-test fills several segments', { timeout }, async () => {
      // Every write has to be on the device, so the files of the topic reach ahead of its log while it is written.
      const config = ['--config', 'segment.bytes=1048576', '--config', 'flush.messages=1']
      await call('kafka-topics', ['--create', '--topic', 'perf', ...config])
      const load = ['--topic', 'perf', '--num-records', '30000', '--record-size', '100', '--throughput', '-1']
      const producer = ['--producer-props', `bootstrap.servers=${server.bootstrap}`, 'batch.size=4000']
      const printed = await tools.output('kafka-producer-perf-test', [...load, ...producer])
      assert.match(printed, /30000 records sent/)
    })

    test('kafka-dump-log reads every file after a clean stop', { timeout }, async () => {
      await server.stop()
      const dump = (files: readonly string[], ...args: string[]): Promise<string> =>
        tools.output('kafka-dump-log', ['--files', files.join(','), ...args])
      const logs = filesOf(server.dataDir, /^(tools|perf|verifiable)-\d+$/, '.log')
      assert(logs.filter((each) => each.includes('/perf-0/')).length >= 3, logs.join())
      const records = await dump(logs, '--deep-iteration', '--print-data-log')
      assert.doesNotMatch(records, /isvalid: false|corrupt|mismatch|Found|Could not/i)
      assert.equal(records.match(/^\| offset: \d+/gm)?.length, 30_000 + 500 + codecs.length * 20)
      for (const codec of codecs) {
        assert.match(records, new RegExp(`compresscodec: ${codec}`, 'i'))
        assert.match(records, new RegExp(`headerKeys: \\[h\\] key: key 19 payload: ${codec} 19`))
      }
      const indexes = filesOf(server.dataDir, /^(tools|perf|verifiable)-\d+$/, '.index')
      const timeIndexes = filesOf(server.dataDir, /^(tools|perf|verifiable)-\d+$/, '.timeindex')
      assert.match(await dump(indexes), /offset: \d+ position: \d+/)
      for (const printed of [
        await dump(indexes, '--index-sanity-check'),
        await dump([...indexes, ...timeIndexes], '--verify-index-only'),
        await dump(timeIndexes),
      ]) {
        assert.doesNotMatch(printed, /mismatch|Found|corrupt/i)
      }
      const snapshots = filesOf(server.dataDir, /^perf-0$/, '.snapshot')
      assert.match(await dump(snapshots.slice(-1)), /producerId: \d+ producerEpoch: 0 .* lastSequence: 29999/)
      const offsets = await dump(
        filesOf(server.dataDir, /^__consumer_offsets-\d+$/, '.log'),
        '--offsets-decoder',
      )
      assert.match(offsets, /"type":"1","data":\{"group":"verifiable"/)
    })
  })
}

/** Files of the partitions whose directories match, sorted. */
function filesOf(dataDir: string, partition: RegExp, ending: string): string[] {
  return readdirSync(dataDir)
    .filter((each) => partition.test(each))
    .flatMap((each) => readdirSync(join(dataDir, each)).map((file) => join(dataDir, each, file)))
    .filter((each) => each.endsWith(ending))
    .toSorted()
}
