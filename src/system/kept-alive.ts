/** Longer than any wait: it is never due. */
const NEVER_MS = 2_147_483_647

/**
 * Timers of the world's clock keep no process alive, nor does a data directory: a start or stop that waits for nothing
 * else just now (the next slice of a compaction, a descriptor) would end with the process, in silence and as a success.
 */
export async function keptAlive<T>(work: Promise<T>): Promise<T> {
  const timer = setTimeout(() => undefined, NEVER_MS)
  try {
    return await work
  } finally {
    clearTimeout(timer)
  }
}
