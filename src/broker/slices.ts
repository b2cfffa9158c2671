import type { Steps } from '../../protocol/compile.ts'
import type { Clock } from '../ports.ts'

/** What requests of very many elements may take of one turn, all of them together. */
const SLICE_MS = 5
/** What has just come gets a moment at once even when that is spent, up to here: most requests need no more. */
const MOMENT_MS = 0.5
const MAX_TURN_MS = 20

/** Of decoding, these are as many elements as a short request may hold, which is decoded at once. */
const SHORT_STEPS = 16

/** Who waits for work that is done in steps. */
export interface StepsOwner<Result> {
  /** Nobody needs the result any more: the work stops where it is. */
  gone(): boolean
  /** It is not a short one, which would have ended by now. Calls `goOn` when there is room for what it grows to. */
  long?(goOn: () => void): void
  done(result: Result): void
  failed(error: unknown): void
}

/** A piece of work, which should end at about this time. Returns what follows when it is the last one. */
type Piece = (endsMs: number) => (() => void) | null

/**
 * Shares the loop between requests of very many elements: a few milliseconds of each turn are theirs, in the order
 * they came, and the rest of it belongs to everybody else. However many of them there are, a turn stays short.
 */
export class Slices {
  readonly #clock: Clock
  readonly #waiting: Piece[] = []
  #usedMs = 0
  #isScheduled = false
  /** A piece is under way, whose time is not in `#usedMs` yet. */
  #isRunning = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /**
   * One piece of work, which should end by `sliceEndsMs` as it is when the piece begins: at once when there is time for it
   * in this turn, else in a later one. It must not throw.
   */
  run(work: () => void): void {
    if (this.#hasTime) this.#run(pieceOf(work), SLICE_MS)
    else this.later(work)
  }

  /** As `run`, and never at once. */
  later(work: () => void): void {
    this.#later(pieceOf(work))
  }

  /** Resolves when it is the caller's turn to work for a slice. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#later(() => () => {
        // What follows runs after this piece, and takes the turn as a whole.
        this.#usedMs = SLICE_MS
        resolve()
      })
    })
  }

  /** When a slice that begins now should end. */
  sliceEndsMs(): number {
    return this.#clock.monotonicMs() + SLICE_MS
  }

  /** Does the work step by step: at once when there is time for it in this turn, else on in later ones. */
  finish<Result>(steps: Steps<Result>, owner: StepsOwner<Result>): void {
    // Most work ends before its first stop, and needs no share of a turn.
    for (let left = owner.long === undefined ? 1 : SHORT_STEPS; left > 0; left--) {
      const over = this.#advance(steps, owner, 0)
      if (over === null) continue
      over()
      return
    }
    if (owner.long === undefined) this.#goOn(steps, owner)
    else owner.long(() => this.#goOn(steps, owner))
  }

  #goOn<Result>(steps: Steps<Result>, owner: StepsOwner<Result>): void {
    const piece: Piece = (endsMs) => {
      if (owner.gone()) return null
      const done = this.#advance(steps, owner, endsMs)
      if (done === null) this.#later(piece)
      return done
    }
    if (this.#hasTime) this.#run(piece, SLICE_MS)
    else if (!this.#isRunning && this.#usedMs < MAX_TURN_MS) this.#run(piece, MOMENT_MS)
    else this.#later(piece)
  }

  get #hasTime(): boolean {
    return !this.#isRunning && this.#waiting.length === 0 && this.#usedMs < SLICE_MS
  }

  /** One step, and more until `endsMs` (0: no more). Null when there are still some; else what is to be done about the result. */
  #advance<Result>(steps: Steps<Result>, owner: StepsOwner<Result>, endsMs: number): (() => void) | null {
    try {
      let step
      do step = steps.next()
      while (step.done !== true && endsMs > 0 && this.#clock.monotonicMs() < endsMs)
      if (step.done !== true) return null
      const { value } = step
      return () => {
        try {
          owner.done(value)
        } catch (error) {
          owner.failed(error)
        }
      }
    } catch (error) {
      return () => owner.failed(error)
    }
  }

  /** What comes of a piece is no part of it: it takes time of its own, as everything else does. */
  #run(piece: Piece, forMs: number): void {
    if (this.#usedMs === 0) this.#clock.atEndOfTurn('reply', this.#turnEnds)
    const startMs = this.#clock.monotonicMs()
    let then = null
    this.#isRunning = true
    try {
      then = piece(startMs + forMs)
    } finally {
      this.#isRunning = false
      this.#usedMs += this.#clock.monotonicMs() - startMs
    }
    then?.()
  }

  #later(piece: Piece): void {
    this.#waiting.push(piece)
    this.#schedule()
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.#clock.after(0, () => {
      this.#isScheduled = false
      this.#usedMs = 0
      while (this.#waiting.length > 0 && this.#usedMs < SLICE_MS) this.#run(this.#waiting.shift()!, SLICE_MS)
      if (this.#waiting.length > 0) this.#schedule()
    })
  }

  readonly #turnEnds = (): void => {
    this.#usedMs = 0
  }
}

function pieceOf(work: () => void): Piece {
  return () => {
    work()
    return null
  }
}
