import type { Clock, DiskError } from '../../ports.ts'
import { diskProblem, RETRY_MS } from '../files/disk-problem.ts'
import type { Segment } from '../segment/segment.ts'
import { exposedBytes, zeros } from './stale-headers.ts'

/** Batches that lie one behind the other in one segment: what one write takes. */
export interface WriteChunk {
  readonly segment: Segment
  readonly position: number
  readonly startOffset: number
  readonly buffers: Buffer[]
  sizeBytes: number
  endOffset: number
}

export interface WriterOwner {
  /** Asked before each write: must `done` mean that the bytes are on the device? */
  durable(): boolean
  /** True when the names of the files are durable; otherwise `ready` runs once they are. */
  namesReady(ready: () => void): boolean
  written(chunk: WriteChunk, durable: boolean): void
  writeFailed(error: unknown): void
}

/**
 * Greedy group commit: one write of the log is under way at a time, what arrives meanwhile leaves with the next. No
 * timer: the first batch of an idle log leaves at the end of its turn, together with all others of that turn.
 */
export class LogWriter {
  readonly #clock: Clock
  readonly #owner: WriterOwner
  #waiting: WriteChunk[] = []
  #writing: WriteChunk | null = null
  #writingDurably = false
  #scheduled = false
  #stopped = false
  #holds = 0
  #still: (() => void)[] = []
  #drained: { readonly endOffset: number; readonly resolve: () => void }[] = []
  readonly #pumpBound = (): void => this.#pump()
  readonly #doneBound = (error: DiskError | null): void => this.#done(error)
  readonly #wipedBound = (error: DiskError | null): void => this.#wiped(error)

  constructor(clock: Clock, owner: WriterOwner) {
    this.#clock = clock
    this.#owner = owner
  }

  /** What is being written, or would be, did it not wait for names or for a task; another object for each write. */
  get underWay(): object | null {
    return this.#writing ?? this.#waiting[0] ?? null
  }

  /** `position` is where the batch goes in the segment's file, right behind what was added before. */
  add(segment: Segment, position: number, buffer: Buffer, startOffset: number, endOffset: number): void {
    const last = this.#waiting.at(-1)
    if (last !== undefined && last.segment === segment) {
      last.buffers.push(buffer)
      last.sizeBytes += buffer.length
      last.endOffset = endOffset
    } else {
      const sizeBytes = buffer.length
      this.#waiting.push({ segment, position, startOffset, buffers: [buffer], sizeBytes, endOffset })
    }
    this.#schedule()
  }

  /** Resolves when everything added so far is written, or the writer stopped. */
  drained(): Promise<void> {
    const last = this.#waiting.at(-1) ?? this.#writing
    if (last === null || this.#stopped) return Promise.resolve()
    const { endOffset } = last
    return new Promise((resolve) => this.#drained.push({ endOffset, resolve }))
  }

  /** Resolves when no write is under way, and none begins until as many calls of `release`. What is added meanwhile waits. */
  hold(): Promise<void> {
    this.#holds += 1
    if (this.#writing === null) return Promise.resolve()
    return new Promise((resolve) => this.#still.push(resolve))
  }

  release(): void {
    this.#holds -= 1
    if (this.#waiting.length > 0) this.#schedule()
  }

  /** Nothing is written any more. */
  stop(): void {
    this.#stopped = true
    this.#waiting = []
    this.#wakeDrained(Infinity)
  }

  #schedule(): void {
    if (this.#scheduled || this.#writing !== null || this.#stopped || this.#holds > 0) return
    this.#scheduled = true
    this.#clock.atEndOfTurn('append', this.#pumpBound)
  }

  #pump(): void {
    this.#scheduled = false
    const chunk = this.#waiting[0]
    if (chunk === undefined || this.#writing !== null || this.#stopped || this.#holds > 0) return
    const { segment } = chunk
    // Of bytes that are written over, each write has to be whole before the next one begins.
    const durable = segment.recycled || this.#owner.durable()
    // What a recycled file held before goes with the first write: its old name must not come back with new content.
    if (durable && !this.#owner.namesReady(this.#pumpBound)) return
    // On the device the file may end with its block.
    if (durable) segment.mayGrowLoose()
    this.#waiting.shift()
    this.#writing = chunk
    this.#writingDurably = durable
    const exposed = segment.recycled ? exposedBytes(chunk.position, chunk.buffers) : 0
    if (exposed > 0) this.#write(chunk, zeros(exposed), this.#wipedBound)
    else this.#write(chunk, chunk.buffers, this.#doneBound)
  }

  #write(chunk: WriteChunk, buffers: readonly Buffer[], done: (error: DiskError | null) => void): void {
    try {
      chunk.segment.openFile().write(chunk.position, buffers, this.#writingDurably, done)
    } catch (error) {
      this.#failed(error, chunk)
    }
  }

  /** No header of an older batch is left where one of the chunk lies on two sectors. */
  #wiped(error: DiskError | null): void {
    const chunk = this.#writing
    if (chunk === null) return
    if (error !== null) this.#failed(error, chunk)
    else this.#write(chunk, chunk.buffers, this.#doneBound)
  }

  #done(error: DiskError | null): void {
    const chunk = this.#writing
    if (chunk === null) return
    if (error !== null) {
      this.#failed(error, chunk)
      return
    }
    this.#writing = null
    chunk.segment.writtenBytes = chunk.position + chunk.sizeBytes
    this.#owner.written(chunk, this.#writingDurably)
    if (this.#still.length > 0) this.#wakeStill()
    if (this.#drained.length > 0) this.#wakeDrained(chunk.endOffset)
    if (this.#waiting.length > 0) this.#schedule()
  }

  #failed(error: unknown, chunk: WriteChunk): void {
    this.#writing = null
    if (diskProblem(error) === 'short' && !this.#stopped) {
      // There was no descriptor to write with: nothing happened, and it is tried again.
      this.#waiting.unshift(chunk)
      this.#scheduled = true
      this.#clock.after(RETRY_MS, this.#pumpBound)
      this.#wakeStill()
      return
    }
    this.stop()
    this.#wakeStill()
    this.#owner.writeFailed(error)
  }

  #wakeStill(): void {
    const still = this.#still
    this.#still = []
    for (const resolve of still) resolve()
  }

  #wakeDrained(writtenEndOffset: number): void {
    const drained = this.#drained
    this.#drained = drained.filter(({ endOffset }) => endOffset > writtenEndOffset)
    for (const { endOffset, resolve } of drained) if (endOffset <= writtenEndOffset) resolve()
  }
}
