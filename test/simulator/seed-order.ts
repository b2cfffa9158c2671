/**
 * The seeds 1 to `count`, beginning with the one that found what is looked for the last time: a bug that few seeds find
 * takes no minutes then, and once other code has moved it elsewhere it is found there all the same.
 */
export function seedsFrom(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => ((first - 1 + index) % count) + 1)
}
