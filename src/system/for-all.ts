/** Calls `one` for every item. What the first of them throws is thrown when all had their call. */
export function forAll<T>(items: readonly T[], one: (item: T, index: number) => void): void {
  let thrown: { readonly error: unknown } | null = null
  for (const [index, item] of items.entries()) {
    try {
      one(item, index)
    } catch (error) {
      thrown ??= { error }
    }
  }
  if (thrown !== null) throw thrown.error
}
