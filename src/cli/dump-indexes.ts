import { crc32c } from '../../protocol/crc32c.ts'
import { readInt64 } from '../../protocol/records/record-batch.ts'
import type { Print } from './dump-options.ts'

const OFFSET_ENTRY_BYTES = 8
const TIME_ENTRY_BYTES = 12
const TRANSACTION_ENTRY_BYTES = 34
const SNAPSHOT_HEADER_BYTES = 10
const SNAPSHOT_ENTRY_BYTES = 46

/** Entries of an offset index: int32 offset from the base, int32 position. Zeros behind the last are its reserve. */
export function dumpOffsetIndex(index: Buffer, baseOffset: number, print: Print): void {
  for (const at of entries(index, OFFSET_ENTRY_BYTES)) {
    const relative = index.readInt32BE(at)
    const position = index.readInt32BE(at + 4)
    if (at > 0 && relative === 0 && position === 0) return
    print(`offset: ${baseOffset + relative} position: ${position}`)
  }
  trailing(index, OFFSET_ENTRY_BYTES, print)
}

/** Entries of a time index: int64 timestamp, int32 offset from the base. */
export function dumpTimeIndex(index: Buffer, baseOffset: number, print: Print): void {
  for (const at of entries(index, TIME_ENTRY_BYTES)) {
    const timestampMs = readInt64(index, at)
    const relative = index.readInt32BE(at + 8)
    if (at > 0 && timestampMs === 0 && relative === 0) return
    print(`timestamp: ${timestampMs} offset: ${baseOffset + relative}`)
  }
  trailing(index, TIME_ENTRY_BYTES, print)
}

/** Aborted transactions: int16 version, then producer id, first, last and last stable offset. */
export function dumpTransactionIndex(index: Buffer, print: Print): void {
  for (const at of entries(index, TRANSACTION_ENTRY_BYTES)) {
    print(
      `version: ${index.readInt16BE(at)} producerId: ${readInt64(index, at + 2)} ` +
        `firstOffset: ${readInt64(index, at + 10)} lastOffset: ${readInt64(index, at + 18)} ` +
        `lastStableOffset: ${readInt64(index, at + 26)}`,
    )
  }
  trailing(index, TRANSACTION_ENTRY_BYTES, print)
}

/** Producer state: int16 version, uint32 CRC-32C over what follows it, int32 count, entries. */
export function dumpProducerSnapshot(snapshot: Buffer, print: Print): void {
  if (snapshot.length < SNAPSHOT_HEADER_BYTES) {
    print(`not a snapshot: ${snapshot.length} bytes`)
    return
  }
  const isValid = snapshot.readUInt32BE(2) === crc32c(snapshot.subarray(6))
  print(`version: ${snapshot.readInt16BE(0)} producers: ${snapshot.readInt32BE(6)} isvalid: ${isValid}`)
  const last = snapshot.length - SNAPSHOT_ENTRY_BYTES
  for (let at = SNAPSHOT_HEADER_BYTES; at <= last; at += SNAPSHOT_ENTRY_BYTES) {
    print(
      `producerId: ${readInt64(snapshot, at)} producerEpoch: ${snapshot.readInt16BE(at + 8)} ` +
        `coordinatorEpoch: ${snapshot.readInt32BE(at + 34)} currentTxnFirstOffset: ${readInt64(snapshot, at + 38)} ` +
        `lastTimestamp: ${readInt64(snapshot, at + 26)} lastSequence: ${snapshot.readInt32BE(at + 10)} ` +
        `lastOffset: ${readInt64(snapshot, at + 14)} offsetDelta: ${snapshot.readInt32BE(at + 22)}`,
    )
  }
}

function* entries(file: Buffer, entryBytes: number): Generator<number> {
  for (let at = 0; at + entryBytes <= file.length; at += entryBytes) yield at
}

function trailing(file: Buffer, entryBytes: number, print: Print): void {
  const rest = file.length % entryBytes
  if (rest > 0) print(`${rest} bytes behind the last whole entry`)
}
