import type { RecordsSummary } from '../../protocol/records/records-summary.ts'

/**
 * Memory that the loop and the thread which looks at records for it share: a ring of slots. Job n lies in slot n modulo their
 * number; the loop counts the jobs that it gave, the thread those that it has done, both beyond 2^31 and round again.
 */
export const SLOTS = 16
/** Of one job: what `max.message.bytes` lets through as a rule. What is longer is looked at elsewhere. */
export const INPUT_BYTES = 1024 * 1024 + 4096

/** Indices of words in `SharedSlots.words`. */
export const GIVEN = 0
export const DONE = 1
/** Not 0: the thread looks at what is given before it rests. */
export const THREAD_AWAKE = 2
/** Not 0: the loop has been told, and will look at what is done. */
export const LOOP_TOLD = 3
const FIRST_SLOT_WORD = 4
const WORDS_PER_SLOT = 4
const FIGURES_PER_SLOT = 2

/** What the thread answers. */
const GOOD = 1
const KEYLESS = 2

/** What crosses to the thread. */
export interface SharedSlots {
  readonly words: SharedArrayBuffer
  readonly figures: SharedArrayBuffer
  readonly bytes: SharedArrayBuffer
}

export function makeSlots(): SharedSlots {
  return {
    words: new SharedArrayBuffer((FIRST_SLOT_WORD + SLOTS * WORDS_PER_SLOT) * 4),
    figures: new SharedArrayBuffer(SLOTS * FIGURES_PER_SLOT * 8),
    // Touched, and so in memory, only as far as jobs are long.
    bytes: new SharedArrayBuffer(SLOTS * INPUT_BYTES),
  }
}

/** One side's view of a slot. */
export class Slot {
  readonly #input: Buffer
  readonly #words: Int32Array
  readonly #figures: Float64Array

  constructor({ words, figures, bytes }: SharedSlots, index: number) {
    this.#input = Buffer.from(bytes, index * INPUT_BYTES, INPUT_BYTES)
    this.#words = new Int32Array(words, (FIRST_SLOT_WORD + index * WORDS_PER_SLOT) * 4, WORDS_PER_SLOT)
    this.#figures = new Float64Array(figures, index * FIGURES_PER_SLOT * 8, FIGURES_PER_SLOT)
  }

  give(codec: number, data: Buffer, recordCount: number): void {
    data.copy(this.#input)
    this.#words[0] = codec
    this.#words[1] = data.length
    this.#words[2] = recordCount
  }

  get codec(): number {
    return this.#words[0]!
  }

  get data(): Buffer {
    return this.#input.subarray(0, this.#words[1])
  }

  get recordCount(): number {
    return this.#words[2]!
  }

  get summary(): RecordsSummary | null {
    const answer = this.#words[3]!
    if (answer === 0) return null
    return {
      minTimestampDelta: this.#figures[0]!,
      maxTimestampDelta: this.#figures[1]!,
      hasKeyless: (answer & KEYLESS) !== 0,
    }
  }

  set summary(summary: RecordsSummary | null) {
    this.#words[3] = summary === null ? 0 : GOOD | (summary.hasKeyless ? KEYLESS : 0)
    if (summary === null) return
    this.#figures[0] = summary.minTimestampDelta
    this.#figures[1] = summary.maxTimestampDelta
  }
}

export function viewsOf(shared: SharedSlots): readonly Slot[] {
  return Array.from({ length: SLOTS }, (_, index) => new Slot(shared, index))
}
