import type { MetadataStore } from '../../ports.ts'
import { hasStoreCode } from '../layout/outcome.ts'
import { decodeProducerIdBlock, encodeProducerIdBlock, paths, whole } from '../layout/znodes.ts'

const BLOCK_SIZE = 1_000

/**
 * Producer ids, each given out once in the life of the cluster. They are taken from the store in blocks; what is
 * left of a block when the broker stops is lost.
 */
export class ProducerIds {
  /** The store as it is reached now; throws when it is not. */
  readonly #storeNow: () => MetadataStore
  readonly #brokerId: number
  #next = 0
  #last = -1
  #claiming: Promise<void> | null = null
  #aboveAll = -1

  constructor(storeNow: () => MetadataStore, brokerId: number) {
    this.#storeNow = storeNow
    this.#brokerId = brokerId
  }

  /** Ids up to this one are in use in logs that another cluster wrote. */
  skipThrough(producerId: number): void {
    this.#aboveAll = Math.max(this.#aboveAll, producerId)
    this.#next = Math.max(this.#next, producerId + 1)
  }

  /**
   * Makes `skipThrough` last: the store will not give out those ids after a restart either. Rejects when the store
   * does.
   */
  async keepSkipped(): Promise<void> {
    if (this.#aboveAll < 0) return
    this.#next = Math.max(this.#next, this.#last + 1)
    while (this.#next > this.#last) await this.#refill()
  }

  /** Rejects when the store does. */
  async next(): Promise<number> {
    // Others wait for the same block: whether an id is left is known only when this goes on.
    while (this.#next > this.#last) await this.#refill()
    return this.#next++
  }

  #refill(): Promise<void> {
    this.#claiming ??= this.#claim().finally(() => {
      this.#claiming = null
    })
    return this.#claiming
  }

  async #claim(): Promise<void> {
    const store = this.#storeNow()
    const node = await store.get(paths.producerIds)
    const used = node === null ? -1 : whole(decodeProducerIdBlock(node.data))
    const first = Math.max(used, this.#aboveAll) + 1
    const block = { brokerId: this.#brokerId, first, last: first + BLOCK_SIZE - 1 }
    try {
      if (node === null) await store.create(paths.producerIds, encodeProducerIdBlock(block))
      else await store.set(paths.producerIds, encodeProducerIdBlock(block), node.stat.version)
    } catch (error) {
      // Another broker took the block: the caller's loop asks for the one after it.
      if (hasStoreCode(error, 'BAD_VERSION') || hasStoreCode(error, 'NODE_EXISTS')) return
      throw error
    }
    this.#next = block.first
    this.#last = block.last
  }
}
