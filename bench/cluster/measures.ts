import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { zooKeeperTransactions } from '../../test/support/zookeeper.ts'
import type { Timing } from '../jobs.ts'
import { type Measurement, type Unit, requestsPerSecond } from '../measurement.ts'
import { blow, freezeFollower, rollingRestart } from './blows.ts'
import { elections, takeover } from './elections.ts'
import type { Field } from './field.ts'
import { load, steadyLoad } from './loads.ts'
import { refill } from './refill.ts'
import {
  type ClusterProduceRow,
  type ClusterRow,
  type GapRow,
  type LagRow,
  PARTITIONS,
  type RefillRow,
  type RollingRow,
} from './rows.ts'

export interface Circumstances {
  readonly field: Field
  readonly timing: Timing
  /** How many blows of each kind. */
  readonly blows: number
  /** As long as its brokers may need to see that one of them is gone. */
  readonly patienceMs: number
  /** How long ZooKeeper is watched. */
  readonly watchMs: number
  /** What a follower from empty has to fetch. */
  readonly refillBytes: number
}

/** Several figures of one row. */
export type Outcome = ReadonlyMap<ClusterRow, readonly Measurement[]>

/** Before anything else is done with it. */
export async function measureMemory({ cluster }: Field): Promise<Measurement> {
  await sleep(3_000)
  const bytes = cluster.members.map((member) =>
    member.pids().reduce((sum, pid) => sum + residentBytes(pid), 0),
  )
  return plain(bytes.reduce((a, b) => a + b) / bytes.length / 1e6, 'MB')
}

function residentBytes(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))
  return match === null ? NaN : Number(match[1]) * 1_024
}

/** `rows` are those of one job. */
export async function measureJob(rows: readonly ClusterRow[], given: Circumstances): Promise<Outcome> {
  const [row] = rows
  switch (row!.kind) {
    case 'produce':
      return produce(rows as ClusterProduceRow[], given)
    case 'gap':
      return gaps(rows as GapRow[], given)
    case 'rolling':
      return rolling(rows as RollingRow[], given)
    case 'lag':
      return lag(rows as LagRow[], given)
    case 'refill':
      return refilled(rows as RefillRow[], given)
    case 'elections':
      return each([row!], async () => plain(await elections(row!.partitions, row!.victim, given.field), 'ms'))
    case 'store-writes':
      return each([row!], () => storeWrites(given))
    case 'takeover':
      return each([row!], async () => plain(await takeover(given.field), 'ms'))
    case 'memory':
      return new Map()
  }
}

async function each<R extends ClusterRow>(
  rows: readonly R[],
  measure: (row: R) => Measurement | Promise<Measurement>,
): Promise<Outcome> {
  const outcome = new Map<ClusterRow, readonly Measurement[]>()
  for (const row of rows) outcome.set(row, [await measure(row)])
  return outcome
}

function plain(value: number, unit: Unit, measured: Measurement['load'] = null): Measurement {
  return { value, unit, load: measured }
}

async function produce(
  rows: readonly ClusterProduceRow[],
  { field, timing }: Circumstances,
): Promise<Outcome> {
  const { batch, connections, inFlight, perSecond, durable } = rows[0]!
  const topic = await field.createTopic(PARTITIONS, durable ? { 'flush.messages': '1' } : {})
  const pace =
    perSecond === null
      ? ({ kind: 'closed' } as const)
      : ({ kind: 'open', perSecond, arrivals: 'constant' } as const)
  const measured = await load(field, topic, { batch, connections, inFlight, pace, ...timing })
  await field.deleteTopic(topic)
  return each(rows, ({ figure }) =>
    figure === 'rate'
      ? plain(requestsPerSecond(measured), 'req/s', measured)
      : plain(measured.latency[figure], 'us', measured),
  )
}

async function gaps(rows: readonly GapRow[], { field, blows, patienceMs }: Circumstances): Promise<Outcome> {
  const outcome = new Map<ClusterRow, Measurement[]>(rows.map((row) => [row, []]))
  for (let i = 0; i < blows; i++) {
    const { gapMs, endedMs } = await blow(rows[0]!.blow, field, patienceMs)
    for (const row of rows) outcome.get(row)!.push(plain(row.figure === 'ended' ? endedMs : gapMs, 'ms'))
  }
  return outcome
}

async function rolling(rows: readonly RollingRow[], { field }: Circumstances): Promise<Outcome> {
  const { failed, longestGapMs, recordsGapMs, commitsGapMs } = await rollingRestart(field)
  const figures = { gap: longestGapMs, records: recordsGapMs, commits: commitsGapMs }
  return each(rows, ({ figure }) =>
    figure === 'failed' ? plain(failed, 'sends') : plain(figures[figure], 'ms'),
  )
}

async function lag(rows: readonly LagRow[], { field }: Circumstances): Promise<Outcome> {
  const measured = await freezeFollower(field)
  return each(rows, ({ figure }) =>
    figure === 'stall'
      ? plain(measured.longestGapMs ?? NaN, 'ms', measured)
      : plain(measured.stalls ?? NaN, 'stalls', measured),
  )
}

async function refilled(rows: readonly RefillRow[], given: Circumstances): Promise<Outcome> {
  const { field, timing, refillBytes } = given
  const { megabytesPerSecond, before, meanwhile } = await refill(field, refillBytes, timing)
  return each(rows, ({ figure }) => {
    switch (figure) {
      case 'rate':
        return plain(megabytesPerSecond, 'MB/s')
      case 'before':
        return plain(before.latency.p99, 'us', before)
      case 'meanwhile':
        return plain(meanwhile.latency.p99, 'us', meanwhile)
      case 'growth':
        return plain(meanwhile.latency.p99 / before.latency.p99, 'x')
    }
  })
}

async function storeWrites({ field, watchMs }: Circumstances): Promise<Measurement> {
  const { zooKeeper } = field.cluster
  if (zooKeeper === null) throw new Error('it has no ZooKeeper')
  const topic = await field.createTopic(PARTITIONS)
  // What the topic's brokers agree on at first is agreed on.
  await sleep(2_000)
  const before = await zooKeeperTransactions(zooKeeper.port)
  const measured = await steadyLoad(field, topic, watchMs)
  const after = await zooKeeperTransactions(zooKeeper.port)
  await field.deleteTopic(topic)
  return plain(after - before, 'writes', measured)
}
