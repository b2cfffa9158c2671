import { mountProblem } from '../../test/power/mounts.ts'
import { measureLoss } from '../../test/power/power-cut.ts'
import type { Mode } from './modes.ts'
import type { Loss } from './results.ts'

/** Cuts the power under a broker at work and counts what it had acknowledged and no longer has. */
export interface LossMeter {
  /** For the progress bar. */
  estimateMs(mode: Mode): number
  measure(mode: Mode): Promise<Loss | string>
}

export interface LossOptions {
  readonly cuts: boolean
  readonly quick: boolean
}

/** Cuts per mode; a JVM that starts again takes its time. */
const ROUNDS = { quick: { samsa: 2, kafka: 1 }, full: { samsa: 20, kafka: 10 } }
const ROUND_MS = { samsa: 2_500, kafka: 8_000 }
const INTERVAL_MS = 1_000
const SEED = 20_261_122

/** The meter of this machine; one that says why it cannot measure where the power cannot be cut. */
export async function lossMeter({ cuts, quick }: LossOptions): Promise<LossMeter> {
  const problem = cuts ? await mountProblem() : 'not asked for'
  if (problem !== null) {
    return { estimateMs: () => 0, measure: () => Promise.resolve(`not measured (${problem})`) }
  }
  const rounds = quick ? ROUNDS.quick : ROUNDS.full
  return {
    estimateMs: ({ broker }) => rounds[broker] * ROUND_MS[broker],
    measure: (mode) => measure(mode, rounds[mode.broker]),
  }
}

async function measure({ broker, id, durable, settings }: Mode, rounds: number): Promise<Loss | string> {
  const engine = settings['samsa.io']
  try {
    const loss = await measureLoss({
      target: broker,
      mode: durable ? 'durable' : id === 'interval' ? 'interval' : 'os',
      ...(engine === undefined ? {} : { engine }),
      rounds,
      flushMs: INTERVAL_MS,
      seed: SEED,
    })
    return { rounds: loss.rounds, acknowledged: loss.acked, lost: loss.lost, maxLostMs: loss.maxLostMs }
  } catch (error) {
    return `${FAILED}: ${error instanceof Error ? error.message : String(error)}`
  }
}

/** How the text begins that stands for a measurement which ended with a broken promise. */
export const FAILED = 'failed'
