/** Bytes of requests that cannot begin yet. */
export class HeldBytes {
  #pieces: Buffer[] = []
  #length = 0

  get length(): number {
    return this.#length
  }

  get any(): boolean {
    return this.#pieces.length > 0
  }

  /**
   * What is left of bytes that were held before (`owned`) stays where it is while that is most of them: copying the rest
   * for each request that begins would take quadratic time, and never copying it would keep a megabyte for a few bytes.
   */
  hold(buffer: Buffer, start: number, end: number, owned: boolean): void {
    const rest = buffer.subarray(start, end)
    this.keep(owned && 2 * rest.length > rest.buffer.byteLength ? rest : Buffer.from(rest))
  }

  keep(bytes: Buffer): void {
    this.#pieces.push(bytes)
    this.#length += bytes.length
  }

  /** All of it, which nobody holds any more. */
  take(): Buffer {
    const only = this.#pieces.length === 1 ? this.#pieces[0] : undefined
    const all = only ?? Buffer.concat(this.#pieces)
    this.drop()
    return all
  }

  drop(): void {
    this.#pieces = []
    this.#length = 0
  }
}
