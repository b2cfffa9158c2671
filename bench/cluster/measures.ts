import { readFileSync, readdirSync, statSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { zooKeeperTransactions } from '../../test/support/zookeeper.ts'
import type { Timing } from '../jobs.ts'
import { nowUs } from '../load/clock.ts'
import type { LoadResult } from '../load/spec.ts'
import { type Measurement, type Unit, requestsPerSecond } from '../measurement.ts'
import type { Member } from './cluster.ts'
import type { Field } from './field.ts'
import { load, steadyLoad } from './loads.ts'
import {
  type ClusterProduceRow,
  type ClusterRow,
  PARTITIONS,
  TAKEOVER_PARTITIONS,
  type Victim,
} from './rows.ts'

export interface Circumstances {
  readonly field: Field
  readonly timing: Timing
  /** How many kills of each kind. */
  readonly kills: number
  /** As long as its brokers may need to see that one of them is gone. */
  readonly patienceMs: number
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
    case 'gap': {
      const gaps: Measurement[] = []
      for (let kill = 0; kill < given.kills; kill++) gaps.push(await gapOfKill(row!.victim, given))
      return new Map(rows.map((each) => [each, gaps]))
    }
    case 'rolling': {
      const measured = await rollingRestart(given)
      const failed = plain(measured.failed ?? NaN, 'sends', measured)
      const gap = plain(measured.longestGapMs ?? NaN, 'ms', measured)
      return new Map(
        rows.map((each) => [each, [each.kind === 'rolling' && each.figure === 'failed' ? failed : gap]]),
      )
    }
    case 'elections':
      return one(row!, plain(await elections(row!.partitions, row!.victim, given), 'ms'))
    case 'stop':
      return one(row!, plain(await stopping(given), 'ms'))
    case 'store-writes':
      return one(row!, await storeWrites(given))
    case 'refill':
      return one(row!, plain(await refill(given), 'MB/s'))
    case 'takeover':
      return one(row!, plain(await takeover(given), 'ms'))
    case 'memory':
      return new Map()
  }
}

function one(row: ClusterRow, measurement: Measurement): Outcome {
  return new Map([[row, [measurement]]])
}

function plain(value: number, unit: Unit, measured: LoadResult | null = null): Measurement {
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
  return new Map(
    rows.map((row) => [
      row,
      [
        row.figure === 'rate'
          ? plain(requestsPerSecond(measured), 'req/s', measured)
          : plain(measured.latency[row.figure], 'us', measured),
      ],
    ]),
  )
}

/** What happens to brokers begins this long after the measured time. */
const CALM_MS = 1_000

async function gapOfKill(kind: Victim, { field, patienceMs }: Circumstances): Promise<Measurement> {
  const topic = await field.createTopic(PARTITIONS)
  const victim = await victimOf(kind, field, topic)
  const measured = await disturbed(field, topic, CALM_MS + patienceMs, () => victim.kill(kind === 'pair'))
  await victim.start()
  await field.inSync(topic, PARTITIONS)
  await field.deleteTopic(topic)
  return plain(measured.longestGapMs ?? NaN, 'ms', measured)
}

/** A steady load, and what happens while it is measured; when that has failed, or taken as long, it ends. */
async function disturbed(
  field: Field,
  topic: string,
  measureMs: number,
  disturb: () => Promise<void>,
  endsWithIt = false,
): Promise<LoadResult> {
  let begin = (): void => undefined
  const begun = new Promise<void>((resolve) => (begin = resolve))
  const disturbance = begun.then(() => sleep(CALM_MS)).then(disturb)
  const failed = new Promise<void>((resolve) => {
    disturbance.then(endsWithIt ? resolve : () => undefined, () => resolve())
  })
  const measured = await steadyLoad(field, topic, measureMs, {
    measuring: () => begin(),
    until: failed,
  })
  await disturbance
  return measured
}

/** The controller, or a leader that is not the controller. */
async function victimOf(kind: Victim, field: Field, topic: string): Promise<Member> {
  const { controller, partitions } = await field.view(topic)
  const victim = field.cluster.members.find(({ id }) =>
    kind === 'controller'
      ? id === controller
      : id !== controller && partitions.some(({ leader }) => leader === id),
  )
  if (victim === undefined) throw new Error(`there is no ${kind} to kill`)
  return victim
}

async function stopping({ field }: Circumstances): Promise<number> {
  const topic = await field.createTopic(PARTITIONS)
  const member = await victimOf('leader', field, topic)
  const startedUs = nowUs()
  await member.terminate()
  const tookMs = (nowUs() - startedUs) / 1_000
  await member.start()
  await field.inSync(topic, PARTITIONS)
  await field.deleteTopic(topic)
  return tookMs
}

