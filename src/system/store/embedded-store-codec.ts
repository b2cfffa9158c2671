/**
 * Bytes of the embedded store.
 *
 * Its log is a row of frames: magic, length, CRC-32C, sequence number, operations. A frame holds what was
 * committed together and counts as a whole or not at all; sequence numbers grow by one, which tells a frame from
 * the remains of an older log that a truncation did not remove.
 */
import { crc32c } from '../../../protocol/crc32c.ts'

/** "SMDF", "SMDS" and "SMDC". */
const FRAME_MAGIC = 0x534d4446
const SNAPSHOT_MAGIC = 0x534d4453
const MARK_MAGIC = 0x534d4443
const FRAME_MAGIC_BYTES = Buffer.from('SMDF', 'latin1')
/** magic 4, length 4, crc 4, then what the CRC covers: sequence 6, payload. */
const HEADER_BYTES = 12
const SEQUENCE_BYTES = 6

export type Operation =
  | {
      readonly kind: 'create' | 'set'
      readonly transaction: number
      readonly path: string
      readonly data: Buffer
    }
  | { readonly kind: 'delete'; readonly transaction: number; readonly path: string }
  /** Only the transaction counter moves: something happened to an ephemeral node, which no log outlives. */
  | { readonly kind: 'tick'; readonly transaction: number }
  /** The next sequential child of the node gets a higher number. */
  | { readonly kind: 'sequence'; readonly path: string }

export interface StoredRecord {
  readonly path: string
  readonly data: Buffer
  readonly version: number
  readonly createdTransaction: number
  readonly nextSequence: number
}

export interface Snapshot {
  /** The last frame the snapshot contains. */
  readonly sequence: number
  readonly transaction: number
  /** Parents before children. */
  readonly nodes: readonly StoredRecord[]
}

const KIND_IDS = { create: 1, set: 2, delete: 3, tick: 4, sequence: 5 } as const

export function encodeOperation(operation: Operation): Buffer {
  const path = 'path' in operation ? Buffer.from(operation.path) : Buffer.alloc(0)
  const data = 'data' in operation ? operation.data : null
  const buffer = Buffer.allocUnsafe(9 + path.length + (data === null ? 0 : 4 + data.length))
  let at = buffer.writeUInt8(KIND_IDS[operation.kind], 0)
  at = buffer.writeUIntBE('transaction' in operation ? operation.transaction : 0, at, 6)
  at = buffer.writeUInt16BE(path.length, at)
  at += path.copy(buffer, at)
  if (data !== null) {
    at = buffer.writeUInt32BE(data.length, at)
    data.copy(buffer, at)
  }
  return buffer
}

function decodeOperation(buffer: Buffer, start: number): { operation: Operation; end: number } {
  const kind = buffer.readUInt8(start)
  const transaction = buffer.readUIntBE(start + 1, 6)
  let end = start + 9 + buffer.readUInt16BE(start + 7)
  const path = buffer.toString('utf8', start + 9, end)
  switch (kind) {
    case KIND_IDS.create:
    case KIND_IDS.set: {
      const length = buffer.readUInt32BE(end)
      const data = Buffer.from(buffer.subarray(end + 4, end + 4 + length))
      end += 4 + length
      return {
        operation: { kind: kind === KIND_IDS.create ? 'create' : 'set', transaction, path, data },
        end,
      }
    }
    case KIND_IDS.delete:
      return { operation: { kind: 'delete', transaction, path }, end }
    case KIND_IDS.tick:
      return { operation: { kind: 'tick', transaction }, end }
    case KIND_IDS.sequence:
      return { operation: { kind: 'sequence', path }, end }
    default:
      throw new RangeError(`unknown operation ${kind}`)
  }
}

export function decodeOperations(payload: Buffer): Operation[] {
  const operations: Operation[] = []
  for (let at = 0; at < payload.length;) {
    const { operation, end } = decodeOperation(payload, at)
    operations.push(operation)
    at = end
  }
  return operations
}

export function encodeFrame(sequence: number, operations: readonly Buffer[]): Buffer {
  return sealed(FRAME_MAGIC, sequence, operations)
}

