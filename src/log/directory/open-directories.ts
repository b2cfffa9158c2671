import { SamsaError } from '../../core/samsa-error.ts'
import type { World } from '../../ports.ts'
import { diskError } from '../files/disk-calls.ts'
import { LogDirectory, ownershipProblem } from './log-directory.ts'

export interface OpenedDirectories {
  readonly directories: LogDirectory[]
  /** Paths that the disk refused. */
  readonly unusable: string[]
}

/**
 * Opens and locks all of `log.dirs` that can be used. Rejects with SAMSA_DATA_DIR_LOCKED, SAMSA_CONFIG (a directory of
 * another node or cluster, named twice, or inside another one) or, when none can be used, SAMSA_DISK_IO.
 */
export async function openDirectories(
  world: World,
  logDirs: readonly string[],
  nodeId: number,
): Promise<OpenedDirectories> {
  const twice = logDirs.find((path, i) => logDirs.indexOf(path) < i)
  if (twice !== undefined) throw new SamsaError('SAMSA_CONFIG', `log.dirs: ${twice} is named twice`)
  // The inner one would be a partition of the outer one, by its name.
  const inner = logDirs.find((path) => logDirs.some((outer) => path.startsWith(`${outer}/`)))
  if (inner !== undefined)
    throw new SamsaError('SAMSA_CONFIG', `log.dirs: ${inner} lies in another one of them`)
  const opened = await Promise.allSettled(logDirs.map((path) => LogDirectory.open(world, path)))
  const directories: LogDirectory[] = []
  const unusable: string[] = []
  const failures: SamsaError[] = []
  let failure: SamsaError | null = null
  for (const [i, result] of opened.entries()) {
    if (result.status === 'fulfilled') {
      directories.push(result.value)
      continue
    }
    const error = diskError('cannot use a log directory', result.reason)
    unusable.push(logDirs[i]!)
    failures.push(error)
    if (failure === null || failure.code === 'SAMSA_DISK_IO') failure = error
  }
  const problem =
    failure !== null && (failure.code !== 'SAMSA_DISK_IO' || directories.length === 0)
      ? failure
      : ownershipProblem(directories, nodeId)
  if (problem !== null) {
    for (const directory of directories) directory.release()
    throw problem
  }
  // The start goes on without them; what ends it is told by whoever it ends.
  for (const { message } of failures) world.logger.error({ error: message }, 'log directory cannot be used')
  return { directories, unusable }
}
