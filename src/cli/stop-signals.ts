import process from 'node:process'

/** Signals that ask a process to end. */
export const STOP_SIGNALS = ['SIGHUP', 'SIGINT', 'SIGTERM'] as const satisfies readonly NodeJS.Signals[]

export type StopSignal = (typeof STOP_SIGNALS)[number]

/** Signals that come within this time of the first, and mean the same, are one wish. */
export const SAME_WISH_MS = 1_000

/**
 * Tells wishes from their echoes. One Ctrl-C arrives twice under `npm start`: from the terminal, and a few
 * milliseconds later npm's copy. Service managers send SIGHUP along with SIGTERM, in either order.
 */
export class StopWishes {
  #first: StopSignal | null = null
  #firstMs = 0

  /** What a signal at a time of a monotonic clock means: a wish to stop, an echo of it, or a second wish. */
  take(signal: StopSignal, nowMs: number): 'first' | 'echo' | 'again' {
    if (this.#first === null) {
      this.#first = signal
      this.#firstMs = nowMs
      return 'first'
    }
    const same = signal === this.#first || signal === 'SIGHUP' || this.#first === 'SIGHUP'
    return same && nowMs - this.#firstMs < SAME_WISH_MS ? 'echo' : 'again'
  }
}

export interface StopHandlers {
  readonly first: (signal: StopSignal) => void
  readonly again: (signal: StopSignal) => void
  /** Signals that are meant for somebody else. Default: none. */
  readonly ignored?: (signal: StopSignal) => boolean
}

/** From now on signals that ask the process to end only call these. */
export function onStopSignals(handlers: StopHandlers): void {
  const wishes = new StopWishes()
  for (const signal of STOP_SIGNALS) {
    process.on(signal, () => {
      if (handlers.ignored?.(signal) === true) return
      const meaning = wishes.take(signal, performance.now())
      if (meaning !== 'echo') handlers[meaning](signal)
    })
  }
}
