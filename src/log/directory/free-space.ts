import type { Logger } from '../../ports.ts'
import type { LogDirectory } from './log-directory.ts'

/** Below this many times the floor no room is reserved ahead, and no file kept to be written over. */
const SCARCE_FACTOR = 4
/** No volume takes more. */
const MAX_BYTES_PER_MS = 2 << 20
const MIN_DELAY_MS = 20
const MAX_DELAY_MS = 1000

/**
 * Keeps the volume of a directory from running full: below the floor records are refused, which a client repeats
 * later, where a write that failed would end the directory. What the broker writes for its own (committed offsets, side
 * files) may use the half of what is left. Ends by itself when there is room again.
 *
 * Returns after how long to look again: before the floor can be passed.
 */
export function watchFreeSpace(
  directory: LogDirectory,
  minFreeBytes: number,
  logger: Logger,
  giveUpSpares: () => void,
): number {
  const freeBytes = directory.freeBytes()
  if (freeBytes === null) return MAX_DELAY_MS
  const { spares } = directory
  spares.scarce = freeBytes < minFreeBytes * SCARCE_FACTOR
  if (spares.scarce && spares.usedBytes > 0) giveUpSpares()
  directory.lacksAllSpace = freeBytes < minFreeBytes / 2
  const lacksSpace = freeBytes < minFreeBytes
  if (lacksSpace !== directory.lacksSpace) {
    directory.lacksSpace = lacksSpace
    const fields = { logDir: directory.path, freeBytes, minFreeBytes }
    if (lacksSpace) logger.error(fields, 'volume is almost full: produce is refused, reads go on')
    else logger.info(fields, 'volume has room again: produce is accepted')
  }
  if (lacksSpace) return MAX_DELAY_MS / 4
  const delayMs = (freeBytes - minFreeBytes) / MAX_BYTES_PER_MS
  return Math.min(MAX_DELAY_MS, Math.max(MIN_DELAY_MS, Math.floor(delayMs)))
}
