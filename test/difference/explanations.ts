/** Differences and what is said about them. */
import type { Difference } from './compare.ts'
import type { Shown } from './wire.ts'

/** Differences by where they are; with values, only those. */
export interface Where {
  readonly scenario: RegExp
  readonly path: RegExp
  /** What they answer there; undefined when it is not looked at. */
  readonly kafka?: Shown
  readonly samsa?: Shown
}

export interface Explanation {
  readonly where: readonly Where[]
}

/** Differences that nobody explains, and what is explained though it is not so: both are wrong. */
export function judge(
  differences: readonly Difference[],
  explanations: readonly Explanation[],
): { readonly unexplained: Difference[]; readonly unused: Where[] } {
  const places = explanations.flatMap(({ where }) => where)
  const used = new Set<Where>()
  const unexplained = differences.filter((difference) => {
    const fitting = places.filter((place) => fits(place, difference))
    for (const place of fitting) used.add(place)
    return fitting.length === 0
  })
  return { unexplained, unused: places.filter((place) => !used.has(place)) }
}

function fits(place: Where, difference: Difference): boolean {
  return (
    place.scenario.test(difference.scenario) &&
    place.path.test(difference.path) &&
    isAs(place.kafka, difference.kafka) &&
    isAs(place.samsa, difference.samsa)
  )
}

function isAs(expected: Shown | undefined, found: Shown | undefined): boolean {
  return expected === undefined || JSON.stringify(expected) === JSON.stringify(found)
}
