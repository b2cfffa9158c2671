import { Contender } from './arena.ts'
import { embeddedStart } from './embedded-start.ts'
import {
  type Job,
  type Timing,
  fetchShape,
  idleMemory,
  loadJobs,
  measureCrash,
  produceShape,
} from './jobs.ts'
import { applyLoad } from './load/apply-load.ts'
import { type Measurement, requestsPerSecond } from './measurement.ts'
import type { Progress } from './progress.ts'
import type { FetchRow, ProduceRow, Row, RowBase } from './rows.ts'
import { startNullServerProcess } from './targets/null.ts'
import type { Target } from './targets/target.ts'

export interface RunPlan {
  readonly rows: readonly Row[]
  /** Ours first; then the peer, if there is one. */
  readonly targets: readonly Target[]
  readonly repeats: number
  readonly timing: Timing
  /** How long each broker works before anything counts. */
  readonly brokerWarmupMs: number
}

export interface RowResult {
  readonly row: RowBase
  /** By target, one entry per repeat. */
  readonly measurements: Record<string, Measurement[]>
  /** By target: why there is no figure. */
  readonly failures: Record<string, string>
}

const START_MS = 6_000
const CRASH_MS = 90_000
const CEILING_MS = 2_000

export function estimateMs(plan: RunPlan): number {
  const each = loadJobs(plan.rows, plan.timing).reduce((sum, job) => sum + job.estimateMs, 0)
  const starts = plan.rows.some((row) => row.kind === 'start') ? START_MS : 0
  const crashes = plan.rows.some((row) => row.kind === 'crash') ? CRASH_MS : 0
  const brokers = plan.targets.length
  const warmup = each === 0 ? 0 : brokers * (plan.brokerWarmupMs + START_MS)
  return (
    ceilingRows(plan.rows).length * CEILING_MS + brokers * plan.repeats * (each + starts + crashes) + warmup
  )
}

/** The load shapes whose ceiling is worth knowing: those of the rows with something to reach, and the big fetch. */
function ceilingRows(rows: readonly Row[]): (ProduceRow | FetchRow)[] {
  return rows.filter(
    (row): row is ProduceRow | FetchRow =>
      (row.kind === 'produce' && row.reach !== null) ||
      (row.kind === 'fetch' && row.batchesPerFetch > 1 && row.addon && !row.cold),
  )
}

/** What the load generator reaches against a server that does nothing. */
export async function measureCeiling(plan: RunPlan, progress: Progress): Promise<RowResult[]> {
  const rows = ceilingRows(plan.rows)
  if (rows.length === 0) return []
  const server = await startNullServerProcess()
  const results: RowResult[] = []
  try {
    for (const row of rows) {
      progress.step(`load generator's ceiling: ${row.title}`)
      const timing = { warmupMs: 400, measureMs: 1_500 }
      const shape = row.kind === 'produce' ? produceShape(row, timing) : fetchShape(row, timing)
      const place = { endpoint: server.endpoint, brokerPid: server.pid, blockStatPath: '' }
      const load = await applyLoad({ ...shape, ...place, topic: 'bench-ceiling' })
      const measured: Measurement = { value: requestsPerSecond(load), unit: 'req/s', load }
      results.push({ row, measurements: { null: [measured] }, failures: {} })
      progress.advance(CEILING_MS)
    }
  } finally {
    server.stop()
  }
  return results
}

/** All rows of the plan, in the order of the table. */
export async function run(plan: RunPlan, progress: Progress): Promise<RowResult[]> {
  const results = new Map<Row, RowResult>()
  for (const row of plan.rows) results.set(row, { row, measurements: {}, failures: {} })
  await measureStarts(plan, results, progress)
  await measureEmbeddedStart(plan, results, progress)
  const apart = new Set<Row['kind']>(['start', 'embedded-start', 'crash'])
  if (plan.rows.some((row) => !apart.has(row.kind))) await measureRunning(plan, results, progress)
  await measureCrashes(plan, results, progress)
  return [...results.values()]
}

function keep(result: RowResult, target: string, measurement: Measurement): void {
  const list = (result.measurements[target] ??= [])
  list.push(measurement)
}

/** A B B A A B: what drifts over the session meets both alike. */
export function inTurn<T>(contenders: readonly T[], repeat: number): readonly T[] {
  return repeat % 2 === 0 ? contenders : contenders.toReversed()
}

async function measureStarts(plan: RunPlan, results: Map<Row, RowResult>, progress: Progress): Promise<void> {
  for (const [row, result] of results) {
    if (row.kind !== 'start') continue
    for (let repeat = 0; repeat < plan.repeats; repeat++) {
      for (const target of inTurn(plan.targets, repeat)) {
        progress.step(`${row.title}: ${target.name}`)
        try {
          keep(result, target.name, { value: await target.measureStart(), unit: 'ms', load: null })
        } catch (error) {
          result.failures[target.name] = reason(error)
        }
        progress.advance(START_MS)
      }
    }
  }
}

async function measureEmbeddedStart(
  plan: RunPlan,
  results: Map<Row, RowResult>,
  progress: Progress,
): Promise<void> {
  for (const [row, result] of results) {
    if (row.kind !== 'embedded-start' || !plan.targets.some((target) => target.name === 'samsa')) continue
    progress.step(row.title)
    try {
      for (const value of await embeddedStart()) keep(result, 'samsa', { value, unit: 'ms', load: null })
    } catch (error) {
      result.failures['samsa'] = reason(error)
    }
  }
}

