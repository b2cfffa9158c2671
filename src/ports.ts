/**
 * The world a broker stands in. Types only.
 *
 * Everything the broker does not decide for itself (time, chance, sockets, files, the metadata store, where logs
 * and figures go) comes in through these interfaces. `src/system` implements them on Node.js, the simulator
 * implements them under a seed, and the broker's own code cannot tell which of the two it runs on.
 *
 * A *turn* is one round of the event loop: everything that arrived is handled, then the end of the turn runs
 * once. Batching lives there: one submission to the disk, one write per socket.
 */

export interface World {
  readonly clock: Clock
  readonly random: Random
  readonly network: Network
  readonly disk: Disk
  readonly codecs: Codecs
  readonly logger: Logger
  readonly metrics: Metrics
}

/** What the records of a batch have in common; `protocol/records/records-summary` makes it. */
export interface RecordsSummary {
  readonly minTimestampDelta: number
  readonly maxTimestampDelta: number
  readonly hasKeyless: boolean
}

/** Codecs that do not hold the loop, and take memory for what was read, never for what that claims. */
export interface Codecs {
  /**
   * Looks at all records of a batch, decompressed, in a moment. Null says nothing of them: what takes longer, is unusual or
   * wrong is looked at record by record.
   */
  summarizeNow(codec: number, data: Buffer, recordCount: number): RecordsSummary | null
  /** The same beside the loop; `done` is called in a later turn. False when it is not: there is no room for it now. */
  summarizeBeside(
    codec: number,
    data: Buffer,
    recordCount: number,
    done: (summary: RecordsSummary | null) => void,
  ): boolean
  /** The records area of a batch in pieces, when it takes no more than a moment; otherwise null. Throws CompressionError. */
  decompressNow(codec: number, data: Buffer): readonly Buffer[] | null
  /**
   * Shows the records area in pieces of bounded size, which are valid during the call, until it ends or `piece` says
   * that no more is needed. Rejects with a CompressionError. `data` must stay as it is until then.
   */
  decompress(codec: number, data: Buffer, piece: (bytes: Buffer) => boolean): Promise<void>
  /** Every codec can be read; writing some takes a library that is not everywhere. */
  canCompress(codec: number): boolean
  /** `level`: null for the codec's own, and where it has one only. */
  compress(codec: number, level: number | null, data: Buffer): Promise<Buffer>
}

// ---------------------------------------------------------------------------------------------------- time, chance

/**
 * The three stages of the end of a turn, in this order: `append` hands collected batches to their files, `submit`
 * sends all queued file operations to the device, `reply` writes each socket once. Work that an end-of-turn
 * callback queues for an earlier or the same stage still runs in this turn, before `reply`.
 */
export type TurnStage = 'append' | 'submit' | 'reply'

export interface Clock {
  /** Wall clock, milliseconds since 1970. May jump. For timestamps that leave the process. */
  nowMs(): number
  /** Never goes back, fractions of a millisecond, arbitrary origin. For durations and deadlines. */
  monotonicMs(): number
  /** Runs once after at least `delayMs`. A timer never keeps the process alive. */
  after(delayMs: number, run: () => void): Timer
  atEndOfTurn(stage: TurnStage, run: () => void): void
}

export interface Timer {
  /** Does nothing when the timer has fired or was cancelled before. */
  cancel(): void
}

export interface Random {
  /** Uniform in [0, 2^32). */
  uint32(): number
  /** Fresh bytes, fit for ids (on Node.js from the system's secure source). */
  bytes(length: number): Buffer
}

// ------------------------------------------------------------------------------------------------------------ disk

/** An operation of the disk failed. `code` is the system's: EIO, ENOSPC, ENOENT, EMFILE ... */
export interface DiskError extends Error {
  readonly code: string
}

export type Done = (error: DiskError | null) => void
export type DoneRead = (error: DiskError | null, bytesRead: number) => void

