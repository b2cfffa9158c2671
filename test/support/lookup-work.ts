import { decompress } from '../../protocol/compression.ts'
import type { LookupWork } from '../../src/log/read/timestamp-lookup.ts'

/** Lookups that nobody else waits for. */
export function lookupWork(): LookupWork & { abandoned: boolean } {
  return {
    abandoned: false,
    vainBytesLeft: Infinity,
    decompress: (codec, data, maxOutputBytes) =>
      Promise.resolve().then(() => decompress(codec, data, maxOutputBytes)),
    breathe: () => Promise.resolve(),
  }
}
