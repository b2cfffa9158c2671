import { crc32c as npmPackage } from '@node-rs/crc32'
import { randomFillSync } from 'node:crypto'
import type { NativeAddon } from '../../src/system/native-addon.ts'
import type { Case, Group } from './cases.ts'

const SIZES = [64, 1024, 16_384, 131_072, 1_048_576]

/** CRC-32C by everything that computes it here. */
export function checksums(addon: NativeAddon | null): Group[] {
  return SIZES.map((bytes) => {
    const data = randomFillSync(Buffer.alloc(bytes))
    const cases: Case[] = [{ name: 'npm package', bytes, run: () => npmPackage(data, 0) }]
    if (addon !== null) {
      const { crc32c, crc32cMethods } = addon
      cases.push({ name: 'addon', bytes, run: () => crc32c(data, 0) })
      for (const [method, name] of crc32cMethods.entries()) {
        cases.push({ name: `addon, ${name}`, bytes, run: () => addon.crc32cBy(method, data, 0) })
      }
    }
    return { title: `CRC-32C of ${bytes.toLocaleString('en')} bytes`, compared: true, cases }
  })
}
