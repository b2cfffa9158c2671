import fs from 'node:fs'
import { codeOf } from '../../core/is-error.ts'
import type { NativeAddon, OpenFile } from '../native-addon.ts'
import type { Turn } from '../turn.ts'
import { COLD_CHUNK_BYTES, ColdFile, ColdReads } from './cold-reads.ts'
import { DirectFile } from './direct-file.ts'
import { DirectWriter } from './direct-writer.ts'
import { EarlyWriteback } from './early-writeback.ts'
import { GroupFlush } from './group-flush.ts'
import type { RingDriver } from './ring-driver.ts'
import { RingReader } from './ring-reader.ts'
import { StagingRing } from './staging-ring.ts'
import { RingZeroWriter, ZERO_CHUNK_BYTES } from './zero-filler.ts'
import type { ZeroWriter } from './zero-filler.ts'

export interface DirectBlocks {
  /** Null when the file system takes no writes past the page cache. */
  readonly blockBytes: number | null
  /** Why not. */
  readonly reason: string
}

/** What a lane asks of the engine it belongs to. */
export interface LaneOwner {
  readonly addon: NativeAddon
  readonly turn: Turn
  /** What a lane may take for what it writes. */
  readonly stagingBytes: number
  /** Whether a flush by way of any file of a file system flushes the device for all of them. */
  flushesAsOne(fd: number): boolean
  blocksOf(path: string, fd: number, device: number): DirectBlocks
  /** As `blocksOf`, without a word in the log. */
  probeBlocks(fd: number, device: number): DirectBlocks
  note(path: string, device: number, blocks: DirectBlocks): void
  /** Of a file that takes no writes past the page cache although others of the device do. */
  noteFile(path: string, device: number): void
}

/**
 * The way to one device: a ring, memory and a number of requests of its own. A device that does not answer any more
 * keeps what it has of them for ever, and the others go on.
 */
export class RingLane {
  readonly addon: NativeAddon
  readonly driver: RingDriver
  readonly reader: RingReader
  readonly writeback: EarlyWriteback
  readonly #owner: LaneOwner
  readonly #device: number
  readonly #coldReads: ColdReads
  #writer: DirectWriter | null = null
  #flush: GroupFlush | null | undefined
  #zeros: Buffer | null = null

  constructor(owner: LaneOwner, driver: RingDriver, device: number) {
    this.addon = owner.addon
    this.driver = driver
    this.reader = new RingReader(driver)
    this.writeback = new EarlyWriteback(driver)
    this.#owner = owner
    this.#device = device
    this.#coldReads = new ColdReads(driver, (bytes) => owner.addon.alignedBuffer(bytes))
  }

  get writer(): DirectWriter {
    const allocate = (bytes: number): Buffer => this.addon.alignedBuffer(bytes)
    this.#writer ??= new DirectWriter(this.driver, new StagingRing(allocate, this.#owner.stagingBytes))
    return this.#writer
  }

  /**
   * An open file for durable writes past the page cache: `known` again when it had one before. Null when they have to
   * be ordinary ones with a flush behind them: the file system has no such writes, which is said once, or descriptors
   * are short.
   */
  openDirect(
    path: string,
    file: OpenFile & { readonly sizeBytes: number },
    known: DirectFile | null,
  ): DirectFile | null {
    const { blockBytes } = this.#owner.blocksOf(path, file.fd, this.#device)
    if (blockBytes === null) return null
    // It may be an exception on its file system: one whose data goes through the journal.
    const alignment = this.addon.directAlignment(pathOf(file.fd))
    if (alignment === null) {
      this.#owner.noteFile(path, this.#device)
      return null
    }
    try {
      const directFd = reopenDirect(file.fd)
      if (known === null) {
        const flush = alignment.told ? this.#flushOf(file.fd) : null
        const direct = new DirectFile(directFd, file, path, blockBytes, flush)
        if (flush !== null) direct.found(Math.min(this.addon.writtenBytes(file.fd), file.sizeBytes))
        return direct
      }
      known.fd = directFd
      return known
    } catch (error) {
      const code = codeOf(error)
      if (code !== 'EMFILE' && code !== 'ENFILE') {
        this.#owner.note(path, this.#device, { blockBytes: null, reason: `it refuses O_DIRECT: ${code}` })
      }
      return null
    }
  }

  #flushOf(fd: number): GroupFlush | null {
    if (this.#flush === undefined)
      this.#flush = this.#owner.flushesAsOne(fd) ? new GroupFlush(this.#owner.turn, this.driver) : null
    return this.#flush
  }

  /** An open file for large reads past the page cache; null where the file system has no such reads. */
  coldFile(path: string, file: OpenFile): ColdFile | null {
    const { blockBytes } = this.#owner.probeBlocks(file.fd, this.#device)
    if (blockBytes === null || COLD_CHUNK_BYTES % blockBytes !== 0) return null
    return new ColdFile(this.#coldReads, this.reader, file, path)
  }

  zeroWriter(file: DirectFile): ZeroWriter {
    this.#zeros ??= this.addon.alignedBuffer(ZERO_CHUNK_BYTES)
    return new RingZeroWriter(this.driver, this.#zeros, file)
  }
}

/** Past the page cache. By way of the descriptor: the file may have been renamed since it was opened. */
function reopenDirect(fd: number): number {
  return fs.openSync(pathOf(fd), fs.constants.O_RDWR | fs.constants.O_DIRECT)
}

export function pathOf(fd: number): string {
  return `/proc/self/fd/${fd}`
}
