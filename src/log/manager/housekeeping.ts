import type { Timer } from '../../ports.ts'
import { LogCleaner } from '../compaction/cleaner.ts'
import { watchFreeSpace } from '../directory/free-space.ts'
import { LOOK_FOR_HANGS_MS, watchWrites } from '../directory/hung-writes.ts'
import type { LogDirectory } from '../directory/log-directory.ts'
import type { ManagedLog } from '../directory/managed-log.ts'
import { Slice } from '../files/slice.ts'
import type { ManagedLogs } from './managed-logs.ts'

const DEFAULT_MIN_FREE_BYTES = 64 * 1024 * 1024

/** What is done for all logs again and again: retention, checkpoints, compaction, a look at the room that is left. */
export class Housekeeping {
  readonly #logs: ManagedLogs
  readonly #cleaner: LogCleaner
  readonly #timers = new Map<string, Timer>()
  readonly #jobs = new Set<Promise<void>>()

  constructor(logs: ManagedLogs) {
    this.#logs = logs
    this.#cleaner = new LogCleaner(logs.world, logs.options.cleaner, this.#minFreeBytes)
  }

  start(): void {
    const { options, world } = this.#logs
    // Each directory on its own: one that hangs keeps the others from nothing.
    for (const directory of this.#logs.online()) {
      const { path } = directory
      const { retentionCheckIntervalMs, checkpointIntervalMs } = options
      this.#every(`retention ${path}`, retentionCheckIntervalMs, () => this.applyRetention([directory]))
      this.#every(`checkpoint ${path}`, checkpointIntervalMs, async () => {
        await this.#logs.checkpoint(directory)
        const trim = (managed: ManagedLog) => managed.log.trimReserved(world.clock.monotonicMs())
        await this.#forEach([directory], trim)
      })
    }
    this.#watchSpace()
    this.#watchWrites()
    if (options.cleaner.enabled) this.#every('clean', options.cleaner.backoffMs, () => this.clean())
  }

  /** Nothing begins any more; resolves when what is under way has ended. */
  async stop(): Promise<void> {
    for (const timer of this.#timers.values()) timer.cancel()
    await Promise.allSettled(this.#jobs)
  }

  /** One round of compaction over all compacted logs, now. */
  async clean(): Promise<void> {
    const logs = this.#logs
    if (!logs.options.cleaner.enabled || logs.closing) return
    await this.#forEach(logs.online(), async (managed) => {
      if (!managed.log.config.cleanupPolicy.compact || managed.directory.hangs || managed.moving) return
      await logs.guard(managed, () => this.#cleaner.clean(managed))
    })
    if (logs.closing) return
    await logs.checkpointAll()
  }

  /** One round of retention over all logs of these directories, now. */
  async applyRetention(directories = this.#logs.online()): Promise<void> {
    const logs = this.#logs
    await this.#forEach(directories, (managed) =>
      logs.guard(managed, async () => {
        await managed.log.applyRetention(logs.world.clock.nowMs(), managed.highWatermark)
      }),
    )
  }

  /** One log after the other, in slices: there may be thousands, and most have nothing to do. */
  async #forEach(
    directories: readonly LogDirectory[],
    run: (managed: ManagedLog) => Promise<void>,
  ): Promise<void> {
    const slice = new Slice(this.#logs.world.clock)
    for (const managed of this.#logs.byName.values()) {
      if (slice.over) await slice.next()
      if (this.#logs.closing) return
      if (!managed.leaving && directories.includes(managed.directory)) await run(managed)
    }
  }

  /** Again and again, each time `intervalMs` after the last one ended. */
  #every(name: string, intervalMs: number, run: () => Promise<void>): void {
    if (this.#logs.closing) return
    const timer = this.#logs.world.clock.after(intervalMs, () => {
      // What rejects here is no error of the disk but a broken invariant: it ends the process.
      const job = run().finally(() => {
        this.#jobs.delete(job)
        this.#every(name, intervalMs, run)
      })
      this.#jobs.add(job)
    })
    this.#timers.set(name, timer)
  }

  get #minFreeBytes(): number {
    return this.#logs.options.minFreeBytes ?? DEFAULT_MIN_FREE_BYTES
  }

  #watchWrites(): void {
    const { world, byName, closing } = this.#logs
    if (closing) return
    watchWrites(this.#logs.online(), [...byName.values()], world.logger)
    this.#timers.set(
      'writes',
      world.clock.after(LOOK_FOR_HANGS_MS, () => this.#watchWrites()),
    )
  }

  #watchSpace(): void {
    const logs = this.#logs
    if (logs.closing) return
    const delays = logs.online().map((directory) =>
      watchFreeSpace(directory, this.#minFreeBytes, logs.world.logger, () => {
        for (const { log } of logs.of(directory)) log.dropSpare()
      }),
    )
    if (delays.length === 0) return
    this.#timers.set(
      'space',
      logs.world.clock.after(Math.min(...delays), () => this.#watchSpace()),
    )
  }
}