/**
 * `read`: must exist. `update`: must exist, read and write. `create`: created when missing, read and write,
 * existing bytes stay. `replace`: created anew, whatever was there under the name.
 */
export type OpenMode = 'read' | 'update' | 'create' | 'replace'

/**
 * Paths are absolute. What only touches names is synchronous and throws a DiskError; what moves bytes or may wait
 * for the device is asynchronous. A name (create, rename, remove) is durable only after `syncDirectory` of the
 * directory that holds it; bytes are durable only after a durable write or a `sync` that was issued after the
 * write completed.
 */
export interface Disk {
  /** How many files of logs may be in use at once without taking descriptors from each other. */
  readonly maxOpenFiles: number
  open(path: string, mode: OpenMode): File
  /** Names in a directory, unsorted. Throws ENOENT when there is none. */
  list(directory: string): string[]
  /** Throws for a directory that was found to be of no use. */
  exists(path: string): boolean
  /** Creates the directory and its missing parents. */
  makeDirectory(path: string): void
  /** Replaces an existing target, atomically. Works on files and directories. */
  rename(from: string, to: string): void
  /** Removes a file, or a directory with all it holds. A missing path is no error. */
  remove(path: string, done: Done): void
  syncDirectory(path: string, done: Done): void
  /** A whole small file (checkpoints, properties). Throws ENOENT. */
  readFile(path: string): Buffer
  /** Of the volume that holds the directory: what is left, and its size. */
  freeBytes(directory: string): number
  totalBytes(directory: string): number
  /**
   * Bars other processes from the directory until released or the process ends. A holder that is about to end is waited
   * for, for some seconds; rejects with EBUSY when it is held still.
   */
  lock(directory: string, events: LockEvents): Promise<Lock>
}

export interface File {
  readonly path: string
  /**
   * Bytes in the file: its size when it was opened, then the end of the furthest completed write, reservation or
   * truncation. A durable write may leave zeros behind its end, up to the end of the device's block.
   */
  readonly sizeBytes: number
  /** Something is under way in the file, or a slice of it not released. After `close` too, until the last is done. */
  readonly busy: boolean
  /**
   * Queued until the end of the turn; all writes of a turn leave in one submission. The buffers belong to the disk
   * until `done`. With `durable`, `done(null)` means the bytes are on the device. Either every byte is written or
   * `done` gets an error. Two writes of one file never overlap in time: issue the next after `done`.
   */
  write(position: number, buffers: readonly Buffer[], durable: boolean, done: Done): void
  /** Makes all writes completed before this call durable (data and size). */
  sync(done: Done): void
  /** Reads up to `into.length` bytes; fewer only at the end of the file. */
  read(position: number, into: Buffer, done: DoneRead): void
  /** As `read`, at once, when the bytes are in memory and the device need not be asked; otherwise -1. */
  readCached(position: number, into: Buffer): number
  /**
   * The bytes for `Connection.write`, when they are in memory and the system can send them without this process
   * seeing them; otherwise null. The file stays open until the slice is released.
   */
  slice(position: number, length: number): FileSlice | null
  /**
   * Before the bytes of an earlier life of the process are believed: the page cache may show some that a failed flush
   * left off the device. What it holds is forgotten, but for bytes that are still to be written; reads ask the device.
   * Only advice: a system that cannot do it does nothing.
   */
  dropCached(done: () => void): void
  truncate(sizeBytes: number, done: Done): void
  /**
   * Makes the file at least `sizeBytes` long: what is added is zero, written and on the device, so that a durable
   * write inside of it changes no metadata. In the background, at a capped rate; writes may go on meanwhile, below
   * the end the file had when this was called as well as beyond, and win over the zeros. `done` with an error: less
   * was reserved, nothing is lost. `truncate` and `close` end it early, without one. One reservation of a file at a
   * time.
   */
  reserve(sizeBytes: number, done: Done): void
  /** Operations under way finish first. */
  close(): void
}

