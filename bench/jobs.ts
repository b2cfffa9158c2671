import { setTimeout as sleep } from 'node:timers/promises'
import type { Contender } from './arena.ts'
import { applyLoad } from './load/apply-load.ts'
import { SeededRandom } from './load/random.ts'
import type { BatchShape, FetchLoad, LoadResult, ProduceLoad } from './load/spec.ts'
import { encodeBatch } from './load/wire.ts'
import { type Measurement, requestsPerSecond } from './measurement.ts'
import { dropPageCache, dropProblem } from './page-cache.ts'
import {
  type BesideRow,
  type EndToEndRow,
  type FetchRow,
  type FreshRow,
  type ProduceRow,
  ROWS,
  type Row,
} from './rows.ts'

export interface Timing {
  readonly warmupMs: number
  readonly measureMs: number
}

/** Rows that come out of one measurement, and how it is made. */
export interface Job {
  /** Whether Samsa has its addon. */
  readonly addon: boolean
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
const COLD_DEADLINE_MS = 60_000

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
  const beside = rows.filter((row) => row.kind === 'beside')
  for (const row of rows) {
    if (row.kind === 'produce') jobs.push(produceJob(row, timing))
    else if (row.kind === 'fetch') jobs.push(fetchJob(row, timing))
    else if (row.kind === 'fresh') jobs.push(freshJob(row))
    else if (row === endToEnd[0]) jobs.push(endToEndJob(endToEnd, timing))
    else if (row === beside[0]) jobs.push(besideJob(beside, timing))
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
    addon: true,
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
      return [row.figure === 'rate' ? throughput(load) : { value: load.latency.p50, unit: 'us', load }]
    },
    cleanUp: async (contender) => {
      const topic = kept.get(contender)
      if (topic !== undefined) await contender.deleteTopic(topic)
    },
  }
}

/** Lays what a fetch row reads into a topic. */
async function filledTopic(contender: Contender, row: FetchRow): Promise<string> {
  const topic = topicName()
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
  return topic
}

/** Of what is there: whoever reads on to its end begins again, from memory. */
const COLD_SHARE = 0.9

/** Without a warm-up, and not beyond what is there: the second time it would come from memory. */
function coldShape(row: FetchRow): Omit<FetchLoad, 'topic' | keyof Contender['place']> {
  return {
    ...fetchShape(row, { warmupMs: 0, measureMs: COLD_DEADLINE_MS }),
    stopAfterBytes: row.fillBytes * COLD_SHARE,
  }
}

/** Less than all: a broker may have kept a little, and reads ahead before the measured time. */
const DEVICE_SHARE = 0.9

/** Throws when what was read did not come from the device, as far as its counters can be seen. */
export function checkCold({ block, payloadBytes }: LoadResult): void {
  if (block === null || block.readBytes >= payloadBytes * DEVICE_SHARE) return
  const megabytes = (bytes: number): number => Math.round(bytes / 1e6)
  throw new Error(
    `not cold: ${megabytes(block.readBytes)} of ${megabytes(payloadBytes)} MB came from the device`,
  )
}

function fetchJob(row: FetchRow, timing: Timing): Job {
  const kept = new Map<Contender, string>()
  const measuredMs = row.cold ? 4_000 : timing.warmupMs + timing.measureMs
  return {
    rows: [row],
    addon: row.addon,
    estimateMs: measuredMs + (row.partitions > 16 ? 20_000 : 2_000),
    prepare: async (contender) => {
      const problem = row.cold ? dropProblem() : null
      if (problem !== null) throw new Error(problem)
      kept.set(contender, await filledTopic(contender, row))
    },
    measure: async (contender) => {
      const topic = kept.get(contender)!
      await contender.ready(topic, row.partitions)
      if (row.cold) dropPageCache()
      const shape = row.cold ? coldShape(row) : fetchShape(row, timing)
      const load = await applyLoad({ ...shape, ...contender.place, topic })
      if (row.cold) checkCold(load)
      return [throughput(load)]
    },
    cleanUp: async (contender) => {
      const topic = kept.get(contender)
      if (topic !== undefined) await contender.deleteTopic(topic)
    },
  }
}

const BESIDE_PER_SECOND = 2_000
/** Processes start, and what is on its way is answered, before and after the measured time. */
const LASTING_MARGIN_MS = 1_000

/**
 * One request at a time, and no faster than makes what is cold last until the producers have ended: what a faster
 * device or broker left of their time would be measured without a reader.
 */
export function lastingShape(row: FetchRow, timing: Timing): ReturnType<typeof coldShape> {
  const shape = coldShape(row)
  const seconds = (timing.warmupMs + timing.measureMs + LASTING_MARGIN_MS) / 1_000
  const perSecond = Math.max(1, Math.floor((row.fillBytes * COLD_SHARE) / shape.maxBytes / seconds))
  return { ...shape, connections: 1, pace: { kind: 'open', perSecond, arrivals: 'constant' } }
}

