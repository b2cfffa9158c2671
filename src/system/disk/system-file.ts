import fs from 'node:fs'
import process from 'node:process'
import type { Done, DoneRead, File, FileSlice, OpenMode } from '../../ports.ts'
import { writeNow, writeOnPool } from './buffered-write.ts'
import { readOnPool, readWhole } from './buffered-read.ts'
import { isShort, Pooled } from './descriptor-pool.ts'
import type { DescriptorPool } from './descriptor-pool.ts'
import { openFlags } from './file-gate.ts'
import type { OpenedFile } from './file-gate.ts'
import type { FileNames } from './file-names.ts'
import { MIN_COLD_READ_BYTES } from '../uring/cold-reads.ts'
import type { ColdFile } from '../uring/cold-reads.ts'
import type { DirectFile } from '../uring/direct-file.ts'
import { DiskFailure, toDiskFailure } from '../disk-failure.ts'
import { FileWriteback } from '../uring/early-writeback.ts'
import { sliceOf } from './file-slice.ts'
import type { NativeAddon, OpenFile } from '../native-addon.ts'
import { RecentWrites } from './recent-writes.ts'
import type { WriteClock } from './recent-writes.ts'
import { Reservation } from './reservation.ts'
import type { ReservationOwner } from './reservation.ts'
import type { RingLane } from '../uring/ring-lane.ts'
import { ReadAhead } from '../uring/ring-reader.ts'
import { newStallState } from './stall-guard.ts'
import type { ThreadShare } from './thread-shares.ts'
import type { StallState } from './stall-guard.ts'
import { PoolZeroWriter } from '../uring/zero-filler.ts'
import type { ZeroFiller } from '../uring/zero-filler.ts'

/** Reads on the loop's own thread stay short. */
const MAX_CACHED_READ_BYTES = 1 << 20

/** What the files of one device share. */
export interface FileHost {
  readonly clock: WriteClock
  readonly filler: ZeroFiller
  readonly threads: ThreadShare
  readonly addon: NativeAddon | null
  /** Null: everything that waits for the device does so on the thread pool. */
  readonly ring: RingLane | null
  readonly descriptors: DescriptorPool
  readonly names: FileNames
  queue(change: FileChange): void
}

/** A write, or a truncation: both leave in the order they were asked for. */
export interface FileChange {
  readonly file: SystemFile
  /** -1 for a write. */
  readonly truncateTo: number
  readonly position: number
  readonly buffers: readonly Buffer[]
  readonly lengthBytes: number
  readonly durable: boolean
  readonly done: Done
}

/**
 * One open file. What changes the file (writes, truncations) runs one at a time, in the order it was asked for;
 * reads, syncs and a reservation run beside it. While nothing is under way it may have no descriptor (`park`).
 */
export class SystemFile extends Pooled implements File, OpenFile, ReservationOwner {
  /** What it is called now. */
  path: string
  readonly stalls: StallState
  /** -1 while it has none. */
  fd: number
  readonly #inode: number
  readonly #mode: OpenMode
  /** Counts what was written to the page cache, up to the last flush of it. */
  #dirtied = 0
  #flushed = 0
  /** The device has not taken what was written earlier: nobody was told yet. */
  #lost: DiskFailure | null = null
  /** Runs on when it has a descriptor again. */
  #descriptorAsked = false
  readonly #host: FileHost
  #sizeBytes: number
  readonly #recent: RecentWrites
  #direct: DirectFile | null = null
  #writeback: FileWriteback | null = null
  readonly #readAhead = new ReadAhead()
  /** Undefined: no large read has missed the page cache yet. */
  #cold: ColdFile | null | undefined
  /** A write or truncation is under way. */
  #changing: FileChange | null = null
  /** The change under way dirties the page cache. */
  #dirtying = false
  readonly #waiting: FileChange[] = []
  /** The end of the file once all that was asked for is done. */
  #askedEnd = 0
  /** Truncations asked for and not done. */
  #truncations = 0
  #reservation: Reservation | null = null
  #reservationDone: Done | null = null
  #reservedBytes = 0
  /** The reservation under way goes past the page cache. */
  #reservesDirectly = false
  /** Everything that still needs the descriptor, queued writes included. */
  #pending = 0
  #closing = false
  readonly #endBound = (): void => this.#end()
  readonly #changedBound = (failure: DiskFailure | null): void => this.#finish(failure)

