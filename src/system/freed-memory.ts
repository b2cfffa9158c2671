import process from 'node:process'
import { codeOf } from '../core/is-error.ts'
import { requestCollection } from './heap-growth.ts'
import type { NativeAddon } from './native-addon.ts'

const LOOK_EVERY_MS = 5_000
/**
 * Pools have shrunk by then (`FrameArena.shrink`): what they let go is collected along with the rest. And a load that only
 * paused would make garbage while V8 collects, which takes that for alive.
 */
const QUIET_LOOKS = 3
/** Memory of the process beyond what JavaScript accounts for that is worth asking back: code, threads, the C heap in use. */
const USUAL_BYTES = 64 * 1024 * 1024
/**
 * V8 collects in small steps, and what became garbage after it began it takes for alive: only when so many collections in
 * a row gave next to nothing is the rest needed.
 */
const FRUITLESS_COLLECTIONS = 3
/** What must have come on top since the last time. */
const WORTH_BYTES = 16 * 1024 * 1024
/** While it takes more of a processor than this nothing is given back: it would be needed again at once. */
const BUSY = 0.3

/** What the process has of the system, and what of it is accounted for. */
export interface MemoryFigures {
  readonly rss: number
  readonly heapTotal: number
  /** All that is allocated outside of the heap and worth mention; `external` would tell of it only after a later collection. */
  readonly arrayBuffers: number
}

/** How memory is given back, first by V8 and then by the C library. */
export interface MemoryReturns {
  collect(): void
  trim(): void
}

const NO_DESCRIPTOR: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE'])

/**
 * After a flood the memory of its requests is garbage, and while nothing happens nothing makes V8 collect it; the C library
 * keeps most of what was freed: the process stays as large as it ever was. Once the load is over it is given back.
 */
export class FreedMemory {
  readonly #returns: MemoryReturns
  readonly #figures: () => MemoryFigures
  readonly #workedMs: () => number
  #workedUntilMs: number
  #quietLooks = 0
  /** What was accounted for when V8 was asked the last time, until it is known what came of it. */
  #collectedFromBytes: number | null = null
  /** Collections in a row that gave next to nothing. */
  #fruitless = 0
  /** What V8 is known to need. */
  #neededBytes: number
  /** What the C library had left the last time. */
  #keptBytes = USUAL_BYTES
  /** What was accounted for then. */
  #trimmedAtBytes = 0

  /** `workedMs`: the time of processors that the process has had so far. */
  constructor(
    returns: MemoryReturns,
    figures: () => MemoryFigures = () => process.memoryUsage(),
    workedMs: () => number = processorMs,
  ) {
    this.#returns = returns
    this.#figures = figures
    this.#workedMs = workedMs
    this.#workedUntilMs = workedMs()
    this.#neededBytes = accountedBytes(figures())
  }

  /** Called every few seconds. Whether the system got memory back. */
  look(): boolean {
    const workedUntilMs = this.#workedMs()
    const isBusy = workedUntilMs - this.#workedUntilMs > BUSY * LOOK_EVERY_MS
    this.#workedUntilMs = workedUntilMs
    if (isBusy) {
      this.#quietLooks = 0
      this.#collectedFromBytes = null
      this.#fruitless = 0
      return false
    }
    this.#quietLooks += 1
    try {
      this.#collect()
      return this.#trim()
    } catch (error) {
      // The figures are in a file of /proc: whoever has no descriptor left looks another time.
      if (NO_DESCRIPTOR.has(codeOf(error))) return false
      throw error
    }
  }

  #collect(): void {
    const bytes = accountedBytes(this.#figures())
    const before = this.#collectedFromBytes
    this.#collectedFromBytes = null
    this.#fruitless = before !== null && bytes > before - WORTH_BYTES ? this.#fruitless + 1 : 0
    if (bytes < this.#neededBytes || this.#fruitless === FRUITLESS_COLLECTIONS) this.#neededBytes = bytes
    if (this.#quietLooks < QUIET_LOOKS || bytes < this.#neededBytes + WORTH_BYTES) return
    this.#collectedFromBytes = bytes
    this.#returns.collect()
  }

  #trim(): boolean {
    const before = this.#figures()
    // Buffers that have gone since then may have kept what lies between them.
    if (accountedBytes(before) < this.#trimmedAtBytes - WORTH_BYTES) this.#keptBytes = USUAL_BYTES
    if (unaccountedBytes(before) < this.#keptBytes + WORTH_BYTES) return false
    this.#returns.trim()
    const after = this.#figures()
    this.#trimmedAtBytes = accountedBytes(after)
    this.#keptBytes = Math.max(USUAL_BYTES, unaccountedBytes(after))
    return true
  }
}

/** Null when the process has no descriptor left to read them with. */
export function memoryOrNull(): NodeJS.MemoryUsage | null {
  try {
    return process.memoryUsage()
  } catch (error) {
    if (NO_DESCRIPTOR.has(codeOf(error))) return null
    throw error
  }
}

function accountedBytes({ heapTotal, arrayBuffers }: MemoryFigures): number {
  return heapTotal + arrayBuffers
}

function processorMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}

function unaccountedBytes(figures: MemoryFigures): number {
  return figures.rss - accountedBytes(figures)
}

/** For a process that is a broker and nothing else. Keeps no process alive. Without the addon only V8 gives back. */
export function giveBackFreedMemory(addon: NativeAddon | null): void {
  const memory = new FreedMemory({ collect: requestCollection, trim: () => addon?.trimMemory() })
  setInterval(() => memory.look(), LOOK_EVERY_MS).unref()
}
