import { messageOf } from '../../core/is-error.ts'
import type { KraftImage } from '../../core/kraft/kraft-image.ts'
import { decodeKeptAside, encodeKeptAside } from '../../core/kraft/kept-aside.ts'
import type { KeptAside } from '../../core/kraft/kept-aside.ts'
import { KraftReplay } from '../../core/kraft/kraft-replay.ts'
import { findClusterMetadata, readClusterMetadata } from '../../log/directory/cluster-metadata.ts'
import { writeFileDurably } from '../../log/files/checkpoints.ts'
import { diskError, readSmall } from '../../log/files/disk-calls.ts'
import type { Disk, World } from '../../ports.ts'

/** Beside the logs, in one of the log directories. Not Kafka's, which passes over files that it does not know. */
const KEPT_FILE = 'samsa-kafka-metadata.json'

/** The metadata of Kafka's controllers: in the guest's own directory, and what was kept of it. */
export interface KafkaMetadata {
  /** Where it was found; null when there is none. */
  readonly path: string | null
  readonly state: string | null
  /** Null when there is none, when it is in the state in which it was taken over, or cannot be read. */
  readonly image: KraftImage | null
  /** Why it cannot be read. */
  readonly problem: string | null
  readonly kept: KeptAside | null
  /** Where that is, or will be. */
  readonly keptPath: string
}

/**
 * `logDirs`: those that can be used, one at least; the first is where things are kept from now on, unless they are in
 * another already. `clusterId`: that of the log directories. `takenOver`: the state in which the store knows it. Whatever is wrong with the
 * guest's files, this resolves.
 */
export async function lookForKafkaMetadata(
  world: Pick<World, 'disk' | 'logger'>,
  directories: readonly string[],
  logDirs: readonly string[],
  clusterId: string | null,
  takenOver: string | null,
): Promise<KafkaMetadata> {
  const { disk } = world
  const keptPaths = logDirs.map((path) => `${path}/${KEPT_FILE}`)
  const keptPath = keptPaths.find((path) => disk.exists(path)) ?? keptPaths[0]!
  const kept = readKept(disk, keptPath)
  const nothing = { path: null, state: null, image: null, problem: null, kept, keptPath }
  let found
  try {
    found = findClusterMetadata(disk, directories)
    if (found === null) return nothing
    const { path, state } = found
    if (clusterId !== null && found.clusterId !== null && clusterId !== found.clusterId)
      return {
        ...nothing,
        path,
        problem: `it is of cluster ${found.clusterId}, the log directories are of ${clusterId}`,
      }
    if (state === takenOver) return { ...nothing, path, state }
    const { image, unknown } = await readClusterMetadata(disk, found, () => new KraftReplay())
    if (unknown.size > 0)
      world.logger.warn(
        { path, records: Object.fromEntries(unknown) },
        "records of Apache Kafka's metadata are of types that this version does not know: passed over",
      )
    return { ...nothing, path, state, image }
  } catch (error) {
    const problem = messageOf(error)
    return { ...nothing, path: found?.path ?? null, problem }
  }
}

function readKept(disk: Disk, path: string): KeptAside | null {
  try {
    const bytes = readSmall(disk, path)
    return bytes === null ? null : decodeKeptAside(bytes)
  } catch (error) {
    throw diskError(`cannot read ${path}`, error)
  }
}

export async function keepAside(
  world: Pick<World, 'disk'>,
  path: string,
  state: string,
  image: KraftImage,
  isTaken: (topicId: string) => boolean,
): Promise<void> {
  try {
    await writeFileDurably(world.disk, path, encodeKeptAside(state, image, isTaken))
  } catch (error) {
    throw diskError(`cannot write ${path}`, error)
  }
}
