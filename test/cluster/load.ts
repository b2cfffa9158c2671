/** Clients at work on a cluster, which write down what they were told. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import kafkajs from 'kafkajs'

import { adopt, end, repositoryRoot } from '../support/processes.ts'
import type { ClusterProcesses } from './cluster-processes.ts'
import { coordinatorOf, readTopic } from './contents.ts'
import { History } from './history.ts'

const { Kafka, logLevel } = kafkajs

const PARTITIONS = 6
const GROUP = 'readers'
const PATIENCE_MS = 60_000

export interface LoadOptions {
  /** Where the Python packages are. */
  readonly packages: string
  readonly topic?: string
  /** Records a second of each idempotent producer. */
  readonly rate?: number
}

/** A client of kafkajs that does not give up. */
export function kafkaOf(cluster: ClusterProcesses): kafkajs.Kafka {
  return new Kafka({
    clientId: 'cluster-test',
    brokers: [...cluster.bootstrap],
    logLevel: logLevel.NOTHING,
    connectionTimeout: 2_000,
    requestTimeout: 4_000,
    retry: { initialRetryTime: 30, maxRetryTime: 300, retries: 400 },
  })
}

/** Two producers and two members of a group of librdkafka, a producer of kafkajs, and one who watches the group's offsets. */
export class Load implements AsyncDisposable {
  readonly history = new History()
  readonly topic: string
  readonly #cluster: ClusterProcesses
  readonly #child: ChildProcess
  readonly #kafka: kafkajs.Kafka
  readonly #running: Promise<void>[] = []
  /** What clients told beside. */
  readonly #remarks: string[] = []
  #stopping = false
  #leaving = false
  #done = false
  /** Records of kafkajs without an answer. */
  #sending = 0

  private constructor(cluster: ClusterProcesses, topic: string, child: ChildProcess) {
    this.#cluster = cluster
    this.topic = topic
    this.#child = child
    this.#kafka = kafkaOf(cluster)
  }

  /** Resolves when all of them are at work. */
  static async start(cluster: ClusterProcesses, options: LoadOptions): Promise<Load> {
    const topic = options.topic ?? 'load'
    const admin = kafkaOf(cluster).admin()
    await admin.connect()
    await admin.createTopics({
      topics: [{ topic, numPartitions: PARTITIONS, replicationFactor: cluster.brokers.length }],
    })
    await admin.disconnect()
    const rate = options.rate ?? 200
    const program = join(repositoryRoot, 'test/cluster/clients/load.py')
    const child = adopt(
      spawn(
        'python3',
        [program, cluster.bootstrap.join(','), topic, `one:${rate}`, `two:${rate}`, `${GROUP}/2`],
        {
          env: { ...process.env, PYTHONPATH: options.packages, PYTHONDONTWRITEBYTECODE: '1' },
          stdio: ['pipe', 'pipe', 'inherit'],
        },
      ),
    )
    const load = new Load(cluster, topic, child)
    load.history.isIdempotent('one')
    load.history.isIdempotent('two')
    load.#running.push(load.#listen(), load.#send(), load.#watch())
    await load.progress()
    load.history.forgetGaps()
    return load
  }

  /** Resolves when some more records were acknowledged. */
  async progress(records = 200): Promise<void> {
    const enough = this.history.acknowledged + records
    const untilMs = performance.now() + PATIENCE_MS
    while (this.history.acknowledged < enough) {
      assert.ok(performance.now() < untilMs, `nothing is acknowledged any more: ${this.#story()}`)
      await sleep(10)
    }
  }

