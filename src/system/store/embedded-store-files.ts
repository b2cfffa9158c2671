import { isError } from '../../core/is-error.ts'
import type { Disk, DiskError, File, Logger } from '../../ports.ts'
import { SamsaError } from '../../core/samsa-error.ts'
import {
  decodeOperations,
  decodeSnapshot,
  encodeFrame,
  encodeSnapshot,
  findFrame,
  readFrame,
} from './embedded-store-codec.ts'
import type { Tree } from './embedded-store-tree.ts'

/**
 * The store's two files. They lie beside the partition directories as plain files: Kafka takes every directory
 * there for a partition and does not start when the name is not one.
 */
const LOG_NAME = 'samsa-metadata.log'
const SNAPSHOT_NAME = 'samsa-metadata.snapshot'
const UNFINISHED_NAME = 'samsa-metadata.snapshot.tmp'

/** What a directory has whose metadata is kept in it. */
export const EMBEDDED_FILES: readonly string[] = [LOG_NAME, SNAPSHOT_NAME]

function failed(what: string, cause: unknown): SamsaError {
  const why = isError(cause) ? `: ${cause.message}` : ''
  return new SamsaError('SAMSA_METADATA_STORE', `the metadata store cannot ${what}${why}`, cause)
}

/** What was confirmed is not there, and nobody can tell what it was. */
function lost(what: string): SamsaError {
  const way =
    'with both files moved away, topics are taken over as they lie in the log directories, and nothing of them is deleted'
  return failed('go on', new Error(`${what}; ${way}`))
}

