import type { BatchShape } from '../load/spec.ts'
import type { Reach, RowBase } from '../rows.ts'

interface ClusterRowBase extends RowBase {
  /** Rows of one job come out of one measurement. */
  readonly job: string
  /** Measured only of ours: there is no peer to it, or it would take the peer too long. */
  readonly alone: boolean
}

/** What producers reach, or wait, with three replicas and acks=all. */
export interface ClusterProduceRow extends ClusterRowBase {
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

/** The longest time in which a partition acknowledges nothing when a broker is killed under load. */
export interface GapRow extends ClusterRowBase {
  readonly kind: 'gap'
  readonly victim: Victim
  readonly figure: 'median' | 'worst'
}

/** `pair`: a leader, and the child that would notice its end. */
export type Victim = 'leader' | 'controller' | 'pair'

/** All brokers stop and start again, one after the other, under load. */
export interface RollingRow extends ClusterRowBase {
  readonly kind: 'rolling'
  readonly figure: 'failed' | 'gap'
}

/** Until all of very many partitions have a leader again after a kill. */
export interface ElectionsRow extends ClusterRowBase {
  readonly kind: 'elections'
  readonly partitions: number
  readonly victim: Victim
}

/** `takeover`: how long a new controller needs for its first decision. */
export interface PlainRow extends ClusterRowBase {
  readonly kind: 'memory' | 'stop' | 'store-writes' | 'refill' | 'takeover'
}

export type ClusterRow = ClusterProduceRow | GapRow | RollingRow | ElectionsRow | PlainRow

/** All topics under load have as many. */
export const PARTITIONS = 16
export const KILLS = 5
/** `zookeeper.session.timeout.ms` of ours. */
const SESSION_MS = 6_000
export const TAKEOVER_PARTITIONS = 5_000

const SMALL = { records: 1, valueBytes: 1_000 }

const atLeast = (ratio: number, of: Reach['of'] = 'peer'): Reach => ({ bound: 'at least', ratio, of })
const atMost = (ratio: number, of: Reach['of'] = 'peer'): Reach => ({ bound: 'at most', ratio, of })

function produce(id: string, title: string, more: Partial<ClusterProduceRow>): ClusterProduceRow {
  return {
    kind: 'produce',
    id,
    job: id,
    title,
    quick: true,
    alone: false,
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
    job: 'cluster-open',
    batch: SMALL,
    inFlight: 64,
    perSecond: 1_000,
    figure,
    reach: atMost(0.7),
  })
}

const VICTIMS: Readonly<Record<Victim, string>> = {
  leader: 'a leader',
  controller: 'the controller',
  pair: 'a leader and its child',
}

function gap(victim: Victim, figure: GapRow['figure'], mostMs: number): GapRow {
  return {
    kind: 'gap',
    id: `cluster-kill-${victim}-${figure}`,
    job: `cluster-kill-${victim}`,
    title: `longest gap, kill -9 of ${VICTIMS[victim]}, ${figure}`,
    quick: victim === 'leader',
    alone: victim !== 'leader',
    reach: atMost(mostMs, 'itself'),
    victim,
    figure,
  }
}

function rolling(figure: RollingRow['figure'], most: number): RollingRow {
  const what = figure === 'failed' ? 'failed sends' : 'longest gap'
  const reach = atMost(most, 'itself')
  const row = { id: `cluster-rolling-${figure}`, job: 'cluster-rolling', title: `rolling restart, ${what}` }
  return { kind: 'rolling', ...row, quick: false, alone: false, reach, figure }
}

function elections(victim: Victim, mostMs: number): ElectionsRow {
  const id = `cluster-elect-1000p${victim === 'leader' ? '' : '-controller'}`
  const title = `kill -9 of ${VICTIMS[victim]}, 1,000 partitions, all lead`
  const reach = atMost(mostMs, 'itself')
  const partitions = 1_000
  return { kind: 'elections', id, job: id, title, quick: false, alone: true, reach, partitions, victim }
}

function plain(kind: PlainRow['kind'], id: string, title: string, more: Partial<PlainRow> = {}): PlainRow {
  return { kind, id, job: id, title, quick: false, alone: true, reach: null, ...more }
}

/** Every row, in the order of the table and of work. */
export const CLUSTER_ROWS: readonly ClusterRow[] = [
  plain('memory', 'cluster-rss', 'RSS per idle broker, its child included', {
    quick: true,
    alone: false,
    reach: atMost(0.35),
  }),
  produce('cluster-16k', 'produce 16 KiB batches, 80 in flight', { reach: atLeast(2) }),
  produce('cluster-100c-1k', 'produce 1 KB record, 100 connections x 1', {
    batch: SMALL,
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
  plain('store-writes', 'cluster-store-writes', 'writes to ZooKeeper during produce', {
    reach: atMost(0, 'itself'),
  }),
  gap('leader', 'median', 500),
  gap('leader', 'worst', 1_000),
  gap('controller', 'median', 1_500),
  gap('controller', 'worst', 1_500),
  gap('pair', 'worst', SESSION_MS + 700),
  plain('stop', 'cluster-stop', 'SIGTERM until it has ended', {
    quick: true,
    alone: false,
    reach: atMost(200, 'itself'),
  }),
  rolling('failed', 0),
  rolling('gap', 300),
  plain('refill', 'cluster-refill', 'a follower from empty, 1 GB', { reach: atLeast(200, 'itself') }),
  elections('leader', 2_500),
  elections('controller', 4_000),
  plain('takeover', 'cluster-takeover-5000p', 'new controller, 5,000 partitions, first decision', {
    reach: atMost(5_000, 'itself'),
  }),
]
