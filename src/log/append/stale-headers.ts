import * as batch from '../../../protocol/records/record-batch.ts'

/** What a device writes as a whole, or leaves as it was. */
const SECTOR_BYTES = 512
/** Of the header of a batch: what comes before the bytes that its checksum covers, and the checksum. */
const UNCHECKED_BYTES = 21
const ZEROS = Buffer.alloc(64 << 10)

/**
 * In a file that is written over, an older batch may begin just where a new one is written. When that is where a sector
 * ends, a write that the power cuts short can leave the offset of the new one before the rest of the old one, whose
 * checksum is good and does not cover the offset: a record that was deleted long ago would have a new offset.
 *
 * How many bytes from `position` on have to be zeros on the device before `buffers`, which hold whole batches, are written
 * there: up to the last header that is exposed in this way. 0 when none is, as for most.
 */
export function exposedBytes(position: number, buffers: readonly Buffer[]): number {
  let exposed = 0
  let done = 0
  for (const buffer of buffers) {
    for (let at = 0; at < buffer.length; at += batch.batchSizeBytes(buffer, at)) {
      const inSector = (position + done + at) % SECTOR_BYTES
      if (inSector > SECTOR_BYTES - UNCHECKED_BYTES) exposed = done + at + UNCHECKED_BYTES
    }
    done += buffer.length
  }
  return exposed
}

export function zeros(lengthBytes: number): Buffer[] {
  const buffers: Buffer[] = []
  for (let left = lengthBytes; left > 0; left -= ZEROS.length)
    buffers.push(ZEROS.subarray(0, Math.min(left, ZEROS.length)))
  return buffers
}
