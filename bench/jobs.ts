import { setTimeout as sleep } from 'node:timers/promises'
import type { Contender } from './arena.ts'
import { applyLoad } from './load/apply-load.ts'
import { SeededRandom } from './load/random.ts'
import type { BatchShape, FetchLoad, LoadResult, ProduceLoad } from './load/spec.ts'
import { encodeBatch } from './load/wire.ts'
import { type Measurement, requestsPerSecond } from './measurement.ts'
import type { EndToEndRow, FetchRow, FreshRow, ProduceRow, Row } from './rows.ts'

export interface Timing {
  readonly warmupMs: number
  readonly measureMs: number
}

/** Rows that come out of one measurement, and how it is made. */
export interface Job {
  readonly rows: readonly Row[]
  /** A guess for the progress bar, per target and repeat, milliseconds. */
  readonly estimateMs: number
  /** Before the first repeat. */
  prepare(contender: Contender): Promise<void>
  /** One figure per row. */
  measure(contender: Contender, repeat: number): Promise<readonly Measurement[]>
  /** After the last repeat. */
  cleanUp(contender: Contender): Promise<void>
}

/** Up to here each repeat gets a topic of its own; above, warming a fresh one would take longer than measuring. */
const FRESH_TOPIC_PARTITIONS = 16
const FILL_DEADLINE_MS = 300_000

let topics = 0

/** All names have the same length. */
function topicName(): string {
  topics++
  return `bench-${String(topics).padStart(5, '0')}`
}

export function batchBytes(shape: BatchShape): number {
  return encodeBatch(shape, new SeededRandom(1), 0).length
}

/** Rows of a load (not of start or memory), each with its job; end-to-end percentiles share one. */
export function loadJobs(rows: readonly Row[], timing: Timing): Job[] {
  const jobs: Job[] = []
  const endToEnd = rows.filter((row) => row.kind === 'e2e')
  for (const row of rows) {
    if (row.kind === 'produce') jobs.push(produceJob(row, timing))
    else if (row.kind === 'fetch') jobs.push(fetchJob(row, timing))
    else if (row.kind === 'fresh') jobs.push(freshJob(row))
    else if (row === endToEnd[0]) jobs.push(endToEndJob(endToEnd, timing))
  }
  return jobs
}

/** The shape of a produce row's load, without the place it goes to. */
export function produceShape(
  row: ProduceRow,
  timing: Timing,
): Omit<ProduceLoad, 'topic' | keyof Contender['place']> {
  return {
    kind: 'produce',
    partitions: row.partitions,
    connections: row.connections,
    inFlight: row.inFlight,
    seed: 1,
    batch: row.batch,
    acks: 1,
    pace: { kind: 'closed' },
    ...timing,
  }
}

/** How often every partition of a fetch row is filled with one batch. */
export function fillRounds(row: FetchRow): number {
  const rounds = Math.ceil(row.fillBytes / row.partitions / batchBytes(row.batch))
  return Math.max(1, Math.ceil(rounds / row.batchesPerFetch)) * row.batchesPerFetch
}

export function fetchShape(
  row: FetchRow,
  timing: Timing,
): Omit<FetchLoad, 'topic' | keyof Contender['place']> {
  return {
    kind: 'fetch',
    partitions: row.partitions,
    connections: row.connections,
    inFlight: row.inFlight,
    seed: 1,
    pace: { kind: 'closed' },
    maxBytes: batchBytes(row.batch) * row.batchesPerFetch,
    stride: row.batch.records * row.batchesPerFetch,
    offsets: row.batch.records * fillRounds(row),
    ...timing,
  }
}

function throughput(load: LoadResult): Measurement {
  return { value: requestsPerSecond(load), unit: 'req/s', load }
}

const nothing = async (): Promise<void> => undefined

