import fs from 'node:fs'
import { messageOf } from '../../core/is-error.ts'
import type { Logger } from '../../ports.ts'
import type { NativeAddon } from '../native-addon.ts'
import type { Turn } from '../turn.ts'
import { RingDriver } from './ring-driver.ts'
import { pathOf, RingLane } from './ring-lane.ts'
import type { DirectBlocks, LaneOwner } from './ring-lane.ts'

/** Smaller blocks would save little and cost a read-modify-write inside of many devices. */
const MIN_BLOCK_BYTES = 4096
const MAX_BLOCK_BYTES = 65_536
/** What the staging memory is aligned to. */
const MEMORY_ALIGNMENT = 4096
export const DEFAULT_STAGING_BYTES = 64 << 20

/**
 * The file system (`f_type`) that overwrites blocks in place and whose fdatasync flushes the device even when it finds
 * nothing else to do: ext4. On others every write sees to its own durability; XFS too, where a file may share its
 * blocks with a copy (reflink), and writing over them changes where they lie.
 */
const FLUSHED_AS_ONE = 0xef53

/** What the files of one disk share when there is io_uring: a lane for each device, and what is known of the devices. */
export class RingEngine implements LaneOwner {
  readonly addon: NativeAddon
  readonly turn: Turn
  readonly #logger: Logger
  readonly #stagingBytes: number
  /** Made first, to see whether there can be one; the first device gets it. */
  #firstDriver: RingDriver | null
  readonly #drivers: RingDriver[] = []
  /** By device number. */
  readonly #lanes = new Map<number, RingLane>()
  readonly #blocks = new Map<number, DirectBlocks>()
  /** Devices with files that are exceptions on them. */
  readonly #exceptions = new Set<number>()

  /** Throws what keeps the kernel from giving a ring. */
  constructor(addon: NativeAddon, turn: Turn, logger: Logger, stagingBytes = DEFAULT_STAGING_BYTES) {
    this.addon = addon
    this.turn = turn
    this.#logger = logger
    this.#stagingBytes = stagingBytes
    this.#firstDriver = new RingDriver(addon, turn)
    this.#drivers.push(this.#firstDriver)
  }

  /** Devices share the memory that the configuration allows. */
  get stagingBytes(): number {
    return this.#stagingBytes / Math.max(1, this.#lanes.size)
  }

  lane(device: number): RingLane {
    const known = this.#lanes.get(device)
    if (known !== undefined) return known
    const driver = this.#firstDriver ?? this.#anotherDriver()
    this.#firstDriver = null
    const lane = new RingLane(this, driver, device)
    this.#lanes.set(device, lane)
    return lane
  }

  /** With too few descriptors or too little memory for a second ring the devices share one. */
  #anotherDriver(): RingDriver {
    try {
      const driver = new RingDriver(this.addon, this.turn)
      this.#drivers.push(driver)
      return driver
    } catch (error) {
      const reason = messageOf(error)
      this.#logger.warn({ reason }, 'no io_uring of its own for another device: if one of them hangs, all do')
      return this.#drivers[0]!
    }
  }

  flushesAsOne(fd: number): boolean {
    return fs.statfsSync(pathOf(fd)).type === FLUSHED_AS_ONE
  }

  probeBlocks(fd: number, device: number): DirectBlocks {
    const blocks = this.#blocks.get(device) ?? directBlocks(this.addon, fd)
    this.#blocks.set(device, blocks)
    return blocks
  }

  /** Of all file systems known so far. */
  get blockSizes(): Set<number> {
    return new Set([...this.#blocks.values()].flatMap(({ blockBytes }) => blockBytes ?? []))
  }

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

  noteFile(path: string, device: number): void {
    if (this.#exceptions.has(device)) return
    this.#exceptions.add(device)
    this.#logger.warn(
      { path },
      'this file takes no writes past the page cache (chattr +j?): durable writes to it, and to others like it, are ordinary ones with fdatasync',
    )
  }

  /** When no file is open any more. */
  close(): void {
    for (const driver of this.#drivers) driver.close()
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
