/** What an entry costs beside its key, roughly. */
const ENTRY_BYTES = 64

/** The newest offset of each key, as far as the memory goes. */
export class OffsetMap {
  readonly #offsets = new Map<string, number>()
  readonly #maxBytes: number
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get full(): boolean {
    return this.#bytes >= this.#maxBytes
  }

  get size(): number {
    return this.#offsets.size
  }

  set(key: Buffer, offset: number): void {
    const { size } = this.#offsets
    this.#offsets.set(keyString(key), offset)
    if (this.#offsets.size > size) this.#bytes += key.length + ENTRY_BYTES
  }

  /** -1 when nothing is known of the key. */
  latest(key: Buffer): number {
    return this.#offsets.get(keyString(key)) ?? -1
  }
}

/** Byte for byte, so that keys are equal exactly when these are. */
function keyString(key: Buffer): string {
  return key.toString('latin1')
}
