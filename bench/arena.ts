import { spawn } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { deviceUnder } from './device.ts'
import { applyLoad } from './load/apply-load.ts'
import { Client } from './load/client.ts'
import { nowUs } from './load/clock.ts'
import type { LoadResult } from './load/spec.ts'
import { firstProduce } from './targets/first-produce.ts'
import type { RunningBroker, Target } from './targets/target.ts'

const READY_MS = 60_000
const GONE_MS = 20_000

/** A broker under measurement, with what rows need around their load. */
export class Contender {
  readonly target: Target
  readonly #broker: RunningBroker
  #asleep = false

  constructor(target: Target, broker: RunningBroker) {
    this.target = target
    this.#broker = broker
  }

  get name(): string {
    return this.target.name
  }

  /** Where and who it is, as every load wants to know it. */
  get place(): { endpoint: RunningBroker['endpoint']; brokerPid: number; blockStatPath: string } {
    return {
      endpoint: this.#broker.endpoint,
      brokerPid: this.#broker.pid,
      blockStatPath: deviceUnder(this.#broker.dataDirectory)?.statPath ?? '',
    }
  }

  /** Stands still: even an idle JVM ticks, and two brokers would warm each other's caches. */
  pause(): void {
    if (this.#asleep) return
    this.#signal('SIGSTOP')
    this.#asleep = true
  }

  async resume(): Promise<void> {
    if (!this.#asleep) return
    this.#signal('SIGCONT')
    this.#asleep = false
    await sleep(this.target.awakeMs)
  }

  async stop(): Promise<void> {
    if (this.#asleep) this.#signal('SIGCONT')
    this.#asleep = false
    await this.#broker.stop()
  }

  /** One that has ended fails its own measurements; it must not fail those of the others. */
  #signal(signal: NodeJS.Signals): void {
    try {
      process.kill(this.#broker.pid, signal)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }

  /** Resident memory, millions of bytes. */
  residentMegabytes(): number {
    const status = readFileSync(`/proc/${this.#broker.pid}/status`, 'latin1')
    const match = /^VmRSS:\s+(\d+) kB$/m.exec(status)
    return match === null ? NaN : (Number(match[1]) * 1_024) / 1e6
  }

  topicConfigs(durable: boolean): Record<string, string> {
    return durable ? { 'flush.messages': '1' } : {}
  }

  async createTopic(topic: string, partitions: number, durable: boolean): Promise<void> {
    await this.#asClient(async (client) => {
      const error = await client.createTopic(topic, partitions, this.topicConfigs(durable))
      if (error !== 0) throw new Error(`${this.name}: CreateTopics answered error ${error}`)
    })
    await this.ready(topic, partitions)
  }

  /** Waits until every partition has a leader. */
  async ready(topic: string, partitions: number): Promise<void> {
    await this.#asClient(async (client) => {
      const until = Date.now() + READY_MS
      while ((await client.partitionsWithLeader(topic)) < partitions) {
        if (Date.now() > until) throw new Error(`${this.name}: partitions of ${topic} stay without a leader`)
        await sleep(20)
      }
    })
  }

  /**
   * Two batches into every partition, so that what is done at its first use is done. Apache Kafka needs two: its
   * first index entry, which makes 10 MiB of sparse file real, comes with the second batch.
   */
  async touch(topic: string, partitions: number): Promise<LoadResult> {
    await this.ready(topic, partitions)
    return applyLoad({
      ...this.place,
      kind: 'fill',
      create: null,
      topic,
      partitions,
      connections: 16,
      inFlight: 5,
      seed: 1,
      batch: { records: 16, valueBytes: 1_000 },
      acks: 1,
      rounds: 2,
      deadlineMs: 600_000,
    })
  }

  /** Deletes the topic and waits until its files are gone. */
  async deleteTopic(topic: string): Promise<void> {
    await this.#asClient(async (client) => {
      const error = await client.deleteTopic(topic)
      if (error !== 0) throw new Error(`${this.name}: DeleteTopics answered error ${error}`)
    })
    const until = Date.now() + GONE_MS
    while (this.#hasFilesOf(topic) && Date.now() < until) await sleep(50)
  }

  /** What was written before must not be written back during somebody else's measurement. */
  settle(): Promise<void> {
    return new Promise((resolve) => {
      const child = spawn('sync', ['-f', this.#broker.dataDirectory], { stdio: 'ignore', timeout: 60_000 })
      child.once('error', () => resolve())
      child.once('exit', () => resolve())
    })
  }

  /** SIGKILL. */
  kill(): Promise<void> {
    return this.#broker.kill()
  }

  /** Starts it again on what it left when killed; milliseconds until a record of the topic is acknowledged. */
  async restart(topic: string, timeoutMs: number): Promise<number> {
    const startedUs = nowUs()
    await this.#broker.restart()
    return ((await firstProduce(this.#broker.endpoint, topic, timeoutMs)) - startedUs) / 1_000
  }

  #hasFilesOf(topic: string): boolean {
    return readdirSync(this.#broker.dataDirectory).some((name) => name.startsWith(`${topic}-`))
  }

  async #asClient(use: (client: Client) => Promise<void>): Promise<void> {
    const client = await Client.connect(this.#broker.endpoint)
    try {
      await use(client)
    } finally {
      client.close()
    }
  }
}
