import type { Disk, Random } from '../../ports.ts'
import { parsePartitionName } from '../directory/log-directory.ts'
import type { FutureReplica, LogDirectory } from '../directory/log-directory.ts'
import { partitionName } from '../files/checkpoints.ts'
import {
  copyBytes,
  readWhole,
  removePath,
  syncDirectory,
  syncFile,
  writeAt,
  writeWhole,
} from '../files/disk-calls.ts'
import {
  encodeGeneration,
  EPOCH_CHECKPOINT,
  GENERATION,
  INDEX_SUFFIX,
  isSegmentFile,
  LOG_SUFFIX,
  offsetOf,
  PARTITION_METADATA,
  segmentFile,
  SNAPSHOT_SUFFIX,
  TIME_INDEX_SUFFIX,
  TRANSACTION_INDEX_SUFFIX,
} from '../files/log-files.ts'
import type { Log } from '../log.ts'
import type { Segment } from '../segment/segment.ts'

/** Read and written at once. */
const CHUNK_BYTES = 256 << 10
const SIDE_SUFFIXES = [INDEX_SUFFIX, TIME_INDEX_SUFFIX, TRANSACTION_INDEX_SUFFIX, SNAPSHOT_SUFFIX]
const FUTURE = /^(.+)\.[0-9a-f]{32}-future$/
/** What recovery cut off and kept, for its owner to look at. */
const KEPT_ASIDE = /^\d{20}\.log\.corrupt-\d+$/

/** Kafka's name for a partition that is on its way into a directory. */
export function futureName(topic: string, partition: number, random: Random): string {
  return `${partitionName(topic, partition)}.${random.bytes(16).toString('hex')}-future`
}

/** The partition in the name of a directory; null when it is none that is on its way. */
export function partitionOfFuture(name: string): { topic: string; partition: number } | null {
  const match = FUTURE.exec(name)
  return match === null ? null : parsePartitionName(match[1]!)
}

/** The partition's own log cannot be read. */
export class SourceUnreadable extends Error {}

/** Before each piece: resolves to false when no more is to be copied. */
export type MayCopy = (bytes: number) => Promise<boolean>

interface CopiedSegment {
  readonly segment: Segment
  bytes: number
  /** Closed, durable, and with all that lies beside it: nothing of it changes any more. */
  whole: boolean
}

/**
 * The copy of a log in another log directory: its files, byte for byte, which follow the log until it can take over.
 *
 * Nothing in it counts before that. It is copied in rounds: each goes through the segments as they are then, takes what
 * came since the last, and takes away what the log has no more.
 */
export class FutureLog implements FutureReplica {
  readonly topic: string
  readonly partition: number
  readonly path: string
  readonly #disk: Disk
  readonly #log: Log
  readonly #copied = new Map<number, CopiedSegment>()
  /** Of the log, when the copy was begun: what was copied before a cut is of another log. */
  #cuts: number
  #endOffset: number

  private constructor(disk: Disk, log: Log, path: string) {
    this.#disk = disk
    this.#log = log
    this.topic = log.topic
    this.partition = log.partition
    this.path = path
    this.#cuts = log.cuts
    this.#endOffset = log.segments[0]!.baseOffset
  }

  /** Makes its directory. Throws what the disk throws. */
  static make(disk: Disk, random: Random, target: LogDirectory, log: Log): FutureLog {
    const path = `${target.path}/${futureName(log.topic, log.partition, random)}`
    disk.makeDirectory(path)
    return new FutureLog(disk, log, path)
  }

