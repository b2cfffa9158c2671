import type { StagingChunk } from './staging-ring.ts'

/** Of one file. More would only serve readers that are far behind the tail with tiny pieces. */
const MAX_STRETCHES = 256

interface Stretch {
  position: number
  end: number
  chunk: StagingChunk
  offset: number
  generation: number
}

/**
 * The bytes of one file that still lie in the staging memory. Writes that bypass the page cache leave nothing there
 * for readers at the tail; this is what serves them instead. The memory is bounded and shared by all files: a
 * stretch is gone when its chunk is used anew, which its generation tells.
 *
 * Stretches lie in ascending order and never overlap.
 */
export class TailCache {
  #stretches: Stretch[] = []
  /** Index of the first stretch that counts. */
  #first = 0

  /** Bytes [position, position + length) of the file lie at `offset` of `chunk`. What was known from `position` on is forgotten. */
  add(position: number, length: number, chunk: StagingChunk, offset: number): void {
    if (length === 0) return
    this.cut(position)
    this.#dropGone()
    const { generation } = chunk
    this.#stretches.push({ position, end: position + length, chunk, offset, generation })
    if (this.#stretches.length - this.#first > MAX_STRETCHES) this.#first++
    if (this.#first >= MAX_STRETCHES) {
      this.#stretches.splice(0, this.#first)
      this.#first = 0
    }
  }

  /** Forgets all from `position` on. */
  cut(position: number): void {
    const stretches = this.#stretches
    while (stretches.length > this.#first) {
      const last = stretches[stretches.length - 1]!
      if (last.end <= position) return
      if (last.position < position) {
        last.end = position
        return
      }
      stretches.length--
    }
  }

  /** Copies the bytes when all of them are here. */
  copy(position: number, into: Buffer, length: number): boolean {
    const stretches = this.#stretches
    const end = position + length
    let index = this.#find(position)
    let at = position
    while (at < end) {
      const stretch = stretches[index++]
      if (stretch === undefined || stretch.position > at) return false
      const { chunk, generation } = stretch
      if (chunk.generation !== generation) return false
      const from = stretch.offset + (at - stretch.position)
      const count = Math.min(end, stretch.end) - at
      chunk.memory.copy(into, at - position, from, from + count)
      at += count
    }
    return true
  }

  /** The index of the first stretch that ends behind `position`. */
  #find(position: number): number {
    let low = this.#first
    let high = this.#stretches.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#stretches[middle]!.end <= position) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Chunks are used anew in the order in which they were filled, so the oldest stretch goes first. */
  #dropGone(): void {
    for (; this.#first < this.#stretches.length; this.#first++) {
      const { chunk, generation } = this.#stretches[this.#first]!
      if (chunk.generation === generation) return
    }
    this.#stretches.length = 0
    this.#first = 0
  }
}
