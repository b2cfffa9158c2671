import process from 'node:process'
import { performance } from 'node:perf_hooks'
import type { EventLoopUtilization } from 'node:perf_hooks'
import type { NativeAddon } from './native-addon.ts'

const LOOK_EVERY_MS = 5_000
/** Memory of the process beyond what JavaScript accounts for that is worth asking back: code, threads, the C heap in use. */
const USUAL_BYTES = 64 * 1024 * 1024
/** What must have come on top since the last time. */
const WORTH_BYTES = 16 * 1024 * 1024
/** While the loop is busier than this nothing is given back: it would be needed again at once. */
const BUSY = 0.3

/** What the process has of the system, and what of it is accounted for. */
export interface MemoryFigures {
  readonly rss: number
  readonly heapTotal: number
  readonly external: number
}

/**
 * After a flood the memory of its buffers is free, but the C library keeps most of it: the process stays as large as
 * it ever was. Once the load is over it is given back. Where the addon is missing nothing happens.
 */
export class FreedMemory {
  readonly #trim: () => void
  readonly #figures: () => MemoryFigures
  readonly #utilization: (since?: EventLoopUtilization) => EventLoopUtilization
  #since: EventLoopUtilization
  /** What was left the last time. */
  #keptBytes = USUAL_BYTES

  constructor(
    trim: () => void,
    figures: () => MemoryFigures = () => process.memoryUsage(),
    utilization: (since?: EventLoopUtilization) => EventLoopUtilization = (since) =>
      performance.eventLoopUtilization(since),
  ) {
    this.#trim = trim
    this.#figures = figures
    this.#utilization = utilization
    this.#since = utilization()
  }

  /** Called every few seconds. Whether memory was given back. */
  look(): boolean {
    const { utilization } = this.#utilization(this.#since)
    this.#since = this.#utilization()
    if (utilization > BUSY || this.#unaccountedBytes() < this.#keptBytes + WORTH_BYTES) return false
    this.#trim()
    this.#keptBytes = Math.max(USUAL_BYTES, this.#unaccountedBytes())
    return true
  }

  #unaccountedBytes(): number {
    const { rss, heapTotal, external } = this.#figures()
    return rss - heapTotal - external
  }
}

/** For a process that is a broker and nothing else. Keeps no process alive. */
export function giveBackFreedMemory(addon: NativeAddon | null): void {
  if (addon === null) return
  const memory = new FreedMemory(() => addon.trimMemory())
  setInterval(() => memory.look(), LOOK_EVERY_MS).unref()
}
