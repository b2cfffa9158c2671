import { deviceUnder } from '../device.ts'
import { probe } from '../fsync/probe.ts'
import { formatFigure } from '../report.ts'
import type { ClusterRow } from './rows.ts'

/** In flight: what the producers of the durable row have, over as many files as the topic has partitions with its replicas. */
const DURABLE = { files: 48, inFlight: 240, writeBytes: 16_384 } as const
const SEQUENTIAL = { files: 1, inFlight: 4, writeBytes: 2 ** 20 } as const
const MEASURE_MS = 2_000

/** The device under the brokers, and what it gives without any, to what the chosen rows ask of it. */
export async function deviceAlone(
  rows: readonly ClusterRow[],
  directory: string,
): Promise<readonly string[]> {
  const device = deviceUnder(directory)
  if (device === null) return [`The device under ${directory} is not known`]
  const { name, model, writeCache, scheduler, statPath } = device
  const known = [model, writeCache && `cache: ${writeCache}`, scheduler && `scheduler: ${scheduler}`]
  const lines = [`Device: ${[name, ...known.filter((each) => each !== '')].join(', ')}`]
  const common = { measureMs: MEASURE_MS, blockStatPath: statPath }
  if (rows.some((row) => row.kind === 'produce' && row.durable)) {
    lines.push(
      await attempt('flushed writes of 4 KiB, one at a time', async () => {
        const { perSecond, p50 } = await probe(directory, { kind: 'flush', ...common })
        return `${formatFigure(perSecond)}/s, p50 ${formatFigure(p50)} us`
      }),
      await attempt('flushed writes of 16 KiB to 48 files, 240 in flight', async () => {
        const { perSecond } = await probe(directory, { kind: 'ring', ...DURABLE, ...common })
        return `${formatFigure(perSecond)}/s, of which a batch with three replicas on this machine needs three`
      }),
    )
  }
  if (rows.some((row) => row.kind === 'refill')) {
    lines.push(
      await attempt('reads of 1 MiB, 4 in flight', async () => {
        const spec = { kind: 'read', inFlight: 4, fileBytes: 2 ** 30, ...common } as const
        return `${formatFigure((await probe(directory, spec)).bytesPerSecond / 1e6)} MB/s`
      }),
      await attempt('flushed writes of 1 MiB, 4 in flight', async () => {
        const { perSecond } = await probe(directory, { kind: 'ring', ...SEQUENTIAL, ...common })
        return `${formatFigure((perSecond * SEQUENTIAL.writeBytes) / 1e6)} MB/s`
      }),
    )
  }
  return lines
}

async function attempt(what: string, measure: () => Promise<string>): Promise<string> {
  try {
    return `  alone, ${what}: ${await measure()}`
  } catch (error) {
    return `  alone, ${what}: ${error instanceof Error ? error.message : String(error)}`
  }
}
