import { strict as assert } from 'node:assert'

/** What came of a value that a client sent. */
interface Sent {
  readonly partition: string
  readonly producer: string
  /** Grows with every value of the producer in this partition. */
  readonly number: number
  /** Sent again until it is acknowledged, under the protection of a sequence; others are sent once. */
  readonly idempotent: boolean
  acknowledged: boolean
}

/**
 * Every record's fate. What was acknowledged with acks=all, or read by a consumer, is at this offset for ever: in the log
 * of every later leader, and so in whatever anybody reads.
 */
export class Ledger {
  readonly #sent = new Map<string, Sent>()
  readonly #known = new Map<string, Map<number, string>>()
  /** Where a value is. */
  readonly #places = new Map<string, string>()
  /** Below it everything is committed, as somebody was told. */
  readonly #committedEnds = new Map<string, number>()
  acknowledged = 0
  read = 0

  sent(value: string, fate: Omit<Sent, 'acknowledged'>): void {
    this.#sent.set(value, { ...fate, acknowledged: false })
  }

  /** `offset` -1: it was there before, and the broker does not know where. */
  acknowledgedByAll(partition: string, offset: number, value: string): void {
    const sent = this.#sent.get(value)
    assert(sent !== undefined)
    sent.acknowledged = true
    this.acknowledged += 1
    if (offset !== -1) this.#is(partition, offset, value, 'acknowledged')
  }

  consumed(partition: string, offset: number, value: string): void {
    this.read += 1
    this.#is(partition, offset, value, 'read')
  }

  /** S3: the end that a leader tells is never before what was committed when it was asked. */
  committedEnd(partition: string): number {
    return this.#committedEnds.get(partition) ?? 0
  }

  /** The topic was deleted. */
  forget(partition: string): void {
    this.#known.delete(partition)
    this.#committedEnds.delete(partition)
    for (const [value, sent] of this.#sent) if (sent.partition === partition) this.#sent.delete(value)
  }

  #is(partition: string, offset: number, value: string, how: string): void {
    const known = this.#known.get(partition) ?? new Map<number, string>()
    this.#known.set(partition, known)
    const before = known.get(offset)
    assert(
      before === undefined || before === value,
      `S3: ${partition} at ${offset}: '${value}' was ${how}, and '${before}' is there`,
    )
    const sent = this.#sent.get(value)
    assert(sent?.partition === partition, `${partition} at ${offset}: '${value}' was never sent there`)
    const place = `${partition} at ${offset}`
    const placeBefore = this.#places.get(value)
    assert(
      placeBefore === undefined || placeBefore === place,
      `'${value}' is twice: ${placeBefore} and ${place}`,
    )
    this.#places.set(value, place)
    known.set(offset, value)
    this.#committedEnds.set(partition, Math.max(this.committedEnd(partition), offset + 1))
  }

  /** Up to where all is there that anybody was told of. */
  endOfKnown(partition: string, values: readonly string[]): number {
    let end = this.committedEnd(partition)
    for (const [offset, value] of this.#known.get(partition) ?? [])
      if (offset < end && values[offset] !== value) end = offset
    return end
  }

  /** S1, L4: the committed part of a log of the partition, from its start. */
  settle(partition: string, values: readonly string[], whose: string): void {
    for (const [offset, value] of this.#known.get(partition) ?? [])
      assert.equal(
        values[offset],
        value,
        `S1: ${partition} at ${offset}, ${whose}: ${values.length} are there`,
      )
    this.#checkOrder(partition, values, whose)
    const there = new Set(values)
    for (const [value, sent] of this.#sent)
      if (sent.partition === partition && sent.acknowledged)
        assert(there.has(value), `S1: ${partition}, ${whose}: '${value}' was acknowledged and is gone`)
  }

  /** The values of one producer are in order and none is twice; those of an idempotent one without a gap. */
  #checkOrder(partition: string, values: readonly string[], whose: string): void {
    const last = new Map<string, number>()
    for (const [offset, value] of values.entries()) {
      const sent = this.#sent.get(value)
      assert(
        sent?.partition === partition,
        `${partition} at ${offset}, ${whose}: '${value}' was never sent there`,
      )
      const { producer, number, idempotent } = sent
      const before = last.get(producer) ?? -1
      assert(
        idempotent ? number === before + 1 : number > before,
        `${partition} at ${offset}, ${whose}: '${value}' of ${producer} after its number ${before}`,
      )
      last.set(producer, number)
    }
  }
}

/** Group offsets only grow; but a commit that nobody answered may still arrive. */
export class OffsetLedger {
  #acknowledged = -1
  #asked = -1
  readonly #doubtful = new Set<number>()
  commits = 0

  get next(): number {
    return this.#asked + 1
  }

  get acknowledgedOffset(): number {
    return this.#acknowledged
  }

  asked(offset: number): void {
    this.#asked = Math.max(this.#asked, offset)
  }

  unanswered(offset: number): void {
    this.#doubtful.add(offset)
  }

  acknowledged(offset: number): void {
    this.commits += 1
    this.#acknowledged = Math.max(this.#acknowledged, offset)
  }

  /** `atLeast`: what was acknowledged before anybody asked. */
  found(offset: number, atLeast: number): void {
    assert(offset <= this.#asked, `offset ${offset} was never committed`)
    if (this.#doubtful.has(offset)) {
      this.#acknowledged = offset
      return
    }
    assert(offset >= atLeast, `group offsets go back: ${offset} committed, and it was ${atLeast}`)
    // Whoever read it may count on it.
    this.#acknowledged = Math.max(this.#acknowledged, offset)
  }
}
