import { setTimeout as sleep } from 'node:timers/promises'
import { nowUs } from './clock.ts'
import type { Exchange } from './exchange.ts'
import { Lane, type LaneOwner } from './lane.ts'
import { LatencyMeter, UsageMeter } from './meters.ts'
import type { ClosedLoop, Endpoint, LoadResult, OpenLoop } from './spec.ts'
import { Napper, Ticker } from './ticker.ts'

export interface DriveOptions {
  readonly endpoint: Endpoint
  readonly partitions: number
  readonly connections: number
  readonly inFlight: number
  readonly brokerPid: number
  readonly blockStatPath: string
  readonly seed: number
  readonly pace: ClosedLoop | OpenLoop
  readonly warmupMs: number
  readonly measureMs: number
  readonly stopAfterBytes?: number
  /**
   * For an open loop on a thread of its own: sleep on that thread until the next slot. Sends are more punctual than
   * with a ticker, but answers are looked at only once per slot.
   */
  readonly nap?: boolean
  /** Told when the measured time begins and when it ends. */
  readonly onWindow?: (measuring: boolean) => void
}

const RECEIVE_BYTES = 1 << 20
const DRAIN_MS = 10_000
const LOOK_EVERY_MS = 50

/** One buffer for everything that this process receives; what is in it is used up before the next read. */
export function receiveBuffer(): Buffer {
  return Buffer.allocUnsafeSlow(RECEIVE_BYTES)
}

/** Applies a load for a time and measures the part after the warm-up. */
export class Drive implements LaneOwner {
  readonly #options: DriveOptions
  readonly #lanes: Lane[] = []
  readonly #latency = new LatencyMeter()
  readonly #sendDelay = new LatencyMeter()
  readonly #errors = new Map<number, number>()
  readonly #waiting = new TimeQueue()
  #fail: (error: Error) => void = () => undefined
  #sending = false
  #measuring = false
  #partition = 0
  #lane = 0
  #turnUs = 0
  #requests = 0
  #payloadBytes = 0
  #missedSlots = 0
  #acknowledged = 0

  constructor(options: DriveOptions, exchange: Exchange) {
    this.#options = options
    const shared = receiveBuffer()
    for (let i = 0; i < options.connections; i++) {
      this.#lanes.push(new Lane(options.endpoint, exchange, options.inFlight, shared, this))
    }
  }

  /** Answered without an error since the beginning, outside the measured time too. */
  get acknowledged(): number {
    return this.#acknowledged
  }

