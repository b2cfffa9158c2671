import { setTimeout as sleep } from 'node:timers/promises'

/** What a busy machine may take for what takes milliseconds. */
const MOST_MS = 60_000

/** Waits until something is so, and fails with its words when it never is. `pause` is what lies between two looks. */
export async function until(
  isSo: () => boolean | Promise<boolean>,
  pause: () => Promise<unknown> = () => sleep(2),
): Promise<void> {
  const latestMs = performance.now() + MOST_MS
  while (!(await isSo())) {
    if (performance.now() > latestMs) throw new Error(`not within ${MOST_MS / 1000} seconds: ${String(isSo)}`)
    await pause()
  }
}
