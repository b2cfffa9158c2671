import type { DiskFailure } from '../disk-failure.ts'
import { fromErrno } from '../disk-failure.ts'
import { forAll } from '../for-all.ts'
import type { Ring } from '../native-addon.ts'
import type { RingDriver, RingOperation } from './ring-driver.ts'
import type { Turn } from '../turn.ts'

/** A file with a write that waits for a flush. */
export interface Written {
  readonly fd: number
  readonly path: string
  /** The flush is done, or has failed. */
  end(failure: DiskFailure | null): void
}

/**
 * One flush of a device for all writes that have completed: those of many files, as long as they only overwrote what
 * the file system has on the device already, so that nothing but the device's own cache has to be emptied. Greedy, as
 * the commit of a log: while one flush is under way, what completes waits for the next.
 */
export class GroupFlush implements RingOperation {
  readonly #turn: Turn
  readonly #driver: RingDriver
  /** Written, and no flush has begun since. */
  #written: Written[] = []
  /** Written before the flush that is under way began. */
  #covered: Written[] = []
  #asked = false
  readonly #startBound = (): void => this.#start()

  constructor(turn: Turn, driver: RingDriver) {
    this.#turn = turn
    this.#driver = driver
  }

  /** The file's write has completed, but may still lie in the cache of the device. */
  add(file: Written): void {
    this.#written.push(file)
    this.#ask()
  }

  #ask(): void {
    if (this.#asked || this.#covered.length > 0) return
    this.#asked = true
    this.#turn.at('submit', this.#startBound)
  }

  #start(): void {
    this.#asked = false
    this.#covered = this.#written
    this.#written = []
    this.#driver.start(this)
  }

  /** By way of any of the files: what the file system flushes is the whole device. */
  queue(ring: Ring, id: number): number {
    return ring.fdatasync(id, this.#covered[0]!.fd)
  }

  ended(result: number): void {
    const covered = this.#covered
    this.#covered = []
    if (this.#written.length > 0) this.#ask()
    forAll(covered, (file) => file.end(result < 0 ? fromErrno(result, 'fdatasync', file.path) : null))
  }
}
