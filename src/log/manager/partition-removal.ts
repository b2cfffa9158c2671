import type { Timer, World } from '../../ports.ts'
import type { LogDirectory } from '../directory/log-directory.ts'
import type { ManagedLog } from '../directory/managed-log.ts'
import { removePath } from '../files/disk-calls.ts'
import { patiently } from '../files/disk-problem.ts'

const MAX_NAME_LENGTH = 255
const MAX_DELAY_MS = 2 ** 31 - 1

/** Takes away directories of partitions: the name at once, the files some time later. */
export class PartitionRemoval {
  readonly #world: Pick<World, 'clock' | 'disk' | 'logger' | 'random'>
  readonly #timers = new Map<string, Timer>()
  #stopped = false

  constructor(world: Pick<World, 'clock' | 'disk' | 'logger' | 'random'>) {
    this.#world = world
  }

  /** Gives a partition Kafka's name for a directory whose files go later. */
  renameAway(managed: ManagedLog): void {
    const { directory, name } = managed
    const suffix = `.${this.#world.random.bytes(16).toString('hex')}-delete`
    const away = `${directory.path}/${name.slice(0, MAX_NAME_LENGTH - suffix.length)}${suffix}`
    this.#world.disk.rename(`${directory.path}/${name}`, away)
    const delayMs = managed.isOpen ? managed.log.config.fileDeleteDelayMs : 0
    this.removeLater(directory, away, this.#stopped ? 0 : Math.min(MAX_DELAY_MS, delayMs))
  }

  /** What the process does not live to remove goes at the next start. */
  removeLater(directory: LogDirectory, path: string, delayMs: number): void {
    this.#timers.set(
      path,
      this.#world.clock.after(delayMs, () => {
        this.#timers.delete(path)
        if (directory.failure !== null) return
        const { clock, disk } = this.#world
        patiently(
          clock,
          () => !this.#stopped,
          () => removePath(disk, path),
        ).catch((error: unknown) =>
          this.#world.logger.warn({ path, error }, 'a deleted partition could not be removed'),
        )
      }),
    )
  }

  stop(): void {
    this.#stopped = true
    for (const timer of this.#timers.values()) timer.cancel()
  }
}
