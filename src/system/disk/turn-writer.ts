import { fromErrno } from '../disk-failure.ts'
import { forAll } from '../for-all.ts'
import type { NativeAddon } from '../native-addon.ts'
import type { FileChange } from './system-file.ts'
import type { ThreadShare } from './thread-shares.ts'

/**
 * Page-cache writes of one turn as one job of the thread pool: the copy into the page cache runs beside the event
 * loop, which pays for one job whatever the number of files.
 */
export class TurnWriter {
  readonly #addon: NativeAddon
  readonly #threads: ThreadShare
  #changes: FileChange[] = []
  #fds: number[] = []

  constructor(addon: NativeAddon, threads: ThreadShare) {
    this.#addon = addon
    this.#threads = threads
  }

  /** The file must not have another change under way (`mayWriteNow`). */
  add(change: FileChange): void {
    this.#fds.push(change.file.take(change))
    this.#changes.push(change)
  }

  /** Starts what was added. */
  submit(): void {
    const changes = this.#changes
    if (changes.length === 0) return
    this.#changes = []
    const fds = Int32Array.from(this.#fds)
    this.#fds = []
    const positions = new Float64Array(changes.length)
    const counts = new Int32Array(changes.length)
    const buffers: Buffer[] = []
    for (const [index, change] of changes.entries()) {
      positions[index] = change.position
      counts[index] = change.buffers.length
      for (const buffer of change.buffers) buffers.push(buffer)
    }
    this.#threads.run((ended) =>
      this.#addon.writeAll(fds, positions, counts, buffers, (results) => {
        ended()
        forAll(changes, ({ file }, index) => {
          const result = results[index] ?? 0
          file.taken(result < 0 ? fromErrno(result, 'write', file.path) : null)
        })
      }),
    )
  }
}
