import process from 'node:process'

/** What libuv starts when nobody says how many. */
const DEFAULT_THREADS = 4
const MAX_THREADS = 1024
/** Of the threads, what each further device can be sure of. */
const KEPT_SHARE = 1 / 4

function poolThreads(): number {
  const asked = Number.parseInt(process.env['UV_THREADPOOL_SIZE'] ?? '', 10)
  return Number.isNaN(asked) ? DEFAULT_THREADS : Math.min(MAX_THREADS, Math.max(1, asked))
}

/**
 * The threads of the pool, shared by devices: a call to one that hangs keeps its thread for as long as it hangs, so no
 * device gets so many that none is left for the others. A single one gets all.
 */
export class ThreadShares {
  readonly #threads: number
  #devices = 0

  constructor(threads: number = poolThreads()) {
    this.#threads = threads
  }

  /** That of one more device. */
  share(): ThreadShare {
    this.#devices += 1
    return new ThreadShare(this)
  }

  /** Calls that one device may have under way. */
  get limit(): number {
    if (this.#devices <= 1) return Infinity
    const keptThreads = (this.#devices - 1) * Math.ceil(this.#threads * KEPT_SHARE)
    return Math.max(1, this.#threads - keptThreads)
  }
}

/** Starts a call on the pool, which says when it has ended. */
export type PoolCall = (ended: () => void) => void

/** What one device has of the pool; what it has no thread for waits in its order. */
export class ThreadShare {
  readonly #shares: ThreadShares
  #underWay = 0
  readonly #waiting: PoolCall[] = []
  readonly #ended = (): void => {
    this.#underWay -= 1
    const next = this.#waiting.shift()
    if (next !== undefined) this.run(next)
  }

  constructor(shares: ThreadShares) {
    this.#shares = shares
  }

  run(call: PoolCall): void {
    if (this.#underWay >= this.#shares.limit) {
      this.#waiting.push(call)
      return
    }
    this.#underWay += 1
    call(this.#ended)
  }
}
