import fs from 'node:fs'
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { fileURLToPath } from 'node:url'
import type { RecordsSummary } from '../../protocol/records/records-summary.ts'
import type { Logger } from '../ports.ts'
import {
  DONE,
  GIVEN,
  INPUT_BYTES,
  LOOP_TOLD,
  SLOTS,
  THREAD_AWAKE,
  makeSlots,
  viewsOf,
} from './codec-slots.ts'
import type { SharedSlots, Slot } from './codec-slots.ts'

/** What nobody needed for so long ends, and gives its memory back. */
const IDLE_MS = 30_000
const LIMITS = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 4 }

const THREAD_FAILED = 'the thread that reads compressed batches failed; they are read without it'

type Job = (summary: RecordsSummary | null) => void

/** What it starts with. */
export interface CodecThreadData {
  readonly shared: SharedSlots
  readonly addonFile: string | null
}

/**
 * A second thread of JavaScript that decompresses batches and looks at their records, so that a second processor does: a
 * job of the thread pool costs the loop about what decoding a batch does. It starts with the first batch, which does not
 * wait for it.
 */
export class CodecThread {
  readonly #file: string
  readonly #addonFile: string | null
  readonly #failed: (error: unknown) => void
  #worker: Worker | null = null
  #ready = false
  /** It failed, or nobody may use it any more: the rest is decoded without it. */
  #closed = false
  #words: Int32Array = new Int32Array(0)
  #slots: readonly Slot[] = []
  #given = 0
  #taken = 0
  #taking = false
  readonly #jobs: (Job | null)[] = Array.from({ length: SLOTS }, () => null)
  #idleTimer: NodeJS.Timeout | null = null
  /** At the last look whether it is idle. */
  #givenBefore = 0

  /** `failed` is told why there will be no thread. */
  constructor(file: string, addonFile: string | null, failed: (error: unknown) => void) {
    this.#file = file
    this.#addonFile = addonFile
    this.#failed = failed
  }

  /** Whether it takes a job of so many bytes now. */
  hasRoom(bytes: number): boolean {
    if (bytes > INPUT_BYTES || this.#closed) return false
    if (!this.#ready) {
      if (this.#worker === null) this.#tryToStart()
      return false
    }
    if (this.#isFull) this.#takeDone()
    return !this.#isFull
  }

  get #isFull(): boolean {
    return ((this.#given - this.#taken) | 0) === SLOTS
  }

  /** `done` is called in a later turn, with null when it could not, for whatever reason. False: it takes no more now. */
  summarize(codec: number, data: Buffer, recordCount: number, done: Job): boolean {
    if (!this.hasRoom(data.length)) return false
    const index = this.#given & (SLOTS - 1)
    this.#slots[index]!.give(codec, data, recordCount)
    this.#jobs[index] = done
    if (this.#given === this.#taken) this.#worker!.ref()
    this.#given = (this.#given + 1) | 0
    Atomics.store(this.#words, GIVEN, this.#given)
    if (Atomics.exchange(this.#words, THREAD_AWAKE, 1) === 0) this.#worker!.postMessage(null)
    return true
  }

  close(): void {
    this.#closed = true
    this.#end()
  }

  /** A system that is short of threads says so at once, of descriptors later. */
  #tryToStart(): void {
    try {
      this.#start()
    } catch (error) {
      this.#closed = true
      this.#failed(error)
    }
  }

  #start(): void {
    const shared = makeSlots()
    this.#words = new Int32Array(shared.words)
    this.#slots = viewsOf(shared)
    this.#given = this.#taken = this.#givenBefore = 0
    const workerData: CodecThreadData = { shared, addonFile: this.#addonFile }
    const worker = new Worker(this.#file, { workerData, resourceLimits: LIMITS, execArgv: [] })
    this.#worker = worker
    worker.unref()
    worker.on('message', () => this.#told(worker))
    worker.on('error', this.#failed)
    worker.on('exit', () => {
      if (worker === this.#worker) this.close()
    })
  }

  #told(worker: Worker): void {
    if (worker !== this.#worker) return
    if (!this.#ready) {
      this.#ready = true
      this.#idleTimer = setInterval(() => this.#endWhenIdle(), IDLE_MS).unref()
      return
    }
    Atomics.store(this.#words, LOOP_TOLD, 0)
    this.#takeDone()
  }

  /** Who hears of a job may give the next one while this is under way; its place is free by then. */
  #takeDone(): void {
    if (this.#taking) return
    this.#taking = true
    try {
      while (this.#taken !== Atomics.load(this.#words, DONE)) this.#takeNext()
    } finally {
      this.#taking = false
    }
    if (this.#taken === this.#given) this.#worker?.unref()
  }

  #takeNext(): void {
    const index = this.#taken & (SLOTS - 1)
    const done = this.#jobs[index]!
    const { summary } = this.#slots[index]!
    this.#jobs[index] = null
    this.#taken = (this.#taken + 1) | 0
    done(summary)
  }

  #endWhenIdle(): void {
    const isIdle = this.#givenBefore === this.#given && this.#taken === this.#given
    this.#givenBefore = this.#given
    if (isIdle) this.#end()
  }

  #end(): void {
    const worker = this.#worker
    this.#worker = null
    this.#ready = false
    this.#slots = []
    if (this.#idleTimer !== null) clearInterval(this.#idleTimer)
    this.#idleTimer = null
    void worker?.terminate()
    for (const [index, job] of this.#jobs.entries()) {
      this.#jobs[index] = null
      job?.(null)
    }
  }
}

/** Null where there is one processor only, and where there is no bundle of it. */
export function codecThread(logger: Pick<Logger, 'warn'>, addonFile: string | null): CodecThread | null {
  if (availableParallelism() < 2) return null
  // From a bundle, and from dist/src/system.
  for (const place of ['../codec-thread.cjs', '../../lib/codec-thread.cjs']) {
    const file = fileURLToPath(new URL(place, import.meta.url))
    if (fs.existsSync(file))
      return new CodecThread(file, addonFile, (error) => logger.warn({ err: error }, THREAD_FAILED))
  }
  return null
}
