import { defaultLogConfig } from '../../src/log/log-config.ts'
import { UnreadBatch, validateProduceBatch } from '../../src/log/append/validate.ts'
import { loadNativeAddon } from '../../src/system/native-addon.ts'
import { SystemCodecs } from '../../src/system/system-codecs.ts'
import { SeededRandom } from '../load/random.ts'
import type { Compression } from '../load/spec.ts'
import { encodeBatch } from '../load/wire.ts'
import type { Case, Group } from './cases.ts'

const PRODUCE_VERSION = 12
const COMPRESSIONS: readonly Compression[] = ['gzip', 'snappy', 'lz4', 'zstd']
const none = (): null => null

/** What a produce does on the loop with a compressed batch of 16 KiB of JSON: decompresses it and looks at its records. */
function reading(name: string, compression: Compression, codecs: SystemCodecs): Case {
  const nowMs = Date.now()
  const batch = encodeBatch({ records: 16, valueBytes: 1_000, compression }, new SeededRandom(1), nowMs)
  const run = (): number => {
    const found = validateProduceBatch(batch, defaultLogConfig, nowMs, PRODUCE_VERSION)
    if (!(found instanceof UnreadBatch)) throw new Error('the batch is refused')
    const summary = codecs.summarizeNow(found.codec, found.body, found.recordCount)
    if (summary === null || !found.accepts(summary)) throw new Error('the records are refused')
    return summary.maxTimestampDelta
  }
  return { name, bytes: batch.length, run }
}

export function compressedAppends(): Group[] {
  const { addon } = loadNativeAddon()
  const installed = new SystemCodecs({ addon })
  const byLibrary = new SystemCodecs()
  const inScript = new SystemCodecs({ natives: { snappy: none, lz4: none, zstd: none } })
  return COMPRESSIONS.map((compression) => {
    const cases = [reading('as installed', compression, installed)]
    if (addon !== null) cases.push(reading('without the addon', compression, byLibrary))
    if (compression !== 'gzip') cases.push(reading('in JavaScript', compression, inScript))
    return { title: `append: look into 16 KiB of JSON as ${compression}`, compared: true, cases }
  })
}
