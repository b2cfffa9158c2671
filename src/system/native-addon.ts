/**
 * What Node.js lacks and the kernel has: io_uring, sendfile, CRC-32C at memory speed, a look into the page cache.
 * Written in C (`src/system/native`), Linux only, and optional everywhere: without it the broker does the same with
 * Node's own calls. Operating errors are negative errno numbers, as the kernel gives them; only a wrong argument throws.
 */
import { existsSync } from 'node:fs'
import type * as NodeRsCrc32 from '@node-rs/crc32'
import { createRequire } from 'node:module'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { useCrc32c } from '../../protocol/crc32c.ts'
import type { Crc32c } from '../../protocol/crc32c.ts'
import { messageOf } from '../core/is-error.ts'
import { addonFile } from './native/addon-file.ts'

export interface NativeAddon {
  /** CRC-32C; `seed` is the checksum of what came before, 0 at the beginning. */
  readonly crc32c: (data: Uint8Array, seed: number) => number
  /**
   * Decompresses records in memory of its own and looks at each. True when all `recordCount` are as they should be, their
   * offsets their places, and they and nothing else are there: then `into` has the least and the greatest timestamp delta,
   * and not 0 where one has no key. False says nothing: what is unusual, or becomes longer than `maxBytes`, is not looked
   * at here. Null: it has no decoder of this codec; that of zstd, for one frame, is Node.js's own (22.15).
   */
  readonly summarize: (
    codec: number,
    records: Uint8Array,
    recordCount: number,
    maxBytes: number,
    into: Float64Array,
  ) => boolean | null
  /** Gives memory that was freed back to the system; takes some milliseconds. */
  trimMemory(): void
  /** How it can be computed here, the quickest first: `vpclmulqdq`, `sse4.2`, `armv8`, `table`. */
  readonly crc32cMethods: readonly string[]
  /** As `crc32c`, which takes the first method, by the one of this index. */
  crc32cBy(method: number, data: Uint8Array, seed: number): number
  /** Bytes that a socket took from a file, or -EAGAIN when it takes none now. Blocks on what is not in memory. */
  sendfile(socketFd: number, fileFd: number, position: number, length: number): number
  /** How many of these bytes are in the page cache; -ENOSYS before Linux 6.5. */
  cachedBytes(fd: number, position: number, length: number): number
  /** As read(2) from the page cache: fewer bytes when only the first are there, -EAGAIN when none is. 0 is the end. */
  readNow(fd: number, buffer: Uint8Array, offset: number, length: number, position: number): number
  /**
   * Of a regular file that exists. Null when it cannot be had with O_DIRECT. Before Linux 6.1 the kernel does not
   * tell, and 4 KiB is the answer: only a write shows whether it holds.
   */
  directAlignment(path: string): DirectAlignment | null
  /**
   * Locks the whole file for whoever has this descriptor, until it is closed or the process ends. 0, or a negative
   * errno: -EAGAIN when it is locked, be it by another process or by another descriptor of this one.
   */
  lockFile(fd: number): number
  /** The process whose record lock bars `lockFile`; 0 when there is none, or one that belongs to a descriptor. */
  lockOwner(fd: number): number
  /**
   * From its start on, the bytes of a file whose blocks exist, hold what was written and belong to it alone, so that
   * writing over them changes nothing else; the file system's view, which the device may not have yet. Or a negative
   * errno.
   */
  writtenBytes(fd: number): number
  /** Zeroed memory of its own that begins at a 4 KiB boundary. */
  alignedBuffer(bytes: number): Buffer
  /**
   * Writes to many files into the page cache, as one job of the thread pool. File `fds[i]` gets the next `counts[i]`
   * of the buffers at `positions[i]`; `done` gets for each the bytes written (all of them) or a negative errno. The
   * buffers belong to the addon until then, and so does their list.
   */
  writeAll(
    fds: Int32Array,
    positions: Float64Array,
    counts: Int32Array,
    buffers: readonly Uint8Array[],
    done: (results: readonly number[]) => void,
  ): void
  readonly Ring: RingConstructor
}

/** What has a descriptor while something is under way in it. */
export interface OpenFile {
  readonly fd: number
}

export interface DirectAlignment {
  /** What addresses of memory must be a multiple of. */
  readonly memoryBytes: number
  /** What positions and lengths must be a multiple of. */
  readonly offsetBytes: number
  /** The kernel said so of this very file; otherwise it is a guess. */
  readonly told: boolean
}

/** Throws an Error with the system's `code` where there is no io_uring (ENOSYS, EPERM under seccomp, ENOMEM ...). */
export type RingConstructor = new (entries: number, onCompletions: (count: number) => void) => Ring