  constructor(path: string, { fd, stats }: OpenedFile, mode: OpenMode, host: FileHost) {
    super()
    this.path = path
    this.fd = fd
    this.#inode = stats.ino
    this.#mode = mode
    this.#sizeBytes = stats.size
    this.#askedEnd = stats.size
    this.stalls = newStallState(stats.dev)
    this.#host = host
    this.#recent = new RecentWrites(host.clock)
    host.names.add(this)
    host.descriptors.idle(this)
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  get busy(): boolean {
    return this.#pending > 0
  }

  /** Something was written that only the page cache may have. */
  get unflushed(): boolean {
    return this.#flushed < this.#dirtied
  }

  // ------------------------------------------------------------------------------------------------------- changes

  write(position: number, buffers: readonly Buffer[], durable: boolean, done: Done): void {
    this.#begin()
    let lengthBytes = 0
    for (const buffer of buffers) lengthBytes += buffer.length
    const end = position + lengthBytes
    if (end > this.#askedEnd) this.#askedEnd = end
    this.#reservation?.raise(end)
    this.#host.queue({ file: this, truncateTo: -1, position, buffers, lengthBytes, durable, done })
  }

  truncate(sizeBytes: number, done: Done): void {
    this.#begin()
    this.#truncations++
    this.#askedEnd = sizeBytes
    this.#reservation?.cancel()
    this.#host.queue({
      file: this,
      truncateTo: sizeBytes,
      position: 0,
      buffers: [],
      lengthBytes: 0,
      durable: false,
      done,
    })
  }

