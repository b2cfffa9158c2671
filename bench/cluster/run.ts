import type { Timing } from '../jobs.ts'
import type { Measurement } from '../measurement.ts'
import type { Progress } from '../progress.ts'
import { type RowResult, inTurn, reason } from '../runner.ts'
import type { ClusterTarget } from './cluster.ts'
import { Field } from './field.ts'
import { load } from './loads.ts'
import { measureJob, measureMemory } from './measures.ts'
import { type ClusterRow, PARTITIONS } from './rows.ts'

export interface ClusterPlan {
  readonly rows: readonly ClusterRow[]
  /** Ours first; then the peer, if there is one. */
  readonly targets: readonly ClusterTarget[]
  readonly repeats: number
  readonly timing: Timing
  /** How long each cluster works before anything counts. */
  readonly warmupMs: number
  /** How long ZooKeeper is watched. */
  readonly watchMs: number
  /** What a follower from empty has to fetch. */
  readonly refillBytes: number
  /** How often what happens to a broker has to happen, over all repeats. */
  readonly kills: number
}

const START_MS = 15_000

type Job = readonly ClusterRow[]

export function estimateClusterMs(plan: ClusterPlan): number {
  let sum = 0
  for (const target of plan.targets) {
    const jobs = jobsFor(plan, target)
    const clusters = new Set(jobs.map(settingsOf)).size
    sum += clusters * (START_MS + plan.warmupMs)
    for (const job of jobs) sum += estimateMs(job, plan, target)
  }
  return plan.repeats * sum
}

/** A guess; what the brokers of a target need to see that one is gone stands for how slow they are with all of it. */
function estimateMs([row]: Job, plan: ClusterPlan, { patienceMs }: ClusterTarget): number {
  const { timing, watchMs, refillBytes } = plan
  switch (row!.kind) {
    case 'produce':
      return timing.warmupMs + timing.measureMs + 4_000
    case 'gap':
      return blowsOf(plan) * (8_000 + 1.5 * patienceMs)
    case 'rolling':
      return 20_000 + 3 * patienceMs
    case 'lag':
      return 20_000
    case 'refill':
      return timing.measureMs + 10_000 + refillBytes / 80e6 + refillBytes / 150_000
    case 'elections':
      return 20_000
    case 'store-writes':
      return watchMs + 8_000
    case 'takeover':
      return 60_000
    case 'memory':
      return 4_000
  }
}

function blowsOf({ repeats, kills }: ClusterPlan): number {
  return Math.ceil(kills / repeats)
}

function jobsFor({ rows, targets }: ClusterPlan, target: ClusterTarget): readonly Job[] {
  const jobs = new Map<string, ClusterRow[]>()
  for (const row of rows)
    if (!row.alone || target === targets[0]) jobs.set(row.job, [...(jobs.get(row.job) ?? []), row])
  return [...jobs.values()]
}

function settingsOf([row]: Job): string {
  return JSON.stringify(row!.settings)
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
  return [...results].map(([row, result]) => (countsAtWorst(row) ? worst(result) : result))
}

function countsAtWorst(row: ClusterRow): boolean {
  return 'figure' in row && ['worst', 'failed', 'stalls'].includes(row.figure)
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
  let arena: Arena | null = null
  try {
    for (const job of jobsFor(plan, target)) {
      try {
        if (arena?.settings !== settingsOf(job)) {
          await arena?.stop()
          arena = null
          arena = await Arena.start(plan, target, job, progress)
        }
        progress.step(`${job[0]!.title}: ${target.name}`)
        for (const [row, measured] of await arena.measure(job))
          (results.get(row)!.measurements[target.name] ??= []).push(...measured)
      } catch (error) {
        progress.step(`failed: ${reason(error)}`)
        for (const row of job) results.get(row)!.failures[target.name] = reason(error)
        // Nobody knows what state it is in: what comes next gets another.
        await arena?.stop()
        arena = null
      }
      progress.advance(estimateMs(job, plan, target))
    }
  } finally {
    await arena?.stop()
  }
}

/** A cluster that runs, and is warm. */
class Arena {
  readonly settings: string
  readonly #plan: ClusterPlan
  readonly #target: ClusterTarget
  readonly #field: Field
  readonly #memory: Measurement

  private constructor(
    settings: string,
    plan: ClusterPlan,
    target: ClusterTarget,
    field: Field,
    memory: Measurement,
  ) {
    this.settings = settings
    this.#plan = plan
    this.#target = target
    this.#field = field
    this.#memory = memory
  }

  static async start(plan: ClusterPlan, target: ClusterTarget, job: Job, progress: Progress): Promise<Arena> {
    progress.step(`starting ${target.name}`)
    const cluster = await target.start(job[0]!.settings)
    try {
      const field = new Field(cluster)
      await field.serving()
      const memory = await measureMemory(field)
      progress.advance(START_MS)
      progress.step(`warming up ${target.name}`)
      await warmUp(field, plan.warmupMs)
      progress.advance(plan.warmupMs)
      return new Arena(settingsOf(job), plan, target, field, memory)
    } catch (error) {
      await cluster.stop()
      throw error
    }
  }

  async measure(job: Job): Promise<ReadonlyMap<ClusterRow, readonly Measurement[]>> {
    if (job[0]!.kind === 'memory') return new Map([[job[0]!, [this.#memory]]])
    const { timing, watchMs, refillBytes } = this.#plan
    const { patienceMs } = this.#target
    const blows = blowsOf(this.#plan)
    return measureJob(job, { field: this.#field, timing, blows, patienceMs, watchMs, refillBytes })
  }

  async stop(): Promise<void> {
    await this.#field.cluster.stop()
  }
}

async function warmUp(field: Field, ms: number): Promise<void> {
  for (const records of [16, 1]) {
    const topic = await field.createTopic(PARTITIONS)
    await load(field, topic, { batch: { records, valueBytes: 1_000 }, warmupMs: 0, measureMs: ms / 2 })
    await field.deleteTopic(topic)
  }
}