/**
 * An io_uring. At most `entries` operations (rounded up to a power of two) are queued or under way at once; one more
 * gets -EBUSY. What is queued starts with `submit`. `id` is any 32-bit integer and comes back with the result, which
 * is that of the system call: bytes, 0, or a negative errno. Buffers are held until their completion; they must
 * neither be detached nor transferred before. A length or a position is not checked against the file.
 */
export interface Ring {
  /** Pairs of id and result, `count` of them, valid during `onCompletions`. */
  readonly completions: Int32Array
  /** `dsync`: the result says that the bytes are on the device (RWF_DSYNC; not needed on an O_DSYNC descriptor). */
  write(
    id: number,
    fd: number,
    buffer: Uint8Array,
    offset: number,
    length: number,
    position: number,
    dsync: boolean,
  ): number
  /**
   * `elsewhere`: a thread of the kernel reads. Otherwise what the page cache holds is copied by the thread that
   * submits, which for a large read of few cached bytes stops it again and again.
   */
  read(
    id: number,
    fd: number,
    buffer: Uint8Array,
    offset: number,
    length: number,
    position: number,
    elsewhere: boolean,
  ): number
  fdatasync(id: number, fd: number): number
  /** `length` below 4 GiB; 0 is up to the end. */
  syncFileRange(id: number, fd: number, position: number, length: number, flags: number): number
  /** `mode`: see allocate. */
  fallocate(id: number, fd: number, mode: number, position: number, length: number): number
  /** `advice`: see advise. */
  fadvise(id: number, fd: number, position: number, length: number, advice: number): number
  /**
   * Starts what is queued. Operations started, or a negative errno; what the kernel did not take stays queued, and
   * the ring hands it over in the next turn of the event loop by itself.
   */
  submit(): number
  /**
   * Takes the completions that are there, without waiting for the event loop to see them: how many, in `completions`;
   * `onCompletions` is not called for them.
   */
  reap(): number
  /** Whether operations under way keep the event loop alive. They do at first. */
  ref(): void
  unref(): void
  /**
   * Nothing more is accepted (-EBADF), queued operations end with -ECANCELED. What is under way is still reported;
   * the ring is gone after the last of it.
   */
  close(): void
}

/** Flags of sync_file_range. */
export const syncRange = { waitBefore: 1, write: 2, waitAfter: 4 } as const
/** Modes of fallocate. */
export const allocate = { keepSize: 0x01, punchHole: 0x02, zeroRange: 0x10, writeZeroes: 0x80 } as const
/** Advice of posix_fadvise. */
export const advise = { normal: 0, random: 1, sequential: 2, willNeed: 3, dontNeed: 4 } as const

export interface LoadedAddon {
  readonly addon: NativeAddon | null
  /** Where it lies, for other threads; null when there is none. */
  readonly file: string | null
  /** Why there is none; null when there is one. */
  readonly reason: string | null
}

let loaded: LoadedAddon | null = null

/**
 * Loads the addon, once. Checksums are computed by it from then on, or by the npm package for them where there is no
 * addon: npm leaves it out where it has no binary, and with `--omit=optional`. `SAMSA_NATIVE=off` turns the addon off.
 */
export function loadNativeAddon(): LoadedAddon {
  if (loaded === null) {
    loaded = load()
    const quicker = loaded.addon?.crc32c ?? packageCrc32c()
    if (quicker !== null) useCrc32c(quicker)
  }
  return loaded
}

function packageCrc32c(): Crc32c | null {
  try {
    const { crc32c } = createRequire(import.meta.url)('@node-rs/crc32') as typeof NodeRsCrc32
    return crc32c
  } catch {
    return null
  }
}

function load(): LoadedAddon {
  if (process.env['SAMSA_NATIVE'] === 'off') return missing('it is turned off by SAMSA_NATIVE=off')
  if (process.platform !== 'linux') return missing(`there is none for ${process.platform}`)
  const name = addonFile()
  // The same path from dist/src/system and from the bundle in dist/lib/esm.
  const file = fileURLToPath(new URL(`../../native/${name}`, import.meta.url))
  if (!existsSync(file)) return missing(`${name} is not in this installation (npm run build:native makes it)`)
  try {
    const addon: NativeAddon = createRequire(import.meta.url)(file)
    return { addon, file, reason: null }
  } catch (error) {
    return missing(`${name} cannot be loaded: ${messageOf(error)}`)
  }
}

function missing(reason: string): LoadedAddon {
  return { addon: null, file: null, reason }
}
