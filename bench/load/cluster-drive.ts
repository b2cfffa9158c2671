import { setTimeout as sleep } from 'node:timers/promises'
import { nowUs } from './clock.ts'
import { TimeQueue, receiveBuffer } from './drive.ts'
import type { Exchange } from './exchange.ts'
import { Lane, type LaneOwner } from './lane.ts'
import { Leaders, RETRY_MS } from './leaders.ts'
import { LatencyMeter, UsageMeter } from './meters.ts'
import type { ClusterLoad, LoadResult } from './spec.ts'
import { Ticker } from './ticker.ts'

/** Not the leader (any more), or too few replicas just now, or busy with it: to be sent again, as Kafka's clients do. */
const RETRIED = new Set([3, 5, 6, 7, 13, 14, 19, 20, 56, 74, 75, 76])
/** What another broker has to be asked for. */
const OF_LEADERS = new Set([3, 5, 6, 74, 75, 76])
const DRAIN_MS = 30_000
const KNOWN_MS = 30_000
const STALL_US = 500_000

/** One simulated client: its connections by broker, and how many requests it waits for. */
interface Producer {
  readonly lanes: Map<number, Lane>
  sent: number
}

interface Road {
  readonly producer: Producer
  readonly broker: number
}

/**
 * Applies a load to the leaders of a topic's partitions, follows them when they change, and measures what a producer sees:
 * a latency runs from the intended time of sending until the acknowledgement, whatever was sent again in between.
 */
export class ClusterDrive implements LaneOwner {
  readonly #load: ClusterLoad
  readonly #exchange: Exchange
  readonly #shared = receiveBuffer()
  readonly #leaders: Leaders
  readonly #producers: Producer[] = []
  readonly #roads = new Map<Lane, Road>()
  readonly #latency = new LatencyMeter()
  readonly #sendDelay = new LatencyMeter()
  readonly #errors = new Map<number, number>()
  /** By partition, intended times: without a leader, or without a free place on the way to it. */
  readonly #waiting: TimeQueue[]
  readonly #lastAckUs: Float64Array
  readonly #dirty = new Set<Lane>()
  readonly #ended: Promise<void>
  readonly #began: () => void
  #end: () => void = () => undefined
  #waits = 0
  /** To be sent again in a while. */
  #resting = 0
  #longestGapUs = 0
  #stalls = 0
  #lastStallUs = 0
  #failed = 0
  #fail: (error: Error) => void = () => undefined
  #sending = false
  #measuring = false
  #partition = 0
  #producer = 0
  #turnUs = 0
  #requests = 0
  #payloadBytes = 0
  #missedSlots = 0

  /** `began`: the measured time has begun. */
  constructor(load: ClusterLoad, exchange: Exchange, began: () => void) {
    this.#began = began
    this.#load = load
    this.#exchange = exchange
    const { endpoint, topic, partitions, isWatchful } = load
    this.#leaders = new Leaders(endpoint, topic, partitions, () => this.#leadersKnown(), isWatchful)
    for (let i = 0; i < load.connections; i++) this.#producers.push({ lanes: new Map(), sent: 0 })
    this.#waiting = Array.from({ length: load.partitions }, () => new TimeQueue())
    this.#lastAckUs = new Float64Array(load.partitions)
    this.#ended = new Promise((resolve) => (this.#end = resolve))
  }

  /** The measured time ends now. */
  end(): void {
    this.#end()
  }

