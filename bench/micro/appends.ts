import { crc32c as npmPackage } from '@node-rs/crc32'
import { useCrc32c } from '../../protocol/crc32c.ts'
import type { Crc32c } from '../../protocol/crc32c.ts'
import { setBaseOffset, setPartitionLeaderEpoch } from '../../protocol/records/record-batch.ts'
import { defaultLogConfig } from '../../src/log/log-config.ts'
import { validateProduceBatch } from '../../src/log/append/validate.ts'
import type { NativeAddon } from '../../src/system/native-addon.ts'
import { producedBatch } from './batches.ts'
import type { Case, Group } from './cases.ts'

const SIZES = [1024, 16_384, 131_072]
const PRODUCE_VERSION = 12

/** What an append does with a batch before it goes to the disk: checks it, checksum included, and stamps it. */
function appending(name: string, bytes: number, checksum: Crc32c): Case {
  const nowMs = Date.now()
  const batch = producedBatch(bytes, nowMs)
  let offset = 0
  const run = (): number => {
    // As it came from the producer.
    setBaseOffset(batch, 0, 0)
    useCrc32c(checksum)
    const problem = validateProduceBatch(batch, defaultLogConfig, nowMs, PRODUCE_VERSION)
    if (problem !== null) throw new Error('the batch is refused')
    setBaseOffset(batch, 0, ++offset)
    setPartitionLeaderEpoch(batch, 0, 3)
    return offset
  }
  return { name, bytes: batch.length, run }
}

export function appends(addon: NativeAddon | null): Group[] {
  return SIZES.map((bytes) => {
    const cases = [appending('checksum of the npm package', bytes, npmPackage)]
    if (addon !== null) cases.push(appending('checksum of the addon', bytes, addon.crc32c))
    return { title: `append: validate and stamp ${bytes.toLocaleString('en')} bytes`, compared: true, cases }
  })
}
