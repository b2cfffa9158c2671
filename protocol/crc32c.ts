import { crc32, crc32c as portable } from '@node-rs/crc32'

export type Crc32c = (data: Uint8Array, seed: number) => number

let implementation: Crc32c = portable

/** Computes checksums with something quicker from now on. It must give the same results. */
export function useCrc32c(quicker: Crc32c): void {
  implementation = quicker
}

/** CRC-32C (Castagnoli) as an unsigned number; `seed` continues a checksum over several pieces. */
export function crc32c(data: Uint8Array, seed = 0): number {
  return implementation(data, seed)
}

/** CRC-32 (IEEE), which message sets of magic 0 and 1 carry. */
export function crc32Ieee(data: Uint8Array): number {
  return crc32(data)
}
