import { crc32, crc32c as nativeCrc32c } from '@node-rs/crc32'

/** CRC-32C (Castagnoli) as an unsigned number; `seed` continues a checksum over several pieces. */
export function crc32c(data: Uint8Array, seed = 0): number {
  return nativeCrc32c(data, seed)
}

/** CRC-32 (IEEE), which message sets of magic 0 and 1 carry. */
export function crc32Ieee(data: Uint8Array): number {
  return crc32(data)
}
