import type { EpochCache } from '../../core/replication/epoch-cache.ts'
import type { Disk } from '../../ports.ts'
import { readSmall, replaceWhole, syncDirectory, syncFile } from './disk-calls.ts'
import { EPOCH_CHECKPOINT, parentOf, PARTITION_METADATA } from './log-files.ts'

/**
 * Makes the names of one log durable: its directory, the files in it, and the epoch checkpoint.
 *
 * They become so with the first flush, roll or clean close, and before the first acknowledged write when every write
 * is durable: without a promise there is nothing to pay for, which is what makes a thousand new partitions cheap.
 */
export class LogNames {
  readonly #disk: Disk
  readonly #directory: string
  readonly #epochs: EpochCache
  /** Grows with every new name; names are durable up to `#persisted`. */
  #names = 0
  #persisted: number
  #directoryDirty: boolean
  #persistedEpochs: number
  #persisting: Promise<void> | null = null

  /** `epochsOnDisk`: `changeCount` of what the checkpoint holds. */
  constructor(disk: Disk, directory: string, epochs: EpochCache, dirty: boolean, epochsOnDisk: number) {
    this.#disk = disk
    this.#directory = directory
    this.#epochs = epochs
    this.#persisted = dirty ? -1 : 0
    this.#directoryDirty = dirty
    this.#persistedEpochs = epochsOnDisk
  }

  get durable(): boolean {
    return this.#persisted === this.#names && this.#persistedEpochs === this.#epochs.changeCount
  }

  /** A name was added, changed or taken away. */
  changed(): void {
    this.#names++
  }

  /** Resolves once names and epochs are durable. */
  persist(): Promise<void> {
    this.#persisting ??= this.#persist().finally(() => {
      this.#persisting = null
    })
    return this.#persisting
  }

  /**
   * As `persist`, for a log that ends at `endOffset` and will be opened again: epochs that begin there are not in the
   * log, and opening it forgets them. A partition to which nothing was appended has nothing to write.
   */
  async persistClosing(endOffset: number): Promise<void> {
    if (this.#persisted === this.#names && this.#persistedEpochs !== this.#epochs.changeCount) {
      const checkpoint = readSmall(this.#disk, `${this.#directory}/${EPOCH_CHECKPOINT}`)
      const stored = checkpoint?.toString('utf8').split('\n').slice(2) ?? []
      const entries = this.#epochs.entries().filter(({ startOffset }) => startOffset < endOffset)
      const wanted = entries.map(({ epoch, startOffset }) => `${epoch} ${startOffset}`)
      const kept = stored.filter((line) => line !== '' && Number(line.split(' ')[1]) < endOffset)
      if (kept.join() === wanted.join()) return
    }
    await this.persist()
  }

  async #persist(): Promise<void> {
    while (!this.durable) {
      const { changeCount } = this.#epochs
      const names = this.#names
      if (changeCount !== this.#persistedEpochs) {
        const bytes = Buffer.from(this.#epochs.encode())
        await replaceWhole(this.#disk, `${this.#directory}/${EPOCH_CHECKPOINT}`, bytes, true)
      }
      if (this.#directoryDirty) {
        await this.#syncMetadata()
        await syncDirectory(this.#disk, parentOf(this.#directory))
      }
      await syncDirectory(this.#disk, this.#directory)
      this.#directoryDirty = false
      this.#persistedEpochs = changeCount
      this.#persisted = names
    }
  }

  async #syncMetadata(): Promise<void> {
    const path = `${this.#directory}/${PARTITION_METADATA}`
    if (!this.#disk.exists(path)) return
    const file = this.#disk.open(path, 'update')
    try {
      await syncFile(file)
    } finally {
      file.close()
    }
  }
}
