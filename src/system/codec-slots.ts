/**
 * Memory that the loop and the thread which decodes for it share: a ring of slots. Job n lies in slot n modulo their
 * number; the loop counts the jobs that it gave, the thread those that it has done, both beyond 2^31 and round again.
 */
export const SLOTS = 16
/** Of one job. What is longer, or becomes so, is decoded elsewhere. */
export const INPUT_BYTES = 128 * 1024
export const OUTPUT_BYTES = 512 * 1024
const SLOT_BYTES = INPUT_BYTES + OUTPUT_BYTES

/** Indices of words in `SharedSlots.words`. */
export const GIVEN = 0
export const DONE = 1
/** Not 0: the thread looks at what is given before it rests. */
export const THREAD_AWAKE = 2
/** Not 0: the loop has been told, and will look at what is done. */
export const LOOP_TOLD = 3
const FIRST_SLOT_WORD = 4
const WORDS_PER_SLOT = 3

/** What the thread answers in place of a length. */
export const NOT_DECODED = -1

/** What crosses to the thread. */
export interface SharedSlots {
  readonly words: SharedArrayBuffer
  readonly bytes: SharedArrayBuffer
}

export function makeSlots(): SharedSlots {
  const words = new SharedArrayBuffer((FIRST_SLOT_WORD + SLOTS * WORDS_PER_SLOT) * 4)
  // Touched, and so in memory, only as far as jobs are long.
  return { words, bytes: new SharedArrayBuffer(SLOTS * SLOT_BYTES) }
}

/** One side's view of a slot. */
export class Slot {
  readonly input: Buffer
  readonly output: Buffer
  readonly #words: Int32Array

  constructor(shared: SharedSlots, index: number) {
    const at = index * SLOT_BYTES
    this.input = Buffer.from(shared.bytes, at, INPUT_BYTES)
    this.output = Buffer.from(shared.bytes, at + INPUT_BYTES, OUTPUT_BYTES)
    this.#words = new Int32Array(shared.words, (FIRST_SLOT_WORD + index * WORDS_PER_SLOT) * 4, WORDS_PER_SLOT)
  }

  get codec(): number {
    return this.#words[0]!
  }

  get inputBytes(): number {
    return this.#words[1]!
  }

  /** Or NOT_DECODED. */
  get outputBytes(): number {
    return this.#words[2]!
  }

  set outputBytes(bytes: number) {
    this.#words[2] = bytes
  }

  give(codec: number, data: Buffer): void {
    data.copy(this.input)
    this.#words[0] = codec
    this.#words[1] = data.length
  }
}

export function viewsOf(shared: SharedSlots): readonly Slot[] {
  return Array.from({ length: SLOTS }, (_, index) => new Slot(shared, index))
}
