import { isError } from '../../core/is-error.ts'
import { METADATA_LOG, METADATA_SNAPSHOT } from '../../core/metadata-files.ts'
import type { Disk, DiskError, File, Logger } from '../../ports.ts'
import { SamsaError } from '../../core/samsa-error.ts'
import { ConfirmedMark } from './confirmed-mark.ts'
import { settled } from './disk-calls.ts'
import {
  decodeOperations,
  decodeSnapshot,
  encodeFrame,
  encodeSnapshot,
  findFrame,
  readFrame,
} from './embedded-store-codec.ts'
import type { Tree } from './embedded-store-tree.ts'

const UNFINISHED_NAME = `${METADATA_SNAPSHOT}.tmp`

function failed(what: string, cause: unknown): SamsaError {
  const why = isError(cause) ? `: ${cause.message}` : ''
  return new SamsaError('SAMSA_METADATA_STORE', `the metadata store cannot ${what}${why}`, cause)
}

/** What was confirmed is not there, and nobody can tell what it was. */
function lost(what: string): SamsaError {
  const way =
    'with samsa-metadata.log and samsa-metadata.snapshot moved away, topics are taken over as they lie in the log directories, and nothing of them is deleted'
  return failed('go on', new Error(`${what}; ${way}`))
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

/**
 * Writes frames and snapshots, one at a time; the caller waits for each.
 *
 * The two files, and the third of `ConfirmedMark`, lie beside the partition directories as plain files: Kafka takes
 * every directory there for a partition and does not start when the name is not one.
 */
export class StoreFiles {
  private readonly disk: Disk
  private readonly directory: string
  private readonly log: File
  private readonly mark: ConfirmedMark
  private end: number
  private sequence: number
  /** Log size at which the next snapshot is due. */
  private snapshotDueBytes: number
  private readonly snapshotAfterBytes: number

  private constructor(
    disk: Disk,
    directory: string,
    log: File,
    mark: ConfirmedMark,
    end: number,
    sequence: number,
    snapshotAfterBytes: number,
  ) {
    this.disk = disk
    this.directory = directory
    this.log = log
    this.mark = mark
    this.end = end
    this.sequence = sequence
    this.snapshotAfterBytes = snapshotAfterBytes
    this.snapshotDueBytes = snapshotAfterBytes
    mark.confirm(sequence)
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
      const logPath = `${directory}/${METADATA_LOG}`
      for (const path of [`${directory}/${METADATA_SNAPSHOT}`, logPath]) await forgetCached(disk, path)
      const sequence = loadSnapshot(disk, `${directory}/${METADATA_SNAPSHOT}`, tree)
      const bytes = readIfThere(disk, logPath)
      // It is made before any snapshot and never removed.
      if (bytes === null && sequence > 0) throw lost(`${logPath} is missing`)
      if (bytes === null) await ConfirmedMark.remove(disk, directory)
      const replayed = replay(bytes ?? Buffer.alloc(0), sequence, tree, logPath)
      refuseLoss(replayed, ConfirmedMark.read(disk, directory), logPath)
      // Whoever wrote to the files before has passed this point, so the directory's own name is durable.
      if (bytes === null) await syncAncestors(disk, directory)
      const log = disk.open(logPath, 'create')
      const mark = new ConfirmedMark(disk, directory, logger)
      if (bytes !== null && replayed.end < bytes.length) {
        // A durable write may leave zeros behind its end.
        if (bytes.subarray(replayed.end).some((byte) => byte !== 0)) {
          logger.warn(
            { path: logPath, droppedBytes: bytes.length - replayed.end },
            'the last change of the metadata was never confirmed and is dropped',
          )
        }
        await settled((done) => log.truncate(replayed.end, done))
      }
      // What was read may still be in the page cache only; serving it before it is durable could take it back later.
      await settled((done) => log.sync(done))
      await settled((done) => disk.syncDirectory(directory, done))
      return new StoreFiles(disk, directory, log, mark, replayed.end, replayed.sequence, snapshotAfterBytes)
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
    await settled((done) => this.log.write(this.end, [frame], true, done))
    this.confirmed()
    this.end += frame.length
  }

  /** Writes the whole tree, in place of a frame, and empties the log. Durable when resolved. */
  async snapshot(tree: Tree): Promise<void> {
    const bytes = encodeSnapshot(this.sequence + 1, tree.transaction, tree.records())
    const unfinished = `${this.directory}/${UNFINISHED_NAME}`
    const file = this.disk.open(unfinished, 'replace')
    try {
      // Not a durable write: that may leave zeros behind its end, and a snapshot ends where its file ends.
      await settled((done) => file.write(0, [bytes], false, done))
      await settled((done) => file.sync(done))
    } finally {
      file.close()
    }
    this.disk.rename(unfinished, `${this.directory}/${METADATA_SNAPSHOT}`)
    await settled((done) => this.disk.syncDirectory(this.directory, done))
    this.confirmed()
    // A crash before the truncation is durable leaves frames that the snapshot's sequence number makes void.
    await settled((done) => this.log.truncate(0, done))
    await settled((done) => this.log.sync(done))
    this.end = 0
    this.snapshotDueBytes = Math.max(this.snapshotAfterBytes, bytes.length)
  }

  async close(): Promise<void> {
    this.log.close()
    await this.mark.close()
  }

  private confirmed(): void {
    this.sequence += 1
    this.mark.confirm(this.sequence)
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
      settled((done) => disk.syncDirectory(path, done)).catch((error: unknown) => {
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

/** A last frame that is not whole was never confirmed, unless it is known that it was. */
function refuseLoss({ end, sequence }: Replayed, confirmed: number, path: string): void {
  if (sequence >= confirmed) return
  const missing = confirmed - sequence
  const what = missing === 1 ? 'a confirmed change is' : `${missing} confirmed changes are`
  throw lost(`${path} is damaged or cut short at byte ${end}: ${what} missing behind change ${sequence}`)
}

interface Replayed {
  readonly end: number
  readonly sequence: number
}

/**
 * Repeats the frames after the snapshot. Frames are written one at a time, so an incomplete one can only be the
 * last, and nobody was told that it happened. A complete one behind it means that confirmed bytes went bad.
 */
function replay(bytes: Buffer, snapshotSequence: number, tree: Tree, path: string): Replayed {
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
