import type { CreateMode, MetadataStore, NodeStat, SessionEvent, StoredNode, Watch } from '../../ports.ts'
import { ClosedError } from '../layout/lasting-store.ts'

/**
 * The store as a controller has it in its term. What takes several steps must not go on when the term is over: the next
 * controller has read by then what there was, and a topic that is deleted may have been made anew. What was asked before the
 * office was given back is carried out before that, in the same session.
 */
export class TermStore implements MetadataStore {
  readonly #store: MetadataStore
  readonly #isOver: () => boolean

  constructor(store: MetadataStore, isOver: () => boolean) {
    this.#store = store
    this.#isOver = isOver
  }

  get sessionTimeoutMs(): number {
    return this.#store.sessionTimeoutMs
  }

  create(path: string, data: Buffer, mode?: CreateMode): Promise<string> {
    return this.#isOver() ? refused() : this.#store.create(path, data, mode)
  }

  get(path: string, watch?: Watch): Promise<StoredNode | null> {
    return this.#store.get(path, watch)
  }

  set(path: string, data: Buffer, version: number): Promise<NodeStat> {
    return this.#isOver() ? refused() : this.#store.set(path, data, version)
  }

  delete(path: string, version: number): Promise<void> {
    return this.#isOver() ? refused() : this.#store.delete(path, version)
  }

  children(path: string, watch?: Watch): Promise<string[] | null> {
    return this.#store.children(path, watch)
  }

  onSession(listener: (event: SessionEvent) => void): void {
    this.#store.onSession(listener)
  }

  /** The session is more than the term. */
  close(): Promise<void> {
    return Promise.resolve()
  }
}

function refused(): Promise<never> {
  return Promise.reject(new ClosedError())
}
