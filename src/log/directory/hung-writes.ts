import type { Logger } from '../../ports.ts'
import type { LogDirectory } from './log-directory.ts'
import type { ManagedLog } from './managed-log.ts'

/** A write that has not come back for so long may never do: no disk that works takes that long. */
const HANGS_AFTER_MS = 10_000
/** How often to look. */
export const LOOK_FOR_HANGS_MS = 1_000

/**
 * Finds directories whose writes do not come back. Until they do they take no records, and who waits for them is told so:
 * the memory of what waits would be missing to the others, which live on.
 */
export function watchWrites(
  directories: readonly LogDirectory[],
  logs: readonly ManagedLog[],
  nowMs: number,
  logger: Logger,
): void {
  const hanging = new Set<LogDirectory>()
  for (const managed of logs) if (managed.writesForMs(nowMs) >= HANGS_AFTER_MS) hanging.add(managed.directory)
  for (const directory of directories) {
    const hangs = hanging.has(directory)
    if (hangs !== directory.hangs) {
      directory.hangs = hangs
      const fields = { logDir: directory.path, seconds: HANGS_AFTER_MS / 1_000 }
      if (hangs) logger.error(fields, 'writes to the log directory do not come back: produce is refused')
      else
        logger.info({ logDir: directory.path }, 'writes to the log directory come back: produce is accepted')
    }
    if (!hangs) continue
    for (const managed of logs) if (managed.directory === directory) managed.listener?.stalled()
  }
}
