/** Clients at work on a cluster, which write down what they were told. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import kafkajs from 'kafkajs'

import { adopt, end } from '../support/processes.ts'
import type { ClusterProcesses } from './cluster-processes.ts'
import { coordinatorOf, readTopic } from './contents.ts'
import { type GroupHistory, History } from './history.ts'
import type { LoadProgram } from './parts.ts'

const { Kafka, logLevel } = kafkajs

const PARTITIONS = 6
const TOPIC = 'load'
/** Records a second of each idempotent producer. */
const RATE = 100
const PATIENCE_MS = 60_000
/** Until all are at work: a JVM takes its time. */
const START_PATIENCE_MS = 120_000

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

/** A program of `clients` at work. */
class Worker {
  readonly #program: LoadProgram
  readonly #child: ChildProcess
  isDone = false

  constructor(program: LoadProgram, bootstrap: string) {
    this.#program = program
    const roles = [...program.producers.map((name) => `${name}:${RATE}`), `${program.group}/2`]
    this.#child = adopt(
      spawn(program.command, [...program.args, bootstrap, TOPIC, ...roles], {
        env: { ...process.env, ...program.env },
        stdio: ['pipe', 'pipe', 'inherit'],
      }),
    )
    this.#child.stdin?.on('error', () => undefined)
  }

  async listen(history: History, remark: (words: string) => void): Promise<void> {
    for await (const line of createInterface({ input: this.#child.stdout! })) {
      const [what, ...words] = line.split(' ')
      const number = (at: number): number => Number(words[at])
      if (what === 'a') history.acked(words.slice(0, 3).join(' '), number(3), number(4))
      else if (what === 'f') history.gaveUp(words.slice(0, 3).join(' '), words.slice(3).join(' '))
      else if (what === 'b') history.beginsEpoch(words[0]!)
      else if (what === 'r') history.group(words[0]!).read(number(1), number(2))
      else if (what === 'k') history.group(words[0]!).committed(number(1), number(2))
      else if (what === 'done') this.isDone = true
      // That a broker is gone is no news.
      else if (!line.includes('refused')) remark(`${this.#program.name}: ${line}`)
    }
    if (!this.isDone) remark(`${this.#program.name} ended`)
  }

  tell(what: 'stop' | 'leave'): void {
    this.#child.stdin?.write(`${what}\n`)
  }

  async end(): Promise<void> {
    this.tell('leave')
    if (this.#child.exitCode === null) await Promise.race([once(this.#child, 'exit'), sleep(5_000)])
    await end(this.#child, 'SIGKILL')
  }
}

/** Producers with idempotence and a group of each program of `clients`, a producer of kafkajs, and one who watches the groups' offsets. */
export class Load implements AsyncDisposable {
  readonly history = new History()
  readonly topic = TOPIC
  readonly partitions = PARTITIONS
  readonly #cluster: ClusterProcesses
  readonly #programs: readonly LoadProgram[]
  readonly #workers: readonly Worker[]
  readonly #kafka: kafkajs.Kafka
  readonly #running: Promise<void>[] = []
  /** What clients told beside, of late. */
  readonly #remarks: string[] = []
  #stopping = false
  #leaving = false
  /** Records of kafkajs without an answer. */
  #sending = 0

  private constructor(cluster: ClusterProcesses, programs: readonly LoadProgram[]) {
    this.#cluster = cluster
    this.#programs = programs
    const bootstrap = cluster.bootstrap.join(',')
    this.#workers = programs.map((program) => new Worker(program, bootstrap))
    this.#kafka = kafkaOf(cluster)
  }

  /** Resolves when all of them are at work. */
  static async start(cluster: ClusterProcesses, programs: readonly LoadProgram[]): Promise<Load> {
    const admin = kafkaOf(cluster).admin()
    await admin.connect()
    await admin.createTopics({
      topics: [{ topic: TOPIC, numPartitions: PARTITIONS, replicationFactor: cluster.brokers.length }],
    })
    await admin.disconnect()
    const load = new Load(cluster, programs)
    try {
      await load.#begin()
    } catch (error) {
      await load[Symbol.asyncDispose]()
      throw error
    }
    return load
  }

  async #begin(): Promise<void> {
    for (const name of this.#programs.flatMap(({ producers }) => producers)) this.history.isIdempotent(name)
    const remark = (words: string): void => {
      this.#remarks.push(`${new Date().toISOString()} ${words}`)
      if (this.#remarks.length > 40) this.#remarks.shift()
    }
    this.#running.push(...this.#workers.map((worker) => worker.listen(this.history, remark)))
    this.#running.push(this.#send(), this.#watch(remark))
    const untilMs = performance.now() + START_PATIENCE_MS
    const groups = this.#programs.map(({ group }) => this.history.group(group))
    while (!groups.every(({ commits }) => commits > 0)) {
      assert.ok(performance.now() < untilMs, `a client does nothing: ${this.#story()}`)
      await sleep(20)
    }
    await this.progress()
    this.history.forgetGaps()
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

  /** One of the groups. */
  get group(): GroupHistory {
    return this.history.group(this.#programs[0]!.group)
  }

  /** Whom it has for its coordinator, as soon as somebody says it. */
  coordinator(): Promise<number> {
    return coordinatorOf(this.#cluster, this.#programs[0]!.group)
  }

  /** Reads everything, and holds it against what was told. Clients go on meanwhile. */
  async check(): Promise<void> {
    const known = this.history.acknowledged
    this.history.check(await readTopic(this.#cluster, this.topic, this.history.atLeast), known)
    assert.equal(this.history.problems.length, 0, this.#story())
  }

  /** Every record gets its fate, and the groups read to the end. Then all of it is checked. */
  async finish(): Promise<void> {
    this.#stopping = true
    for (const worker of this.#workers) worker.tell('stop')
    const untilMs = performance.now() + PATIENCE_MS
    while (!this.#workers.every(({ isDone }) => isDone) || this.#sending > 0) {
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
    await Promise.all(this.#workers.map((worker) => worker.end()))
    await Promise.race([Promise.all(this.#running), sleep(15_000)])
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
          const [sent] = await producer.send({ topic: TOPIC, acks: -1, messages })
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

  async #watch(remark: (words: string) => void): Promise<void> {
    const admin = this.#kafka.admin()
    await admin.connect()
    const stop = (): boolean => this.#leaving
    while (!stop()) {
      for (const { group: groupId } of this.#programs) {
        const group = this.history.group(groupId)
        const floor = Array.from({ length: PARTITIONS }, (_, index) => group.committedAt(index))
        try {
          const [found] = await admin.fetchOffsets({ groupId, topics: [TOPIC] })
          for (const { partition, offset } of found!.partitions)
            group.isAt(partition, Number(offset), floor[partition]!, new Date().toISOString())
        } catch (error) {
          remark(`OffsetFetch: ${String(error)}`)
        }
      }
      await sleep(100)
    }
    await admin.disconnect()
  }

  #story(): string {
    const { acknowledged, problems, givenUp } = this.history
    const commits = this.#programs.map(({ group }) => `${group}: ${this.history.group(group).commits}`)
    const some = { commits, givenUp: givenUp.slice(0, 8), remarks: this.#remarks }
    return JSON.stringify({ acknowledged, problems, ofGivenUp: givenUp.length, ...some }, null, 1)
  }
}