/** A stretch of a file on its way to a connection. */
export interface FileSlice {
  /** Bytes. */
  readonly length: number
  /** To be called once when it will not be given to a connection after all. `Connection.write` does it itself. */
  release(): void
}

/** What a connection can send. */
export type Piece = Buffer | FileSlice

export interface Lock {
  release(): void
}

export interface LockEvents {
  /** Somebody who seems to end has the directory, and is waited for up to so long. */
  waiting(holder: string, upToMs: number): void
  /** Another process has the directory now: nothing more may be written there. */
  lost(error: DiskError): void
}

// --------------------------------------------------------------------------------------------------------- network

export interface Address {
  readonly host: string
  readonly port: number
}

export interface Network {
  /** Under which others may know this machine, where nothing better is configured. */
  readonly hostName: string
  /**
   * Rejects with a DiskError-like error (EADDRINUSE, EACCES, EADDRNOTAVAIL) when the address cannot be had. Port 0 picks
   * one. `backlog`: connections that may wait to be accepted.
   */
  listen(
    address: Address,
    accept: (connection: Connection) => Receiver | null,
    backlog?: number,
  ): Promise<Listener>
  /**
   * At once; what is written before `connected` waits. Never throws: a name that nobody knows is 'unreachable'. Until then
   * `remote` is the address that was asked for, and `local` is empty.
   */
  connect(address: Address, receiver: OutgoingReceiver): Connection
}

export interface Listener {
  readonly address: Address
  /** Stops accepting. Accepted connections live on. */
  close(): Promise<void>
}

export interface Connection {
  readonly remote: Address
  readonly local: Address
  /** Bytes handed over and not yet taken by the kernel. */
  readonly unsentBytes: number
  /** Bytes that the kernel has taken since the connection opened; exact where `unsentBytes` counts a write until all of it is taken. */
  readonly sentBytes: number
  /** Queued until the `reply` stage of the turn; one write per connection and turn. The pieces belong to the network from here on. */
  write(pieces: readonly Piece[]): void
  /** Stops and restarts the delivery of bytes. Up to one slab may still arrive after `pause`. */
  pause(): void
  resume(): void
  /** Sends what is queued, then closes. */
  end(): void
  /** Closes at once. `closed` is called in a later turn. */
  destroy(): void
  /** The same, and the other side sees a connection that broke, not one that was ended. */
  reset(): void
}

/** The last two: it was never connected. */
export type CloseReason = 'ended' | 'destroyed' | 'reset' | 'refused' | 'unreachable'

/** What the broker gives for each accepted connection. */
export interface Receiver {
  /** Bytes [start, end) of the slab, valid during the call only: parse in place, copy what must stay. */
  bytes(slab: Buffer, start: number, end: number): void
  /** `unsentBytes` is back to zero: nobody looks at the buffers any more that `write` was given. */
  drained(): void
  /** The network met an exception in what it did for this connection, which is lost. Throws it when it is no connection's. */
  failed(error: unknown): void
  /** Called exactly once, last. */
  closed(reason: CloseReason): void
}

/** What the broker gives for a connection that it asks for. */
export interface OutgoingReceiver extends Receiver {
  /** Once, before any byte. When the connection cannot be had only `closed` is called. */
  connected(): void
}

// -------------------------------------------------------------------------------------------------- metadata store

/**
 * One session on a tree of ZooKeeper's shape: small versioned nodes, ephemeral ones bound to the session, one-shot watches.
 *
 * Calls are carried out in order. CONNECTION_LOSS: nobody knows whether the call was carried out, and those made after it
 * may have been although it was not; what is read next tells. SESSION_EXPIRED says the same of a call that was under way
 * when the session ended; one made later was not carried out. All other errors: it was not.
 *
 * What is read is never older than anything that this session has written or read. It may be older than what another
 * session has written, be it one that this broker had before: who begins with a write reads what there was at that write.
 */
