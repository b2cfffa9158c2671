import { crc32c } from '../../../protocol/crc32c.ts'
import { ErrorCode } from '../../../protocol/errors.ts'
import { nearestInt64 } from '../../../protocol/records/record-batch.ts'
import type { ProducerRoom } from './producer-room.ts'

/** Batches remembered per producer: what a client may have in flight (KIP-98, KAFKA-5494). */
const CACHED_BATCHES = 5
const MAX_SEQUENCE = 0x7fff_ffff
const TWO_POW_32 = 0x1_0000_0000
const MAX_INT64 = 0x7fff_ffff_ffff_ffffn
const SNAPSHOT_VERSION = 1
const SNAPSHOT_HEADER = 10
const SNAPSHOT_ENTRY = 46

/** Numbers per batch in `ProducerEntry.batches`. */
const STRIDE = 4
const LAST_SEQUENCE = 0
const LAST_OFFSET = 1
const OFFSET_DELTA = 2
const TIMESTAMP = 3

interface ProducerEntry {
  readonly producerId: number
  epoch: number
  /** Oldest first, `STRIDE` numbers per batch, at most `CACHED_BATCHES` batches. */
  batches: number[]
  coordinatorEpoch: number
  /** -1 when no transaction is open. */
  transactionFirstOffset: number
  /** Of the last batch or marker, as the snapshot file keeps it. */
  lastTimestampMs: number
  /** When the producer was last heard of, for expiry. */
  seenMs: number
  /** It was heard of again since it took its place among the others. */
  heardAgain: boolean
}

export interface ProducerView {
  readonly producerId: number
  readonly producerEpoch: number
  /** -1 when unknown. */
  readonly lastSequence: number
  readonly lastTimestamp: number | bigint
  readonly coordinatorEpoch: number
  /** -1 when no transaction is open. */
  readonly currentTxnStartOffset: number
}

export interface CompletedTransaction {
  readonly producerId: number
  readonly firstOffset: number
  /** Of the marker. */
  readonly lastOffset: number
  readonly aborted: boolean
}

/** Answer of `check`: nothing speaks against the batch. Positive numbers are error codes. */
export const ACCEPT = 0
/** Answer of `check`: the batch was appended before; see `duplicateBaseOffset` and so on. */
export const DUPLICATE = -2

export function nextSequence(sequence: number, increment: number): number {
  return sequence > MAX_SEQUENCE - increment
    ? increment - (MAX_SEQUENCE - sequence) - 1
    : sequence + increment
}

/**
 * What one partition knows of its idempotent and transactional producers.
 *
 * Producers are forgotten when they were not heard of for `producer.id.expiration.ms`, and before that only when all logs
 * together remember too many (`room`). One with an open transaction never is. A forgotten producer loses duplicate
 * detection for what it sent before, nothing else: its next batch is accepted with whatever sequence it has.
 */
export class ProducerState {
  readonly #room: ProducerRoom | null
  /**
   * Those silent for longest first, once who was heard of again has gone to the end: that is put off until somebody has
   * to go, as moving entries with each batch makes a large map be built anew time and again.
   */
  #producers = new Map<number, ProducerEntry>()
  /** First offset of each open transaction -> producer, in the order of the offsets. */
  #openTransactions = new Map<number, number>()
  #latest: ProducerEntry | null = null

  duplicateBaseOffset = -1
  duplicateLastOffset = -1
  duplicateTimestampMs = -1

  constructor(room: ProducerRoom | null = null) {
    this.#room = room
  }

  get size(): number {
    return this.#producers.size
  }

