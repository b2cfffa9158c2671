import { crc32 } from 'node:zlib'
import v8 from 'node:v8'
import vm from 'node:vm'
import type { TurnStage } from '../../src/ports.ts'
import type { SimRandom } from './sim-random.ts'

/**
 * Time and order. One queue of events, ordered by (time, sequence number); everything that happens in a simulated
 * world is an event in it, so a seed decides the whole run.
 *
 * A turn delivers the next event and, by chance, others that fall due shortly after it (as an event loop does when
 * it was busy), then runs the end-of-turn stages append, submit, reply until nothing is left in them. Microtasks
 * are drained after each event and each end-of-turn callback, by asking V8 to: promises of production code move on
 * inside the same simulated instant and never wait for the real event loop.
 *
 * Everything that happens is mixed into a hash. The same seed must give the same hash; where it does not, something
 * came in past the ports.
 */

/** Whose event it is: events of a dead owner are dropped. */
export interface SimOwner {
  readonly name: string
  alive: boolean
}

export interface SimEvent {
  readonly timeMs: number
  readonly sequence: number
  readonly label: string
  readonly owner: SimOwner | null
  run: (() => void) | null
}

const STAGES: readonly TurnStage[] = ['append', 'submit', 'reply']
const TURN_GATHER_MS = 0.2

// Stays on: V8 may compile the function again after it threw the first compilation away.
v8.setFlagsFromString('--allow-natives-syntax')
const drainMicrotasks = vm.runInThisContext(
  '(function drain() { %PerformMicrotaskCheckpoint() })',
) as () => void

export interface RunLimits {
  /** Simulated time after which the run counts as stuck. */
  readonly withinMs?: number
  readonly maxEvents?: number
}

export class SimScheduler {
  /** Simulated milliseconds since the world began. Never goes back. */
  nowMs = 0
  /** Events delivered. */
  delivered = 0
  /** Looks at what each turn has made of the world, and throws when that must not be. */
  afterTurn: (() => void) | null = null
  private readonly heap: SimEvent[] = []
  private readonly stages: Record<TurnStage, { owner: SimOwner; run: () => void }[]> = {
    append: [],
    submit: [],
    reply: [],
  }
  private readonly random: SimRandom
  private sequence = 0
  private hash = 0
  /** Of labels: there are few. */
  private readonly sums = new Map<string, number>()
  private running = false

  constructor(random: SimRandom) {
    this.random = random
  }

  /** Mixes what happened into the hash of the run. */
  trace(label: string, value: number): void {
    let sum = this.sums.get(label)
    if (sum === undefined) this.sums.set(label, (sum = crc32(label)))
    this.hash = (Math.imul(this.hash ^ sum, 0x01000193) + (value | 0)) >>> 0
  }

  /** Hash over everything that happened so far. */
  get traceHash(): string {
    return `${this.hash.toString(16).padStart(8, '0')}-${this.delivered}`
  }

  schedule(delayMs: number, label: string, owner: SimOwner | null, run: () => void): SimEvent {
    const event: SimEvent = {
      timeMs: this.nowMs + Math.max(0, delayMs),
      sequence: this.sequence++,
      label,
      owner,
      run,
    }
    this.push(event)
    return event
  }

  cancel(event: SimEvent): void {
    event.run = null
  }

  atEndOfTurn(stage: TurnStage, owner: SimOwner, run: () => void): void {
    this.stages[stage].push({ owner, run })
  }

