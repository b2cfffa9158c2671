import { type LoadEvents, applyLoad } from '../load/apply-load.ts'
import type { ClusterLoad, LoadResult } from '../load/spec.ts'
import type { Field } from './field.ts'
import { PARTITIONS } from './rows.ts'

const CLOSED = { kind: 'closed' } as const

export function load(
  { place }: Field,
  topic: string,
  shape: Partial<ClusterLoad>,
  events?: LoadEvents,
): Promise<LoadResult> {
  const whole: ClusterLoad = {
    ...place,
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
  }
  return applyLoad(whole, events)
}

/** What producers go on with while something happens to brokers. */
export function steadyLoad(
  field: Field,
  topic: string,
  measureMs: number,
  events?: LoadEvents,
  isWatchful = false,
): Promise<LoadResult> {
  const batch = { records: 1, valueBytes: 1_000 }
  const pace = { kind: 'open', perSecond: 1_000, arrivals: 'constant' } as const
  return load(field, topic, { batch, pace, inFlight: 64, measureMs, isWatchful }, events)
}