  async run(): Promise<LoadResult> {
    const failure = new Promise<never>((_, reject) => {
      this.#fail = reject
    })
    try {
      return await Promise.race([this.#run(), failure])
    } finally {
      this.#leaders.close()
      for (const lane of this.#roads.keys()) lane.close()
    }
  }

  async #run(): Promise<LoadResult> {
    const { pace, seed, warmupMs, measureMs, pids, blockStatPath } = this.#load
    await Promise.race([this.#leaders.known(), sleep(KNOWN_MS)])
    if (this.#roads.size === 0) throw new Error(`nobody knows the leaders after ${KNOWN_MS} ms`)
    await Promise.all([...this.#roads.keys()].map((lane) => lane.connected()))
    this.#sending = true
    let ticker: Ticker | null = null
    if (pace.kind === 'open')
      ticker = new Ticker(
        pace,
        seed,
        (times) => this.#due(times),
        (error) => this.#fail(error),
      )
    else for (const producer of this.#producers) this.#fill(producer)
    this.#flush()
    try {
      await sleep(warmupMs)
      const usage = new UsageMeter(pids, blockStatPath)
      const startUs = nowUs()
      this.#lastAckUs.fill(startUs)
      this.#measuring = true
      this.#began()
      await Promise.race([sleep(measureMs), this.#ended])
      this.#measuring = false
      const endUs = nowUs()
      for (const lastUs of this.#lastAckUs) this.#gap(lastUs, endUs)
      const used = usage.stop()
      this.#sending = false
      await ticker?.stop()
      await this.#drained()
      return {
        elapsedMs: (endUs - startUs) / 1_000,
        requests: this.#requests,
        payloadBytes: this.#payloadBytes,
        latency: this.#latency.summary(),
        sendDelay: pace.kind === 'open' ? this.#sendDelay.summary() : null,
        missedSlots: this.#missedSlots,
        errors: Object.fromEntries([...this.#errors].map(([code, count]) => [String(code), count])),
        lost: 0,
        longestGapMs: this.#longestGapUs / 1_000,
        stalls: this.#stalls,
        failed: this.#failed,
        ...used,
      }
    } finally {
      await ticker?.stop()
    }
  }

  // ---------------------------------------------------------------------------------------------------------- answers

  answered(lane: Lane, partition: number, sentUs: number, error: number, payloadBytes: number): void {
    if (this.#turnUs === 0) this.#turnUs = nowUs()
    const { producer } = this.#roads.get(lane)!
    if (error !== 0) {
      this.#errors.set(error, (this.#errors.get(error) ?? 0) + 1)
      if (RETRIED.has(error)) return this.#again(producer, partition, sentUs, OF_LEADERS.has(error))
      this.#failed++
    }
    producer.sent--
    if (!this.#measuring || error !== 0) return
    this.#requests++
    this.#payloadBytes += payloadBytes
    this.#latency.record(this.#turnUs - sentUs)
    this.#gap(this.#lastAckUs[partition]!, this.#turnUs)
    this.#lastAckUs[partition] = this.#turnUs
  }

  /** Its place in flight rests with it. */
  #again(producer: Producer, partition: number, sentUs: number, isOfLeader: boolean): void {
    if (isOfLeader) this.#leaders.doubt(partition)
    this.#resting++
    setTimeout(() => {
      this.#resting--
      producer.sent--
      this.#wait(partition, sentUs)
      this.#sendWaiting()
      this.#flush()
    }, RETRY_MS)
  }

  turnEnded(lane: Lane): void {
    const { producer } = this.#roads.get(lane)!
    if (this.#waits > 0) this.#sendWaiting()
    if (this.#sending && this.#load.pace.kind === 'closed') this.#fill(producer)
    this.#turnUs = 0
    this.#flush()
  }

  failed(_error: Error, lane: Lane): void {
    const { producer, broker } = this.#roads.get(lane)!
    this.#roads.delete(lane)
    producer.lanes.delete(broker)
    this.#leaders.lost(broker)
    lane.unanswered((partition, sentUs) => {
      producer.sent--
      this.#wait(partition, sentUs)
    })
    lane.close()
  }

  #gap(sinceUs: number, untilUs: number): void {
    const us = untilUs - sinceUs
    if (us > this.#longestGapUs) this.#longestGapUs = us
    if (us < STALL_US) return
    if (sinceUs > this.#lastStallUs) this.#stalls++
    this.#lastStallUs = untilUs
  }

  // ---------------------------------------------------------------------------------------------------------- sending

  #leadersKnown(): void {
    if (this.#load.isWatchful === true) this.#leave()
    for (const [id, endpoint] of this.#leaders.brokers) {
      for (const producer of this.#producers) {
        if (producer.lanes.has(id)) continue
        const lane = new Lane(endpoint, this.#exchange, this.#load.inFlight, this.#shared, this)
        producer.lanes.set(id, lane)
        this.#roads.set(lane, { producer, broker: id })
      }
    }
    this.#sendWaiting()
    this.#flush()
  }

  #leave(): void {
    const left = [...this.#roads].filter(([lane, { broker }]) => {
      return lane.inFlight > 0 && this.#leaders.leadsNothing(broker)
    })
    for (const [lane] of left) this.failed(new Error('it leads nothing any more'), lane)
  }

  #fill(producer: Producer): void {
    const nowTurn = this.#turnUs === 0 ? nowUs() : this.#turnUs
    while (producer.sent + this.#waits < this.#load.inFlight)
      this.#send(producer, this.#nextPartition(), nowTurn)
  }

  #send(producer: Producer, partition: number, sentUs: number): void {
    if (!this.#stage(producer, partition, sentUs)) this.#wait(partition, sentUs)
  }

  #stage(producer: Producer, partition: number, sentUs: number): boolean {
    const lane = producer.lanes.get(this.#leaders.of(partition))
    if (lane === undefined || lane.free === 0) return false
    lane.stage(partition, sentUs)
    producer.sent++
    this.#dirty.add(lane)
    return true
  }

  #wait(partition: number, sentUs: number): void {
    this.#waiting[partition]!.push(sentUs)
    this.#waits++
  }

  #sendWaiting(): void {
    for (let partition = 0; partition < this.#waiting.length && this.#waits > 0; partition++) {
      const queue = this.#waiting[partition]!
      let refusals = 0
      while (queue.length > 0 && refusals < this.#producers.length) {
        if (this.#stage(this.#nextProducer(), partition, queue.first)) {
          queue.shift()
          this.#waits--
          refusals = 0
        } else if (this.#leaders.of(partition) < 0) break
        else refusals++
      }
    }
  }

  #flush(): void {
    for (const lane of this.#dirty) lane.flush()
    this.#dirty.clear()
  }

  /** Slots of the schedule that came due. */
  #due(intendedUs: ArrayLike<number>): void {
    if (!this.#sending) return
    const now = nowUs()
    for (let i = 0; i < intendedUs.length; i++) {
      const intended = intendedUs[i]!
      const before = this.#waits
      this.#send(this.#nextProducer(), this.#nextPartition(), intended)
      if (!this.#measuring) continue
      if (this.#waits > before) this.#missedSlots++
      else this.#sendDelay.record(now - intended)
    }
    this.#flush()
  }

  #nextPartition(): number {
    const partition = this.#partition
    this.#partition = partition + 1 === this.#load.partitions ? 0 : partition + 1
    return partition
  }

  #nextProducer(): Producer {
    const producer = this.#producers[this.#producer]!
    this.#producer = this.#producer + 1 === this.#producers.length ? 0 : this.#producer + 1
    return producer
  }

  /** What nobody took in the end has failed. */
  async #drained(): Promise<void> {
    const until = nowUs() + DRAIN_MS * 1_000
    const left = (): number =>
      this.#waits + this.#resting + [...this.#roads.keys()].reduce((n, l) => n + l.inFlight, 0)
    while (left() > 0 && nowUs() < until) await sleep(2)
    this.#failed += left()
  }
}