const ROLLING_AT_MOST_MS = 180_000

async function rollingRestart({ field }: Circumstances): Promise<LoadResult> {
  const topic = await field.createTopic(PARTITIONS)
  const restart = async (): Promise<void> => {
    for (const member of field.cluster.members) {
      await member.terminate()
      await member.start()
      await field.inSync(topic, PARTITIONS)
      await sleep(CALM_MS)
    }
  }
  const measured = await disturbed(field, topic, ROLLING_AT_MOST_MS, restart, true)
  await field.deleteTopic(topic)
  return measured
}

async function storeWrites({ field, timing }: Circumstances): Promise<Measurement> {
  const { zooKeeper } = field.cluster
  if (zooKeeper === null) throw new Error('it has no ZooKeeper')
  const topic = await field.createTopic(PARTITIONS)
  // What the topic's brokers agree on at first is agreed on.
  await sleep(2_000)
  const before = await zooKeeperTransactions(zooKeeper.port)
  const measured = await steadyLoad(field, topic, timing.measureMs)
  const after = await zooKeeperTransactions(zooKeeper.port)
  await field.deleteTopic(topic)
  return plain(after - before, 'writes', measured)
}

const REFILL_BYTES = 1e9

/** Megabytes per second from the start of a process without any data until it is in sync. */
async function refill({ field }: Circumstances): Promise<number> {
  const topic = await field.createTopic(PARTITIONS)
  const follower = field.cluster.members.at(-1)!
  const batch = { records: 128, valueBytes: 1_000 }
  while (bytesOf(follower, topic) < REFILL_BYTES)
    await load(field, topic, { batch, warmupMs: 0, measureMs: 2_000 })
  await field.inSync(topic, PARTITIONS)
  await follower.terminate()
  const bytes = bytesOf(follower, topic)
  await rm(follower.dataDirectory, { recursive: true })
  const startedUs = nowUs()
  await follower.start()
  await field.inSync(topic, PARTITIONS)
  const tookUs = nowUs() - startedUs
  await field.deleteTopic(topic)
  return bytes / tookUs
}

function bytesOf({ dataDirectory }: Member, topic: string): number {
  const directories = readdirSync(dataDirectory).filter((name) => name.startsWith(`${topic}-`))
  return directories.reduce((sum, name) => {
    const directory = join(dataDirectory, name)
    const logs = readdirSync(directory).filter((file) => file.endsWith('.log'))
    return sum + logs.reduce((all, file) => all + statSync(join(directory, file)).size, 0)
  }, 0)
}

async function elections(partitions: number, kind: Victim, { field }: Circumstances): Promise<number> {
  const topic = await field.createTopic(partitions)
  const tookMs = await killUntil(kind, field, topic, (leads, victim) =>
    leads.every((leader) => leader >= 0 && leader !== victim),
  )
  await field.inSync(topic, partitions)
  await field.deleteTopic(topic)
  return tookMs
}

/** How long it takes until the first of the partitions has another leader. */
async function takeover({ field }: Circumstances): Promise<number> {
  const topic = await field.createTopic(TAKEOVER_PARTITIONS)
  const looked = await field.createTopic(PARTITIONS)
  const led = new Set((await field.view(looked)).partitions.map(({ leader }) => leader))
  if (led.size < field.cluster.members.length) throw new Error('a broker leads nothing')
  const tookMs = await killUntil('controller', field, looked, (leaders, victim) =>
    leaders.every((leader) => leader !== victim),
  )
  await field.inSync(topic, TAKEOVER_PARTITIONS)
  await field.deleteTopic(looked)
  await field.deleteTopic(topic)
  return tookMs
}

const LOOK_EVERY_MS = 10

/** Milliseconds from the kill until what others say of the topic's leaders is as wanted. The victim is started again. */
async function killUntil(
  kind: Victim,
  field: Field,
  topic: string,
  isWanted: (leaders: readonly number[], victim: number) => boolean,
): Promise<number> {
  const victim = await victimOf(kind, field, topic)
  const others = field.cluster.members.filter((member) => member !== victim)
  const startedUs = nowUs()
  const killed = victim.kill(false)
  for (;;) {
    const views = await Promise.all(others.map((member) => field.view(topic, member)))
    if (
      views.every(({ partitions }) =>
        isWanted(
          partitions.map(({ leader }) => leader),
          victim.id,
        ),
      )
    )
      break
    if (nowUs() - startedUs > 120e6) throw new Error('partitions stay without a leader')
    await sleep(LOOK_EVERY_MS)
  }
  const tookMs = (nowUs() - startedUs) / 1_000
  await killed
  await victim.start()
  return tookMs
}
