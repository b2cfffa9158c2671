import { strict as assert } from 'node:assert'
import type { EpochCache } from '../../../src/core/replication/epoch-cache.ts'
import type { LogConfig } from '../../../src/log/log-config.ts'
import type { AbortedTransaction, OffsetAndTimestamp } from '../../../src/log/log-types.ts'
import { parseBatches } from './stored-batches.ts'
import type { StoredBatch, StoredRecord } from './stored-batches.ts'

/** How a batch's transaction ended; `PLAIN` for one without. */
type Outcome = 'PLAIN' | 'OPEN' | 'COMMIT' | 'ABORT'

interface Entry extends StoredBatch {
  /** Wall clock of the broker. */
  readonly appendedMs: number
  /** How its transaction ended by a marker that a power loss took: the coordinator knows of it, and compaction may not. */
  decided: 'COMMIT' | 'ABORT' | null
}

/** What a read was asked, and what it gave. */
export interface SeenRead {
  readonly fromOffset: number
  /** Offsets below could be read when it was asked. */
  readonly limitOffset: number
  readonly bytes: Buffer
  /** `generation` of the ledger when it was asked. */
  readonly generation: number
}

/** What a power loss may take of what was acknowledged or seen. */
export interface FlushPromise {
  /** The newest of them, at most; Infinity: everything since the log was opened. */
  readonly messages: number
}

/**
 * The books of one partition of one topic id: every batch it was given, with its offset; how far it is promised; and
 * what may be gone, as retention, DeleteRecords and compaction could have taken it away under any configuration that
 * was in force. Nothing is excused by a name: whatever is not where it was must be accounted for by its offset.
 */
export class LogLedger {
  readonly name: string
  /** Grows with every truncation: what was read across one may be of either time. */
  generation = 0
  /** A truncation is under way. */
  isCutting = false
  #entries: Entry[] = []
  #endOffset = 0
  /** Acknowledged, or seen by anybody. */
  #seenEnd = 0
  /** What must be there of it. */
  #sureEnd = 0
  /** Where the log ended when it was opened: recovery made everything below durable. */
  #safeAtStart = 0
  /** The furthest start that anything permits. */
  #mayStart = 0
  /** DeleteRecords was acknowledged up to here. */
  #mustStart = 0
  /** The furthest start that anybody saw. */
  #seenStart = 0
  /** What it was before a DeleteRecords that nobody has acknowledged; -1: there is none. */
  #seenBeforeDelete = -1
  #deleteRequested = 0
  /** Where the log may begin anew, as nobody saw whether it did; -1: nowhere. */
  #restartOffset = -1
  /** Configurations that may be in force. */
  #configs: readonly LogConfig[]
  #everCompacted = false
  #deleteRetentionMs = Infinity
  readonly #promise: FlushPromise
  /** `offset key value` of all records there ever were. */
  readonly #ever = new Set<string>()
  /** Offsets that compaction may have taken for a newer record that a truncation took. */
  readonly #superseded = new Set<number>()
  #index: { outcomes: Outcome[]; latest: Map<string, number> } | null = null

  constructor(name: string, config: LogConfig, promise: FlushPromise) {
    this.name = name
    this.#promise = promise
    this.#configs = []
    this.configRequested(config, 0)
    this.configApplied(config)
  }

  get endOffset(): number {
    return this.#endOffset
  }

  get sureEnd(): number {
    return this.#sureEnd
  }

  get seenStart(): number {
    return this.#seenStart
  }