  /** First offset of the oldest open transaction, -1 when none is open. */
  get firstOpenTransactionOffset(): number {
    for (const offset of this.#openTransactions.keys()) return offset
    return -1
  }

  /**
   * May the leader append this batch? The last sequence of the batch wraps around after 2^31-1.
   * Returns ACCEPT, DUPLICATE or an error code; changes nothing.
   */
  check(
    producerId: number,
    epoch: number,
    firstSequence: number,
    lastSequence: number,
    transactional: boolean,
  ): number {
    const entry = this.#producers.get(producerId)
    if (entry === undefined) return ACCEPT
    if (epoch === entry.epoch && this.#findDuplicate(entry, firstSequence, lastSequence)) return DUPLICATE
    if (epoch < entry.epoch) return ErrorCode.INVALID_PRODUCER_EPOCH
    if (epoch !== entry.epoch) {
      // KIP-360: a new epoch starts its sequence over.
      if (firstSequence !== 0) return ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    } else {
      const last =
        entry.batches.length === 0 ? -1 : entry.batches[entry.batches.length - STRIDE + LAST_SEQUENCE]
      const expected = last === MAX_SEQUENCE ? 0 : (last ?? -1) + 1
      if (firstSequence !== expected) return ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    }
    if (!transactional && entry.transactionFirstOffset >= 0) return ErrorCode.INVALID_TXN_STATE
    return ACCEPT
  }

  /** A data batch of an idempotent producer is in the log. Also for replay, where nothing is checked. */
  appended(
    producerId: number,
    epoch: number,
    lastSequence: number,
    baseOffset: number,
    lastOffset: number,
    timestampMs: number,
    transactional: boolean,
    seenMs: number,
  ): void {
    const entry = this.#use(producerId, epoch)
    if (entry.epoch !== epoch) {
      entry.epoch = epoch
      entry.batches = []
    }
    const batches = entry.batches
    const delta = lastOffset - baseOffset
    if (batches.length === CACHED_BATCHES * STRIDE) batches.splice(0, STRIDE)
    // Most producers send little: a literal takes what it holds, and an array that grows far more.
    if (batches.length === 0) entry.batches = [lastSequence, lastOffset, delta, timestampMs]
    else batches.push(lastSequence, lastOffset, delta, timestampMs)
    entry.lastTimestampMs = timestampMs
    entry.seenMs = seenMs
    if (transactional && entry.transactionFirstOffset < 0) {
      entry.transactionFirstOffset = baseOffset
      this.#openTransactions.set(baseOffset, producerId)
    }
  }

  /** May the leader append this marker? Returns ACCEPT or an error code; changes nothing. */
  checkMarker(producerId: number, epoch: number, coordinatorEpoch: number): number {
    const entry = this.#producers.get(producerId)
    if (entry === undefined) return ACCEPT
    if (epoch < entry.epoch) return ErrorCode.INVALID_PRODUCER_EPOCH
    if (coordinatorEpoch < entry.coordinatorEpoch) return ErrorCode.TRANSACTION_COORDINATOR_FENCED
    return ACCEPT
  }

  /** Where the open transaction of a producer begins; -1 when it has none. */
  openTransactionOf(producerId: number): number {
    return this.#producers.get(producerId)?.transactionFirstOffset ?? -1
  }

  /** An end-of-transaction marker is in the log. Null when the producer had no transaction open. */
  markerAppended(
    producerId: number,
    epoch: number,
    coordinatorEpoch: number,
    offset: number,
    commit: boolean,
    timestampMs: number,
    seenMs: number,
  ): CompletedTransaction | null {
    const entry = this.#use(producerId, epoch)
    if (entry.epoch !== epoch) {
      entry.epoch = epoch
      entry.batches = []
    }
    entry.coordinatorEpoch = coordinatorEpoch
    entry.lastTimestampMs = timestampMs
    entry.seenMs = seenMs
    const firstOffset = entry.transactionFirstOffset
    if (firstOffset < 0) return null
    entry.transactionFirstOffset = -1
    this.#openTransactions.delete(firstOffset)
    return { producerId, firstOffset, lastOffset: offset, aborted: !commit }
  }

  /** Forgets producers not heard of for `expirationMs`, open transactions excepted. */
  expire(nowMs: number, expirationMs: number): void {
    for (const entry of this.#producers.values()) {
      if (entry.transactionFirstOffset >= 0 || nowMs - entry.seenMs < expirationMs) continue
      this.#forget(entry)
    }
  }

  /** Forgets `count` producers, those heard of least recently. Returns how many there were to forget. */
  forgetOldest(count: number): number {
    let forgotten = 0
    for (const entry of this.#producers.values()) {
      if (forgotten === count) break
      // The latest one is the one that makes the room necessary.
      if (entry.transactionFirstOffset >= 0 || entry === this.#latest) continue
      this.#producers.delete(entry.producerId)
      if (entry.heardAgain) {
        entry.heardAgain = false
        this.#producers.set(entry.producerId, entry)
      } else forgotten += 1
    }
    return forgotten
  }

  #forget(entry: ProducerEntry): void {
    this.#producers.delete(entry.producerId)
    if (this.#latest === entry) this.#latest = null
  }

  clear(): void {
    this.#producers = new Map()
    this.#openTransactions = new Map()
    this.#latest = null
  }

  describe(): ProducerView[] {
    return Array.from(this.#producers.values(), viewOf)
  }

  /** As `describe`, one by one for whoever cannot take hundreds of thousands at once: those that are there now. */
  *views(): Generator<ProducerView> {
    const entries = Array.from(this.#producers.values())
    for (const entry of entries) yield viewOf(entry)
  }

  /**
   * Kafka's `<offset>.snapshot`. Kafka keeps only the last batch of a producer there; here each remembered batch is an
   * entry of its own, oldest first, so that after a crash a producer may send again all it had in flight, as it can
   * without one. Kafka reads such a file too: of several entries of a producer it takes the last.
   */
  encodeSnapshot(): Buffer {
    let count = 0
    for (const { batches } of this.#producers.values()) count += Math.max(1, batches.length / STRIDE)
    const snapshot = Buffer.alloc(SNAPSHOT_HEADER + count * SNAPSHOT_ENTRY)
    snapshot.writeInt16BE(SNAPSHOT_VERSION, 0)
    snapshot.writeInt32BE(count, 6)
    // There may be hundreds of thousands, and the loop waits: a view writes integers ten times as fast as a Buffer does.
    const view = new DataView(snapshot.buffer, snapshot.byteOffset, snapshot.length)
    let at = SNAPSHOT_HEADER
    for (const entry of this.#producers.values()) {
      for (let batch = 0; batch < entry.batches.length - STRIDE; batch += STRIDE)
        at = encodeEntry(view, at, entry, batch, entry.batches[batch + TIMESTAMP] ?? -1, -1)
      const last = entry.batches.length - STRIDE
      at = encodeEntry(view, at, entry, last, entry.lastTimestampMs, entry.transactionFirstOffset)
    }
    snapshot.writeUInt32BE(crc32c(snapshot.subarray(6)), 2)
    return snapshot
  }

  /**
   * Replaces everything known by what a snapshot says. False, and nothing is known, when it is damaged.
   * The producers count as heard of at `nowMs`: the timestamps in the file are the records' and may be any.
   */
  loadSnapshot(snapshot: Buffer, nowMs: number): boolean {
    this.clear()
    if (snapshot.length < SNAPSHOT_HEADER || snapshot.readInt16BE(0) !== SNAPSHOT_VERSION) return false
    if (snapshot.readUInt32BE(2) !== crc32c(snapshot.subarray(6))) return false
    const count = snapshot.readInt32BE(6)
    if (count < 0 || snapshot.length !== SNAPSHOT_HEADER + count * SNAPSHOT_ENTRY) return false
    const view = new DataView(snapshot.buffer, snapshot.byteOffset, snapshot.length)
    let earlier: ProducerEntry | undefined
    for (let at = SNAPSHOT_HEADER; at < snapshot.length; at += SNAPSHOT_ENTRY) {
      const entry = decodeEntry(view, at)
      if (earlier?.producerId !== entry.producerId) earlier = this.#producers.get(entry.producerId)
      if (earlier !== undefined && earlier.epoch === entry.epoch)
        entry.batches = [...earlier.batches, ...entry.batches].slice(-CACHED_BATCHES * STRIDE)
      entry.seenMs = nowMs
      this.#producers.set(entry.producerId, entry)
      earlier = entry
    }
    const open = [...this.#producers.values()].filter((entry) => entry.transactionFirstOffset >= 0)
    open.sort((a, b) => a.transactionFirstOffset - b.transactionFirstOffset)
    for (const entry of open) this.#openTransactions.set(entry.transactionFirstOffset, entry.producerId)
    this.#room?.added(this.#producers.size)
    return true
  }

  #findDuplicate(entry: ProducerEntry, firstSequence: number, lastSequence: number): boolean {
    const batches = entry.batches
    for (let i = batches.length - STRIDE; i >= 0; i -= STRIDE) {
      const last = batches[i + LAST_SEQUENCE] ?? -1
      const delta = batches[i + OFFSET_DELTA] ?? 0
      const first = last < delta ? MAX_SEQUENCE - (delta - last) + 1 : last - delta
      if (last !== lastSequence || first !== firstSequence) continue
      this.duplicateLastOffset = batches[i + LAST_OFFSET] ?? -1
      this.duplicateBaseOffset = this.duplicateLastOffset - delta
      this.duplicateTimestampMs = batches[i + TIMESTAMP] ?? -1
      return true
    }
    return false
  }

  /** The entry of a producer that was heard of just now. */
  #use(producerId: number, epoch: number): ProducerEntry {
    const latest = this.#latest
    if (latest !== null && latest.producerId === producerId) return latest
    let entry = this.#producers.get(producerId)
    if (entry !== undefined) {
      entry.heardAgain = true
      this.#latest = entry
      return entry
    }
    entry = newEntry(producerId, epoch)
    this.#producers.set(producerId, entry)
    this.#latest = entry
    this.#room?.added(1)
    return entry
  }
}

function newEntry(producerId: number, epoch: number): ProducerEntry {
  return {
    producerId,
    epoch,
    batches: [],
    coordinatorEpoch: -1,
    transactionFirstOffset: -1,
    lastTimestampMs: -1,
    seenMs: -1,
    heardAgain: false,
  }
}

function lastOf(entry: ProducerEntry, field: number): number {
  return entry.batches.length === 0 ? -1 : (entry.batches[entry.batches.length - STRIDE + field] ?? -1)
}

/** One batch of a producer, at index `batch` of `entry.batches` (negative: it has none). Returns the end. */
function encodeEntry(
  snapshot: DataView,
  at: number,
  entry: ProducerEntry,
  batch: number,
  timestampMs: number,
  transactionFirstOffset: number,
): number {
  const { batches } = entry
  const has = batch >= 0
  setInt64(snapshot, at, entry.producerId)
  snapshot.setInt16(at + 8, entry.epoch)
  snapshot.setInt32(at + 10, has ? batches[batch + LAST_SEQUENCE]! : -1)
  setInt64(snapshot, at + 14, has ? batches[batch + LAST_OFFSET]! : -1)
  snapshot.setInt32(at + 22, has ? batches[batch + OFFSET_DELTA]! : 0)
  setInt64(snapshot, at + 26, timestampMs)
  snapshot.setInt32(at + 34, entry.coordinatorEpoch)
  setInt64(snapshot, at + 38, transactionFirstOffset)
  return at + SNAPSHOT_ENTRY
}

function decodeEntry(snapshot: DataView, at: number): ProducerEntry {
  const entry = newEntry(getInt64(snapshot, at), snapshot.getInt16(at + 8))
  const lastOffset = getInt64(snapshot, at + 14)
  entry.lastTimestampMs = getInt64(snapshot, at + 26)
  if (lastOffset >= 0) {
    const lastSequence = snapshot.getInt32(at + 10)
    entry.batches = [lastSequence, lastOffset, snapshot.getInt32(at + 22), entry.lastTimestampMs]
  }
  entry.coordinatorEpoch = snapshot.getInt32(at + 34)
  entry.transactionFirstOffset = getInt64(snapshot, at + 38)
  return entry
}

/** What no int64 holds (a timestamp of 2^63 is how the largest is read) becomes the nearest that one does. */
function setInt64(view: DataView, at: number, value: number): void {
  const high = Math.floor(value / TWO_POW_32)
  if (high === (high | 0)) {
    view.setInt32(at, high)
    view.setUint32(at + 4, value >>> 0)
  } else view.setBigInt64(at, high > 0 ? MAX_INT64 : -MAX_INT64 - 1n)
}

function getInt64(view: DataView, at: number): number {
  return view.getInt32(at) * TWO_POW_32 + view.getUint32(at + 4)
}

/** In the shape DescribeProducers answers. */
function viewOf(entry: ProducerEntry): ProducerView {
  return {
    producerId: entry.producerId,
    producerEpoch: entry.epoch,
    lastSequence: lastOf(entry, LAST_SEQUENCE),
    lastTimestamp: nearestInt64(entry.lastTimestampMs),
    coordinatorEpoch: entry.coordinatorEpoch,
    currentTxnStartOffset: entry.transactionFirstOffset,
  }
}
