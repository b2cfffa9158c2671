import { EMBEDDED_FILES, METADATA_ELSEWHERE } from '../core/metadata-files.ts'
import { SamsaError } from '../core/samsa-error.ts'
import { writeFileDurably } from '../log/files/checkpoints.ts'
import { readSmall } from '../log/files/disk-calls.ts'
import type { Disk } from '../ports.ts'

/** The log directories as they were opened. */
interface OpenedLogDirectories {
  /** In the order of `log.dirs`. */
  readonly directoryPaths: readonly string[]
  readonly unusablePaths: readonly string[]
  /** Null when they are new. */
  readonly clusterId: string | null
}

/**
 * The log directory in which the metadata is kept, or that tells where else it is, wherever it stands in `log.dirs`; where
 * none does, the first. Throws a SamsaError where nobody can tell.
 */
export function metadataDirectory(
  disk: Disk,
  { directoryPaths, unusablePaths, clusterId }: OpenedLogDirectories,
  first: string,
): string {
  const names = [...EMBEDDED_FILES, METADATA_ELSEWHERE]
  const found = directoryPaths.flatMap((path) => {
    const name = names.find((each) => disk.exists(`${path}/${each}`))
    return name === undefined ? [] : [{ path, name }]
  })
  if (found.length > 1)
    throw new SamsaError(
      'SAMSA_METADATA_STORE',
      `log.dirs: topics and configurations are in ${found.map(({ path, name }) => `${path}/${name}`).join(' and in ')}: keep the samsa-metadata.* of the directory that was first in log.dirs when the broker ran last, and move the others away`,
    )
  if (found.length === 1) return found[0]!.path
  if (unusablePaths.length > 0 && (clusterId !== null || unusablePaths.includes(first)))
    throw new SamsaError(
      'SAMSA_METADATA_STORE',
      `log.dirs: topics and configurations are in no directory that can be used, and may be in ${unusablePaths.join(' or ')}: make it usable, or take it out of log.dirs; then topics are taken over as they lie in the others`,
    )
  return first
}

/** Whoever starts without `zookeeper.connect` is told so. */
export async function rememberElsewhere(disk: Disk, directory: string, connect: string): Promise<void> {
  const marker = `${directory}/${METADATA_ELSEWHERE}`
  const text = Buffer.from(`${connect}\n`)
  if (readSmall(disk, marker)?.equals(text) !== true) await writeFileDurably(disk, marker, text)
}
