import { type Histogram, decodeFromCompressedBase64 } from 'hdr-histogram-js'
import type { Device } from '../device.ts'
import type { LoadResult } from '../load/spec.ts'
import type { Machine } from '../machine.ts'
import {
  cpuPerRequest,
  generatorCores,
  median,
  megabytesPerSecond,
  requestsPerSecond,
} from '../measurement.ts'
import type { BatchSize, Cell, Repeats } from './cells.ts'
import type { Mode, ModeId } from './modes.ts'
import type { FilesResult, FlushResult, RingResult } from './probe-spec.ts'

/** Everything a run found out: what the JSON file holds, and what page and tables are made of. */
export interface FsyncReport {
  readonly startedAt: string
  readonly endedAt: string
  readonly command: string
  readonly machine: Machine
  readonly device: Device | null
  readonly mountOptions: string
  readonly settings: {
    readonly quick: boolean
    readonly repeats: Repeats
    readonly warmupMs: number
    readonly measureMs: number
    readonly stopAfterBytes: number
  }
  readonly modes: readonly ModeReport[]
  /** The generator against a server that only acknowledges. */
  readonly ceilings: readonly { readonly cell: Cell; readonly load: LoadResult }[]
  /** The disk alone: one write at a time, each on the device before the next. Null when it failed. */
  readonly flush: FlushResult | null
  /** The addon alone, without a broker around it, or why there is no figure. */
  readonly ring: readonly RingResult[] | string
  readonly cells: readonly CellReport[]
  readonly files: readonly FilesResult[]
  readonly slow: SlowReport | string
}

export interface ModeReport {
  readonly mode: Mode
  readonly description: string
  /** What the broker says about its engine when it starts. */
  readonly engine: string
  /** Why the mode was not measured. */
  readonly unavailable: string | null
  readonly loss: Loss | string
}

/** Acknowledged records that were gone after the power was cut. */
export interface Loss {
  readonly rounds: number
  readonly acknowledged: number
  readonly lost: number
  /** The longest time between the answer to a lost record and the cut. */
  readonly maxLostMs: number
}

/**
 * `closed`: as fast as answers come. `half`: open loop at half the mode's own best rate. `equal`: open loop at half
 * the slowest mode's best rate.
 */
export type Pace = 'closed' | 'half' | 'equal'

export interface CellReport {
  readonly cell: Cell
  readonly pace: Pace
  readonly mode: ModeId
  /** Asked for by an open loop. */
  readonly perSecond: number | null
  readonly samples: readonly Sample[]
  readonly failure: string | null
}

export interface Sample {
  readonly load: LoadResult
  /** Millions of bytes. */
  readonly residentMegabytes: number
}

export interface SlowReport {
  readonly method: string
  readonly cell: Cell
  readonly rows: readonly {
    readonly mode: ModeId
    readonly writesPerSecond: number
    readonly load: LoadResult | null
    readonly failure: string | null
  }[]
}

export interface Range {
  readonly median: number
  readonly least: number
  readonly greatest: number
}

export interface Summary {
  readonly rate: Range
  readonly megabytes: number
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly cpuUser: number
  readonly cpuSystem: number
  readonly writes: number
  readonly flushes: number
  readonly writtenPerByte: number
  readonly residentMegabytes: number
  readonly generatorCores: number
  readonly missedSlots: number
  readonly errors: number
}

export function range(values: readonly number[]): Range {
  return { median: median(values), least: Math.min(...values), greatest: Math.max(...values) }
}

/** Medians over the repeats; NaN where there is nothing to say. Null without a sample. */
export function summarize({ samples }: CellReport): Summary | null {
  if (samples.length === 0) return null
  const loads = samples.map(({ load }) => load)
  const of = (pick: (load: LoadResult) => number | null | undefined): number =>
    median(loads.map(pick).filter((value) => typeof value === 'number'))
  const each = (count: number | undefined, { requests }: LoadResult): number | null =>
    count === undefined || requests === 0 ? null : count / requests
  return {
    rate: range(loads.map(requestsPerSecond)),
    megabytes: of(megabytesPerSecond),
    p50: of((load) => load.latency.p50),
    p99: of((load) => load.latency.p99),
    p999: of((load) => load.latency.p999),
    cpuUser: of((load) => cpuPerRequest(load)?.user),
    cpuSystem: of((load) => cpuPerRequest(load)?.system),
    writes: of((load) => each(load.block?.writes, load)),
    flushes: of((load) => each(load.block?.flushes, load)),
    writtenPerByte: of((load) =>
      load.block === null || load.payloadBytes === 0 ? null : load.block.writtenBytes / load.payloadBytes,
    ),
    residentMegabytes: median(samples.map((sample) => sample.residentMegabytes)),
    generatorCores: of(generatorCores),
    missedSlots: loads.reduce((sum, load) => sum + load.missedSlots, 0),
    errors: loads.reduce((sum, load) => sum + Object.values(load.errors).reduce((all, n) => all + n, 0), 0),
  }
}

export function sameCell(a: Cell, b: Cell): boolean {
  return a.partitions === b.partitions && a.batch === b.batch && a.inFlight === b.inFlight
}

export function findCell(report: FsyncReport, cell: Cell, pace: Pace, mode: ModeId): CellReport | null {
  return (
    report.cells.find((each) => each.pace === pace && each.mode === mode && sameCell(each.cell, cell)) ?? null
  )
}

/** The closed-loop cell in which the mode was fastest, of all numbers in flight. */
export function bestCell(
  report: Pick<FsyncReport, 'cells'>,
  mode: ModeId,
  partitions: number,
  batch: BatchSize,
): { readonly report: CellReport; readonly summary: Summary } | null {
  let best: { report: CellReport; summary: Summary } | null = null
  for (const candidate of report.cells) {
    const { cell } = candidate
    if (candidate.mode !== mode || candidate.pace !== 'closed') continue
    if (cell.partitions !== partitions || cell.batch !== batch) continue
    const summary = summarize(candidate)
    if (summary !== null && summary.rate.median > (best?.summary.rate.median ?? 0))
      best = { report: candidate, summary }
  }
  return best
}

/** All repeats in one histogram. */
export function mergedHistogram({ samples }: CellReport): Histogram | null {
  let merged: Histogram | null = null
  for (const { load } of samples) {
    if (load.latency.count === 0) continue
    const histogram = decodeFromCompressedBase64(load.latency.histogram) as Histogram
    if (merged === null) merged = histogram
    else merged.add(histogram)
  }
  return merged
}