  async run(): Promise<LoadResult> {
    const failure = new Promise<never>((_, reject) => {
      this.#fail = reject
    })
    try {
      return await Promise.race([this.#run(), failure])
    } finally {
      for (const lane of this.#lanes) lane.close()
    }
  }

  async #run(): Promise<LoadResult> {
    const { pace, seed } = this.#options
    await Promise.all(this.#lanes.map((lane) => lane.connected()))
    this.#sending = true
    let ticker: Ticker | Napper | null = null
    if (pace.kind === 'open') {
      const due = (times: ArrayLike<number>): void => this.#due(times)
      if (this.#options.nap === true) ticker = new Napper(pace, seed, due)
      else ticker = new Ticker(pace, seed, due, (error) => this.failed(error))
    } else {
      for (const lane of this.#lanes) {
        this.turnEnded(lane)
        lane.flush()
      }
    }
    try {
      await sleep(this.#options.warmupMs)
      const usage = new UsageMeter([this.#options.brokerPid], this.#options.blockStatPath)
      const startUs = nowUs()
      this.#measuring = true
      this.#options.onWindow?.(true)
      await this.#measured()
      this.#measuring = false
      this.#options.onWindow?.(false)
      const elapsedMs = (nowUs() - startUs) / 1_000
      const used = usage.stop()
      this.#sending = false
      await ticker?.stop()
      await this.#drained()
      return {
        elapsedMs,
        requests: this.#requests,
        payloadBytes: this.#payloadBytes,
        latency: this.#latency.summary(),
        sendDelay: pace.kind === 'open' ? this.#sendDelay.summary() : null,
        missedSlots: this.#missedSlots,
        errors: Object.fromEntries([...this.#errors].map(([code, count]) => [String(code), count])),
        lost: 0,
        ...used,
      }
    } finally {
      await ticker?.stop()
    }
  }

  answered(_lane: Lane, _partition: number, sentUs: number, error: number, payloadBytes: number): void {
    if (this.#turnUs === 0) this.#turnUs = nowUs()
    if (error === 0) this.#acknowledged++
    if (!this.#measuring) return
    if (error !== 0) {
      this.#errors.set(error, (this.#errors.get(error) ?? 0) + 1)
      return
    }
    this.#requests++
    this.#payloadBytes += payloadBytes
    this.#latency.record(this.#turnUs - sentUs)
  }

  turnEnded(lane: Lane): void {
    const now = this.#turnUs === 0 ? nowUs() : this.#turnUs
    this.#turnUs = 0
    if (!this.#sending) return
    if (this.#options.pace.kind === 'closed') {
      for (let free = lane.free; free > 0; free--) lane.stage(this.#nextPartition(), now)
      return
    }
    for (let free = lane.free; free > 0 && this.#waiting.length > 0; free--) {
      lane.stage(this.#nextPartition(), this.#waiting.shift())
    }
  }

  failed(error: Error): void {
    this.#fail(error)
  }

  /** The measured time, or as long as it takes to move as many bytes as are allowed. */
  async #measured(): Promise<void> {
    const { measureMs, stopAfterBytes = Infinity } = this.#options
    const until = nowUs() + measureMs * 1_000
    for (let left = measureMs; left > 0 && this.#payloadBytes < stopAfterBytes;) {
      await sleep(stopAfterBytes === Infinity ? left : Math.min(left, LOOK_EVERY_MS))
      left = (until - nowUs()) / 1_000
    }
  }

  #nextPartition(): number {
    const partition = this.#partition
    this.#partition = partition + 1 === this.#options.partitions ? 0 : partition + 1
    return partition
  }

  /** Slots of the schedule that came due: each takes the next lane with a free place, or queues for one. */
  #due(intendedUs: ArrayLike<number>): void {
    if (!this.#sending) return
    const now = nowUs()
    for (let i = 0; i < intendedUs.length; i++) {
      const intended = intendedUs[i]!
      const lane = this.#freeLane()
      if (lane === null || this.#waiting.length > 0) {
        this.#waiting.push(intended)
        if (this.#measuring) this.#missedSlots++
        continue
      }
      if (this.#measuring) this.#sendDelay.record(now - intended)
      lane.stage(this.#nextPartition(), intended)
      lane.flush()
    }
  }

  #freeLane(): Lane | null {
    for (let tried = 0; tried < this.#lanes.length; tried++) {
      const lane = this.#lanes[this.#lane]!
      this.#lane = this.#lane + 1 === this.#lanes.length ? 0 : this.#lane + 1
      if (lane.free > 0) return lane
    }
    return null
  }

  async #drained(): Promise<void> {
    const until = nowUs() + DRAIN_MS * 1_000
    while (this.#lanes.some((lane) => lane.inFlight > 0)) {
      if (nowUs() > until) throw new Error(`requests unanswered ${DRAIN_MS} ms after the last was sent`)
      await sleep(2)
    }
  }
}

/** First in, first out, without an object per entry. */
export class TimeQueue {
  #times = new Float64Array(1_024)
  #first = 0
  #length = 0

  get length(): number {
    return this.#length
  }

  push(time: number): void {
    const capacity = this.#times.length
    if (this.#length === capacity) {
      const grown = new Float64Array(capacity * 2)
      for (let i = 0; i < capacity; i++) grown[i] = this.#times[(this.#first + i) % capacity]!
      this.#times = grown
      this.#first = 0
    }
    this.#times[(this.#first + this.#length++) % this.#times.length] = time
  }

  /** The queue must not be empty. */
  get first(): number {
    return this.#times[this.#first]!
  }

  /** The queue must not be empty. */
  shift(): number {
    const time = this.#times[this.#first]!
    this.#first = (this.#first + 1) % this.#times.length
    this.#length--
    return time
  }
}