function produceJob(row: ProduceRow, timing: Timing): Job {
  const shared = row.partitions > FRESH_TOPIC_PARTITIONS
  const kept = new Map<Contender, string>()
  const open = async (contender: Contender): Promise<string> => {
    const topic = topicName()
    await contender.createTopic(topic, row.partitions, row.durable)
    return topic
  }
  return {
    rows: [row],
    estimateMs: timing.warmupMs + timing.measureMs + (shared ? 20_000 : 1_500),
    prepare: async (contender) => {
      if (shared) kept.set(contender, await open(contender))
    },
    measure: async (contender) => {
      const topic = kept.get(contender) ?? (await open(contender))
      await contender.touch(topic, row.partitions)
      const load = await applyLoad({ ...produceShape(row, timing), ...contender.place, topic })
      if (!shared) await contender.deleteTopic(topic)
      return [throughput(load)]
    },
    cleanUp: async (contender) => {
      const topic = kept.get(contender)
      if (topic !== undefined) await contender.deleteTopic(topic)
    },
  }
}

function fetchJob(row: FetchRow, timing: Timing): Job {
  const kept = new Map<Contender, string>()
  return {
    rows: [row],
    estimateMs: timing.warmupMs + timing.measureMs + (row.partitions > 16 ? 20_000 : 2_000),
    prepare: async (contender) => {
      const topic = topicName()
      kept.set(contender, topic)
      await contender.createTopic(topic, row.partitions, false)
      await applyLoad({
        ...contender.place,
        kind: 'fill',
        create: null,
        topic,
        partitions: row.partitions,
        connections: 8,
        inFlight: 4,
        seed: 2,
        batch: row.batch,
        acks: 1,
        rounds: fillRounds(row),
        deadlineMs: FILL_DEADLINE_MS,
      })
    },
    measure: async (contender) => {
      const topic = kept.get(contender)!
      await contender.ready(topic, row.partitions)
      return [throughput(await applyLoad({ ...fetchShape(row, timing), ...contender.place, topic }))]
    },
    cleanUp: async (contender) => {
      const topic = kept.get(contender)
      if (topic !== undefined) await contender.deleteTopic(topic)
    },
  }
}

/**
 * Topics stay until the end of the row: ext4 does not give out again what was deleted within the last minute or so, and
 * searches past every such inode for each file it creates, which would make the second repeat ten times slower than the first.
 */
function freshJob(row: FreshRow): Job {
  const made = new Map<Contender, string[]>()
  return {
    rows: [row],
    estimateMs: 20_000,
    prepare: nothing,
    measure: async (contender) => {
      const topic = topicName()
      made.set(contender, [...(made.get(contender) ?? []), topic])
      const load = await applyLoad({
        ...contender.place,
        kind: 'fill',
        create: contender.topicConfigs(false),
        topic,
        partitions: row.partitions,
        connections: 16,
        inFlight: 5,
        seed: 3,
        batch: row.batch,
        acks: 1,
        rounds: 1,
        deadlineMs: FILL_DEADLINE_MS,
      })
      return [{ value: load.elapsedMs, unit: 'ms', load }]
    },
    cleanUp: async (contender) => {
      for (const topic of made.get(contender) ?? []) await contender.deleteTopic(topic)
    },
  }
}

function endToEndJob(rows: readonly EndToEndRow[], timing: Timing): Job {
  const row = rows[0]!
  return {
    rows,
    estimateMs: timing.warmupMs + timing.measureMs + 1_500,
    prepare: nothing,
    measure: async (contender, repeat) => {
      const topic = topicName()
      await contender.createTopic(topic, row.partitions, false)
      await contender.touch(topic, row.partitions)
      const load = await applyLoad({
        ...contender.place,
        kind: 'e2e',
        topic,
        partitions: row.partitions,
        connections: row.connections,
        inFlight: 64,
        seed: repeat + 1,
        valueBytes: row.valueBytes,
        acks: 1,
        pace: { kind: 'open', perSecond: row.perSecond, arrivals: 'constant' },
        warmupMs: Math.max(1_000, timing.warmupMs),
        measureMs: timing.measureMs,
      })
      await contender.deleteTopic(topic)
      return rows.map(({ percentile }) => ({ value: load.latency[percentile], unit: 'us', load }))
    },
    cleanUp: nothing,
  }
}

/** Lets a just-started broker do what it does by itself before its memory is looked at. */
export async function idleMemory(contender: Contender): Promise<number> {
  await sleep(2_000)
  return contender.residentMegabytes()
}
