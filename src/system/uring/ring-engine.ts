import fs from 'node:fs'
import type { Logger } from '../../ports.ts'
import { COLD_CHUNK_BYTES, ColdFile, ColdReads } from './cold-reads.ts'
import { DirectFile } from './direct-file.ts'
import { DirectWriter } from './direct-writer.ts'
import type { NativeAddon } from '../native-addon.ts'
import { EarlyWriteback } from './early-writeback.ts'
import { GroupFlush } from './group-flush.ts'
import { RingDriver } from './ring-driver.ts'
import { RingReader } from './ring-reader.ts'
import { StagingRing } from './staging-ring.ts'
import type { Turn } from '../turn.ts'
import { RingZeroWriter, ZERO_CHUNK_BYTES } from './zero-filler.ts'
import type { ZeroWriter } from './zero-filler.ts'

/** Smaller blocks would save little and cost a read-modify-write inside of many devices. */
const MIN_BLOCK_BYTES = 4096
const MAX_BLOCK_BYTES = 65_536
/** What the staging memory is aligned to. */
const MEMORY_ALIGNMENT = 4096
export const DEFAULT_STAGING_BYTES = 64 << 20

export interface DirectBlocks {
  /** Null when the file system takes no writes past the page cache. */
  readonly blockBytes: number | null
  /** Why not. */
  readonly reason: string
}

/**
 * File systems (`f_type`) that overwrite blocks in place and whose fdatasync flushes the device even when it finds
 * nothing else to do: ext4 and XFS. On others every write sees to its own durability.
 */
const FLUSHED_AS_ONE = new Set([0xef53, 0x58465342])

/** What the files of one disk share when there is io_uring. */
export class RingEngine {
  readonly addon: NativeAddon
  readonly driver: RingDriver
  readonly writer: DirectWriter
  readonly reader: RingReader
  readonly writeback: EarlyWriteback
  readonly #coldReads: ColdReads
  readonly #logger: Logger
  readonly #turn: Turn
  /** By device number. */
  readonly #flushes = new Map<number, GroupFlush | null>()
  /** By device number. */
  readonly #blocks = new Map<number, DirectBlocks>()
  #zeros: Buffer | null = null

  /** Throws what keeps the kernel from giving a ring. */
  constructor(addon: NativeAddon, turn: Turn, logger: Logger, stagingBytes = DEFAULT_STAGING_BYTES) {
    this.addon = addon
    this.driver = new RingDriver(addon, turn)
    this.writer = new DirectWriter(
      this.driver,
      new StagingRing((bytes) => addon.alignedBuffer(bytes), stagingBytes),
    )
    this.reader = new RingReader(this.driver)
    this.writeback = new EarlyWriteback(this.driver)
    this.#coldReads = new ColdReads(this.driver, (bytes) => addon.alignedBuffer(bytes))
    this.#logger = logger
    this.#turn = turn
  }

  /**
   * An open file for durable writes past the page cache: `known` again when it had one before. Null when they have to
   * be ordinary ones with a flush behind them: the file system has no such writes, which is said once, or descriptors
   * are short.
   */
  openDirect(path: string, fd: number, device: number, known: DirectFile | null): DirectFile | null {
    const { blockBytes } = this.blocksOf(path, fd, device)
    if (blockBytes === null) return null
    try {
      const directFd = reopenDirect(fd)
      if (known === null) return new DirectFile(directFd, fd, path, blockBytes, this.#flushOf(fd, device))
      known.fd = directFd
      return known
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
      if (code !== 'EMFILE' && code !== 'ENFILE') {
        this.note(path, device, { blockBytes: null, reason: `it refuses O_DIRECT: ${code}` })
      }
      return null
    }
  }

  #flushOf(fd: number, device: number): GroupFlush | null {
    const known = this.#flushes.get(device)
    if (known !== undefined) return known
    const asOne = FLUSHED_AS_ONE.has(fs.statfsSync(pathOf(fd)).type)
    const flush = asOne ? new GroupFlush(this.#turn, this.driver) : null
    this.#flushes.set(device, flush)
    return flush
  }

  /** The blocks of the file system of an open file, without a word in the log. */
  probeBlocks(fd: number, device: number): DirectBlocks {
    const blocks = this.#blocks.get(device) ?? directBlocks(this.addon, fd)
    this.#blocks.set(device, blocks)
    return blocks
  }

  /** Of all file systems known so far. */
  get blockSizes(): Set<number> {
    return new Set([...this.#blocks.values()].flatMap(({ blockBytes }) => blockBytes ?? []))
  }

  /** The blocks of the file system that an open file lies on. */
  blocksOf(path: string, fd: number, device: number): DirectBlocks {
    const known = this.#blocks.get(device)
    if (known !== undefined) return known
    const blocks = directBlocks(this.addon, fd)
    this.note(path, device, blocks)
    return blocks
  }

  note(path: string, device: number, blocks: DirectBlocks): void {
    this.#blocks.set(device, blocks)
    if (blocks.blockBytes !== null) return
    this.#logger.warn(
      { path, reason: blocks.reason },
      'no writes past the page cache on this file system: durable writes are ordinary ones with fdatasync there',
    )
  }

  /** An open file for large reads past the page cache; null where the file system has no such reads. */
  coldFile(path: string, fd: number, device: number): ColdFile | null {
    const { blockBytes } = this.probeBlocks(fd, device)
    if (blockBytes === null || COLD_CHUNK_BYTES % blockBytes !== 0) return null
    return new ColdFile(this.#coldReads, this.reader, fd, path)
  }

  zeroWriter(file: DirectFile): ZeroWriter {
    this.#zeros ??= this.addon.alignedBuffer(ZERO_CHUNK_BYTES)
    return new RingZeroWriter(this.driver, this.#zeros, file)
  }

  /** When no file is open any more. */
  close(): void {
    this.driver.close()
  }
}

function directBlocks(addon: NativeAddon, fd: number): DirectBlocks {
  const alignment = addon.directAlignment(pathOf(fd))
  if (alignment === null) return { blockBytes: null, reason: 'it has no O_DIRECT' }
  const { memoryBytes, offsetBytes } = alignment
  if (memoryBytes > MEMORY_ALIGNMENT || offsetBytes > MAX_BLOCK_BYTES) {
    return { blockBytes: null, reason: `it wants blocks of ${offsetBytes} bytes, aligned to ${memoryBytes}` }
  }
  return { blockBytes: Math.max(MIN_BLOCK_BYTES, offsetBytes), reason: '' }
}

/** Past the page cache. By way of the descriptor: the file may have been renamed since it was opened. */
function reopenDirect(fd: number): number {
  return fs.openSync(pathOf(fd), fs.constants.O_RDWR | fs.constants.O_DIRECT)
}

function pathOf(fd: number): string {
  return `/proc/self/fd/${fd}`
}