function sealed(magic: number, sequence: number, parts: readonly Buffer[]): Buffer {
  const header = Buffer.allocUnsafe(HEADER_BYTES + SEQUENCE_BYTES)
  header.writeUInt32BE(magic, 0)
  header.writeUIntBE(sequence, HEADER_BYTES, SEQUENCE_BYTES)
  let length = SEQUENCE_BYTES
  let crc = crc32c(header.subarray(HEADER_BYTES))
  for (const part of parts) {
    length += part.length
    crc = crc32c(part, crc)
  }
  header.writeUInt32BE(length, 4)
  header.writeUInt32BE(crc, 8)
  return Buffer.concat([header, ...parts])
}

export interface Frame {
  readonly sequence: number
  readonly payload: Buffer
  readonly end: number
}

/** The valid frame that begins at `start`, or null. */
export function readFrame(buffer: Buffer, start: number): Frame | null {
  return readSealed(FRAME_MAGIC, buffer, start)
}

function readSealed(magic: number, buffer: Buffer, start: number): Frame | null {
  if (start + HEADER_BYTES + SEQUENCE_BYTES > buffer.length || buffer.readUInt32BE(start) !== magic)
    return null
  const length = buffer.readUInt32BE(start + 4)
  const end = start + HEADER_BYTES + length
  if (length < SEQUENCE_BYTES || end > buffer.length) return null
  const body = buffer.subarray(start + HEADER_BYTES, end)
  if (crc32c(body) !== buffer.readUInt32BE(start + 8)) return null
  return { sequence: body.readUIntBE(0, SEQUENCE_BYTES), payload: body.subarray(SEQUENCE_BYTES), end }
}

/** The first valid frame after `start` whose sequence number is above `sequence`, or null. */
export function findFrame(buffer: Buffer, start: number, sequence: number): Frame | null {
  for (let at = start; (at = buffer.indexOf(FRAME_MAGIC_BYTES, at)) !== -1; at += 1) {
    const frame = readFrame(buffer, at)
    if (frame !== null && frame.sequence > sequence) return frame
  }
  return null
}

/** Change `sequence` was confirmed. */
export function encodeMark(sequence: number): Buffer {
  return sealed(MARK_MAGIC, sequence, [])
}

/** The change that the mark at `start` names; 0 when there is none. */
export function readMark(buffer: Buffer, start: number): number {
  return readSealed(MARK_MAGIC, buffer, start)?.sequence ?? 0
}

export function encodeSnapshot(sequence: number, transaction: number, nodes: Iterable<StoredRecord>): Buffer {
  const head = Buffer.allocUnsafe(6)
  head.writeUIntBE(transaction, 0, 6)
  const parts: Buffer[] = [head]
  for (const node of nodes) {
    const path = Buffer.from(node.path)
    const fixed = Buffer.allocUnsafe(20 + path.length)
    let at = fixed.writeUInt16BE(path.length, 0)
    at += path.copy(fixed, at)
    at = fixed.writeUInt32BE(node.version, at)
    at = fixed.writeUIntBE(node.createdTransaction, at, 6)
    at = fixed.writeUInt32BE(node.nextSequence, at)
    fixed.writeUInt32BE(node.data.length, at)
    parts.push(fixed, node.data)
  }
  return sealed(SNAPSHOT_MAGIC, sequence, parts)
}

/** Null when the bytes are not a whole, valid snapshot. */
export function decodeSnapshot(buffer: Buffer): Snapshot | null {
  const frame = readSealed(SNAPSHOT_MAGIC, buffer, 0)
  if (frame === null || frame.end !== buffer.length) return null
  const { payload, sequence } = frame
  const nodes: StoredRecord[] = []
  let at = 6
  while (at < payload.length) {
    const pathEnd = at + 2 + payload.readUInt16BE(at)
    const path = payload.toString('utf8', at + 2, pathEnd)
    const version = payload.readUInt32BE(pathEnd)
    const createdTransaction = payload.readUIntBE(pathEnd + 4, 6)
    const nextSequence = payload.readUInt32BE(pathEnd + 10)
    const dataStart = pathEnd + 18
    at = dataStart + payload.readUInt32BE(pathEnd + 14)
    nodes.push({
      path,
      data: Buffer.from(payload.subarray(dataStart, at)),
      version,
      createdTransaction,
      nextSequence,
    })
  }
  return { sequence, transaction: payload.readUIntBE(0, 6), nodes }
}
