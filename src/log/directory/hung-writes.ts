import type { Logger } from '../../ports.ts'
import type { LogDirectory } from './log-directory.ts'
import type { ManagedLog } from './managed-log.ts'

/** How often to look. */
export const LOOK_FOR_HANGS_MS = 1_000
/** Looks, because a process that was stopped itself has not waited: none came back for so long, so perhaps none ever does. */
const HANGS_AFTER_LOOKS = 10
/** Others come back, and this one does not: producers do not wait for longer (`delivery.timeout.ms`). */
const LOST_AFTER_LOOKS = 120

/**
 * Finds directories whose writes do not come back. Until they do they take no records, and who waits for them is told so:
 * the memory of what waits would be missing to the others, which live on. One that is only slow has many writes waiting in
 * line, each for long, and one that comes back now and then.
 */
export function watchWrites(
  directories: readonly LogDirectory[],
  logs: readonly ManagedLog[],
  logger: Logger,
): void {
  for (const directory of directories) directory.looksWithoutWrite += 1
  for (const managed of logs) if (managed.look()) managed.directory.looksWithoutWrite = 0
  const hanging = new Set<LogDirectory>()
  for (const { directory, looksAtWrite } of logs) {
    const isSilent = directory.looksWithoutWrite >= HANGS_AFTER_LOOKS && looksAtWrite >= HANGS_AFTER_LOOKS
    if (isSilent || looksAtWrite >= LOST_AFTER_LOOKS) hanging.add(directory)
  }
  for (const directory of directories) {
    const hangs = hanging.has(directory)
    if (hangs !== directory.hangs) {
      directory.hangs = hangs
      const fields = { logDir: directory.path, seconds: (HANGS_AFTER_LOOKS * LOOK_FOR_HANGS_MS) / 1_000 }
      if (hangs) logger.error(fields, 'writes to the log directory do not come back: produce is refused')
      else
        logger.info({ logDir: directory.path }, 'writes to the log directory come back: produce is accepted')
    }
    if (!hangs) continue
    for (const managed of logs) if (managed.directory === directory) managed.listener?.stalled()
  }
}
