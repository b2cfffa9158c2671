import type { BatchShape } from '../load/spec.ts'

/** The matrix: partitions x batch size x requests in flight. */

export type BatchSize = '1k' | '16k' | '128k'
export type InFlight = 1 | 80 | 256

/** Records of 1,000 bytes of value. */
export const BATCH_SHAPES: Readonly<Record<BatchSize, BatchShape>> = {
  '1k': { records: 1, valueBytes: 1_000 },
  '16k': { records: 16, valueBytes: 1_000 },
  '128k': { records: 128, valueBytes: 1_000 },
}

export const BATCH_TITLES: Readonly<Record<BatchSize, string>> = {
  '1k': '1 KiB',
  '16k': '16 KiB',
  '128k': '128 KiB',
}

/** Connections x requests that wait for their answer on each. */
export const IN_FLIGHT: Readonly<Record<InFlight, { connections: number; inFlight: number }>> = {
  1: { connections: 1, inFlight: 1 },
  80: { connections: 16, inFlight: 5 },
  256: { connections: 64, inFlight: 4 },
}

export interface Cell {
  readonly partitions: number
  readonly batch: BatchSize
  readonly inFlight: InFlight
}

/** Cells of one topic layout and batch size. Their best rate sets the pace of the open loop. */
export interface CellGroup {
  readonly partitions: number
  readonly batch: BatchSize
  readonly cells: readonly Cell[]
  /** Measured in open loop too, at half of each mode's own best rate. */
  readonly half: boolean
  /** And at half the best rate of the slowest mode, the same for all. */
  readonly equal: boolean
}

/** Of every cell, by the kind of load. */
export interface Repeats {
  readonly closed: number
  readonly open: number
}

export interface CellFilter {
  readonly partitions: readonly number[] | null
  readonly batches: readonly BatchSize[] | null
  readonly inFlight: readonly InFlight[] | null
}

export const PARTITIONS: readonly number[] = [1, 100, 1_000, 5_000]
export const BATCHES: readonly BatchSize[] = ['1k', '16k', '128k']
const FLIGHTS: readonly InFlight[] = [1, 80, 256]

const QUICK: readonly Cell[] = [
  { partitions: 1, batch: '16k', inFlight: 1 },
  { partitions: 1, batch: '16k', inFlight: 80 },
  { partitions: 100, batch: '1k', inFlight: 256 },
  { partitions: 100, batch: '16k', inFlight: 256 },
  { partitions: 100, batch: '128k', inFlight: 256 },
  { partitions: 1_000, batch: '16k', inFlight: 256 },
]

/** All cells, or few of them; what a filter names replaces the choice along its axis. */
export function chooseCells(quick: boolean, filter: CellFilter): Cell[] {
  const { partitions, batches, inFlight } = filter
  if (quick && partitions === null && batches === null && inFlight === null) return [...QUICK]
  const chosen: Cell[] = []
  for (const count of partitions ?? PARTITIONS) {
    for (const batch of batches ?? (quick ? (['16k'] as const) : BATCHES)) {
      for (const flight of inFlight ?? FLIGHTS) chosen.push({ partitions: count, batch, inFlight: flight })
    }
  }
  return chosen
}

export function groupCells(cells: readonly Cell[], quick: boolean): CellGroup[] {
  const groups = new Map<string, Cell[]>()
  for (const cell of cells) {
    const key = `${cell.partitions} ${cell.batch}`
    groups.set(key, [...(groups.get(key) ?? []), cell])
  }
  return [...groups.values()].map((members) => {
    const { partitions, batch } = members[0]!
    return {
      partitions,
      batch,
      cells: members,
      half: !quick || (batch === '16k' && partitions <= 100),
      equal: batch === '16k' && (!quick || partitions === 100),
    }
  })
}

export function describeCell({ partitions, batch, inFlight }: Cell): string {
  const many = partitions === 1 ? '1 partition' : `${partitions.toLocaleString('en')} partitions`
  return `${many}, ${BATCH_TITLES[batch]}, ${inFlight} in flight`
}

/** Whether both ask the same of the load generator. */
export function sameLoads(a: Cell, b: Cell): boolean {
  return a.batch === b.batch && a.inFlight === b.inFlight
}
