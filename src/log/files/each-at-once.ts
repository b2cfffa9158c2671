/** At most `limit` at a time. The first rejection stops the start of others and is passed on when all are still. */
export async function eachAtOnce<T>(
  items: readonly T[],
  limit: number,
  run: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0
  let stopped = false
  const worker = async (): Promise<void> => {
    while (next < items.length && !stopped) {
      try {
        await run(items[next++] as T)
      } catch (error) {
        stopped = true
        throw error
      }
    }
  }
  const results = await Promise.allSettled(Array.from({ length: Math.min(limit, items.length) }, worker))
  for (const result of results) if (result.status === 'rejected') throw result.reason
}