  /** Nothing stands in the way of running this write at once, on the caller's thread. */
  mayWriteNow(change: FileChange): boolean {
    return (
      !change.durable &&
      change.truncateTo < 0 &&
      this.#changing === null &&
      this.#waiting.length === 0 &&
      !this.#meetsZeros(change) &&
      (this.fd >= 0 || this.#reopen() === null) &&
      this.#lost === null
    )
  }

  /** Runs a write for which `mayWriteNow` holds. Returns what `done` is to be told. */
  writeNow(change: FileChange): DiskFailure | null {
    const failure = writeNow(this.fd, this.path, change.buffers, change.position, change.lengthBytes)
    this.#bufferedWriteEnded(change, failure)
    this.#end()
    return failure
  }

  /** Marks a write for which `mayWriteNow` holds as under way, for a caller that writes it and then calls `taken`. */
  take(change: FileChange): number {
    this.#changing = change
    this.#dirtying = true
    return this.fd
  }

  taken(failure: DiskFailure | null): void {
    this.#finish(failure)
  }

  /** Runs a change as soon as those before it are done, without the loop's thread waiting for it. */
  start(change: FileChange): void {
    this.#waiting.push(change)
    this.#resume()
  }

  #resume(): void {
    while (this.#changing === null) {
      const next = this.#waiting[0]
      if (next === undefined || this.#meetsZeros(next)) return
      const failure = this.#lost ?? (this.fd < 0 ? this.#reopen() : null)
      if (failure !== null && isShort(failure)) {
        this.#askDescriptor()
        return
      }
      this.#waiting.shift()
      if (failure === null) this.#run(next)
      else {
        this.#changing = next
        this.#finish(failure)
      }
    }
  }

  #askDescriptor(): void {
    if (this.#descriptorAsked) return
    this.#descriptorAsked = true
    this.#host.descriptors.whenFree(() => {
      this.#descriptorAsked = false
      this.#resume()
    })
  }

  #run(change: FileChange): void {
    this.#changing = change
    const { position, buffers, lengthBytes, durable, truncateTo } = change
    if (truncateTo >= 0) {
      this.#host.threads.run((ended) =>
        fs.ftruncate(this.fd, truncateTo, (error) => {
          ended()
          this.#finish(error === null ? null : toDiskFailure(error))
        }),
      )
      return
    }
    // A write of nothing has nothing to bring to the device but what is there already.
    const direct = durable && lengthBytes > 0 ? this.#openDirect() : null
    if (direct === null) {
      this.#dirtying = true
      const { threads } = this.#host
      writeOnPool(threads, this.fd, this.path, buffers, position, lengthBytes, durable, this.#changedBound)
    } else this.#host.ring!.writer.write(direct, position, buffers, lengthBytes, this.#changedBound)
  }

  /** The change under way has ended. */
  #finish(failure: DiskFailure | null): void {
    const change = this.#changing!
    if (change.truncateTo >= 0) this.#truncated(change.truncateTo, failure)
    else if (this.#dirtying) this.#bufferedWriteEnded(change, failure)
    else this.#directWriteEnded(change, failure)
    this.#changing = null
    this.#dirtying = false
    this.#resume()
    this.#reservation?.proceed()
    this.#end()
    change.done(failure)
  }

  #truncated(sizeBytes: number, failure: DiskFailure | null): void {
    this.#truncations--
    this.#direct?.truncated(sizeBytes)
    this.#cold?.changed(sizeBytes)
    if (failure !== null) {
      this.#reservation?.raise(this.#sizeBytes)
      return
    }
    this.#sizeBytes = sizeBytes
    this.#recent.truncated(sizeBytes)
    // A segment is cut when the last was written to it; what comes later may open it again.
    if (this.#reservation === null) this.#closeDirect()
  }

  #directWriteEnded({ position, lengthBytes }: FileChange, failure: DiskFailure | null): void {
    // The page cache has given up what it held of these blocks, and what lies behind may be zeros now.
    this.#recent.truncated(position - (position % (this.#direct?.blockBytes ?? 1)))
    this.#cold?.changed(position)
    if (failure === null) this.#sizeBytes = Math.max(this.#sizeBytes, position + lengthBytes)
  }

  #bufferedWriteEnded(change: FileChange, failure: DiskFailure | null): void {
    const { position, lengthBytes, durable } = change
    this.#direct?.changed(position)
    this.#cold?.changed(position)
    if (!durable || failure !== null) this.#dirtied++
    if (failure !== null) return
    // Writes run one at a time, so a flush behind this one is a flush of all.
    if (durable) this.#flushed = this.#dirtied
    this.#sizeBytes = Math.max(this.#sizeBytes, position + lengthBytes)
    this.#recent.wrote(position, lengthBytes)
    const { ring } = this.#host
    if (ring === null || lengthBytes === 0) return
    this.#writeback ??= new FileWriteback(ring.writeback, this, this.#endBound)
    if (this.#writeback.wrote(position, lengthBytes)) this.#pending++
  }

  /** Null: durable writes go through the page cache. */
  #openDirect(): DirectFile | null {
    const { ring } = this.#host
    if (ring === null || this.#mode === 'read') return null
    if (this.#reservation !== null && !this.#reservesDirectly) return null
    if (this.#direct !== null && this.#direct.fd >= 0) return this.#direct
    const direct = ring.openDirect(this.path, this, this.#direct)
    if (direct !== null) this.#host.descriptors.counted(1)
    this.#direct ??= direct
    return direct
  }

  #closeDirect(): void {
    if (this.#direct === null || this.#direct.fd < 0) return
    this.#direct.close()
    this.#host.descriptors.counted(-1)
  }

  sync(done: Done): void {
    this.#begin()
    this.#withDescriptor((failure) => {
      if (failure !== null) {
        this.#end()
        done(failure)
        return
      }
      const dirtied = this.#dirtied
      this.#host.threads.run((ended) =>
        fs.fdatasync(this.fd, (error) => {
          ended()
          if (error === null) this.#flushed = Math.max(this.#flushed, dirtied)
          this.#end()
          done(error === null ? this.#lost : toDiskFailure(error))
        }),
      )
    })
  }

  // -------------------------------------------------------------------------------------------------- reservations

  reserve(sizeBytes: number, done: Done): void {
    if (this.#reservation !== null) throw new Error(`a second reservation of ${this.path}`)
    this.#begin()
    this.#withDescriptor((failure) => {
      if (failure === null) this.#reserve(sizeBytes, done)
      else {
        this.#end()
        done(failure)
      }
    })
  }

  #reserve(sizeBytes: number, done: Done): void {
    // Behind a truncation that is not done yet, what it leaves counts.
    const end = this.#truncations > 0 ? this.#askedEnd : Math.max(this.#sizeBytes, this.#askedEnd)
    if (end >= sizeBytes) {
      process.nextTick(() => {
        this.#end()
        done(null)
      })
      return
    }
    const direct = this.#openDirect()
    this.#reservesDirectly = direct !== null
    const writer =
      direct === null
        ? new PoolZeroWriter(this.#host.threads, this.fd, this.path)
        : this.#host.ring!.zeroWriter(direct)
    this.#reservation = new Reservation(this, this.#host.filler, writer, end, sizeBytes)
    this.#reservationDone = done
    this.#reservedBytes = sizeBytes
    this.#reservation.start()
  }

  mayFill(): boolean {
    // The kernel cannot keep the page cache and the device in step when both are written at once.
    return this.#truncations === 0 && !(this.#reservesDirectly && this.#dirtying)
  }

  chunkEnded(): void {
    this.#resume()
  }

  reservationEnded(failure: DiskFailure | null, complete: boolean): void {
    const done = this.#reservationDone
    this.#reservation = null
    this.#reservationDone = null
    if (failure === null && complete) {
      this.#sizeBytes = Math.max(this.#sizeBytes, this.#reservedBytes)
      if (this.#reservesDirectly && this.#direct !== null) this.#direct.preparedBytes = this.#reservedBytes
    }
    // Zeros that were not flushed to their end.
    if (!this.#reservesDirectly && (failure !== null || !complete)) this.#dirtied++
    this.#resume()
    this.#end()
    done?.(failure)
  }

  /** The change has to wait until zeros are written. */
  #meetsZeros({ position, lengthBytes, truncateTo, durable }: FileChange): boolean {
    const reservation = this.#reservation
    if (reservation === null || !reservation.underWay) return false
    if (reservation.allocating || truncateTo >= 0 || (!durable && this.#reservesDirectly)) return true
    return reservation.meets(position, lengthBytes)
  }

  // --------------------------------------------------------------------------------------------------------- reads

  read(position: number, into: Buffer, done: DoneRead): void {
    this.#begin()
    if (this.fd >= 0) {
      this.#read(position, into, done)
      return
    }
    this.#withDescriptor((failure) => {
      if (failure === null) this.#read(position, into, done)
      else {
        this.#end()
        done(failure, 0)
      }
    })
  }

  #read(position: number, into: Buffer, done: DoneRead): void {
    const { ring } = this.#host
    const ended: DoneRead = (error, bytesRead) => {
      this.#end()
      done(error, bytesRead)
    }
    if (ring === null) {
      readOnPool(this.#host.threads, this.fd, position, into, ended)
      return
    }
    if (this.#readCold(ring, position, into, ended)) return
    ring.reader.read(this.fd, this.path, position, into, ended)
    const ahead = this.#readAhead.next(position, into.length, this.#sizeBytes)
    if (ahead === 0) return
    this.#pending++
    ring.reader.readAhead(this.fd, this.#readAhead.toldEnd - ahead, ahead, this.#endBound)
  }

  /** False: the bytes have to come through the page cache. */
  #readCold(ring: RingLane, position: number, into: Buffer, done: DoneRead): boolean {
    if (into.length < MIN_COLD_READ_BYTES) return false
    // What it holds for the greater part is not read from the device a second time.
    if (ring.addon.cachedBytes(this.fd, position, into.length) > into.length / 2) return false
    if (this.#cold === undefined) this.#cold = ring.coldFile(this.path, this)
    return this.#cold?.read(position, into, this.#sizeBytes, done) ?? false
  }

  readCached(position: number, into: Buffer): number {
    if (this.#closing) throw this.#closed()
    const length = Math.min(into.length, this.#sizeBytes - position)
    if (length <= 0) return 0
    if (length > MAX_CACHED_READ_BYTES) return -1
    if (this.#direct?.tail.copy(position, into, length) === true) return length
    if (this.#cold?.copy(position, into, length, this.#sizeBytes) === true) return length
    if (this.fd < 0 && this.#reopen() !== null) return -1
    const { addon } = this.#host
    if (addon !== null) {
      if (length >= MIN_COLD_READ_BYTES && this.#staysOffLoop(addon, position, length)) return -1
      return addon.readNow(this.fd, into, 0, length, position) === length ? length : -1
    }
    if (!this.#recent.covers(position, length)) return -1
    return readWhole(this.fd, position, into, length) ? length : -1
  }

  /**
   * The page cache lacks bytes of the stretch (to try and read them would have the kernel bring all of it there on this
   * thread), or has got them just now: on a virtual machine their first copy costs ten times the next one.
   */
  #staysOffLoop(addon: NativeAddon, position: number, length: number): boolean {
    if (this.#readAhead.expects(position)) return true
    const cachedBytes = addon.cachedBytes(this.fd, position, length)
    return cachedBytes >= 0 && cachedBytes < length
  }

  slice(position: number, length: number): FileSlice | null {
    if (this.#closing) throw this.#closed()
    if (this.fd < 0 && this.#reopen() !== null) return null
    const surelyCached = (): boolean => this.#recent.covers(position, length)
    const { addon, threads } = this.#host
    const slice = sliceOf(addon, threads, this.fd, position, length, surelyCached, this.#endBound)
    if (slice !== null) this.#begin()
    return slice
  }

  dropCached(done: () => void): void {
    this.#begin()
    const ended = (): void => {
      this.#end()
      done()
    }
    const { ring } = this.#host
    if (ring === null) process.nextTick(ended)
    else {
      this.#withDescriptor((failure) => {
        if (failure === null) ring.reader.dropCached(this.fd, ended)
        else ended()
      })
    }
  }

  // --------------------------------------------------------------------------------------------------------- close

  close(): void {
    if (this.#closing) return
    // Counts itself: a reservation that ends here must not close the file a first time.
    this.#begin()
    this.#closing = true
    this.#reservation?.cancel()
    this.#end()
  }

  #begin(): void {
    if (this.#closing) throw this.#closed()
    if (this.#pending++ === 0) this.#host.descriptors.busy(this)
  }

  #end(): void {
    if (--this.#pending > 0) return
    if (this.#closing) this.#closeNow()
    else if (this.fd >= 0) this.#host.descriptors.idle(this)
  }

  #closeNow(): void {
    this.#host.names.remove(this)
    this.#closeDirect()
    this.#cold?.close()
    if (this.fd >= 0) this.#host.descriptors.close(this.fd)
    this.fd = -1
  }

  // ---------------------------------------------------------------------------------------------------- descriptors

  override park(): void {
    this.#closeDirect()
    this.#cold?.giveBack()
    this.#host.descriptors.close(this.fd)
    this.fd = -1
  }

  override settle(ended: () => void): void {
    this.sync((failure) => {
      // Whoever writes or flushes next has to know.
      if (failure !== null) this.#lost = failure
      ended()
    })
  }

  /** Gets a descriptor again. What is in the way; null for nothing. */
  #reopen(): DiskFailure | null {
    const { descriptors } = this.#host
    try {
      const { fd, stats } = descriptors.reopen(
        this.path,
        openFlags(this.#mode === 'read' ? 'read' : 'update'),
      )
      if (stats.ino !== this.#inode || stats.dev !== this.stalls.device) {
        descriptors.close(fd)
        return new DiskFailure('ENOENT', `ENOENT: ${this.path} is another file by now`)
      }
      this.fd = fd
      if (this.#pending === 0) descriptors.idle(this)
      return null
    } catch (error) {
      return toDiskFailure(error)
    }
  }

  /** Calls `run` when there is a descriptor, at once if there is, or with what keeps it from having one. */
  #withDescriptor(run: (failure: DiskFailure | null) => void): void {
    const failure = this.fd >= 0 ? null : this.#reopen()
    if (failure === null || !isShort(failure)) run(failure)
    else this.#host.descriptors.whenFree(() => this.#withDescriptor(run))
  }

  #closed(): DiskFailure {
    return new DiskFailure('EBADF', `EBADF: ${this.path} is closed`)
  }
}
