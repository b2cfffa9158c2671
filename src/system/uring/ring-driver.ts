import type { NativeAddon, Ring } from '../native-addon.ts'
import type { Turn } from '../turn.ts'

/** One operation on the ring. It belongs to whoever starts it and may be started again after its end. */
export interface RingOperation {
  /** Queues itself under `id`. What the ring's methods answer: 0 or a negative errno. */
  queue(ring: Ring, id: number): number
  /** What the system call answered. */
  ended(result: number): void
}

/**
 * Operations queued or under way at once. Durable writes take at most half of it, so that a burst of them leaves
 * room for the reads.
 */
const ENTRIES = 256

/**
 * The one ring of a disk: what a turn starts leaves in one submission at its end, completions go to whoever started
 * them, and the event loop is kept alive exactly while something is under way.
 */
export class RingDriver {
  readonly #ring: Ring
  readonly #turn: Turn
  readonly #operations: (RingOperation | null)[] = []
  readonly #freeIds: number[] = []
  readonly #waiting: RingOperation[] = []
  #underWay = 0
  #submitAsked = false
  readonly #submitBound = (): void => this.#submit()

  /** Throws what keeps the kernel from giving a ring. */
  constructor(addon: NativeAddon, turn: Turn) {
    this.#turn = turn
    this.#ring = new addon.Ring(ENTRIES, (count) => this.#completed(count))
    this.#ring.unref()
    turn.beforeStages(() => this.#reap())
    for (let id = ENTRIES - 1; id >= 0; id--) {
      this.#operations.push(null)
      this.#freeIds.push(id)
    }
  }

  /** Leaves with the other operations of this turn. */
  start(operation: RingOperation): void {
    const id = this.#freeIds.pop()
    if (id === undefined) {
      this.#waiting.push(operation)
      return
    }
    const refused = operation.queue(this.#ring, id)
    if (refused < 0) {
      this.#freeIds.push(id)
      operation.ended(refused)
      return
    }
    this.#operations[id] = operation
    if (this.#underWay++ === 0) this.#ring.ref()
    this.#askSubmit()
  }

  /** What is under way still ends; everything after that is refused. */
  close(): void {
    this.#ring.close()
  }

  #askSubmit(): void {
    if (this.#submitAsked) return
    this.#submitAsked = true
    this.#turn.at('submit', this.#submitBound)
  }

  #submit(): void {
    this.#submitAsked = false
    this.#ring.submit()
  }

  /**
   * What has completed while the turn ran goes on in this turn. Left to the event loop it would wait for the next one,
   * and a durable append waits for two completions: its write, and the flush behind it.
   */
  #reap(): void {
    if (this.#underWay === 0) return
    const count = this.#ring.reap()
    if (count > 0) this.#completed(count)
  }

  #completed(count: number): void {
    const { completions } = this.#ring
    let failure: { readonly thrown: unknown } | null = null
    for (let i = 0; i < count; i++) {
      const id = completions[2 * i] ?? -1
      const operation = this.#operations[id]
      if (operation === undefined || operation === null) continue
      this.#operations[id] = null
      this.#freeIds.push(id)
      if (--this.#underWay === 0) this.#ring.unref()
      try {
        operation.ended(completions[2 * i + 1] ?? 0)
      } catch (thrown) {
        // The completions behind it are not lost with it.
        failure ??= { thrown }
      }
    }
    while (this.#freeIds.length > 0) {
      const next = this.#waiting.shift()
      if (next === undefined) break
      this.start(next)
    }
    if (failure !== null) throw failure.thrown
  }
}
