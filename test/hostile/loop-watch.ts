/**
 * Loaded into the broker under attack: measures how long its loop is held in one piece, and appends each piece that is
 * long to a file. What counts is the time that the loop's thread had a processor, so that a busy machine does not matter.
 */
import { appendFileSync, readFileSync } from 'node:fs'

/** Shorter pieces are nobody's concern. */
const TOLD_FROM_MS = 20
const LOOK_EVERY_MS = 1

/** Milliseconds that this thread, the process's first, had a processor. Linux tells; elsewhere time as such counts. */
function workedMs(): number {
  try {
    return Number(readFileSync('/proc/self/schedstat', 'utf8').split(' ')[0]) / 1e6
  } catch {
    return performance.now()
  }
}

const file = process.env['SAMSA_LOOP_WATCH']
if (file !== undefined) {
  let lastMs = workedMs()
  setInterval(() => {
    const nowMs = workedMs()
    if (nowMs - lastMs >= TOLD_FROM_MS) appendFileSync(file, `${(nowMs - lastMs).toFixed(1)}\n`)
    lastMs = nowMs
  }, LOOK_EVERY_MS).unref()
}
