import { startSamsa } from '../support/broker-process.ts'

/** `os`: no flush settings; `interval`: a flush by time; `durable`: a flush before every answer. */
export type FlushMode = 'os' | 'interval' | 'durable'

export interface Cell {
  readonly mode: FlushMode
  readonly engine?: string
}

const MODES: readonly FlushMode[] = ['os', 'interval', 'durable']

/** The engines that write here (values of `samsa.io`), and why one of them is missing. */
export async function engines(): Promise<{ usable: readonly string[]; missing: string | null }> {
  try {
    const broker = await startSamsa({ properties: { 'samsa.io': 'uring' } })
    await broker[Symbol.asyncDispose]()
    return { usable: ['threads', 'uring'], missing: null }
  } catch (error) {
    const reason =
      error instanceof Error ? error.message.split('\n').find((line) => line.includes('uring')) : ''
    return { usable: ['threads'], missing: `samsa.io=uring does not start here: ${reason ?? ''}` }
  }
}

/** Every engine in every mode. */
export function cells(usable: readonly string[]): Cell[] {
  return MODES.flatMap((mode) => usable.map((engine) => (engine === 'auto' ? { mode } : { mode, engine })))
}

/** The part of `total` that falls to one of `count`. */
export function share(total: number, count: number, number: number): number {
  return Math.floor(total / count) + (number < total % count ? 1 : 0)
}

/** The broker's settings of a flush mode; Apache Kafka needs the second of the two for `interval`. */
export function flushProperties(mode: FlushMode, flushMs: number): Record<string, string> {
  if (mode === 'durable') return { 'log.flush.interval.messages': '1' }
  if (mode === 'os') return {}
  return { 'log.flush.interval.ms': String(flushMs), 'log.flush.scheduler.interval.ms': String(flushMs) }
}
