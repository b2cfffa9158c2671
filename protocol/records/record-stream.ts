import { RecordReader, unzigzag } from './record-reader.ts'

/** What is to be known of a record to check it. */
export interface RecordShape {
  readonly index: number
  readonly offsetDelta: number
  /** Rounded where it is beyond 2^53; `wideDelta` is exact then. */
  readonly timestampDelta: number
  readonly wideDelta: bigint | null
  /** Below 0: null. */
  readonly keyLength: number
}

const MAX_VARINT_SHIFT = 28n
const MAX_VARLONG_SHIFT = 63n

/**
 * Steps over the records of a batch body that comes in pieces, and keeps none of them: as `RecordReader`, for those
 * who need neither keys nor values. A record may be larger than any piece.
 *
 *     for each piece {
 *       stream.feed(piece)
 *       while (stream.next()) use(stream.offsetDelta, stream.timestampDelta, stream.keyLength)
 *     }
 *     stream.end()
 *     if (stream.problem !== null) ...
 */
export class RecordStream implements RecordShape {
  index = -1
  offsetDelta = 0
  timestampDelta = 0
  wideDelta: bigint | null = null
  keyLength = -1
  problem: string | null = null
  readonly #count: number
  readonly #reader = new RecordReader(Buffer.alloc(0), 0)
  /** Steps over a record of which some bytes are still to come. */
  #split: Generator<void, void> | null = null
  #piece: Buffer = Buffer.alloc(0)
  #at = 0
  /** Of the split record. */
  #leftBytes = 0

  constructor(recordCount: number) {
    this.#count = recordCount
  }

  /** Only when `next` has said that it needs more. */
  feed(piece: Buffer): void {
    this.#piece = piece
    this.#at = 0
    this.#readOn()
  }

  /** False at a problem, and when more is needed. */
  next(): boolean {
    if (this.problem !== null) return false
    if (this.#split !== null) return this.#nextSplit()
    const reader = this.#reader
    if (this.index + 1 >= this.#count || reader.holdsNext) {
      const found = reader.next()
      this.problem = reader.problem
      if (found) this.#take(reader)
      return found
    }
    this.#at = reader.position
    if (this.#at === this.#piece.length) return false
    this.index += 1
    this.#split = this.#readSplit()
    return this.#nextSplit()
  }

  /** There is no other piece. */
  end(): void {
    if (this.problem !== null) return
    if (this.#split !== null || this.index + 1 < this.#count)
      this.problem = `the records end early, at record ${this.index + (this.#split === null ? 1 : 0)}`
  }

  #readOn(): void {
    this.#reader.reset(this.#piece, this.#count, this.#at, this.#piece.length, this.index)
  }

  #take(reader: RecordReader): void {
    this.index = reader.index
    this.offsetDelta = reader.offsetDelta
    this.timestampDelta = reader.timestampDelta
    this.wideDelta = reader.wideDelta
    this.keyLength = reader.keyLength
  }

  #nextSplit(): boolean {
    if (this.#split?.next().done !== true) return false
    this.#split = null
    this.#readOn()
    return this.problem === null
  }

  *#readSplit(): Generator<void, void> {
    this.#leftBytes = Infinity
    const length = yield* this.#varint()
    this.#leftBytes = length
    yield* this.#skip(1)
    const delta = unzigzag(yield* this.#raw(MAX_VARLONG_SHIFT))
    this.timestampDelta = Number(delta)
    this.wideDelta = Number.isSafeInteger(this.timestampDelta) ? null : delta
    this.offsetDelta = yield* this.#varint()
    this.keyLength = yield* this.#varint()
    yield* this.#skip(Math.max(0, this.keyLength))
    yield* this.#skip(Math.max(0, yield* this.#varint()))
    const headers = yield* this.#varint()
    if (headers < 0) this.#fail('negative header count')
    for (let i = 0; i < headers && this.problem === null; i++) {
      const keyLength = yield* this.#varint()
      if (keyLength < 0) this.#fail('a header without a key')
      yield* this.#skip(Math.max(0, keyLength))
      yield* this.#skip(Math.max(0, yield* this.#varint()))
    }
    if (this.#leftBytes !== 0) this.#fail('length does not match the content')
  }

  *#skip(count: number): Generator<void, void> {
    if (count > this.#leftBytes) this.#fail('a field goes beyond the record')
    let left = count
    while (this.problem === null && left > 0) {
      const some = Math.min(left, this.#piece.length - this.#at)
      this.#at += some
      this.#leftBytes -= some
      left -= some
      if (left > 0) yield
    }
  }

  *#varint(): Generator<void, number> {
    return Number(unzigzag(BigInt.asUintN(32, yield* this.#raw(MAX_VARINT_SHIFT))))
  }

  *#raw(maxShift: bigint): Generator<void, bigint> {
    let raw = 0n
    for (let shift = 0n; shift <= maxShift && this.problem === null; shift += 7n) {
      if (this.#leftBytes <= 0) break
      while (this.#at === this.#piece.length) yield
      const byte = this.#piece[this.#at++] ?? 0
      this.#leftBytes -= 1
      raw |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return raw
    }
    this.#fail('bad varint')
    return 0n
  }

  #fail(problem: string): void {
    this.problem ??= `record ${this.index}: ${problem}`
  }
}