/** When one of them fails, the other is waited for nonetheless: it must not reach into what is measured next. */
export async function bothEnded<A, B>(a: Promise<A>, b: Promise<B>): Promise<[A, B]> {
  await Promise.allSettled([a, b])
  return [await a, await b]
}

/** Latency of producers alone, then while a consumer of another topic reads from the device; and the ratio of both. */
function besideJob(rows: readonly BesideRow[], timing: Timing): Job {
  const cold = ROWS.find((row): row is FetchRow => row.kind === 'fetch' && row.cold)!
  const topics = new Map<Contender, { read: string; written: string }>()
  const partitions = 16
  const produce = (contender: Contender, topic: string): Promise<LoadResult> =>
    applyLoad({
      ...contender.place,
      kind: 'produce',
      topic,
      partitions,
      connections: 16,
      inFlight: 16,
      seed: 6,
      batch: { records: 16, valueBytes: 1_000 },
      acks: 1,
      pace: { kind: 'open', perSecond: BESIDE_PER_SECOND, arrivals: 'constant' },
      ...timing,
    })
  return {
    rows,
    addon: true,
    estimateMs: 2 * (timing.warmupMs + timing.measureMs) + 6_000,
    prepare: async (contender) => {
      const problem = dropProblem()
      if (problem !== null) throw new Error(problem)
      const written = topicName()
      await contender.createTopic(written, partitions, false)
      await contender.touch(written, partitions)
      topics.set(contender, { written, read: await filledTopic(contender, cold) })
    },
    measure: async (contender) => {
      const { read, written } = topics.get(contender)!
      await contender.ready(written, partitions)
      // What the fill left to be written back would slow down whoever comes first.
      dropPageCache()
      const alone = await produce(contender, written)
      dropPageCache()
      const reading = applyLoad({ ...lastingShape(cold, timing), ...contender.place, topic: read })
      const [consumed, beside] = await bothEnded(reading, produce(contender, written))
      checkCold(consumed)
      const figures: Readonly<Record<BesideRow['figure'], Measurement>> = {
        alone: { value: alone.latency.p99, unit: 'us', load: alone },
        beside: { value: beside.latency.p99, unit: 'us', load: beside },
        growth: { value: beside.latency.p99 / alone.latency.p99, unit: 'x', load: null },
      }
      return rows.map(({ figure }) => figures[figure])
    },
    cleanUp: async (contender) => {
      const open = topics.get(contender)
      if (open === undefined) return
      await contender.deleteTopic(open.read)
      await contender.deleteTopic(open.written)
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
    addon: true,
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
    addon: true,
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

const CRASH_DEADLINE_MS = 300_000
const LOOK_AT_MEMORY_MS = 100
/** How long the load that does not survive goes on before the kill. */
const DOOMED_MS = 1_500

/** A broker with many partitions: the most memory it has under a load on all of them, then its start after a kill -9 amidst it. */
export async function measureCrash(
  contender: Contender,
  partitions: number,
  timing: Timing,
): Promise<{ residentMegabytes: number; startMs: number; load: LoadResult }> {
  const topic = topicName()
  await contender.createTopic(topic, partitions, false)
  await contender.touch(topic, partitions)
  const apply = (times: Timing): Promise<LoadResult> =>
    applyLoad({
      ...contender.place,
      kind: 'produce',
      topic,
      partitions,
      connections: 64,
      inFlight: 4,
      seed: 8,
      batch: { records: 16, valueBytes: 1_000 },
      acks: 1,
      pace: { kind: 'closed' },
      ...times,
    })
  let loading = true
  const mostMemory = async (): Promise<number> => {
    let most = 0
    for (; loading; await sleep(LOOK_AT_MEMORY_MS)) most = Math.max(most, contender.residentMegabytes())
    return most
  }
  const [load, residentMegabytes] = await Promise.all([
    apply(timing).finally(() => (loading = false)),
    mostMemory(),
  ])
  await killUnder(apply({ warmupMs: 0, measureMs: CRASH_DEADLINE_MS }), contender)
  return { residentMegabytes, load, startMs: await contender.restart(topic, CRASH_DEADLINE_MS) }
}

/** The load must not end before the broker does, and takes nothing from the start that follows. */
export async function killUnder(load: Promise<unknown>, contender: Pick<Contender, 'kill'>): Promise<void> {
  let killed = false
  const ended = load.then(
    () => {
      throw new Error('the load ended before the broker was killed')
    },
    (error: unknown) => {
      if (!killed) throw error
    },
  )
  await Promise.race([ended, sleep(DOOMED_MS)])
  killed = true
  await contender.kill()
  await ended
}
