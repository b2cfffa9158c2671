import { randomUUID } from 'node:crypto'
import fs from 'node:fs'
import { join } from 'node:path'
import { codeOf, messageOf } from '../../core/is-error.ts'
import { SamsaError } from '../../core/samsa-error.ts'
import type { Logger } from '../../ports.ts'
import { DIRECTORY_MODE, openFile } from './file-gate.ts'
import { errnoName, fromErrno } from '../disk-failure.ts'
import { loadNativeAddon } from '../native-addon.ts'
import type { NativeAddon, Ring } from '../native-addon.ts'
import type { RingDriver } from '../uring/ring-driver.ts'
import { RingEngine } from '../uring/ring-engine.ts'
import type { Turn } from '../turn.ts'

/** `samsa.io`. */
export type IoMode = 'auto' | 'uring' | 'threads'

export interface EngineChoice {
  readonly io: 'uring' | 'threads'
  /** A sentence for the log: how durable writes reach the device, and why not by io_uring. */
  readonly description: string
  readonly addon: NativeAddon | null
  /** For `uring` only. */
  readonly ring: RingEngine | null
}

export interface EngineOptions {
  readonly mode: IoMode
  /** Where the data will lie; made when they are missing. */
  readonly directories: readonly string[]
  readonly stagingBytes?: number
  readonly logger: Logger
}

const THREADS = 'durable writes go through the page cache, with fdatasync on the thread pool'

/**
 * Finds out by trying how durable writes can reach the device. `auto` takes io_uring when a write past the page cache
 * and the read of it succeed in a directory of the data; `uring` insists on that for every directory, and rejects
 * with what is in the way.
 */
export async function chooseEngine(turn: Turn, options: EngineOptions): Promise<EngineChoice> {
  const { addon, reason } = loadNativeAddon()
  const threads = (why: string): EngineChoice => {
    if (options.mode === 'uring')
      throw new SamsaError('SAMSA_DISK_IO', `samsa.io=uring cannot be had: ${why}`)
    return { io: 'threads', description: `${THREADS} (${why})`, addon, ring: null }
  }
  if (options.mode === 'threads') return threads('samsa.io=threads')
  // Whoever opens them tells what is wrong with them.
  if (options.directories.length === 0) {
    return { io: 'threads', description: `${THREADS} (no log directory can be used)`, addon, ring: null }
  }
  if (addon === null) return threads(`no io_uring without the native addon: ${reason}`)
  let ring: RingEngine
  try {
    ring = new RingEngine(addon, turn, options.logger, options.stagingBytes)
  } catch (error) {
    return threads(explainRing(error))
  }
  const refusals: Refusal[] = []
  for (const directory of options.directories) {
    const refusal = await probe(ring, directory)
    if (refusal !== null) refusals.push(refusal)
  }
  if (refusals.length === options.directories.length || (refusals.length > 0 && options.mode === 'uring')) {
    ring.close()
    return threads(refusals.map(({ directory, reason: why }) => `${directory}: ${why}`).join('; '))
  }
  // The others have io_uring.
  for (const { directory, device, reason: why } of refusals) {
    ring.note(directory, device, { blockBytes: null, reason: why })
  }
  const blocks = [...ring.blockSizes].join(', ')
  return {
    io: 'uring',
    description: `durable writes go past the page cache by io_uring, in blocks of ${blocks} bytes`,
    addon,
    ring,
  }
}

function explainRing(error: unknown): string {
  const code = codeOf(error)
  const why =
    {
      ENOSYS: 'this kernel has none',
      EPERM: 'it is forbidden here, by a seccomp profile (containers have one) or kernel.io_uring_disabled',
      EACCES: 'it is forbidden here',
      ENOMEM: 'the limit of locked memory (ulimit -l) is too low',
      EMFILE: 'no file descriptor is left',
    }[code] ?? 'the kernel refused it'
  return `no io_uring: ${why} (${code})`
}

interface Refusal {
  readonly directory: string
  readonly device: number
  readonly reason: string
}

/** Writes a block past the page cache and reads it back. Null when it is all there. */
async function probe(ring: RingEngine, directory: string): Promise<Refusal | null> {
  // Were it to end in a dash and digits, a file that a crash leaves behind would be taken for a partition.
  const path = join(directory, `.samsa-io-probe-${randomUUID()}.tmp`)
  let fd = -1
  let device = -1
  try {
    fs.mkdirSync(directory, { recursive: true, mode: DIRECTORY_MODE })
    fd = openFile(path, fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_EXCL).fd
    // The descriptor is all that is needed, and a name that is gone already outlives no crash.
    fs.rmSync(path)
    device = fs.fstatSync(fd).dev
    const reason = await writeAndRead(ring, path, fd, device)
    return reason === null ? null : { directory, device, reason }
  } catch (error) {
    return { directory, device, reason: messageOf(error) }
  } finally {
    if (fd >= 0) fs.closeSync(fd)
  }
}

/** Resolves to what is wrong; null for nothing. */
async function writeAndRead(
  ring: RingEngine,
  path: string,
  fd: number,
  device: number,
): Promise<string | null> {
  const { blockBytes, reason } = ring.probeBlocks(fd, device)
  if (blockBytes === null) return reason
  const direct = fs.openSync(`/proc/self/fd/${fd}`, fs.constants.O_RDWR | fs.constants.O_DIRECT)
  try {
    const block = ring.addon.alignedBuffer(2 * blockBytes)
    block.fill(path, 0, blockBytes)
    const { driver } = ring.lane(device)
    const written = await operation(driver, (r, id) => r.write(id, direct, block, 0, blockBytes, 0, true))
    if (written < 0) return `a write past the page cache fails with ${errnoName(written)}`
    const read = await operation(driver, (r, id) =>
      r.read(id, direct, block, blockBytes, blockBytes, 0, false),
    )
    if (read < 0) throw fromErrno(read, 'read', path)
    const same = block.compare(block, blockBytes, 2 * blockBytes, 0, blockBytes) === 0
    if (written !== blockBytes || read !== blockBytes || !same) return 'what was written is not what is read'
    return null
  } finally {
    fs.closeSync(direct)
  }
}

function operation(driver: RingDriver, queue: (ring: Ring, id: number) => number): Promise<number> {
  return new Promise((resolve) => driver.start({ queue, ended: resolve }))
}
