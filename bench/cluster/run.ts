import { applyLoad } from '../load/apply-load.ts'
import type { ClusterLoad, LoadResult } from '../load/spec.ts'
import { type Measurement, requestsPerSecond } from '../measurement.ts'
import type { Progress } from '../progress.ts'
import type { Timing } from '../jobs.ts'
import { type RowResult, inTurn, reason } from '../runner.ts'
import type { ClusterTarget } from './cluster.ts'
import { Field } from './field.ts'
import { type ClusterProduceRow, type ClusterRow, PARTITIONS } from './rows.ts'

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
  const each = rows.reduce((sum) => sum + timing.warmupMs + timing.measureMs + 4_000, 0)
  return repeats * targets.length * (START_MS + warmupMs + each)
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
  return [...results.values()]
}

async function measureTarget(
  plan: ClusterPlan,
  target: ClusterTarget,
  results: Map<ClusterRow, RowResult>,
  progress: Progress,
): Promise<void> {
  progress.step(`starting ${target.name}`)
  const cluster = await target.start()
  const field = new Field(cluster)
  try {
    await field.serving()
    progress.advance(START_MS)
    progress.step(`warming up ${target.name}`)
    await warmUp(field, plan.warmupMs)
    progress.advance(plan.warmupMs)
    for (const row of plan.rows) {
      progress.step(`${row.title}: ${target.name}`)
      const result = results.get(row)!
      try {
        ;(result.measurements[target.name] ??= []).push(await measureProduce(field, row, plan.timing))
      } catch (error) {
        result.failures[target.name] = reason(error)
      }
      progress.advance(plan.timing.warmupMs + plan.timing.measureMs + 4_000)
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

async function measureProduce(field: Field, row: ClusterProduceRow, timing: Timing): Promise<Measurement> {
  const topic = await field.createTopic(PARTITIONS, row.durable ? { 'flush.messages': '1' } : {})
  const { batch, connections, inFlight, perSecond } = row
  const pace = perSecond === null ? CLOSED : ({ kind: 'open', perSecond, arrivals: 'constant' } as const)
  const measured = await load(field, topic, { batch, connections, inFlight, pace, ...timing })
  await field.deleteTopic(topic)
  if (row.figure === 'rate') return { value: requestsPerSecond(measured), unit: 'req/s', load: measured }
  return { value: measured.latency[row.figure], unit: 'us', load: measured }
}

const CLOSED = { kind: 'closed' } as const

function load(field: Field, topic: string, shape: Partial<ClusterLoad>): Promise<LoadResult> {
  return applyLoad({
    ...field.place,
    kind: 'cluster',
    topic,
    partitions: PARTITIONS,
    connections: 16,
    inFlight: 5,
    seed: 1,
    batch: { records: 16, valueBytes: 1_000 },
    acks: -1,
    pace: CLOSED,
    warmupMs: 1_000,
    measureMs: 4_000,
    ...shape,
  })
}
