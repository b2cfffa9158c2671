/**
 * kcat: librdkafka 2.0 as Debian ships it, driven as people drive it from a shell.
 */
import assert from 'node:assert/strict'
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { after, before, describe, test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'

import { peerIsKafka, type ServerUnderTest, startServer } from '../support/broker-process.ts'
import { adopt, end, runOrThrow, works } from '../support/processes.ts'
import { skipMissing } from '../support/requirements.ts'
import { until } from '../support/until.ts'

const timeout = 60_000
const topic = 'kcat'

/** A record as `kcat -J` prints it. */
interface Row {
  readonly partition: number
  readonly offset: number
  readonly tstype: string
  readonly headers?: readonly string[]
  readonly key: string | null
  readonly payload: string | null
}

/** What `kcat -L -J` prints. */
interface Description {
  readonly brokers: { readonly id: number; readonly name: string }[]
  readonly topics: { readonly partitions: { readonly partition: number; readonly leader: number }[] }[]
}

const present = await works('kcat', ['-V'])

if (!present) {
  test('kcat', (t: TestContext) => skipMissing(t, 'kcat is not installed (Debian: apt-get install kcat)'))
} else {
  describe('kcat', { concurrency: false, timeout: 150_000 }, () => {
    let server: ServerUnderTest
    const expected: { key: string | null; payload: string | null; headers?: string[] }[][] = [[], [], [], []]

    before(async () => {
      server = await startServer({ properties: { 'num.partitions': '4' } })
    })
    after(() => server[Symbol.asyncDispose]())

    function kcat(args: readonly string[], input = ''): Promise<string> {
      return runOrThrow('kcat', ['-b', server.bootstrap, ...args], { input, timeoutMs: 30_000 })
    }

    /** Sends one record per value, as one input, so that they travel in one batch. */
    async function produce(partition: number, values: readonly string[], args: readonly string[] = []) {
      await kcat(
        ['-P', '-t', topic, '-p', `${partition}`, ...args],
        values.map((each) => `${each}\n`).join(''),
      )
      for (const payload of values) expected[partition]?.push({ key: null, payload })
    }

    async function read(args: readonly string[]): Promise<Row[]> {
      const output = await kcat(['-C', '-J', '-e', '-q', ...args])
      return output
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Row)
    }

    async function checkEverything(): Promise<void> {
      for (let partition = 0; partition < 4; partition++) {
        const rows = await read(['-t', topic, '-p', `${partition}`, '-o', 'beginning'])
        assert.deepEqual(
          rows.map(({ offset, tstype, key, payload, headers }) => ({
            offset,
            tstype,
            key,
            payload,
            ...(headers === undefined ? {} : { headers }),
          })),
          expected[partition]?.map((each, offset) => ({ offset, tstype: 'create', ...each })),
        )
      }
    }

    /** kcat has no call for it: asking for the topic creates it, in Apache Kafka only after the answer. */
    async function create(name: string): Promise<Description> {
      let described: Description | null = null
      await until(async () => {
        described = JSON.parse(await kcat(['-L', '-J', '-t', name])) as Description
        const partitions = described.topics[0]?.partitions ?? []
        return !peerIsKafka || (partitions.length > 0 && partitions.every((each) => each.leader >= 0))
      })
      return described!
    }

    test('create topic', { timeout }, async () => {
      const described = await create(topic)
      assert.equal(described.brokers[0]?.name, server.bootstrap)
      const partitions = described.topics[0]?.partitions ?? []
      assert.deepEqual(
        partitions.map((each) => each.partition).toSorted((a, b) => a - b),
        [0, 1, 2, 3],
      )
      assert(partitions.every((each) => each.leader === described.brokers[0]?.id))
    })

    test('produce with acks 0, 1 and all', { timeout }, async () => {
      await produce(1, ['acks 1'], ['-X', 'acks=1'])
      await produce(1, ['acks all'], ['-X', 'acks=all'])
      await produce(0, ['acks 0, first', 'acks 0, second'], ['-X', 'acks=0'])
    })

    test('produce with every codec', { timeout }, async () => {
      for (const codec of ['none', 'gzip', 'snappy', 'lz4', 'zstd']) {
        const values = Array.from({ length: 50 }, (_, i) => `${codec} ${i} `.repeat(20))
        await produce(2, values, ['-z', codec])
      }
    })

    test('keys, headers, null values, timestamps', { timeout }, async () => {
      const to = ['-P', '-t', topic, '-p', '2', '-K', ':']
      await kcat(to, 'key:with a key\n')
      expected[2]?.push({ key: 'key', payload: 'with a key' })
      await kcat([...to, '-Z'], 'tombstone:\n')
      expected[2]?.push({ key: 'tombstone', payload: null })
      await kcat(['-P', '-t', topic, '-p', '2', '-H', 'one=1', '-H', 'empty=', '-H', 'one=ä€'], 'headers\n')
      expected[2]?.push({
        key: null,
        payload: 'headers',
        headers: ['one', '1', 'empty', '', 'one', 'ä€'],
      })
    })

    test('batches of 1 and of 1000', { timeout }, async () => {
      await produce(3, ['alone'])
      await produce(
        3,
        Array.from({ length: 1000 }, (_, i) => `many ${i}`),
        ['-X', 'linger.ms=100'],
      )
    })

    test('consume by assign', { timeout }, async () => {
      await checkEverything()
      const rows = await read(['-t', topic, '-p', '3', '-o', '500'])
      assert.deepEqual(
        rows.map((each) => each.payload),
        expected[3]?.slice(500).map((each) => each.payload),
      )
      assert.equal((await read(['-t', topic, '-p', '3', '-o', '-10'])).length, 10)
    })

    test('offsets by time', { timeout }, async () => {
      const answer = await kcat(['-Q', '-t', `${topic}:3:-1`, '-t', `${topic}:2:-2`])
      assert.match(answer, /kcat \[3\] offset 1001/)
      assert.match(answer, /kcat \[2\] offset 0/)
    })

    test('group of two, one joins later, one leaves', { timeout }, async () => {
      const name = 'kcat-group'
      await create(name)
      const send = async (round: number): Promise<void> => {
        for (let partition = 0; partition < 4; partition++) {
          const lines = Array.from({ length: 10 }, (_, i) => `${round}/${i}\n`).join('')
          await kcat(['-P', '-t', name, '-p', `${partition}`], lines)
        }
      }
      const first = new GroupMember(server.bootstrap, 'kcat-two', name)
      await first.until(() => first.partitions.size === 4)
      await send(0)
      await first.until(() => first.rows.length === 40)
      const second = new GroupMember(server.bootstrap, 'kcat-two', name)
      await second.until(() => second.partitions.size === 2)
      await first.until(() => first.partitions.size === 2)
      assert.deepEqual(new Set([...first.partitions, ...second.partitions]), new Set([0, 1, 2, 3]))
      await send(1)
      await first.until(() => first.rows.length === 60)
      await second.until(() => second.rows.length === 20)
      await second.stop()
      await first.until(() => first.partitions.size === 4)
      await send(2)
      await first.until(() => first.rows.length === 100)
      await first.stop()
      for (let partition = 0; partition < 4; partition++) {
        const got = [...first.rows, ...second.rows].filter((each) => each.partition === partition)
        got.sort((a, b) => a.offset - b.offset)
        assert.deepEqual(
          got.map((each) => each.payload),
          [0, 1, 2].flatMap((round) => Array.from({ length: 10 }, (_, i) => `${round}/${i}`)),
        )
      }
    })

    test('commit, restart, resume', { timeout }, async () => {
      const name = 'kcat-resume'
      const values = Array.from({ length: 20 }, (_, i) => `${i}`)
      await kcat(['-P', '-t', name, '-p', '0'], values.map((each) => `${each}\n`).join(''))
      const consume = (count: number): Promise<string> =>
        kcat([
          '-G',
          'kcat-resume',
          '-q',
          '-c',
          `${count}`,
          '-X',
          'auto.offset.reset=earliest',
          '-f',
          '%s\n',
          name,
        ])
      assert.equal(
        await consume(12),
        values
          .slice(0, 12)
          .map((each) => `${each}\n`)
          .join(''),
      )
      await server.stop()
      await server.start()
      await kcat(['-P', '-t', name, '-p', '0'], 'after\n')
      assert.equal(await consume(9), [...values.slice(12), 'after'].map((each) => `${each}\n`).join(''))
      await checkEverything()
    })

    // kcat ends when its only broker is away, so here the restart lies between two producers.
    test('idempotent producers before and after a crash', { timeout }, async () => {
      const name = 'kcat-idempotent'
      const values = Array.from({ length: 1000 }, (_, i) => `${i}`)
      const send = (some: readonly string[]): Promise<string> =>
        kcat(
          ['-P', '-t', name, '-p', '0', '-X', 'enable.idempotence=true', '-X', 'batch.num.messages=10'],
          some.map((each) => `${each}\n`).join(''),
        )
      await send(values.slice(0, 500))
      await server.kill()
      await server.start()
      await send(values.slice(500))
      const rows = await read(['-t', name, '-p', '0', '-o', 'beginning'])
      assert.deepEqual(
        rows.map((each) => each.payload),
        values,
      )
    })
  })
}

