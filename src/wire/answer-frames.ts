import { SIZE_BYTES } from '../../protocol/frame.ts'
import { ProtocolError } from '../../protocol/protocol-error.ts'

/**
 * Answers out of the bytes of one connection. Each gets memory of its own, which whoever takes it may keep. Small ones share
 * Node's pool: V8 has to collect each buffer that is made. That of a large one is the system's until bytes arrive for it, so
 * that a claim alone costs nothing.
 */
export class AnswerFrames {
  readonly #maxBytes: number
  readonly #take: (frame: Buffer) => void
  readonly #size = Buffer.alloc(SIZE_BYTES)
  /** Of the size, or of the frame once there is one. */
  #filled = 0
  #frame: Buffer | null = null

  /** `take` gets each frame without its size, in their order. */
  constructor(maxBytes: number, take: (frame: Buffer) => void) {
    this.#maxBytes = maxBytes
    this.#take = take
  }

  /** [start, end) of a buffer that the caller will use again. Throws a ProtocolError for a size that no answer has. */
  receive(bytes: Buffer, start: number, end: number): void {
    let at = start
    while (at < end) {
      const target = this.#frame ?? this.#size
      const count = bytes.copy(target, this.#filled, at, Math.min(end, at + target.length - this.#filled))
      this.#filled += count
      at += count
      if (this.#filled < target.length) return
      this.#filled = 0
      if (this.#frame === null) this.#begin(this.#size.readInt32BE(0))
      else {
        this.#frame = null
        this.#take(target)
      }
    }
  }

  #begin(bytes: number): void {
    // The shortest answer is its correlation id.
    if (bytes < 4 || bytes > this.#maxBytes)
      throw new ProtocolError(`an answer of ${bytes} bytes: this is no Kafka broker`)
    this.#frame = Buffer.allocUnsafe(bytes)
  }
}
