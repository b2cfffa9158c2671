import type { Timer, World } from '../../ports.ts'
import type { LogDirectory } from '../directory/log-directory.ts'
import { partitionName } from '../files/checkpoints.ts'
import { removePath } from '../files/disk-calls.ts'
import { patiently } from '../files/disk-problem.ts'

const MAX_NAME_LENGTH = 255
const STRAY = /-(0|[1-9]\d{0,9})\.[0-9a-f]{32}-stray$/
const MAX_DELAY_MS = 2 ** 31 - 1

/** The partition's number in the name of one that was set aside; null when it is none. The topic's name may be cut short. */
export function partitionOfStray(name: string): number | null {
  const match = STRAY.exec(name)
  return match === null ? null : Number(match[1])
}

/** A directory with a partition in it. */
export interface PartitionPlace {
  readonly directory: LogDirectory
  readonly topic: string
  readonly partition: number
}

/** Takes away directories of partitions: the name at once, the files some time later, or never. */
export class PartitionRemoval {
  readonly #world: Pick<World, 'clock' | 'disk' | 'logger' | 'random'>
  readonly #timers = new Map<string, Timer>()
  #stopped = false

  constructor(world: Pick<World, 'clock' | 'disk' | 'logger' | 'random'>) {
    this.#world = world
  }

  /** Gives a partition Kafka's name for a directory whose files go after `delayMs`. */
  renameAway(place: PartitionPlace, delayMs: number): void {
    const away = this.#rename(place, 'delete')
    this.removeLater(place.directory, away, this.#stopped ? 0 : Math.min(MAX_DELAY_MS, delayMs))
  }

  /** Gives a partition Kafka's name for one that is of no topic (KIP-858). Nobody removes it but its owner. */
  setAside(place: PartitionPlace, why: string): void {
    const stray = this.#rename(place, 'stray')
    const { directory, topic, partition } = place
    this.#world.logger.warn(
      { logDir: directory.path, topic, partition, stray },
      `partition is set aside as a stray: ${why}`,
    )
  }

  /** The copy of a partition in another directory, at `path`, is not wanted any more: from here on no start goes on with it. */
  dropCopy(place: PartitionPlace, path: string): void {
    this.removeLater(place.directory, this.#rename(place, 'delete', path), 0)
  }

  #rename(place: PartitionPlace, kind: 'delete' | 'stray', path?: string): string {
    const { directory, topic, partition } = place
    const suffix = `-${partition}.${this.#world.random.bytes(16).toString('hex')}-${kind}`
    const away = `${directory.path}/${topic.slice(0, MAX_NAME_LENGTH - suffix.length)}${suffix}`
    this.#world.disk.rename(path ?? `${directory.path}/${partitionName(topic, partition)}`, away)
    return away
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
