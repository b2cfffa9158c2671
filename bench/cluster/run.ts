import type { Timing } from '../jobs.ts'
import type { Measurement } from '../measurement.ts'
import type { Progress } from '../progress.ts'
import { type RowResult, inTurn, reason } from '../runner.ts'
import type { ClusterTarget } from './cluster.ts'
import { Field } from './field.ts'
import { load } from './loads.ts'
import { measureJob, measureMemory } from './measures.ts'
import { type ClusterRow, KILLS, PARTITIONS } from './rows.ts'

export interface ClusterPlan {
  readonly rows: readonly ClusterRow[]
  /** Ours first; then the peer, if there is one. */
  readonly targets: readonly ClusterTarget[]
  readonly repeats: number
  readonly timing: Timing
  /** How long each cluster works before anything counts. */
  readonly warmupMs: number
}

const START_MS = 15_000

export function estimateClusterMs({ rows, targets, repeats, timing, warmupMs }: ClusterPlan): number {
  const each = jobsOf(rows).reduce((sum, job) => sum + estimateMs(job, timing), 0)
  return repeats * targets.length * (START_MS + warmupMs + each)
}

function estimateMs([row]: readonly ClusterRow[], timing: Timing): number {
  const loadMs = timing.warmupMs + timing.measureMs + 4_000
  return row!.kind === 'produce' || row!.kind === 'store-writes' ? loadMs : 25_000
}

function jobsOf(rows: readonly ClusterRow[]): readonly (readonly ClusterRow[])[] {
  const jobs = new Map<string, ClusterRow[]>()
  for (const row of rows) jobs.set(row.job, [...(jobs.get(row.job) ?? []), row])
  return [...jobs.values()]
}

/**
 * Each repeat has a cluster of its own, because one that stands still loses its sessions; those of the others do not run
 * meanwhile.
 */
export async function runCluster(plan: ClusterPlan, progress: Progress): Promise<RowResult[]> {
  const results = new Map<ClusterRow, RowResult>()
  for (const row of plan.rows) results.set(row, { row, measurements: {}, failures: {} })
  for (let repeat = 0; repeat < plan.repeats; repeat++)
    for (const target of inTurn(plan.targets, repeat)) await measureTarget(plan, target, results, progress)
  return [...results].map(([row, result]) =>
    row.kind === 'gap' && row.figure === 'worst' ? worst(result) : result,
  )
}

/** Of all repeats. */
function worst(result: RowResult): RowResult {
  const measurements: Record<string, Measurement[]> = {}
  for (const [target, all] of Object.entries(result.measurements))
    measurements[target] = all.toSorted((a, b) => b.value - a.value).slice(0, 1)
  return { ...result, measurements }
}

async function measureTarget(
  plan: ClusterPlan,
  target: ClusterTarget,
  results: Map<ClusterRow, RowResult>,
  progress: Progress,
): Promise<void> {
  const { timing, repeats, targets } = plan
  progress.step(`starting ${target.name}`)
  const cluster = await target.start()
  const field = new Field(cluster)
  const keep = (row: ClusterRow, measured: readonly Measurement[]): void => {
    const list = (results.get(row)!.measurements[target.name] ??= [])
    list.push(...measured)
  }
  try {
    await field.serving()
    progress.advance(START_MS)
    const memory = plan.rows.find(({ kind }) => kind === 'memory')
    if (memory !== undefined) keep(memory, [await measureMemory(field)])
    progress.step(`warming up ${target.name}`)
    await warmUp(field, plan.warmupMs)
    progress.advance(plan.warmupMs)
    for (const job of jobsOf(plan.rows)) {
      const [first] = job
      if (first!.alone && target !== targets[0]) continue
      progress.step(`${first!.title}: ${target.name}`)
      try {
        const kills = Math.ceil(KILLS / repeats)
        const outcome = await measureJob(job, { field, timing, kills, patienceMs: target.patienceMs })
        for (const [row, measured] of outcome) keep(row, measured)
      } catch (error) {
        for (const row of job) results.get(row)!.failures[target.name] = reason(error)
      }
      progress.advance(estimateMs(job, timing))
    }
  } finally {
    await cluster.stop()
  }
}

async function warmUp(field: Field, ms: number): Promise<void> {
  for (const records of [16, 1]) {
    const topic = await field.createTopic(PARTITIONS)
    await load(field, topic, { batch: { records, valueBytes: 1_000 }, warmupMs: 0, measureMs: ms / 2 })
    await field.deleteTopic(topic)
  }
}
