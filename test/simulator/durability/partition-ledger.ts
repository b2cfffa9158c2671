import { strict as assert } from 'node:assert'

/** What a partition is known to hold, and below which offset it must not lose anything. */
export class PartitionLedger {
  readonly topic: string
  readonly partition: number
  /** Retention deletes its oldest segments down to this many bytes; null: nothing ever goes. */
  readonly retentionBytes: number | null
  readonly known = new Map<number, string>()
  /** Below this nothing may be lost. */
  floor = 0
  /** Where the log started when it was last looked at. */
  logStartOffset = 0
  /** The end that was found when the process started: recovery made everything below durable. */
  #safeAtStart = 0
  /** How `floor` grew since then. */
  #promises: { readonly timeMs: number; readonly floor: number }[] = []

  constructor(topic: string, partition: number, retentionBytes: number | null) {
    this.topic = topic
    this.partition = partition
    this.retentionBytes = retentionBytes
  }

  get name(): string {
    return `${this.topic}-${this.partition}`
  }

  /** Somebody was told that `value` is there. */
  promise(offset: number, value: string, timeMs: number): void {
    const known = this.known.get(offset)
    assert(
      known === undefined || known === value,
      `${this.name}: offset ${offset} was given to '${known}' and '${value}'`,
    )
    this.known.set(offset, value)
    if (offset < this.floor) return
    this.floor = offset + 1
    this.#promises.push({ timeMs, floor: this.floor })
  }

  /** The power went: only what recovery once made durable is sure, and what was promised by `timeMs`. */
  lower(timeMs: number): void {
    this.#promises = this.#promises.filter((promise) => promise.timeMs <= timeMs)
    this.floor = this.#promises.at(-1)?.floor ?? this.#safeAtStart
  }

  /** Holds what was found against what was promised; from here on that is what is known. Returns the lost ones. */
  settle(logStartOffset: number, values: readonly string[], when: string): string[] {
    const endOffset = logStartOffset + values.length
    assert(endOffset >= this.floor, `${when}: ${this.name} ends at ${endOffset}, not ${this.floor}`)
    assert(
      this.retentionBytes !== null || logStartOffset === 0,
      `${when}: ${this.name} starts at ${logStartOffset}`,
    )
    const lost: string[] = []
    for (const [offset, value] of this.known) {
      if (offset >= endOffset) lost.push(value)
      else if (offset >= logStartOffset)
        assert.equal(values[offset - logStartOffset], value, `${when}: ${this.name}, offset ${offset}`)
    }
    this.known.clear()
    for (const [index, value] of values.entries()) this.known.set(logStartOffset + index, value)
    this.logStartOffset = logStartOffset
    this.floor = endOffset
    this.#safeAtStart = endOffset
    this.#promises = []
    return lost
  }
}