export interface MetadataStore {
  /** How long the store keeps the session of a broker that is silent; 0: they end together. */
  readonly sessionTimeoutMs: number
  /** Creates a node; its parent must exist. `sequential` appends ten digits that grow. Resolves to the created path. */
  create(path: string, data: Buffer, mode?: CreateMode): Promise<string>
  /** Null when there is no such node. A `watch` fires once: on the node's next change, deletion or (when null) creation. */
  get(path: string, watch?: Watch): Promise<StoredNode | null>
  /** Compare and set: rejects with BAD_VERSION unless the node's version is `version`. -1 accepts any. */
  set(path: string, data: Buffer, version: number): Promise<NodeStat>
  /** Rejects with NOT_EMPTY when the node has children. `version` as for `set`. */
  delete(path: string, version: number): Promise<void>
  /** Names, not paths, unsorted. Null when there is no such node. The watch fires on the next child created or deleted, or the node's deletion. */
  children(path: string, watch?: Watch): Promise<string[] | null>
  /**
   * Session events. `expired` is final: every later call rejects with SESSION_EXPIRED. Ephemeral nodes are gone, or go
   * when the session has been silent for long enough: the holder of the session may have died before it could say so.
   */
  onSession(listener: (event: SessionEvent) => void): void
  /** Ends the session; its ephemeral nodes go with it. */
  close(): Promise<void>
}

export type CreateMode = 'persistent' | 'ephemeral' | 'sequential' | 'ephemeral-sequential'
export type Watch = () => void
export type SessionEvent = 'connected' | 'disconnected' | 'expired'

export interface NodeStat {
  /** Transaction that created the node: grows over the whole store, so it orders creations (a broker epoch is one). */
  readonly createdTransaction: number
  readonly version: number
  readonly ephemeral: boolean
  /** The node is ephemeral and was created by this very session. */
  readonly ownedByThisSession: boolean
  /** How many children it had that were removed. A store that Samsa keeps itself forgets it when it is opened anew. */
  readonly removedChildren: number
}

export interface StoredNode {
  readonly data: Buffer
  readonly stat: NodeStat
}

export type MetadataStoreErrorCode =
  | 'NO_NODE'
  | 'NODE_EXISTS'
  | 'BAD_VERSION'
  | 'NOT_EMPTY'
  | 'NO_CHILDREN_FOR_EPHEMERALS'
  | 'INVALID_PATH'
  | 'CONNECTION_LOSS'
  | 'SESSION_EXPIRED'
  | 'STORAGE'

export interface MetadataStoreError extends Error {
  readonly code: MetadataStoreErrorCode
}

// ------------------------------------------------------------------------------------------------- logs and figures

export type LogFields = Readonly<Record<string, unknown>>

export interface Logger {
  debug(fields: LogFields, message: string): void
  info(fields: LogFields, message: string): void
  warn(fields: LogFields, message: string): void
  error(fields: LogFields, message: string): void
  /** A logger that adds `fields` to every line. */
  child(fields: LogFields): Logger
}

export type Labels = Readonly<Record<string, string>>

/** Registered once at start under the full Prometheus name; hot paths hold the returned object. */
export interface Metrics {
  counter(name: string, help: string, labels?: Labels): Counter
  /** Read when scraped. */
  gauge(name: string, help: string, read: () => Iterable<GaugeSample>): void
  /** As `gauge`, for values that only grow: counters that are kept elsewhere, and go when what they count goes. */
  scrapedCounter(name: string, help: string, read: () => Iterable<GaugeSample>): void
  /** Percentiles over a sliding window, exported with a `quantile` label. */
  summary(name: string, help: string, labels?: Labels): Summary
}

export interface GaugeSample {
  readonly labels?: Labels
  readonly value: number
}

export interface Counter {
  add(count: number): void
}

export interface Summary {
  observe(value: number): void
}
