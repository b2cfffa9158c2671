import { decompress } from '../../protocol/compression.ts'
import type { LookupWork } from '../../src/log/read/timestamp-lookup.ts'

/** Lookups that nobody else waits for. */
export function lookupWork(): LookupWork & { abandoned: boolean } {
  return {
    abandoned: false,
    vainBytesLeft: Infinity,
    decompress: async (codec, data, piece) => {
      await Promise.resolve()
      piece(decompress(codec, data, 1 << 28))
    },
  }
}
