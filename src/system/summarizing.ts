import { CompressionError } from '../../protocol/compression-error.ts'
import { Codec } from '../../protocol/compression.ts'
import { summarizeRecords } from '../../protocol/records/records-summary.ts'
import type { RecordsSummary } from '../../protocol/records/records-summary.ts'
import { zstdFrames } from '../../protocol/zstd.ts'
import { decodeNow } from './decode-now.ts'
import type { NativeAddon } from './native-addon.ts'
import type { NativeCodecs } from './native-codecs.ts'

/** What decompresses records and looks at them: the addon, and for what it does not decode, libraries and JavaScript. */
export interface Summarizers {
  readonly natives: NativeCodecs
  readonly addon: Pick<NativeAddon, 'summarize'> | null
}

/** In the order in which the addon gives them. */
const found = new Float64Array(3)

/** Null when the records become longer than `maxBytes`, or may, or are not as most are. */
export function summarize(
  by: Summarizers,
  codec: number,
  data: Buffer,
  recordCount: number,
  maxBytes: number,
): RecordsSummary | null {
  try {
    // A frame may ask for more memory than any may, so its head is looked at first.
    if (codec === Codec.ZSTD && !isOneFrame(data)) return null
    const isGood = by.addon?.summarize(codec, data, recordCount, maxBytes, found) ?? null
    if (isGood !== null) return isGood ? asFound() : null
    return summarizeDecoded(by, decodeNow(by.natives, codec, data, maxBytes), recordCount)
  } catch (error) {
    if (error instanceof CompressionError) return null
    throw error
  }
}

function isOneFrame(data: Buffer): boolean {
  for (const frame of zstdFrames(data)) return frame.bytes.length === data.length
  return false
}

function summarizeDecoded(
  { addon }: Summarizers,
  pieces: readonly Buffer[] | null,
  recordCount: number,
): RecordsSummary | null {
  if (pieces === null) return null
  const [only] = pieces
  if (addon === null || pieces.length !== 1 || only === undefined)
    return summarizeRecords(pieces, recordCount)
  return addon.summarize(Codec.NONE, only, recordCount, only.length, found) === true ? asFound() : null
}

function asFound(): RecordsSummary {
  return { minTimestampDelta: found[0]!, maxTimestampDelta: found[1]!, hasKeyless: found[2] !== 0 }
}
