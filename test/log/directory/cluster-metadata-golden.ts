import { readdirSync, readFileSync } from 'node:fs'
import * as batch from '../../../protocol/records/record-batch.ts'
import { syncDirectory, writeAt } from '../../../src/log/files/disk-calls.ts'
import type { Disk } from '../../../src/ports.ts'

/**
 * Metadata logs that Apache Kafka 4.3.1 wrote as the controller of one broker: at the level of 4.3 (`kafka-4.3`, and
 * `snapshots` with snapshots after every few records and a second start), and formatted with `--release-version 3.3`
 * (`kafka-3.3`). In all of them topics were made with configurations, altered, grown and deleted; dynamic values set for
 * brokers; a quota, an ACL and (not in 3.3) a SCRAM credential. `kafka-dump-log --cluster-metadata-decoder` shows them.
 */
export type Golden = 'kafka-4.3' | 'kafka-3.3' | 'snapshots'

const GOLDEN = new URL('../../../../test/log/directory/cluster-metadata-golden/', import.meta.url)

/** `damage` may change a file, or leave it out with null. */
export async function putGolden(
  disk: Disk,
  golden: Golden,
  logDir: string,
  damage: (name: string, bytes: Buffer) => Buffer | null = (_name, bytes) => bytes,
): Promise<string> {
  const from = new URL(`${golden}/`, GOLDEN)
  const directory = `${logDir}/__cluster_metadata-0`
  disk.makeDirectory(directory)
  for (const name of readdirSync(from)) {
    const bytes = damage(name, readFileSync(new URL(name, from)))
    if (bytes === null) continue
    const file = disk.open(`${directory}/${name}`, 'replace')
    await writeAt(file, 0, [bytes], true)
    file.close()
  }
  for (const path of [directory, logDir]) await syncDirectory(disk, path)
  return directory
}

/** Of the golden's log. */
export function batchesOf(golden: Golden): { at: number; bytes: number; endOffset: number }[] {
  const log = readFileSync(new URL(`${golden}/00000000000000000000.log`, GOLDEN))
  const batches = []
  for (let at = 0; at < log.length;) {
    const bytes = batch.batchSizeBytes(log, at)
    batches.push({ at, bytes, endOffset: batch.lastOffset(log, at) + 1 })
    at += bytes
  }
  return batches
}