  /** Resolves after `delayMs` of simulated time. For the bodies of tests. */
  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.schedule(delayMs, 'sleep', null, resolve))
  }

  /**
   * Runs the world until `body` is done. Inside it only simulated things may be awaited. Rejects when the world is
   * stuck, when a limit is passed, or with what a living owner threw.
   */
  run<T>(body: () => Promise<T>, limits: RunLimits = {}): Promise<T> {
    if (this.running) throw new Error('the simulation runs already')
    this.running = true
    return new Promise<T>((resolve, reject) => {
      // A task of its own: V8 does not drain microtasks from inside a microtask.
      setImmediate(() => {
        let settle: () => void
        try {
          settle = this.drive(body, limits, resolve, reject)
        } catch (error) {
          settle = () => reject(error)
        } finally {
          this.running = false
        }
        settle()
      })
    })
  }

  /** Returns what tells the outcome: the waiting test must not run on inside the world. */
  private drive<T>(
    body: () => Promise<T>,
    limits: RunLimits,
    resolve: (value: T) => void,
    reject: (error: unknown) => void,
  ): () => void {
    const endMs = this.nowMs + (limits.withinMs ?? 3_600_000)
    const maxEvents = this.delivered + (limits.maxEvents ?? 20_000_000)
    const outcome: { settle: (() => void) | null } = { settle: null }
    body().then(
      (value) => (outcome.settle = () => resolve(value)),
      (error: unknown) => (outcome.settle = () => reject(error)),
    )
    drainMicrotasks()
    while (outcome.settle === null) {
      this.endOfTurn()
      if (this.heap.length === 0 && !this.stagesPending())
        throw new Error('the simulation is stuck: no event is left')
      if (this.nowMs > endMs)
        throw new Error(`the simulation is stuck: not done after ${this.nowMs} simulated ms`)
      if (this.delivered > maxEvents) throw new Error(`the simulation is stuck: ${this.delivered} events`)
      this.turn()
    }
    return outcome.settle
  }

  private turn(): void {
    const first = this.heap[0]
    if (first !== undefined) {
      const untilMs = Math.max(this.nowMs, first.timeMs) + (this.random.chance(0.5) ? TURN_GATHER_MS : 0)
      for (let event = this.heap[0]; event !== undefined && event.timeMs <= untilMs; event = this.heap[0]) {
        this.pop()
        if (event.timeMs > this.nowMs) this.nowMs = event.timeMs
        this.deliver(event)
        if (this.random.chance(0.05)) break
      }
    }
    this.endOfTurn()
    this.afterTurn?.()
  }

  private deliver(event: SimEvent): void {
    const run = event.run
    if (run === null || (event.owner !== null && !event.owner.alive)) return
    event.run = null
    this.delivered += 1
    this.trace(event.label, Math.round(event.timeMs * 1000))
    this.call(event.owner, run)
  }

  private endOfTurn(): void {
    for (let stage = 0; stage < STAGES.length;) {
      const queue = this.stages[STAGES[stage] as TurnStage]
      const next = queue.shift()
      if (next === undefined) {
        stage += 1
        continue
      }
      if (!next.owner.alive) continue
      this.call(next.owner, next.run)
      stage = 0
    }
  }

  private stagesPending(): boolean {
    return STAGES.some((stage) => this.stages[stage].length > 0)
  }

  private call(owner: SimOwner | null, run: () => void): void {
    try {
      run()
    } catch (error) {
      // What a process still did after its death does not count.
      if (owner === null || owner.alive) throw error
    }
    drainMicrotasks()
  }

  private push(event: SimEvent): void {
    const heap = this.heap
    let index = heap.push(event) - 1
    while (index > 0) {
      const parent = (index - 1) >> 1
      const other = heap[parent] as SimEvent
      if (!before(event, other)) break
      heap[index] = other
      index = parent
    }
    heap[index] = event
  }

  private pop(): void {
    const heap = this.heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let index = 0
    for (;;) {
      let child = index * 2 + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1] as SimEvent, heap[child] as SimEvent)) child += 1
      const other = heap[child] as SimEvent
      if (!before(other, last)) break
      heap[index] = other
      index = child
    }
    heap[index] = last
  }
}

function before(left: SimEvent, right: SimEvent): boolean {
  return left.timeMs < right.timeMs || (left.timeMs === right.timeMs && left.sequence < right.sequence)
}
