import type { Mode } from './modes.ts'
import type { Loss } from './results.ts'

/** Cuts the power under a broker at work and counts what it had acknowledged and no longer has. */
export interface LossMeter {
  /** For the progress bar. */
  estimateMs(mode: Mode): number
  measure(mode: Mode): Promise<Loss | string>
}

/** The meter of this machine; one that says why it cannot measure where the power cannot be cut. */
export async function lossMeter({ cuts }: { readonly cuts: boolean }): Promise<LossMeter> {
  const why = !cuts ? 'not measured' : 'not measured (root needed)'
  return { estimateMs: () => 0, measure: () => Promise.resolve(why) }
}
