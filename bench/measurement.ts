import type { LoadResult } from './load/spec.ts'

/** One figure of one repeat of one row against one target. */
export interface Measurement {
  readonly value: number
  readonly unit: Unit
  /** What the generator measured, when the row is a load. */
  readonly load: LoadResult | null
}

/** `x`: a ratio of two figures of the same broker. */
export type Unit = 'req/s' | 'ms' | 'us' | 'MB' | 'MB/s' | 'x' | 'sends' | 'writes' | 'stalls'

/** Middle of the sorted values; the mean of the two middles of an even number. */
export function median(values: readonly number[]): number {
  if (values.length === 0) return NaN
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

export interface Ratio {
  readonly median: number
  readonly least: number
  readonly greatest: number
}

/** Ours over the peer's, repeat by repeat: pairs ran next to each other, so what disturbs both cancels out. */
export function pairedRatio(ours: readonly number[], peers: readonly number[]): Ratio | null {
  const ratios: number[] = []
  for (let i = 0; i < Math.min(ours.length, peers.length); i++) {
    if (peers[i]! > 0) ratios.push(ours[i]! / peers[i]!)
  }
  if (ratios.length === 0) return null
  return { median: median(ratios), least: Math.min(...ratios), greatest: Math.max(...ratios) }
}

/** CPU microseconds per request, user and system; null where it is not known. */
export function cpuPerRequest(load: LoadResult): { user: number; system: number } | null {
  if (load.brokerCpu === null || load.requests === 0) return null
  return { user: load.brokerCpu.user / load.requests, system: load.brokerCpu.system / load.requests }
}

/** Cores that the generator kept busy. */
export function generatorCores(load: LoadResult): number {
  return (load.generatorCpu.user + load.generatorCpu.system) / (load.elapsedMs * 1_000)
}

export function requestsPerSecond(load: LoadResult): number {
  return (load.requests * 1_000) / load.elapsedMs
}

/** Millions of bytes. */
export function megabytesPerSecond(load: LoadResult): number {
  return load.payloadBytes / (load.elapsedMs * 1_000)
}
