import { PerformanceObserver } from 'node:perf_hooks'
import process from 'node:process'
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'

const MIB = 1024 * 1024

/**
 * How far the old generation may grow beyond what was alive at its last collection. By itself V8 lets it grow to
 * several times that, which suits a program whose garbage is small; requests of very many elements live just long
 * enough to get there, and leave hundreds of megabytes that nobody needs.
 */
const OLD_GENERATION_PERCENT = 20

/** Half of the young generation: V8 of Node.js 20 stops here by itself, later ones go on to four times as much. */
const SEMI_SPACE_BYTES = 16 * MIB

/** V8 begins to collect when so much more is allocated outside of its heap than there was after the last collection. */
const EXTERNAL_LIMIT_BYTES = 64 * MIB

/** After a long silence V8 makes the young generation small; then it may grow again. */
const LOOK_AGAIN_MS = 60_000

function givenOptions(): string {
  return `${process.execArgv.join(' ')} ${process.env['NODE_OPTIONS'] ?? ''}`
}

function youngGenerationBytes(): number {
  return getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space')?.space_size ?? 0
}

/** What of V8 and its collections there is to see and to say. */
export interface YoungGeneration {
  /** Both halves. */
  bytes(): number
  /** By what its size is multiplied when much of it survives. */
  growBy(factor: number): void
}

/**
 * Keeps the young generation from growing beyond a size. V8 knows an option for that, but takes it only from who starts
 * the process; the factor by which it grows may be set at any time.
 */
export class YoungGenerationLimit {
  readonly #young: YoungGeneration
  readonly #maxBytes: number
  #isFull = false

  constructor(young: YoungGeneration, maxBytes = 2 * SEMI_SPACE_BYTES) {
    this.#young = young
    this.#maxBytes = maxBytes
  }

  /** To be called after each collection while it grows, and now and then later. Whether it has reached the limit. */
  look(): boolean {
    const isFull = this.#young.bytes() >= this.#maxBytes
    if (isFull !== this.#isFull) this.#young.growBy(isFull ? 1 : 2)
    this.#isFull = isFull
    return isFull
  }

  /** As if it had never been. */
  forget(): void {
    this.#young.growBy(2)
  }
}

/** For a process that is a broker and nothing else. Keeps no process alive. */
export function limitHeapGrowth(): void {
  if (/semi-space|heap-growing|optimize-for-size/.test(givenOptions())) return
  setFlagsFromString(`--heap-growing-percent=${OLD_GENERATION_PERCENT}`)
  const limit = new YoungGenerationLimit({
    bytes: youngGenerationBytes,
    growBy: (factor) => setFlagsFromString(`--semi-space-growth-factor=${factor}`),
  })
  const observer = new PerformanceObserver(() => {
    if (limit.look()) observer.disconnect()
  })
  // V8 takes code that it compiled and kept only under the options of then, and the next start begins with none.
  process.on('exit', () => {
    setFlagsFromString('--heap-growing-percent=0')
    limit.forget()
  })
  const observe = (): void => observer.observe({ entryTypes: ['gc'] })
  observe()
  setInterval(() => {
    if (!limit.look()) observe()
  }, LOOK_AGAIN_MS).unref()
}

/**
 * Makes V8 collect its garbage in small steps, as it does by itself under load. It begins when much was allocated outside
 * of its heap; of a buffer that nobody writes to the system hands out no page. Answers the bytes of that buffer: an
 * allocation of which nothing is asked is left out by bundlers.
 */
export function requestCollection(): number {
  try {
    return new ArrayBuffer(EXTERNAL_LIMIT_BYTES + MIB).byteLength
  } catch {
    // Addresses are short here: then it stays as it is.
    return 0
  }
}
