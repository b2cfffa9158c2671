import { crc32 } from 'node:zlib'

export type Crc32c = (data: Uint8Array, seed: number) => number

/** Of 0x1EDC6F41, bits in reverse. */
const POLYNOMIAL = 0x82f63b78
/** A table for each byte of two words that are taken in at once. */
const TABLES = makeTables()

let implementation: Crc32c = plainCrc32c

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

/** Where nothing quicker is installed: eight bytes at a time, each looked up in a table of its own. */
export function plainCrc32c(data: Uint8Array, seed: number): number {
  const [a, b, c, d, e, f, g, h] = TABLES
  const ofWords = data.length - (data.length % 8)
  let crc = ~seed
  let i = 0
  for (; i < ofWords; i += 8) {
    crc ^= data[i]! | (data[i + 1]! << 8) | (data[i + 2]! << 16) | (data[i + 3]! << 24)
    crc =
      h[crc & 0xff]! ^
      g[(crc >>> 8) & 0xff]! ^
      f[(crc >>> 16) & 0xff]! ^
      e[crc >>> 24]! ^
      d[data[i + 4]!]! ^
      c[data[i + 5]!]! ^
      b[data[i + 6]!]! ^
      a[data[i + 7]!]!
  }
  for (; i < data.length; i++) crc = a[(crc ^ data[i]!) & 0xff]! ^ (crc >>> 8)
  return ~crc >>> 0
}

type Tables = readonly [
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
]

/** The first says what a byte does to a checksum, each other one the same with one more byte of zeros behind it. */
function makeTables(): Tables {
  const first = new Int32Array(256).map((_, byte) => {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) === 1 ? POLYNOMIAL : 0)
    return crc
  })
  const behind = (table: Int32Array): Int32Array => table.map((crc) => first[crc & 0xff]! ^ (crc >>> 8))
  const b = behind(first)
  const c = behind(b)
  const d = behind(c)
  const e = behind(d)
  const f = behind(e)
  const g = behind(f)
  return [first, b, c, d, e, f, g, behind(g)]
}