  /** Whom the group has for its coordinator, as soon as somebody says it. */
  coordinator(): Promise<number> {
    return coordinatorOf(this.#cluster, GROUP)
  }

  /** Reads everything, and holds it against what was told. Clients go on meanwhile. */
  async check(): Promise<void> {
    const known = this.history.acknowledged
    this.history.check(await readTopic(this.#cluster, this.topic, this.history.atLeast), known)
    assert.equal(this.history.problems.length, 0, this.#story())
  }

  /** Every record gets its fate, and the group reads to the end. Then all of it is checked. */
  async finish(): Promise<void> {
    this.#stopping = true
    this.#child.stdin?.write('stop\n')
    const untilMs = performance.now() + PATIENCE_MS
    while (!this.#done || this.#sending > 0) {
      assert.ok(performance.now() < untilMs, `records are left without an answer: ${this.#story()}`)
      await sleep(20)
    }
    const contents = await readTopic(this.#cluster, this.topic, this.history.atLeast)
    this.history.check(contents, this.history.acknowledged)
    assert.equal(this.history.problems.length, 0, this.#story())
    assert.equal(this.history.givenUp.length, 0, this.#story())
    while (this.history.unread(contents) > 0) {
      assert.ok(
        performance.now() < untilMs,
        `${this.history.unread(contents)} records were never read: ${this.#story()}`,
      )
      await sleep(20)
    }
    await this.#leave()
    assert.equal(this.history.problems.length, 0, this.#story())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#leave()
  }

  async #leave(): Promise<void> {
    this.#stopping = true
    this.#leaving = true
    this.#child.stdin?.write('leave\n')
    await Promise.race([once(this.#child, 'exit'), sleep(5_000)])
    await end(this.#child, 'SIGKILL')
    await Promise.race([Promise.all(this.#running), sleep(15_000)])
  }

  async #listen(): Promise<void> {
    this.#child.stdin?.on('error', () => undefined)
    for await (const line of createInterface({ input: this.#child.stdout! })) this.#hear(line.split(' '))
  }

  #hear([what, ...words]: readonly string[]): void {
    const number = (at: number): number => Number(words[at])
    const { history } = this
    if (what === 'a') history.acked(words.slice(0, 3).join(' '), number(3), number(4))
    else if (what === 'f') history.gaveUp(words.slice(0, 3).join(' '), words.slice(3).join(' '))
    else if (what === 'r') history.read(number(0), number(1))
    else if (what === 'k') history.committed(number(0), number(1))
    else if (what === 'done') this.#done = true
    else if (this.#remarks.length < 200) this.#remarks.push([what, ...words].join(' '))
  }

  /** kafkajs without idempotence: one record of each key at a time. */
  async #send(): Promise<void> {
    const producer = this.#kafka.producer({ allowAutoTopicCreation: false })
    await producer.connect()
    const sendKey = async (key: number): Promise<void> => {
      for (let n = 0; !this.#stopping; n++) {
        const value = `js ${key} ${n}`
        this.#sending++
        try {
          const messages = [{ key: `js-${key}`, value }]
          const [sent] = await producer.send({ topic: this.topic, acks: -1, messages })
          this.history.acked(value, sent!.partition, Number(sent!.baseOffset))
        } catch (error) {
          this.history.gaveUp(value, String(error))
        } finally {
          this.#sending--
        }
        await sleep(20)
      }
    }
    await Promise.all([0, 1, 2, 3].map(sendKey))
    await producer.disconnect()
  }

  async #watch(): Promise<void> {
    const admin = this.#kafka.admin()
    await admin.connect()
    const stop = (): boolean => this.#leaving
    while (!stop()) {
      const floor = Array.from({ length: PARTITIONS }, (_, index) => this.history.committedAt(index))
      try {
        const [found] = await admin.fetchOffsets({ groupId: GROUP, topics: [this.topic] })
        for (const { partition, offset } of found!.partitions)
          this.history.groupIsAt(partition, Number(offset), floor[partition]!, new Date().toISOString())
      } catch (error) {
        this.#remarks.push(`OffsetFetch: ${String(error)}`)
      }
      await sleep(100)
    }
    await admin.disconnect()
  }

  #story(): string {
    const { acknowledged, problems, givenUp } = this.history
    const some = { givenUp: givenUp.slice(0, 8), remarks: this.#remarks.slice(-20) }
    return JSON.stringify({ acknowledged, problems, ofGivenUp: givenUp.length, ...some }, null, 1)
  }
}
