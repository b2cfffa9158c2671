import type { NativeAddon, Ring } from '../../src/system/native-addon.ts'
import { nowUs } from '../load/clock.ts'

export interface RingWork {
  /** Queues the next operation of a free slot; what the ring's method returned. */
  queue(ring: Ring, slot: number): number
  /** An operation ended: bytes, or a negative errno. */
  done(slot: number, result: number): void
}

/** Keeps a ring busy: as many operations in flight as there are slots, the next as soon as one ends. */
export class RingLoop {
  readonly #ring: Ring
  readonly #work: RingWork
  readonly #slots: number
  #inFlight = 0
  #untilUs = 0
  #left = 0
  #ended: () => void = () => undefined
  #failed: (error: unknown) => void = () => undefined

  constructor(addon: NativeAddon, slots: number, work: RingWork) {
    this.#slots = slots
    this.#work = work
    this.#ring = new addon.Ring(slots, (count) => this.#completed(count))
  }

  /** For so long, and until the last operation has ended. */
  run(ms: number): Promise<void> {
    this.#untilUs = nowUs() + ms * 1_000
    return this.#start(Infinity)
  }

  /** So many operations. */
  count(operations: number): Promise<void> {
    this.#untilUs = Infinity
    return this.#start(operations)
  }

  close(): void {
    this.#ring.close()
  }

  #start(operations: number): Promise<void> {
    this.#left = operations
    return new Promise((resolve, reject) => {
      this.#ended = resolve
      this.#failed = reject
      for (let slot = 0; slot < this.#slots && this.#left > 0; slot++) this.#queue(slot)
      this.#submit()
    })
  }

  #completed(count: number): void {
    try {
      const { completions } = this.#ring
      const more = nowUs() < this.#untilUs
      for (let i = 0; i < count; i++) {
        const slot = completions[i * 2]!
        this.#inFlight--
        this.#work.done(slot, completions[i * 2 + 1]!)
        if (more && this.#left > 0) this.#queue(slot)
      }
      this.#submit()
      if (this.#inFlight === 0) this.#ended()
    } catch (error) {
      this.#failed(error)
    }
  }

  #queue(slot: number): void {
    const result = this.#work.queue(this.#ring, slot)
    if (result < 0) throw new Error(`the ring refused an operation: errno ${-result}`)
    this.#left--
    this.#inFlight++
  }

  #submit(): void {
    const result = this.#ring.submit()
    if (result < 0) throw new Error(`the ring could not be submitted: errno ${-result}`)
  }
}
