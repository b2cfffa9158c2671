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
const ROUNDS = { quick: { samsa: 4, kafka: 2 }, full: { samsa: 20, kafka: 10 } }
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

/** More cuts follow, with another seed, while all of them happened to fall where nothing had been acknowledged. */
const MOST_TRIES = 3

async function measure(mode: Mode, rounds: number): Promise<Loss | string> {
  const sum = { rounds: 0, acknowledged: 0, lost: 0, maxLostMs: 0 }
  try {
    for (let tries = 0; tries < MOST_TRIES && sum.acknowledged === 0; tries++) {
      const loss = await cut(mode, rounds, SEED + tries)
      sum.rounds += loss.rounds
      sum.acknowledged += loss.acked
      sum.lost += loss.lost
      sum.maxLostMs = Math.max(sum.maxLostMs, loss.maxLostMs)
    }
  } catch (error) {
    return `${FAILED}: ${error instanceof Error ? error.message : String(error)}`
  }
  return sum.acknowledged > 0 ? sum : 'not measured (nothing was acknowledged before a cut)'
}

function cut(
  { broker, id, durable, settings }: Mode,
  rounds: number,
  seed: number,
): ReturnType<typeof measureLoss> {
  const engine = settings['samsa.io']
  return measureLoss({
    target: broker,
    mode: durable ? 'durable' : id === 'interval' ? 'interval' : 'os',
    ...(engine === undefined ? {} : { engine }),
    rounds,
    flushMs: INTERVAL_MS,
    seed,
  })
}

/** How the text begins that stands for a measurement which ended with a broken promise. */
export const FAILED = 'failed'