/** `kcat -G`: prints its assignments on standard error and its records on standard output. */
class GroupMember {
  readonly rows: Row[] = []
  partitions = new Set<number>()
  readonly #child: ChildProcessWithoutNullStreams

  constructor(bootstrap: string, group: string, name: string) {
    const settings = ['heartbeat.interval.ms=200', 'session.timeout.ms=10000', 'auto.offset.reset=earliest']
    const flags = settings.flatMap((each) => ['-X', each])
    this.#child = spawn('kcat', ['-b', bootstrap, '-G', group, '-J', '-u', ...flags, name])
    adopt(this.#child)
    createInterface({ input: this.#child.stdout }).on('line', (line) =>
      this.rows.push(JSON.parse(line) as Row),
    )
    createInterface({ input: this.#child.stderr }).on('line', (line) => {
      if (!line.includes('rebalanced')) return
      const assigned = line.includes('assigned:') ? [...line.matchAll(/\[(\d+)\]/g)] : []
      this.partitions = new Set(assigned.map((match) => Number(match[1])))
    })
  }

  async until(condition: () => boolean): Promise<void> {
    const until = Date.now() + 30_000
    while (!condition()) {
      assert(Date.now() < until, `partitions ${[...this.partitions].join()}, ${this.rows.length} records`)
      await sleep(20)
    }
  }

  async stop(): Promise<void> {
    await end(this.#child, 'SIGTERM')
  }
}
