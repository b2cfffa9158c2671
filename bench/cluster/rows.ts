import type { BatchShape } from '../load/spec.ts'
import type { Reach, RowBase } from '../rows.ts'
import type { ClusterSettings } from './cluster.ts'

interface ClusterRowBase extends RowBase {
  /** Rows of one job come out of one measurement. */
  readonly job: string
  /** Measured only of ours: there is no peer to it, or it would take the peer too long. */
  readonly alone: boolean
  /** Needs a cluster of its own, which is told this. */
  readonly settings: ClusterSettings
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

/** The longest time in which a partition acknowledges nothing when something happens to a broker under load. */
export interface GapRow extends ClusterRowBase {
  readonly kind: 'gap'
  readonly blow: Blow
  /** `ended`: not the gap, but the time until the broker's process has ended. */
  readonly figure: 'median' | 'worst' | 'ended'
}

/** Whom it meets: a leader that is not the controller, or the controller, which leads too. */
export type Victim = 'leader' | 'controller'

/** SIGKILL; SIGKILL of a leader and of the child that would notice its end; SIGTERM; SIGSTOP. */
export type Blow = Victim | 'pair' | 'stop' | 'freeze'

/** All brokers stop and start again, one after the other, under load. */
export interface RollingRow extends ClusterRowBase {
  readonly kind: 'rolling'
  readonly figure: 'failed' | 'gap' | 'records' | 'commits'
}

/** Until all of very many partitions have a leader again after a kill. */
export interface ElectionsRow extends ClusterRowBase {
  readonly kind: 'elections'
  readonly partitions: number
  readonly victim: Victim
}

/** A broker that leads nothing stands still: how long leaders wait for it, and how often. */
export interface LagRow extends ClusterRowBase {
  readonly kind: 'lag'
  readonly figure: 'stall' | 'stalls'
}

/** A broker that leads nothing starts without its data, under load. */
export interface RefillRow extends ClusterRowBase {
  readonly kind: 'refill'
  /** `before` and `meanwhile`: the p99 of a steady load of the leaders; `growth`: how much it rises. */
  readonly figure: 'rate' | 'before' | 'meanwhile' | 'growth'
}

/** `takeover`: how long a new controller needs for its first decision. */
export interface PlainRow extends ClusterRowBase {
  readonly kind: 'memory' | 'store-writes' | 'takeover'
}

export type ClusterRow =
  | ClusterProduceRow
  | GapRow
  | RollingRow
  | ElectionsRow
  | LagRow
  | RefillRow
  | PlainRow

/** All topics under load have as many. */
export const PARTITIONS = 16
/** `zookeeper.session.timeout.ms` of ours. */
const SESSION_MS = 6_000
/** Before the session of a broker that stands still is over, which ends the wait for it, too. */
export const LAG_MS = 2_000
export const TAKEOVER_PARTITIONS = 5_000

const SMALL = { records: 1, valueBytes: 1_000 }

const atLeast = (ratio: number, of: Reach['of'] = 'peer'): Reach => ({ bound: 'at least', ratio, of })
const atMost = (ratio: number, of: Reach['of'] = 'peer'): Reach => ({ bound: 'at most', ratio, of })

function common(id: string, job: string, title: string): ClusterRowBase {
  return { id, job, title, quick: false, alone: true, reach: null, settings: {} }
}

function produce(id: string, title: string, more: Partial<ClusterProduceRow>): ClusterProduceRow {
  return {
    ...common(id, id, title),
    kind: 'produce',
    quick: true,
    alone: false,
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

/** Those that Apache Kafka is measured with, too, are with librdkafka. */
const BLOWS: Readonly<Record<Blow, string>> = {
  leader: 'kill -9 of a leader',
  controller: 'kill -9 of the controller, which leads',
  pair: 'kill -9 of a leader and its child',
  stop: 'SIGTERM to a leader',
  freeze: 'SIGSTOP to a leader',
}

function gap(blow: Blow, figure: GapRow['figure'], mostMs: number | null): GapRow {
  const job = ['stop', 'freeze'].includes(blow) ? `cluster-${blow}` : `cluster-kill-${blow}`
  const title =
    figure === 'ended'
      ? `${BLOWS[blow]} until its process has ended, median`
      : `longest gap, ${BLOWS[blow]}, ${figure}`
  return {
    ...common(`${job}-${figure}`, job, title),
    kind: 'gap',
    quick: blow === 'leader' || blow === 'stop',
    alone: blow !== 'leader' && blow !== 'stop',
    reach: mostMs === null ? null : atMost(mostMs, 'itself'),
    blow,
    figure,
  }
}

const OF_ROLLING: Readonly<Record<RollingRow['figure'], string>> = {
  failed: 'failed sends, worst',
  gap: 'longest gap of producers',
  records: 'longest time in which a group reads nothing of a partition',
  commits: "longest time without a commit of a group's member",
}

function rolling(figure: RollingRow['figure'], most: number): RollingRow {
  const title = `rolling restart, ${OF_ROLLING[figure]}`
  const row = common(`cluster-rolling-${figure}`, 'cluster-rolling', title)
  return { ...row, kind: 'rolling', alone: false, reach: atMost(most, 'itself'), figure }
}

function elections(victim: Victim, mostMs: number): ElectionsRow {
  const id = `cluster-elect-1000p${victim === 'leader' ? '' : '-controller'}`
  const title = `${BLOWS[victim]}, 1,000 partitions, until all lead`
  const reach = atMost(mostMs, 'itself')
  return { ...common(id, id, title), kind: 'elections', reach, partitions: 1_000, victim }
}

function lag(figure: LagRow['figure'], title: string, most: number): LagRow {
  const row = common(`cluster-follower-${figure}`, 'cluster-follower', title)
  const settings = { 'replica.lag.time.max.ms': String(LAG_MS) }
  return { ...row, kind: 'lag', reach: atMost(most, 'itself'), settings, figure }
}

function refill(figure: RefillRow['figure'], id: string, title: string, reach: Reach | null): RefillRow {
  return { ...common(id, 'cluster-refill', title), kind: 'refill', reach, figure }
}

function plain(kind: PlainRow['kind'], id: string, title: string, more: Partial<PlainRow>): PlainRow {
  return { ...common(id, id, title), kind, ...more }
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
  gap('controller', 'median', null),
  gap('controller', 'worst', 1_500),
  gap('pair', 'worst', SESSION_MS + 700),
  gap('freeze', 'worst', SESSION_MS + 700),
  gap('stop', 'median', 200),
  gap('stop', 'worst', null),
  gap('stop', 'ended', null),
  rolling('failed', 0),
  rolling('gap', 300),
  rolling('records', 1_500),
  rolling('commits', 1_500),
  refill('rate', 'cluster-refill', 'a follower from empty until it is in sync', atLeast(200, 'itself')),
  refill('before', 'cluster-refill-before', '1 KB at 1,000/s before that, p99', null),
  refill('meanwhile', 'cluster-refill-meanwhile', 'the same meanwhile, p99', null),
  refill('growth', 'cluster-refill-growth', 'how much that raises it', atMost(2, 'itself')),
  elections('leader', 2_500),
  elections('controller', 4_000),
  plain('takeover', 'cluster-takeover-5000p', 'new controller, 5,000 partitions, first decision', {
    reach: atMost(5_000, 'itself'),
  }),
  lag('stall', `longest gap, SIGSTOP to a follower, replica.lag.time.max.ms=${LAG_MS}`, 1.5 * LAG_MS + 500),
  lag('stalls', 'how often producers wait for it half a second, worst', 1),
]
