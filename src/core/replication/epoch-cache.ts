/**
 * Which leader epoch started at which offset, for one partition. Epochs and start offsets both grow strictly.
 */
export class EpochCache {
  #epochs: number[] = []
  #startOffsets: number[] = []
  /** Grows with every change, so that whoever stores the cache knows whether it has to. */
  changeCount = 0

  /** -1 when nothing is known. */
  get latestEpoch(): number {
    return this.#epochs.at(-1) ?? -1
  }

  /** Start of the latest epoch, -1 when nothing is known. */
  get latestStartOffset(): number {
    return this.#startOffsets.at(-1) ?? -1
  }

  get size(): number {
    return this.#epochs.length
  }

  /** Entries that the new one contradicts (same or later epoch, same or later start) go. */
  assign(epoch: number, startOffset: number): void {
    if (epoch < 0 || startOffset < 0) return
    if (epoch === this.latestEpoch && startOffset >= this.latestStartOffset) return
    while (this.latestEpoch >= epoch || this.latestStartOffset >= startOffset) {
      this.#epochs.pop()
      this.#startOffsets.pop()
    }
    this.#epochs.push(epoch)
    this.#startOffsets.push(startOffset)
    this.changeCount++
  }

  /**
   * A batch of `epoch` stands at `startOffset`: what says otherwise goes. What is known may be of a log that began anew
   * since, or ended earlier.
   */
  found(epoch: number, startOffset: number): void {
    if (epoch < 0 || this.epochAt(startOffset) === epoch) return
    this.truncateFromEnd(startOffset)
    while (this.latestEpoch > epoch) this.truncateFromEnd(this.latestStartOffset)
    this.assign(epoch, startOffset)
  }

  /** OffsetForLeaderEpoch: the largest epoch <= `epoch` and where it ended; {-1, -1} when it cannot be told. */
  endOffsetFor(epoch: number, logEndOffset: number): { epoch: number; endOffset: number } {
    if (epoch === -1 || this.#epochs.length === 0 || epoch > this.latestEpoch)
      return { epoch: -1, endOffset: -1 }
    if (epoch === this.latestEpoch) return { epoch, endOffset: logEndOffset }
    let next = 0
    while ((this.#epochs[next] ?? Infinity) <= epoch) next++
    // An epoch older than all we know ended, at the latest, where the oldest known one starts.
    return { epoch: this.#epochs[next - 1] ?? epoch, endOffset: this.#startOffsets[next] ?? logEndOffset }
  }

  /** The epoch a record at `offset` was written under, -1 when unknown. */
  epochAt(offset: number): number {
    for (let i = this.#epochs.length - 1; i >= 0; i--) {
      if ((this.#startOffsets[i] ?? 0) <= offset) return this.#epochs[i] ?? -1
    }
    return -1
  }

  /** Forgets epochs that start at or above `endOffset`. */
  truncateFromEnd(endOffset: number): void {
    while (this.#epochs.length > 0 && this.latestStartOffset >= endOffset) {
      this.#epochs.pop()
      this.#startOffsets.pop()
      this.changeCount++
    }
  }

  /** Forgets epochs that ended at or below `startOffset`; the one that contains it starts there from now on. */
  truncateFromStart(startOffset: number): void {
    let keep = -1
    while ((this.#startOffsets[keep + 1] ?? Infinity) <= startOffset) keep++
    if (keep < 0 || (keep === 0 && this.#startOffsets[0] === startOffset)) return
    this.#epochs = this.#epochs.slice(keep)
    this.#startOffsets = this.#startOffsets.slice(keep)
    this.#startOffsets[0] = startOffset
    this.changeCount++
  }

  clear(): void {
    if (this.#epochs.length === 0) return
    this.#epochs = []
    this.#startOffsets = []
    this.changeCount++
  }

  entries(): { epoch: number; startOffset: number }[] {
    return this.#epochs.map((epoch, i) => ({ epoch, startOffset: this.#startOffsets[i] ?? 0 }))
  }

  /** The text of Kafka's `leader-epoch-checkpoint`. */
  encode(): string {
    const lines = this.entries().map((entry) => `${entry.epoch} ${entry.startOffset}\n`)
    return `0\n${lines.length}\n${lines.join('')}`
  }

  /** Null when the text is not a checkpoint. */
  static decode(text: string): EpochCache | null {
    const lines = text.split('\n').filter((line) => line !== '')
    if (lines[0] !== '0' || Number(lines[1]) !== lines.length - 2) return null
    const cache = new EpochCache()
    for (const line of lines.slice(2)) {
      const match = /^(\d{1,10}) (\d{1,16})$/.exec(line)
      if (match === null) return null
      const epoch = Number(match[1])
      const startOffset = Number(match[2])
      if (epoch <= cache.latestEpoch || startOffset < cache.latestStartOffset) return null
      cache.assign(epoch, startOffset)
    }
    cache.changeCount = 0
    return cache
  }
}
