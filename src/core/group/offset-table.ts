/** An offset that a group has committed for a partition. */
export interface CommittedOffset {
  /** What the client said: any int64. */
  readonly offset: number | bigint
  /** -1: the client did not say. */
  readonly leaderEpoch: number
  readonly metadata: string
  /** Wall clock. */
  readonly commitTimestampMs: number
  /** A retention of its own (OffsetCommit v2-4). Null: the broker's. */
  readonly expireTimestampMs: number | null
}

interface Slot {
  /** What the log holds for certain: the value of the latest append that succeeded. Null: none, or a tombstone. */
  stable: CommittedOffset | null
  /** Sequence of the append that wrote `stable`. Completions may come in any order, the log's order decides. */
  sequence: number
  /** Appends whose outcome is not known yet. */
  inFlight: number
}

export interface OffsetPlace {
  readonly topic: string
  readonly partition: number
}

/** A value, and where it counts. */
export interface Committed extends OffsetPlace {
  readonly committed: CommittedOffset
}

/** Rough cost of a slot in memory besides its texts. */
const SLOT_BYTES = 160
/** Of a text, at most. */
const CHARACTER_BYTES = 2

/**
 * The committed offsets of one group. A value counts from the moment its record is in the log; while records are
 * on their way to it, their places are remembered, so that a deletion that follows them in the log covers them.
 */
export class OffsetTable {
  readonly #topics = new Map<string, Map<number, Slot>>()
  #size = 0
  #bytes = 0

  /** Places that are known, settled or in flight. */
  get size(): number {
    return this.#size
  }

  /** Estimate of the memory held. */
  get bytes(): number {
    return this.#bytes
  }

  hasTopic(topic: string): boolean {
    return this.#topics.has(topic)
  }

  has(topic: string, partition: number): boolean {
    return this.#topics.get(topic)?.has(partition) ?? false
  }

  get(topic: string, partition: number): CommittedOffset | null {
    return this.#topics.get(topic)?.get(partition)?.stable ?? null
  }

  /** How much more memory it takes to keep a value of this metadata here. */
  growthBytes(topic: string, partition: number, metadata: string): number {
    const slot = this.#topics.get(topic)?.get(partition)
    const bytes = metadata.length * CHARACTER_BYTES
    return slot === undefined ? bytes + slotBytes(topic) : bytes - textBytes(slot.stable)
  }

  /** A record for this place was handed to the log. */
  appended(topic: string, partition: number): void {
    this.#slot(topic, partition).inFlight++
  }

  /** The outcome of an append that was announced by `appended`. */
  settled(
    topic: string,
    partition: number,
    value: CommittedOffset | null,
    sequence: number,
    ok: boolean,
  ): void {
    const slot = this.#slot(topic, partition)
    slot.inFlight--
    if (ok && sequence >= slot.sequence) {
      this.#bytes += textBytes(value) - textBytes(slot.stable)
      slot.stable = value
      slot.sequence = sequence
    }
    if (slot.stable === null && slot.inFlight === 0) this.#drop(topic, partition)
  }

  /** A record read back from the log. */
  replayed(topic: string, partition: number, value: CommittedOffset | null): void {
    const slot = this.#slot(topic, partition)
    this.#bytes += textBytes(value) - textBytes(slot.stable)
    slot.stable = value
    if (value === null) this.#drop(topic, partition)
  }

  /** Places that a deletion has to cover. */
  *places(topic?: string): Generator<OffsetPlace> {
    if (topic !== undefined) {
      for (const partition of this.#topics.get(topic)?.keys() ?? []) yield { topic, partition }
      return
    }
    for (const [name, slots] of this.#topics) {
      for (const partition of slots.keys()) yield { topic: name, partition }
    }
  }

  /** Settled offsets that nothing in flight is about to replace. */
  *idle(): Generator<Committed> {
    for (const [topic, slots] of this.#topics) {
      for (const [partition, slot] of slots) {
        if (slot.stable !== null && slot.inFlight === 0) yield { topic, partition, committed: slot.stable }
      }
    }
  }

  /** Settled offsets by topic. */
  *committed(): Generator<[topic: string, partitions: [partition: number, committed: CommittedOffset][]]> {
    for (const [topic, slots] of this.#topics) {
      const partitions: [number, CommittedOffset][] = []
      for (const [partition, slot] of slots)
        if (slot.stable !== null) partitions.push([partition, slot.stable])
      if (partitions.length > 0) yield [topic, partitions]
    }
  }

  #slot(topic: string, partition: number): Slot {
    let slots = this.#topics.get(topic)
    if (slots === undefined) {
      slots = new Map()
      this.#topics.set(topic, slots)
    }
    let slot = slots.get(partition)
    if (slot === undefined) {
      slot = { stable: null, sequence: -1, inFlight: 0 }
      slots.set(partition, slot)
      this.#size++
      this.#bytes += slotBytes(topic)
    }
    return slot
  }

  #drop(topic: string, partition: number): void {
    const slots = this.#topics.get(topic)
    if (slots === undefined || !slots.delete(partition)) return
    this.#size--
    this.#bytes -= slotBytes(topic)
    if (slots.size === 0) this.#topics.delete(topic)
  }
}

function slotBytes(topic: string): number {
  return SLOT_BYTES + topic.length * CHARACTER_BYTES
}

function textBytes(value: CommittedOffset | null): number {
  return value === null ? 0 : value.metadata.length * CHARACTER_BYTES
}
