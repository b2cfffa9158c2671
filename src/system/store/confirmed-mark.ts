import { METADATA_CONFIRMED } from '../../core/metadata-files.ts'
import type { Disk, File, Logger } from '../../ports.ts'
import { settled } from './disk-calls.ts'
import { encodeMark, readMark } from './embedded-store-codec.ts'

/** Marks are written here in turn: a torn one leaves the one before. */
const SLOTS = [0, 512] as const

/**
 * Which change of the metadata was confirmed last, in a file of its own: the store's log cannot tell a last frame that
 * was never whole from one that was and went bad.
 *
 * A mark is written after its change is durable, so it never says too much. It is synced when the store is closed; before,
 * it survives the process, and of a power cut it may say too little.
 */
export class ConfirmedMark {
  readonly #path: string
  readonly #file: File
  readonly #logger: Logger
  #wanted = 0
  #written = 0
  #turn = 0
  #writing: Promise<void> | null = null
  #failed = false

  /** The name is durable after the next sync of the directory. */
  constructor(disk: Disk, directory: string, logger: Logger) {
    this.#path = `${directory}/${METADATA_CONFIRMED}`
    this.#file = disk.open(this.#path, 'create')
    this.#logger = logger
  }

  /** The last change that is known to have been confirmed; 0 when nobody knows. */
  static read(disk: Disk, directory: string): number {
    const path = `${directory}/${METADATA_CONFIRMED}`
    if (!disk.exists(path)) return 0
    const bytes = disk.readFile(path)
    return Math.max(...SLOTS.map((at) => readMark(bytes, at)))
  }

  /** It speaks of a store that is gone. */
  static async remove(disk: Disk, directory: string): Promise<void> {
    const path = `${directory}/${METADATA_CONFIRMED}`
    if (!disk.exists(path)) return
    await settled((done) => disk.remove(path, done))
    await settled((done) => disk.syncDirectory(directory, done))
  }

  /** Change `sequence` is durable. Nobody waits for this. */
  confirm(sequence: number): void {
    this.#wanted = sequence
    this.#write()
  }

  /** When it resolves, the mark is as durable as the changes are. */
  async close(): Promise<void> {
    while (this.#writing !== null) await this.#writing
    try {
      if (!this.#failed) await settled((done) => this.#file.sync(done))
    } catch (error) {
      this.#fail(error)
    } finally {
      this.#file.close()
    }
  }

  #write(): void {
    if (this.#writing !== null || this.#failed || this.#wanted === this.#written) return
    const sequence = this.#wanted
    const at = SLOTS[this.#turn]!
    this.#turn = 1 - this.#turn
    // Not a durable write: that may leave zeros behind its end.
    const write = settled((done) => this.#file.write(at, [encodeMark(sequence)], false, done))
    this.#writing = write
      .then(
        () => void (this.#written = sequence),
        (error: unknown) => this.#fail(error),
      )
      .then(() => {
        this.#writing = null
        this.#write()
      })
  }

  /** The changes are durable all the same; what is lost is the proof of it. */
  #fail(error: unknown): void {
    this.#failed = true
    this.#logger.warn(
      { path: this.#path, error },
      'which changes of the metadata are confirmed cannot be noted',
    )
  }
}
