import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from './client.ts'
import { nowUs } from './clock.ts'
import { receiveBuffer } from './drive.ts'
import type { Exchange } from './exchange.ts'
import { Lane, type LaneOwner } from './lane.ts'
import { LatencyMeter, UsageMeter } from './meters.ts'
import type { FillLoad, LoadResult } from './spec.ts'

/** Errors of a partition whose leader is not ready yet: unknown topic or partition, leader not available, not leader. */
const NOT_READY = new Set([3, 5, 6])

/** What Kafka's own clients wait before they try again (`retry.backoff.ms`). */
const RETRY_MS = 100
const LEADERS_EVERY_MS = 10

/** Sends every partition its batches, again where the answer was an error, and ends when all are acknowledged. */
export class Fill implements LaneOwner {
  readonly #load: FillLoad
  readonly #lanes: Lane[] = []
  readonly #latency = new LatencyMeter()
  readonly #errors = new Map<number, number>()
  readonly #again: number[] = []
  readonly #resting = new Map<Lane, number>()
  #sent = 0
  #acknowledged = 0
  #payloadBytes = 0
  #end: () => void = () => undefined
  #fail: (error: Error) => void = () => undefined

  constructor(load: FillLoad, exchange: Exchange) {
    this.#load = load
    const shared = receiveBuffer()
    for (let i = 0; i < load.connections; i++) {
      this.#lanes.push(new Lane(load.endpoint, exchange, load.inFlight, shared, this))
    }
  }

  async run(): Promise<LoadResult> {
    const { deadlineMs, brokerPid, blockStatPath } = this.#load
    const deadline = setTimeout(() => {
      this.#fail(new Error(`filled ${this.#acknowledged} of ${this.#wanted} in ${deadlineMs} ms`))
    }, deadlineMs)
    try {
      const ended = new Promise<void>((resolve, reject) => {
        this.#end = resolve
        this.#fail = reject
      })
      await Promise.race([ended, Promise.all(this.#lanes.map((lane) => lane.connected()))])
      const usage = new UsageMeter([brokerPid], blockStatPath)
      const startUs = nowUs()
      await Promise.race([ended, this.#create()])
      for (const lane of this.#lanes) {
        this.turnEnded(lane)
        lane.flush()
      }
      await ended
      return {
        elapsedMs: (nowUs() - startUs) / 1_000,
        requests: this.#acknowledged,
        payloadBytes: this.#payloadBytes,
        latency: this.#latency.summary(),
        sendDelay: null,
        missedSlots: 0,
        errors: Object.fromEntries([...this.#errors].map(([code, count]) => [String(code), count])),
        lost: 0,
        ...usage.stop(),
      }
    } finally {
      clearTimeout(deadline)
      for (const lane of this.#lanes) lane.close()
    }
  }

  async #create(): Promise<void> {
    const { create, endpoint, topic, partitions } = this.#load
    if (create === null) return
    const client = await Client.connect(endpoint)
    try {
      const error = await client.createTopic(topic, partitions, create)
      if (error !== 0) throw new Error(`CreateTopics answered error ${error}`)
      // As a client does: it learns the leaders before it sends them anything.
      while ((await client.partitionsWithLeader(topic)) < partitions) await sleep(LEADERS_EVERY_MS)
    } finally {
      client.close()
    }
  }

  get #wanted(): number {
    return this.#load.partitions * this.#load.rounds
  }

  answered(lane: Lane, partition: number, sentUs: number, error: number, payloadBytes: number): void {
    if (error !== 0) {
      this.#errors.set(error, (this.#errors.get(error) ?? 0) + 1)
      if (!NOT_READY.has(error)) this.#fail(new Error(`partition ${partition} answered error ${error}`))
      // The place in flight rests with it: a broker that is still busy making partitions is not pestered.
      this.#resting.set(lane, (this.#resting.get(lane) ?? 0) + 1)
      setTimeout(() => {
        this.#resting.set(lane, (this.#resting.get(lane) ?? 0) - 1)
        this.#again.push(partition)
        this.turnEnded(lane)
        lane.flush()
      }, RETRY_MS)
      return
    }
    this.#latency.record(nowUs() - sentUs)
    this.#payloadBytes += payloadBytes
    if (++this.#acknowledged === this.#wanted) this.#end()
  }

  turnEnded(lane: Lane): void {
    for (let free = lane.free - (this.#resting.get(lane) ?? 0); free > 0; free--) {
      const partition =
        this.#again.pop() ?? (this.#sent < this.#wanted ? this.#sent++ % this.#load.partitions : -1)
      if (partition < 0) return
      lane.stage(partition, nowUs())
    }
  }

  failed(error: Error): void {
    this.#fail(error)
  }
}
