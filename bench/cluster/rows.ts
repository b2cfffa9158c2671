import type { BatchShape } from '../load/spec.ts'
import type { Reach, RowBase } from '../rows.ts'

/** What producers reach, or wait, with three replicas and acks=all. */
export interface ClusterProduceRow extends RowBase {
  readonly kind: 'produce'
  readonly batch: BatchShape
  readonly connections: number
  readonly inFlight: number
  /** `flush.messages=1` */
  readonly durable: boolean
  /** Open loop; null: closed. */
  readonly perSecond: number | null
  readonly figure: 'rate' | 'p50' | 'p99'
}

export type ClusterRow = ClusterProduceRow

/** All topics under load have as many. */
export const PARTITIONS = 16

const atLeast = (ratio: number): Reach => ({ bound: 'at least', ratio, of: 'peer' })
const atMost = (ratio: number): Reach => ({ bound: 'at most', ratio, of: 'peer' })

function produce(id: string, title: string, more: Partial<ClusterProduceRow>): ClusterProduceRow {
  return {
    kind: 'produce',
    id,
    title,
    quick: true,
    reach: null,
    batch: { records: 16, valueBytes: 1_000 },
    connections: 16,
    inFlight: 5,
    durable: false,
    perSecond: null,
    figure: 'rate',
    ...more,
  }
}

function openLoop(figure: 'p50' | 'p99'): ClusterProduceRow {
  return produce(`cluster-open-${figure}`, `1 KB at 1,000/s, ${figure} of the acknowledgement`, {
    batch: { records: 1, valueBytes: 1_000 },
    inFlight: 64,
    perSecond: 1_000,
    figure,
    reach: atMost(0.7),
  })
}

/** Every row, in the order of the table and of work. */
export const CLUSTER_ROWS: readonly ClusterRow[] = [
  produce('cluster-16k', 'produce 16 KiB batches, 80 in flight', { reach: atLeast(2) }),
  produce('cluster-100c-1k', 'produce 1 KB record, 100 connections x 1', {
    batch: { records: 1, valueBytes: 1_000 },
    connections: 100,
    inFlight: 1,
    reach: atLeast(2),
  }),
  openLoop('p50'),
  openLoop('p99'),
  produce('cluster-16k-flush', 'produce 16 KiB batches, flush.messages=1', {
    durable: true,
    reach: atLeast(5),
  }),
]
