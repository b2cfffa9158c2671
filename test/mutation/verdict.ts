import type { Fate } from './campaign.ts'

export interface Outcome {
  /** Those that were run. */
  readonly named: readonly Fate[]
  readonly others: readonly Fate[]
  /** Test files that did not pass as the code is, or not in time: what they would have seen, nobody knows. */
  readonly leftOut: readonly string[]
}

export interface Demands {
  /** Per cent of the others that have to die. */
  readonly least: number
  /** Of fewer than this the score says nothing. */
  readonly fewest: number
  /** Whether all test files have to take part. Without it nothing is proved where one did not. */
  readonly complete: boolean
}

/** Per cent of the mutants that died. */
export function scoreOf(fates: readonly Fate[]): number {
  return fates.length === 0 ? 100 : (100 * fates.filter(({ lives }) => !lives).length) / fates.length
}

/** What the campaign proves against the tests. A slow or busy machine, and few mutants, prove nothing. */
export function failuresOf({ named, others, leftOut }: Outcome, demands: Demands): string[] {
  if (leftOut.length > 0) return demands.complete ? [`test files left out: ${leftOut.join(', ')}`] : []
  const failures: string[] = []
  const living = named.filter(({ lives }) => lives)
  if (living.length > 0) failures.push(`named mutants live: ${living.length}`)
  const score = scoreOf(others)
  if (others.length >= demands.fewest && score < demands.least)
    failures.push(
      `of ${others.length} other mutants died ${score.toFixed(1)} %, which is less than ${demands.least} %`,
    )
  return failures
}
