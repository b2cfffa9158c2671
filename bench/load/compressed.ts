import { Codec } from '../../protocol/compression.ts'
import { compressNow } from '../../src/system/compressing.ts'
import { installedCodecs } from '../../src/system/native-codecs.ts'
import type { SeededRandom } from './random.ts'
import type { Compression } from './spec.ts'

const CODECS = { gzip: Codec.GZIP, snappy: Codec.SNAPPY, lz4: Codec.LZ4, zstd: Codec.ZSTD } as const

export function codecOf(compression: Compression | undefined): number {
  return compression === undefined ? Codec.NONE : CODECS[compression]
}

/** At the levels and in the framing of Kafka's own producer. */
export function compressed(compression: Compression | undefined, records: Buffer): Buffer {
  return compressNow(installedCodecs, codecOf(compression), null, records)
}

/** Fills the value with JSON as services send it: names that repeat, values that do not. */
export function fillWithJson(value: Buffer, random: SeededRandom): void {
  const parts: string[] = []
  for (let bytes = 0; bytes < value.length;) {
    const part = JSON.stringify({
      orderId: random.uint32(),
      customer: { id: random.uint32() % 5_000, email: `customer-${random.uint32() % 5_000}@example.com` },
      status: ['created', 'paid', 'shipped', 'returned'][random.uint32() % 4],
      amount: (random.uint32() % 1_000_000) / 100,
      currency: 'EUR',
      createdAt: new Date(1_750_000_000_000 + (random.uint32() % 1_000_000_000)).toISOString(),
      token: random.uint32().toString(36),
    })
    parts.push(part)
    bytes += part.length
  }
  value.write(parts.join('').slice(0, value.length), 'latin1')
}
