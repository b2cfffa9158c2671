import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KraftReplay } from '../../../src/core/kraft/kraft-replay.ts'
import type { KraftImage } from '../../../src/core/kraft/kraft-image.ts'
import { findClusterMetadata, readClusterMetadata } from '../../../src/log/directory/cluster-metadata.ts'
import { removePath, syncDirectory, writeAt } from '../../../src/log/files/disk-calls.ts'
import { encodePartitionMetadata } from '../../../src/log/files/log-files.ts'
import type { Disk } from '../../../src/ports.ts'
import { parseBrokerConfig } from '../../../src/core/config/broker-config.ts'
import { startBroker } from '../../../src/server/start-broker.ts'
import { openEmbeddedStore } from '../../../src/system/store/embedded-store.ts'
import { SimBroker } from '../../api/sim-broker.ts'
import { setBaseOffset } from '../../../protocol/records/record-batch.ts'
import { makeBatch } from '../../log/log-fixture.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import { putGolden } from '../../log/directory/cluster-metadata-golden.ts'
import type { Golden } from '../../log/directory/cluster-metadata-golden.ts'

export const DATA = '/data'
const RECORDS = 6
type Damage = Parameters<typeof putGolden>[3]

/** Long past by any configuration but one that keeps records for ever. */
const LONG_AGO_MS = 1_000_000
const SEGMENTS = 2

export function inSim(name: string, body: (sim: SimWorld) => Promise<void>): void {
  test(name, async () => {
    const sim = new SimWorld(1)
    await sim.run(() => body(sim))
  })
}

export async function putFile(disk: Disk, path: string, bytes: Buffer): Promise<void> {
  const file = disk.open(path, 'replace')
  await writeAt(file, 0, [bytes], true)
  file.close()
}

/** A partition of two segments, all of it long past; compaction would leave one record of each segment. */
export async function putPartition(
  disk: Disk,
  name: string,
  topicId: string | null,
  logDir = DATA,
): Promise<void> {
  const directory = `${logDir}/${name}`
  disk.makeDirectory(directory)
  if (topicId !== null)
    await putFile(disk, `${directory}/partition.metadata`, Buffer.from(encodePartitionMetadata(topicId)))
  for (let segment = 0; segment < SEGMENTS; segment++) {
    const batches = Array.from({ length: RECORDS }, (_, i) => {
      const batch = makeBatch(1, 10, { timestampMs: LONG_AGO_MS })
      setBaseOffset(batch, 0, segment * RECORDS + i)
      return batch
    })
    const name = `${String(segment * RECORDS).padStart(20, '0')}.log`
    await putFile(disk, `${directory}/${name}`, Buffer.concat(batches))
  }
  for (const path of [directory, logDir, '/']) await syncDirectory(disk, path)
}

/** What Apache Kafka left: its metadata, and its topics with records in them. `history`: how far it had come by then. */
export async function putGuest(
  sim: SimWorld,
  golden: Golden,
  damage?: Damage,
  history?: Damage,
): Promise<KraftImage> {
  const { disk } = sim.start().world
  await putGolden(disk, golden, '/golden', history)
  const { image } = await readClusterMetadata(
    disk,
    findClusterMetadata(disk, ['/golden'])!,
    () => new KraftReplay(),
  )
  await putGolden(disk, golden, DATA, damage ?? history)
  const [topic] = image.topicsById.values()
  const directoryId = topic?.partitions.get(0)?.directories[0]
  if (directoryId !== undefined)
    await putFile(disk, `${DATA}/meta.properties`, Buffer.from(`version=1\ndirectory.id=${directoryId}\n`))
  for (const { name, topicId, partitions } of image.topicsById.values())
    for (const index of partitions.keys()) await putPartition(disk, `${name}-${index}`, topicId)
  return image
}

export const QUICK_RETENTION = {
  'broker.id': '1',
  'log.retention.check.interval.ms': '1000',
  'log.cleaner.backoff.ms': '1000',
}

export async function startGuest(
  sim: SimWorld,
  properties: Readonly<Record<string, string>> = {},
): Promise<SimBroker> {
  return SimBroker.start(sim, { ...QUICK_RETENTION, ...properties })
}

/** Starts of logs and numbers of records, after retention and compaction had time for all there is. */
export async function leftAfterAWhile(
  sim: SimWorld,
  { running }: SimBroker,
): Promise<Record<string, string>> {
  await sim.scheduler.sleep(5_000)
  const left: Record<string, string> = {}
  const logs = [...running.broker.logs.logs()].toSorted((a, b) => (a.directory < b.directory ? -1 : 1))
  for (const log of logs) {
    const bytes = log.segments.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    left[`${log.topic}-${log.partition}`] =
      `${log.logStartOffset}..${log.logEndOffset} ${bytes === 2 * RECORDS * makeBatch().length ? 'whole' : 'less'}`
  }
  return left
}

export function warningsOf(broker: SimBroker, pattern: RegExp): string[] {
  return broker.process.logger.messages('warn').filter((message) => pattern.test(message))
}

export async function loseStore({ process }: SimBroker): Promise<void> {
  const { disk } = process.world
  const names = disk.list(DATA).filter((name) => name.startsWith('samsa-metadata'))
  assert(names.length > 0)
  for (const name of names) await removePath(disk, `${DATA}/${name}`)
}

export function namesIn({ process }: SimBroker, pattern: RegExp): string[] {
  return process.world.disk.list(DATA).filter((name) => pattern.test(name))
}

/** A start that a power cut ends; resolves when it did. */
export function startCutShort(sim: SimWorld): () => Promise<void> {
  const process = sim.start()
  const values = new Map([
    ['log.dirs', DATA],
    ['listeners', 'PLAINTEXT://127.0.0.1:9092'],
    ...Object.entries(QUICK_RETENTION),
  ])
  const { config } = parseBrokerConfig([{ source: 'STATIC_BROKER_CONFIG', values }])
  const { world } = process
  const starting = startBroker(world, config, (path) => openEmbeddedStore(world, path))
  starting.catch(() => undefined)
  return () => sim.powerLoss(process)
}