  get sizeBytes(): number {
    let sum = 0
    for (const { bytes } of this.#copied.values()) sum += bytes
    return sum
  }

  get offsetLag(): number {
    return Math.max(0, this.#log.logEndOffset - this.#endOffset)
  }

  /** What the log has and the copy has not. */
  get bytesBehind(): number {
    let behind = 0
    for (const segment of this.#log.segments) {
      const copied = this.#copied.get(segment.baseOffset)
      behind += segment.sizeBytes - (copied?.segment === segment ? copied.bytes : 0)
    }
    return behind
  }

  /** One round. False: `mayCopy` said no. Rejects with SourceUnreadable, or with what the disk of the copy says. */
  async copy(mayCopy: MayCopy): Promise<boolean> {
    if (this.#log.cuts !== this.#cuts) await this.#beginAgain()
    const { segments } = this.#log
    await this.#takeAwayAllBut(segments)
    for (const [i, segment] of segments.entries()) {
      const endOffset = segments[i + 1]?.baseOffset ?? this.#log.writtenEndOffset
      if (!(await this.#copySegment(segment, mayCopy))) return false
      if (this.#log.cuts !== this.#cuts) return true
      if (!segment.retired) this.#endOffset = Math.max(this.#endOffset, endOffset)
    }
    await this.#copyKeptAside(mayCopy)
    return true
  }

  /**
   * The rest, of a log that is settled while nothing is appended to it. False: it has to be settled again. When it resolves to
   * true, the directory is durable and holds what a clean stop would leave there, and the number of the move.
   */
  async finish(generation: number): Promise<boolean> {
    const always = (): Promise<boolean> => Promise.resolve(true)
    if (!(await this.copy(always)) || this.#log.cuts !== this.#cuts) return false
    const { segments } = this.#log
    const active = segments.at(-1)!
    if (
      segments.some((segment) => segment !== active && this.#copied.get(segment.baseOffset)?.whole !== true)
    )
      return false
    if (this.#copied.get(active.baseOffset)?.bytes !== active.sizeBytes) return false
    const whole = new Set(
      segments.filter((segment) => segment !== active).map(({ baseOffset }) => baseOffset),
    )
    const names = this.#disk.list(this.#log.directory).filter(isOfLog)
    for (const name of names) if (!whole.has(offsetOf(name))) await this.#copySmall(name)
    await writeWhole(this.#disk, `${this.path}/${GENERATION}`, encodeGeneration(generation), true, 'replace')
    const wanted = new Set([...names, GENERATION])
    for (const name of this.#disk.list(this.path)) {
      const isLog = name.endsWith(LOG_SUFFIX) || KEPT_ASIDE.test(name)
      if (!isLog && !wanted.has(name)) await removePath(this.#disk, `${this.path}/${name}`)
    }
    await syncDirectory(this.#disk, this.path)
    return true
  }

  /** All that was copied is of a log that is no more. */
  async #beginAgain(): Promise<void> {
    this.#cuts = this.#log.cuts
    await this.#takeAwayAllBut([])
    this.#endOffset = this.#log.segments[0]!.baseOffset
  }

  async #takeAwayAllBut(segments: readonly Segment[]): Promise<void> {
    const kept = new Set(segments)
    for (const [baseOffset, { segment }] of this.#copied) {
      if (kept.has(segment) && !segment.retired) continue
      this.#copied.delete(baseOffset)
      for (const suffix of [LOG_SUFFIX, ...SIDE_SUFFIXES]) {
        const path = segmentFile(this.path, baseOffset, suffix)
        if (this.#disk.exists(path)) await removePath(this.#disk, path)
      }
    }
  }

  async #copySegment(segment: Segment, mayCopy: MayCopy): Promise<boolean> {
    const copied = this.#copied.get(segment.baseOffset) ?? { segment, bytes: 0, whole: false }
    if (copied.segment !== segment || copied.whole) return true
    this.#copied.set(segment.baseOffset, copied)
    // As they are now: a producer that is faster than the copy must not keep the round from ending.
    const endBytes = this.#log.readableBytes(segment)
    const closed = segment.state === 'closed'
    const file = this.#disk.open(segmentFile(this.path, segment.baseOffset, LOG_SUFFIX), 'create')
    try {
      const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, Math.max(0, endBytes - copied.bytes)))
      while (copied.bytes < endBytes) {
        const length = Math.min(chunk.length, endBytes - copied.bytes)
        if (!(await mayCopy(length))) return false
        const bytesRead = await this.#read(segment, copied.bytes, chunk.subarray(0, length))
        if (segment.retired || this.#log.cuts !== this.#cuts) return true
        await writeAt(file, copied.bytes, [chunk.subarray(0, bytesRead)], false)
        copied.bytes += bytesRead
      }
      await syncFile(file)
    } finally {
      file.close()
    }
    if (closed) await this.#complete(copied)
    return true
  }

  async #complete(copied: CopiedSegment): Promise<void> {
    const { baseOffset } = copied.segment
    for (const suffix of SIDE_SUFFIXES) {
      const path = segmentFile(this.#log.directory, baseOffset, suffix)
      if (this.#disk.exists(path)) await this.#copySmall(path.slice(this.#log.directory.length + 1))
    }
    copied.whole = !copied.segment.retired
  }

  /** Zero when the segment left the log meanwhile. */
  async #read(segment: Segment, position: number, into: Buffer): Promise<number> {
    try {
      const bytesRead = await segment.read(position, into)
      if (bytesRead > 0 || segment.retired || this.#log.cuts !== this.#cuts) return bytesRead
      throw new Error(`${segment.path} ends at ${position}`)
    } catch (error) {
      if (segment.retired) return 0
      throw new SourceUnreadable(`cannot read ${segment.path}`, { cause: error })
    }
  }

  async #copySmall(name: string): Promise<void> {
    let bytes: Buffer | null
    try {
      bytes = await readWhole(this.#disk, `${this.#log.directory}/${name}`)
    } catch (error) {
      throw new SourceUnreadable(`cannot read ${this.#log.directory}/${name}`, { cause: error })
    }
    if (bytes !== null) await writeWhole(this.#disk, `${this.path}/${name}`, bytes, true, 'replace')
  }

  /** Once: nothing is added to them. */
  async #copyKeptAside(mayCopy: MayCopy): Promise<void> {
    for (const name of this.#disk.list(this.#log.directory)) {
      if (!KEPT_ASIDE.test(name) || this.#disk.exists(`${this.path}/${name}`)) continue
      const from = this.#disk.open(`${this.#log.directory}/${name}`, 'read')
      const path = `${this.path}/${name}`
      try {
        if (!(await mayCopy(from.sizeBytes))) return
        const to = this.#disk.open(`${path}.tmp`, 'replace')
        try {
          await copyBytes(from, to, from.sizeBytes)
        } finally {
          to.close()
        }
      } finally {
        from.close()
      }
      this.#disk.rename(`${path}.tmp`, path)
    }
  }
}

/** What goes along beside the log files. Not what is on its way in or out of the log. */
function isOfLog(name: string): boolean {
  if (name === PARTITION_METADATA || name === EPOCH_CHECKPOINT) return true
  return isSegmentFile(name, SIDE_SUFFIXES)
}