  /** Producers with a transaction that no marker has ended, of those whose records must be there. */
  openProducers(): Set<number> {
    const { outcomes } = this.#indexed()
    const open = this.#entries.filter(
      (entry, i) => outcomes[i] === 'OPEN' && entry.baseOffset >= this.#mayStart,
    )
    return new Set(open.map(({ producerId }) => producerId))
  }

  /** How the open transaction of a producer was to end, as far as anybody decided. */
  decisionOf(producerId: number): 'COMMIT' | 'ABORT' | null {
    const { outcomes } = this.#indexed()
    const open = this.#entries.findLast(
      (entry, i) => entry.producerId === producerId && outcomes[i] === 'OPEN',
    )
    return open?.decided ?? null
  }

  // ------------------------------------------------------------------------------------------------ what the log is told

  /** The log took a batch; offsets are stamped into `bytes`. */
  appended(bytes: Buffer, nowMs: number): void {
    for (const stored of parseBatches(bytes, `${this.name}: an append`)) {
      assert(
        stored.baseOffset >= this.#endOffset,
        `${this.name}: offset ${stored.baseOffset} was given twice`,
      )
      this.#entries.push({ ...stored, appendedMs: nowMs, decided: null })
      for (const record of stored.records) this.#ever.add(recordText(record))
      this.#endOffset = stored.lastOffset + 1
    }
    this.#index = null
    this.#grantRetention(nowMs)
  }

  /** Everything below was acknowledged, or somebody read it. */
  promised(endOffset: number): void {
    this.#seenEnd = Math.max(this.#seenEnd, endOffset)
    this.#sureEnd = Math.max(this.#sureEnd, endOffset)
  }

  configRequested(config: LogConfig, nowMs: number): void {
    this.#grantRetention(nowMs)
    this.#configs = [...this.#configs, config]
    this.#noteCompaction(config)
    this.#grantRetention(nowMs)
  }

  configApplied(config: LogConfig): void {
    this.#configs = [config]
  }

  deleteRequested(offset: number): void {
    this.#deleteRequested = Math.max(this.#deleteRequested, offset)
    this.#mayStart = Math.max(this.#mayStart, offset)
    if (this.#seenBeforeDelete < 0) this.#seenBeforeDelete = this.#seenStart
  }

  deleteAcknowledged(offset: number): void {
    this.#seenBeforeDelete = -1
    this.#mustStart = Math.max(this.#mustStart, offset)
  }

  /** A truncation to `offset` begins: what lies above is not promised any more. The batch it falls into goes as a whole. */
  truncating(offset: number): void {
    this.generation += 1
    this.isCutting = true
    const kept = this.#entries.findLast((entry) => entry.lastOffset < offset)
    this.#promiseOnly((kept?.lastOffset ?? -1) + 1)
  }

  truncated(offset: number): void {
    this.generation += 1
    this.isCutting = false
    this.#noteSuperseded(offset)
    this.#cut(offset)
  }

  /** A follower so far behind that its log begins anew, at `offset`. */
  restarting(offset: number): void {
    this.generation += 1
    this.isCutting = true
    this.#promiseOnly(0)
    this.#mayStart = Math.max(this.#mayStart, offset)
    this.#mustStart = 0
    this.#seenStart = Math.min(this.#seenStart, offset)
    this.#restartOffset = offset
  }

  restarted(offset: number): void {
    this.truncated(0)
    this.#endOffset = offset
    this.#seenStart = offset
    this.#mayStart = offset
    this.#mustStart = offset
    this.promised(offset)
    this.#restartOffset = -1
  }

  /** Where a batch begins at or above `offset`; the end when none does. */
  batchStart(offset: number): number {
    return this.#entries.find((entry) => entry.baseOffset >= offset)?.baseOffset ?? this.#endOffset
  }

  // ------------------------------------------------------------------------------------------------- what is to be seen

  /** Somebody saw the log start there. */
  checkStart(startOffset: number, nowMs: number, when: string): void {
    this.#grantRetention(nowMs)
    assert(
      startOffset <= this.#mayStart,
      `${when}: ${this.name} starts at ${startOffset}, and nothing may be gone from ${this.#mayStart} on`,
    )
    const least = Math.max(this.#seenStart, this.#mustStart)
    assert(startOffset >= least, `${when}: ${this.name} starts at ${startOffset} again, and was at ${least}`)
    // Where it starts while it is emptied says nothing.
    if (this.#restartOffset < 0) this.#seenStart = startOffset
  }

  /** Of every batch that must be there, the log knows under whom it was written. */
  checkEpochs(epochs: Pick<EpochCache, 'epochAt'>, when: string): void {
    for (const { baseOffset, lastOffset, leaderEpoch } of this.#entries) {
      if (lastOffset < this.#seenStart) continue
      const known = epochs.epochAt(baseOffset)
      assert.equal(known, leaderEpoch, `${when}: ${this.name}, epoch at ${baseOffset}`)
    }
  }

  /** Every record is the one that was written there, and none is missing that must be there. */
  checkRead(read: SeenRead, nowMs: number, when: string): StoredBatch[] {
    const { fromOffset, bytes } = read
    const where = `${when}: ${this.name} read at ${fromOffset}`
    const batches = parseBatches(bytes, where)
    if (read.generation !== this.generation) {
      for (const record of batches.flatMap(({ records }) => records))
        assert(this.#ever.has(recordText(record)), `${where}: '${recordText(record)}' was never there`)
      return batches
    }
    let dueOffset = fromOffset
    for (const [i, stored] of batches.entries()) {
      const late = i === 0 ? stored.lastOffset >= dueOffset : stored.baseOffset >= dueOffset
      assert(late, `${where}: batch ${stored.baseOffset} where ${dueOffset} is due`)
      assert(
        stored.lastOffset < read.limitOffset,
        `${where}: batch ${stored.baseOffset}, and only what lies below ${read.limitOffset} may be read`,
      )
      dueOffset = stored.lastOffset + 1
    }
    this.#checkContent(batches, fromOffset, batches.length > 0 ? dueOffset : read.limitOffset, nowMs, where)
    this.promised(batches.length > 0 ? dueOffset : 0)
    return batches
  }

  /** What a read_committed consumer makes of it: nothing that was aborted, all of the rest. */
  checkCommitted(
    batches: readonly StoredBatch[],
    aborted: readonly AbortedTransaction[],
    fromOffset: number,
    when: string,
  ): void {
    const { outcomes } = this.#indexed()
    const pending = [...aborted].sort((left, right) => left.firstOffset - right.firstOffset)
    const hidden = new Set<number>()
    for (const stored of batches) {
      while (pending[0] !== undefined && pending[0].firstOffset <= stored.lastOffset)
        hidden.add(pending.shift()!.producerId)
      if (stored.control === 'ABORT') hidden.delete(stored.producerId)
      if (stored.control !== null || stored.records.length === 0 || stored.lastOffset < fromOffset) continue
      const outcome = outcomes[this.#find(stored.baseOffset)]
      const isHidden = stored.transactional && hidden.has(stored.producerId)
      assert(
        outcome !== undefined && isHidden === (outcome === 'ABORT') && outcome !== 'OPEN',
        `${when}: ${this.name}, batch ${stored.baseOffset}: ${outcome}, and read_committed ${isHidden ? 'hides' : 'shows'} it`,
      )
    }
  }

  /** ListOffsets by time: the earliest record at or after `timestampMs` of those that must be there. */
  checkLookup(
    timestampMs: number,
    found: OffsetAndTimestamp | null,
    range: { readonly fromOffset: number; readonly toOffset: number },
    nowMs: number,
    when: string,
  ): void {
    const where = `${when}: ${this.name}, lookup of ${timestampMs}`
    const limit = found?.offset ?? range.toOffset
    if (found !== null) {
      const time = this.#timeOf(found.offset)
      assert.equal(found.timestamp, time, `${where}: ${found.offset} has another time`)
      assert(found.timestamp >= timestampMs, `${where}: ${found.offset} is of ${found.timestamp}`)
    }
    for (const [i, entry] of this.#entries.entries()) {
      if (entry.lastOffset < range.fromOffset || entry.maxTimestampMs < timestampMs) continue
      if (entry.baseOffset >= limit) break
      for (const record of entry.records) {
        if (record.offset < range.fromOffset || record.offset >= limit) continue
        if (record.timestampMs < timestampMs || this.#mayBeAbsent(i, record, nowMs)) continue
        assert.fail(`${where}: ${found?.offset ?? 'nothing'}, and ${record.offset} comes before it`)
      }
    }
  }

  /** ListOffsets -3: no record that must be there is newer. */
  checkLargest(
    found: OffsetAndTimestamp | null,
    range: { readonly fromOffset: number; readonly toOffset: number },
    nowMs: number,
    when: string,
  ): void {
    // The time of the newest stays with its segment when DeleteRecords or compaction took the record: nothing has it then.
    if (found === null) return
    assert.equal(
      this.#timeOf(found.offset),
      found.timestamp,
      `${when}: ${this.name}, time of ${found.offset}`,
    )
    this.checkLookup(Number(found.timestamp) + 1, null, range, nowMs, `${when} (largest timestamp)`)
  }

  // ------------------------------------------------------------------------------------------------ after the end of a life

  /** The process is gone, and with it what it had not yet said about a DeleteRecords. */
  processEnded(): void {
    // It was told to forget everything, and may not even know where it began.
    if (this.#restartOffset >= 0) this.#seenStart = 0
    if (this.#seenBeforeDelete >= 0) this.#seenStart = this.#seenBeforeDelete
    this.#seenBeforeDelete = -1
  }

  /** The power went. */
  powerLost(): void {
    this.#sureEnd = Math.max(this.#safeAtStart, this.#sureEnd - this.#promise.messages)
  }

  /**
   * Holds what was found at the start against all that is known. From here on the log ends where it ended now. Returns how
   * much is gone that was seen before.
   */
  settle(startOffset: number, endOffset: number, bytes: Buffer, nowMs: number, when: string): number {
    if (endOffset === this.#restartOffset && startOffset === endOffset) this.restarted(endOffset)
    this.#restartOffset = -1
    assert(endOffset >= this.#sureEnd, `${when}: ${this.name} ends at ${endOffset}, not ${this.#sureEnd}`)
    assert(
      endOffset <= this.#endOffset,
      `${when}: ${this.name} ends at ${endOffset}, beyond ${this.#endOffset}`,
    )
    const lost = Math.max(0, this.#seenEnd - endOffset)
    if (this.isCutting) this.#noteSuperseded(endOffset)
    this.#cut(endOffset)
    this.isCutting = false
    // Nothing was promised yet, and the name of the first segment is gone.
    if (this.#sureEnd <= this.#mayStart) this.#mayStart = Math.max(this.#mayStart, startOffset)
    this.generation += 1
    this.checkStart(startOffset, nowMs, when)
    const read = { fromOffset: startOffset, limitOffset: endOffset, bytes, generation: this.generation }
    const batches = this.checkRead(read, nowMs, when)
    this.#checkContent(batches, startOffset, endOffset, nowMs, `${when}: ${this.name}`)
    this.#checkKeysStayDead(batches, startOffset, when)
    this.#seenEnd = endOffset
    this.#sureEnd = endOffset
    this.#safeAtStart = endOffset
    return lost
  }

  // ---------------------------------------------------------------------------------------------------------------- inside

  #checkContent(
    batches: readonly StoredBatch[],
    fromOffset: number,
    toOffset: number,
    nowMs: number,
    where: string,
  ): void {
    const seen = new Set<number>()
    const markers = new Set<number>()
    for (const stored of batches) {
      if (stored.control !== null) markers.add(stored.baseOffset)
      const known = this.#entries[this.#find(stored.baseOffset)]
      assert(known !== undefined, `${where}: nothing was ever written at ${stored.baseOffset}`)
      assert.equal(stored.control, known.control, `${where}: marker at ${stored.baseOffset}`)
      assert.equal(stored.leaderEpoch, known.leaderEpoch, `${where}: epoch at ${stored.baseOffset}`)
      for (const record of stored.records) {
        const written: StoredRecord | undefined = known.records.find(
          (other) => other.offset === record.offset,
        )
        const text: string = written === undefined ? 'nothing' : recordText(written)
        assert.equal(recordText(record), text, `${where}: offset ${record.offset}`)
        assert.equal(record.timestampMs, written?.timestampMs, `${where}: time of ${record.offset}`)
        seen.add(record.offset)
      }
    }
    for (let i = Math.max(0, this.#find(fromOffset)); i < this.#entries.length; i++) {
      const entry = this.#entries[i]!
      if (entry.baseOffset >= toOffset) break
      if (entry.control !== null && entry.baseOffset >= fromOffset && !markers.has(entry.baseOffset))
        assert(
          this.#mayMarkerBeAbsent(entry, nowMs),
          `${where}: the marker at ${entry.baseOffset} is missing`,
        )
      for (const record of entry.records) {
        if (record.offset < fromOffset || record.offset >= toOffset || seen.has(record.offset)) continue
        assert(this.#mayBeAbsent(i, record, nowMs), `${where}: offset ${record.offset} is missing`)
      }
    }
  }

  /** Where a tombstone is gone, nothing older of its key may be left. */
  #checkKeysStayDead(batches: readonly StoredBatch[], startOffset: number, when: string): void {
    const { outcomes, latest } = this.#indexed()
    const seen = new Set(batches.flatMap(({ records }) => records.map(({ offset }) => offset)))
    for (const [i, entry] of this.#entries.entries()) {
      if (outcomes[i] === 'ABORT' || outcomes[i] === 'OPEN') continue
      for (const record of entry.records) {
        const newest = latest.get(record.key) ?? record.offset
        if (newest <= record.offset || newest < startOffset || !seen.has(record.offset)) continue
        assert(
          seen.has(newest),
          `${when}: ${this.name}, key ${record.key}: ${record.offset} is there, and ${newest}, which replaced it, is not`,
        )
      }
    }
  }

  #mayBeAbsent(index: number, record: StoredRecord, nowMs: number): boolean {
    if (!this.#everCompacted) return false
    const { outcomes, latest } = this.#indexed()
    const outcome = outcomes[index]
    if (outcome === 'ABORT') return true
    if (outcome === 'OPEN') return false
    if ((latest.get(record.key) ?? -1) > record.offset || this.#superseded.has(record.offset)) return true
    return record.value === null && this.#mayMarkerBeAbsent(this.#entries[index]!, nowMs)
  }

  /** Markers, as tombstones, are kept for `delete.retention.ms` from the first compaction on. */
  #mayMarkerBeAbsent(entry: Entry, nowMs: number): boolean {
    return this.#everCompacted && entry.appendedMs + this.#deleteRetentionMs < nowMs
  }

  #noteCompaction(config: LogConfig): void {
    if (!config.cleanupPolicy.compact) return
    this.#everCompacted = true
    this.#deleteRetentionMs = Math.min(this.#deleteRetentionMs, config.deleteRetentionMs)
  }

  /** What retention may take away now, by any configuration that may be in force. */
  #grantRetention(nowMs: number): void {
    for (const config of this.#configs) {
      if (!config.cleanupPolicy.delete) continue
      let left = 0
      for (const entry of this.#entries) if (entry.lastOffset >= this.#mayStart) left += entry.sizeBytes
      for (const entry of this.#entries) {
        if (entry.lastOffset < this.#mayStart) continue
        left -= entry.sizeBytes
        const tooMany = config.retentionBytes >= 0 && left >= config.retentionBytes
        const tooOld = config.retentionMs >= 0 && nowMs - entry.maxTimestampMs > config.retentionMs
        if (!tooMany && !tooOld && entry.lastOffset >= this.#deleteRequested) break
        this.#mayStart = entry.lastOffset + 1
      }
    }
  }

  #promiseOnly(endOffset: number): void {
    this.#seenEnd = Math.min(this.#seenEnd, endOffset)
    this.#sureEnd = Math.min(this.#sureEnd, endOffset)
    this.#safeAtStart = Math.min(this.#safeAtStart, endOffset)
  }

  #noteSuperseded(endOffset: number): void {
    if (!this.#everCompacted) return
    const { latest } = this.#indexed()
    for (const { records } of this.#entries)
      for (const { key, offset } of records)
        if (offset < endOffset && (latest.get(key) ?? -1) >= endOffset) this.#superseded.add(offset)
  }

  #cut(endOffset: number): void {
    for (const offset of this.#superseded) if (offset >= endOffset) this.#superseded.delete(offset)
    const { outcomes } = this.#indexed()
    for (const [i, entry] of this.#entries.entries()) {
      const outcome = outcomes[i]
      if (outcome === 'COMMIT' || outcome === 'ABORT') entry.decided = outcome
    }
    this.#entries = this.#entries.filter((entry) => entry.lastOffset < endOffset)
    this.#endOffset = endOffset
    this.#index = null
  }

  /** Index of the last entry that begins at or before `offset`, -1 when none does. */
  #find(offset: number): number {
    let low = -1
    let high = this.#entries.length - 1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if (this.#entries[middle]!.baseOffset <= offset) low = middle
      else high = middle - 1
    }
    return low
  }

  #timeOf(offset: number): number {
    const entry = this.#entries[this.#find(offset)]
    const record = entry?.records.find((other) => other.offset === offset)
    return record?.timestampMs ?? entry?.maxTimestampMs ?? -1
  }

  #indexed(): { outcomes: Outcome[]; latest: Map<string, number> } {
    if (this.#index !== null) return this.#index
    const outcomes: Outcome[] = []
    const ends = new Map<number, 'COMMIT' | 'ABORT'>()
    const latest = new Map<string, number>()
    for (let i = this.#entries.length - 1; i >= 0; i--) {
      const entry = this.#entries[i]!
      if (entry.control !== null) ends.set(entry.producerId, entry.control)
      const outcome = entry.transactional ? (ends.get(entry.producerId) ?? 'OPEN') : 'PLAIN'
      outcomes[i] = outcome
      if (outcome === 'ABORT' || outcome === 'OPEN') continue
      for (const { key, offset } of entry.records) latest.set(key, Math.max(offset, latest.get(key) ?? -1))
    }
    this.#index = { outcomes, latest }
    return this.#index
  }
}

function recordText(record: StoredRecord): string {
  return `${record.offset} ${record.key} ${record.value}`
}
