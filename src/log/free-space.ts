import type { Logger } from '../ports.ts'
import type { LogDirectory } from './log-directory.ts'

/** Files that are only kept to be written over go at this many times the floor. */
const SPARES_FACTOR = 2

/**
 * Keeps the volume of a directory from running full: below the floor records are refused, which a client repeats
 * later, where a write that failed would end the directory. Looked at again and again, so it ends by itself.
 */
export function watchFreeSpace(
  directory: LogDirectory,
  minFreeBytes: number,
  logger: Logger,
  giveUpSpares: () => void,
): void {
  const freeBytes = directory.freeBytes()
  if (freeBytes === null) return
  if (freeBytes < minFreeBytes * SPARES_FACTOR && directory.spares.usedBytes > 0) giveUpSpares()
  if (freeBytes < minFreeBytes === directory.lacksSpace) return
  directory.lacksSpace = !directory.lacksSpace
  const fields = { logDir: directory.path, freeBytes, minFreeBytes }
  if (directory.lacksSpace) logger.error(fields, 'volume is almost full: produce is refused')
  else logger.info(fields, 'volume has room again: produce is accepted')
}
