import type { BlockIo } from '../load/spec.ts'

/** What a probe process is asked and what it answers. Plain data: it crosses an IPC channel. */

interface ProbeBase {
  /** Empty, on the disk in question, removed afterwards by who made it. */
  readonly directory: string
  /** `stat` of the block device, or empty. */
  readonly blockStatPath: string
}

/** 4 KiB over written bytes, one at a time, on the device when the call returns (O_DSYNC). */
export interface FlushProbe extends ProbeBase {
  readonly kind: 'flush'
  readonly measureMs: number
}

/** The addon's ring alone: zero-written files, O_DIRECT | O_DSYNC, round robin. */
export interface RingProbe extends ProbeBase {
  readonly kind: 'ring'
  readonly files: number
  readonly inFlight: number
  readonly writeBytes: number
  readonly measureMs: number
}

/** Appends in turn to many files or to one, every append on the device before it counts. */
export interface FilesProbe extends ProbeBase {
  readonly kind: 'files'
  readonly method: FilesMethod
  readonly files: number
  readonly appends: number
  readonly writeBytes: number
}

/** Reads of 1 MiB from the device, past the page cache. */
export interface ReadProbe extends ProbeBase {
  readonly kind: 'read'
  readonly inFlight: number
  readonly fileBytes: number
  readonly measureMs: number
}

/**
 * `fsync`: write and fsync, one append at a time. `threads`: write and fdatasync in Node's thread pool, 64 files at
 * a time. `ring-1`, `ring-256`: the addon, into files written with zeros before, so many appends in flight.
 */
export type FilesMethod = 'fsync' | 'threads' | 'ring-1' | 'ring-256'

export type Probe = FlushProbe | RingProbe | FilesProbe | ReadProbe

export interface FlushResult {
  readonly count: number
  /** Microseconds. */
  readonly p50: number
  readonly p99: number
  readonly perSecond: number
  readonly block: BlockIo | null
}

export interface RingResult {
  readonly files: number
  readonly inFlight: number
  readonly writeBytes: number
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
  /** Microseconds per write, of the process, user and system. */
  readonly cpuUs: number
  readonly writes: number
  readonly block: BlockIo | null
}

export interface FilesResult {
  readonly method: FilesMethod
  readonly files: number
  readonly appends: number
  readonly writeBytes: number
  readonly perSecond: number
  readonly cpuUs: number
  readonly block: BlockIo | null
}

export interface ReadResult {
  readonly bytesPerSecond: number
}

export type ProbeReply =
  | { readonly kind: 'result'; readonly result: FlushResult | RingResult | FilesResult | ReadResult }
  /** The machine cannot do it: no addon, no io_uring. */
  | { readonly kind: 'unavailable'; readonly message: string }
  | { readonly kind: 'failed'; readonly message: string }