function done(start: (done: (error: DiskError | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => start((error) => (error === null ? resolve() : reject(error))))
}

function readIfThere(disk: Disk, path: string): Buffer | null {
  return disk.exists(path) ? disk.readFile(path) : null
}

/** As the logs do before they are scanned: after a failed flush the page cache shows what the device does not have. */
async function forgetCached(disk: Disk, path: string): Promise<void> {
  if (!disk.exists(path)) return
  const file = disk.open(path, 'read')
  try {
    await new Promise<void>((resolve) => file.dropCached(resolve))
  } finally {
    file.close()
  }
}

/** Writes frames and snapshots, one at a time; the caller waits for each. */
export class StoreFiles {
  private readonly disk: Disk
  private readonly directory: string
  private readonly log: File
  private end: number
  private sequence: number
  /** Log size at which the next snapshot is due. */
  private snapshotDueBytes: number
  private readonly snapshotAfterBytes: number

  private constructor(
    disk: Disk,
    directory: string,
    log: File,
    end: number,
    sequence: number,
    snapshotAfterBytes: number,
  ) {
    this.disk = disk
    this.directory = directory
    this.log = log
    this.end = end
    this.sequence = sequence
    this.snapshotAfterBytes = snapshotAfterBytes
    this.snapshotDueBytes = snapshotAfterBytes
  }

  /** Fills the tree with what the files hold. Rejects with SAMSA_METADATA_STORE when they are damaged or unreadable. */
  static async open(
    disk: Disk,
    directory: string,
    logger: Logger,
    tree: Tree,
    snapshotAfterBytes: number,
  ): Promise<StoreFiles> {
    try {
      disk.makeDirectory(directory)
      const logPath = `${directory}/${LOG_NAME}`
      for (const path of [`${directory}/${SNAPSHOT_NAME}`, logPath]) await forgetCached(disk, path)
      const sequence = loadSnapshot(disk, `${directory}/${SNAPSHOT_NAME}`, tree)
      const bytes = readIfThere(disk, logPath)
      // It is made before any snapshot and never removed.
      if (bytes === null && sequence > 0) throw lost(`${logPath} is missing`)
      const replayed = replay(bytes ?? Buffer.alloc(0), sequence, tree, logPath)
      // Whoever wrote to the files before has passed this point, so the directory's own name is durable.
      if (bytes === null) await syncAncestors(disk, directory)
      const log = disk.open(logPath, 'create')
      if (bytes !== null && replayed.end < bytes.length) {
        // A durable write may leave zeros behind its end.
        if (bytes.subarray(replayed.end).some((byte) => byte !== 0)) {
          logger.warn(
            { path: logPath, droppedBytes: bytes.length - replayed.end },
            'the last change of the metadata was never confirmed and is dropped',
          )
        }
        await done((callback) => log.truncate(replayed.end, callback))
      }
      // What was read may still be in the page cache only; serving it before it is durable could take it back later.
      await done((callback) => log.sync(callback))
      await done((callback) => disk.syncDirectory(directory, callback))
      return new StoreFiles(disk, directory, log, replayed.end, replayed.sequence, snapshotAfterBytes)
    } catch (error) {
      throw error instanceof SamsaError ? error : failed(`read its files in ${directory}`, error)
    }
  }

  get snapshotIsDue(): boolean {
    return this.end >= this.snapshotDueBytes
  }

  /** Durable when resolved. */
  async append(operations: readonly Buffer[]): Promise<void> {
    const frame = encodeFrame(this.sequence + 1, operations)
    await done((callback) => this.log.write(this.end, [frame], true, callback))
    this.sequence += 1
    this.end += frame.length
  }

  /** Writes the whole tree, in place of a frame, and empties the log. Durable when resolved. */
  async snapshot(tree: Tree): Promise<void> {
    const bytes = encodeSnapshot(this.sequence + 1, tree.transaction, tree.records())
    const unfinished = `${this.directory}/${UNFINISHED_NAME}`
    const file = this.disk.open(unfinished, 'replace')
    try {
      // Not a durable write: that may leave zeros behind its end, and a snapshot ends where its file ends.
      await done((callback) => file.write(0, [bytes], false, callback))
      await done((callback) => file.sync(callback))
    } finally {
      file.close()
    }
    this.disk.rename(unfinished, `${this.directory}/${SNAPSHOT_NAME}`)
    await done((callback) => this.disk.syncDirectory(this.directory, callback))
    this.sequence += 1
    // A crash before the truncation is durable leaves frames that the snapshot's sequence number makes void.
    await done((callback) => this.log.truncate(0, callback))
    await done((callback) => this.log.sync(callback))
    this.end = 0
    this.snapshotDueBytes = Math.max(this.snapshotAfterBytes, bytes.length)
  }

  close(): void {
    this.log.close()
  }
}

/** Makes the directory's path durable; which of its parts are new cannot be told after a crash. */
async function syncAncestors(disk: Disk, directory: string): Promise<void> {
  const ancestors: string[] = []
  for (let path = directory; path !== '/';) {
    path = path.slice(0, path.lastIndexOf('/')) || '/'
    ancestors.push(path)
  }
  await Promise.all(
    ancestors.map((path) =>
      done((callback) => disk.syncDirectory(path, callback)).catch((error: unknown) => {
        // A directory that may not be read was not made by this process.
        const code = (error as DiskError).code
        if (code !== 'EACCES' && code !== 'EPERM') throw error
      }),
    ),
  )
}

function loadSnapshot(disk: Disk, path: string, tree: Tree): number {
  const bytes = readIfThere(disk, path)
  if (bytes === null) return 0
  const snapshot = decodeSnapshot(bytes)
  if (snapshot === null) throw lost(`${path} is damaged`)
  tree.load(snapshot)
  return snapshot.sequence
}

/**
 * Repeats the frames after the snapshot. Frames are written one at a time, so an incomplete one can only be the
 * last, and nobody was told that it happened. A complete one behind it means that confirmed bytes went bad.
 */
function replay(
  bytes: Buffer,
  snapshotSequence: number,
  tree: Tree,
  path: string,
): { end: number; sequence: number } {
  let sequence = snapshotSequence
  let end = 0
  for (let frame = readFrame(bytes, 0); frame !== null; frame = readFrame(bytes, end)) {
    if (frame.sequence > snapshotSequence) {
      if (frame.sequence !== sequence + 1) break
      for (const operation of decodeOperations(frame.payload)) tree.apply(operation)
      sequence = frame.sequence
    }
    end = frame.end
  }
  const later = findFrame(bytes, end, sequence)
  if (later !== null)
    throw lost(`${path} is damaged at byte ${end}: change ${sequence + 1} is unreadable and later ones exist`)
  return { end, sequence }
}