async function measureRunning(
  plan: RunPlan,
  results: Map<Row, RowResult>,
  progress: Progress,
): Promise<void> {
  const contenders: Contender[] = []
  try {
    for (const target of plan.targets) {
      progress.step(`starting ${target.name}`)
      const contender = new Contender(target, await target.start())
      contenders.push(contender)
      await measureMemory(plan, results, contender, 'idle')
      progress.advance(START_MS)
      contender.pause()
    }
    for (const contender of contenders) {
      await awaken(contenders, contender)
      progress.step(`warming up ${contender.name}`)
      await warmUp(contender, plan.brokerWarmupMs)
      progress.advance(plan.brokerWarmupMs)
    }
    for (const job of loadJobs(plan.rows, plan.timing)) {
      if (job.addon) await runJob(plan, job, contenders, results, progress)
      else await runWithoutAddon(plan, job, contenders, results, progress)
    }
    for (const contender of contenders) {
      await awaken(contenders, contender)
      await measureMemory(plan, results, contender, 'loaded')
    }
  } finally {
    for (const contender of contenders) await contender.stop()
  }
}

/** Our broker steps back for one of its kind without the addon; the peer is the same. */
async function runWithoutAddon(
  plan: RunPlan,
  job: Job,
  contenders: readonly Contender[],
  results: Map<Row, RowResult>,
  progress: Progress,
): Promise<void> {
  const plain: Contender[] = []
  try {
    for (const contender of contenders) {
      contender.pause()
      const target = contender.target.withoutAddon
      if (target === null) continue
      plain.push(new Contender({ ...target, name: contender.name }, await target.start()))
      plain.at(-1)?.pause()
    }
    const instead = contenders.map(
      (contender) => plain.find(({ name }) => name === contender.name) ?? contender,
    )
    await runJob(plan, job, instead, results, progress)
  } finally {
    for (const contender of plain) await contender.stop()
  }
}

async function measureCrashes(
  plan: RunPlan,
  results: Map<Row, RowResult>,
  progress: Progress,
): Promise<void> {
  const rows = plan.rows.filter((row) => row.kind === 'crash')
  const [first] = rows
  if (first === undefined) return
  for (let repeat = 0; repeat < plan.repeats; repeat++) {
    for (const target of inTurn(plan.targets, repeat)) {
      progress.step(`${first.partitions.toLocaleString('en')} partitions, kill -9: ${target.name}`)
      let contender: Contender | null = null
      try {
        contender = new Contender(target, await target.start())
        const { residentMegabytes, startMs, load } = await measureCrash(
          contender,
          first.partitions,
          plan.timing,
        )
        for (const row of rows) {
          const memory = row.figure === 'memory'
          keep(results.get(row)!, target.name, {
            value: memory ? residentMegabytes : startMs,
            unit: memory ? 'MB' : 'ms',
            load: memory ? load : null,
          })
        }
      } catch (error) {
        for (const row of rows) results.get(row)!.failures[target.name] = reason(error)
      } finally {
        await contender?.stop()
      }
      progress.advance(CRASH_MS)
    }
  }
}

async function measureMemory(
  plan: RunPlan,
  results: Map<Row, RowResult>,
  contender: Contender,
  moment: 'idle' | 'loaded',
): Promise<void> {
  for (const row of plan.rows) {
    if (row.kind !== 'memory' || row.moment !== moment) continue
    const value = moment === 'idle' ? await idleMemory(contender) : contender.residentMegabytes()
    keep(results.get(row)!, contender.name, { value, unit: 'MB', load: null })
  }
}

/** One broker runs, the others stand still. */
async function awaken(contenders: readonly Contender[], chosen: Contender): Promise<void> {
  for (const contender of contenders) if (contender !== chosen) contender.pause()
  await chosen.resume()
}

/** Half the time with batches, half with single records: a JVM needs both before its figures are its own. */
async function warmUp(contender: Contender, ms: number): Promise<void> {
  const topic = 'bench-warmup'
  await contender.createTopic(topic, 16, false)
  await contender.touch(topic, 16)
  for (const records of [16, 1]) {
    await applyLoad({
      ...contender.place,
      kind: 'produce',
      topic,
      partitions: 16,
      connections: 16,
      inFlight: 5,
      seed: 4,
      batch: { records, valueBytes: 1_000 },
      acks: 1,
      pace: { kind: 'closed' },
      warmupMs: 0,
      measureMs: ms / 2,
    })
  }
  await contender.deleteTopic(topic)
  await contender.settle()
}

async function runJob(
  plan: RunPlan,
  job: Job,
  contenders: readonly Contender[],
  results: Map<Row, RowResult>,
  progress: Progress,
): Promise<void> {
  const able = new Set(contenders)
  const attempt = async (contender: Contender, what: () => Promise<void>): Promise<void> => {
    try {
      await what()
    } catch (error) {
      able.delete(contender)
      for (const row of job.rows) results.get(row)!.failures[contender.name] = reason(error)
    }
  }
  const title = job.rows[0]!.title
  for (const contender of contenders) {
    progress.step(`${title}: preparing ${contender.name}`)
    await awaken(contenders, contender)
    await attempt(contender, () => job.prepare(contender))
    await contender.settle()
  }
  for (let repeat = 0; repeat < plan.repeats; repeat++) {
    for (const contender of inTurn(contenders, repeat)) {
      progress.step(`${title}: ${contender.name}, ${repeat + 1} of ${plan.repeats}`)
      if (able.has(contender)) {
        await awaken(contenders, contender)
        await attempt(contender, async () => {
          const measured = await job.measure(contender, repeat)
          for (const [i, row] of job.rows.entries()) keep(results.get(row)!, contender.name, measured[i]!)
        })
        await contender.settle()
      }
      progress.advance(job.estimateMs)
    }
  }
  for (const contender of contenders) {
    await awaken(contenders, contender)
    await attempt(contender, () => job.cleanUp(contender))
  }
}

export function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message
}
