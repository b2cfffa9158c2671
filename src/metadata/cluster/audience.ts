import type { Clock, Timer } from '../../ports.ts'

/** How many times a silence is looked at until it is too long. */
const LOOKS = 6

export interface AudienceParts {
  readonly clock: Clock
  /** As long as the ensemble lets a broker be silent. */
  readonly timeoutMs: number
  /** Who should be asking, but for the controller itself. */
  readonly expected: () => readonly number[]
  /** Others ask, and this one does not. */
  readonly lost: (brokerId: number) => void
  /** Nobody asks, who should. */
  readonly deserted: () => void
}

/**
 * Who still asks the controller for news. A session with the ensemble says that a broker lives, and not that it can be reached:
 * who is cut off from the others and not from the ensemble would lead for ever where nobody follows, and as controller decide
 * for ever what nobody hears (KRaft's `broker.session.timeout.ms`, here the session's timeout).
 */
export class Audience {
  readonly #parts: AudienceParts
  readonly #beganMs: number
  readonly #heardMs = new Map<number, number>()
  #timer: Timer

  constructor(parts: AudienceParts) {
    this.#parts = parts
    this.#beganMs = parts.clock.monotonicMs()
    this.#timer = this.#lookLater()
  }

  heard(brokerId: number): void {
    this.#heardMs.set(brokerId, this.#parts.clock.monotonicMs())
  }

  close(): void {
    this.#timer.cancel()
  }

  #lookLater(): Timer {
    const { clock, timeoutMs } = this.#parts
    return clock.after(timeoutMs / LOOKS, () => {
      this.#timer = this.#lookLater()
      this.#look()
    })
  }

  #look(): void {
    const { clock, timeoutMs, expected, lost, deserted } = this.#parts
    const lastMs = clock.monotonicMs() - timeoutMs
    const others = expected()
    const silent = others.filter((id) => (this.#heardMs.get(id) ?? this.#beganMs) <= lastMs)
    if (silent.length > 0 && silent.length === others.length) deserted()
    else for (const id of silent) lost(id)
  }
}
