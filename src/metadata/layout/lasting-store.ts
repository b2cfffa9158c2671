import type {
  Clock,
  CreateMode,
  MetadataStore,
  NodeStat,
  SessionEvent,
  StoredNode,
  Watch,
} from '../../ports.ts'
import { hasStoreCode } from './outcome.ts'

/** Between the last answer of calls that were lost and the next attempt. */
const RETRY_MS = 20

interface Waiting {
  readonly sequence: number
  readonly goOn: () => void
}

/**
 * A metadata store that outlives the connections and sessions it is reached by, for the only one who writes there.
 *
 * A call whose outcome nobody knows is made again once there is a connection. Since nobody else writes, what stands there
 * then tells whether it was carried out before: a node to be created that is there as it should be, one to be set that
 * has the data and the next version, one to be deleted that is gone. So who changes a node must have the answer before
 * changing it again. Calls keep their order: once one is lost, those after it wait for it, and what they met meanwhile
 * does not count, for it may have been missing in what they met. A refusal that was lost is judged anew.
 */
export class LastingStore implements MetadataStore {
  readonly #clock: Clock
  #session: MetadataStore | null = null
  #connected = false
  #ended: Error | null = null
  #sequence = 0
  /** The first of the calls that were lost and have not been made again. */
  #brokenAt = Infinity
  #underWay = 0
  #waiting: Waiting[] = []
  #listeners: ((event: SessionEvent) => void)[] = []
  #mending = false

  constructor(clock: Clock, session: MetadataStore) {
    this.#clock = clock
    this.attach(session)
  }

  /** Calls go there from now on. It has to be one on which everything is as it was left: nobody else wrote meanwhile. */
  attach(session: MetadataStore): void {
    this.#session = session
    this.#connected = true
    session.onSession((event) => {
      if (session !== this.#session) return
      this.#connected = event === 'connected'
      if (event === 'expired') this.#session = null
      else this.#mendSoon()
      for (const listener of this.#listeners) listener(event)
    })
    this.#mendSoon()
  }

  get sessionTimeoutMs(): number {
    return this.#session?.sessionTimeoutMs ?? 0
  }

  create(path: string, data: Buffer, mode: CreateMode = 'persistent'): Promise<string> {
    const copy = Buffer.from(data)
    const isNumbered = mode === 'sequential' || mode === 'ephemeral-sequential'
    // Of numbered ones nobody can tell which was made.
    return this.#run(isNumbered ? 'once' : 'write', async (session, again) => {
      try {
        return await session.create(path, copy, mode)
      } catch (error) {
        if (again === null || !hasStoreCode(error, 'NODE_EXISTS')) throw error
        const node = await session.get(path)
        const ours = mode === 'ephemeral' ? node?.stat.ownedByThisSession : node?.stat.ephemeral === false
        if (ours === true && node!.stat.version === 0 && node!.data.equals(copy)) return path
        throw error
      }
    })
  }

  get(path: string, watch?: Watch): Promise<StoredNode | null> {
    return this.#run('read', (session) => session.get(path, watch))
  }

  set(path: string, data: Buffer, version: number): Promise<NodeStat> {
    const copy = Buffer.from(data)
    return this.#run('write', async (session, again) => {
      try {
        return await session.set(path, copy, version)
      } catch (error) {
        if (again === null || !hasStoreCode(error, 'BAD_VERSION')) throw error
        const node = await session.get(path)
        if (node?.stat.version === version + 1 && node.data.equals(copy)) return node.stat
        throw error
      }
    })
  }

  delete(path: string, version: number): Promise<void> {
    return this.#run('write', async (session, again) => {
      try {
        await session.delete(path, version)
      } catch (error) {
        if (again === null || !hasStoreCode(error, 'NO_NODE')) throw error
      }
    })
  }

  children(path: string, watch?: Watch): Promise<string[] | null> {
    return this.#run('read', (session) => session.children(path, watch))
  }

  /** `expired` is not final here: another session may follow. */
  onSession(listener: (event: SessionEvent) => void): void {
    this.#listeners.push(listener)
  }

  /** From now on nothing waits for a connection any more. What is under way goes on. */
  giveUp(error: Error = new ClosedError()): void {
    this.#ended ??= error
    this.#releaseAll()
  }

  async close(): Promise<void> {
    this.giveUp()
    await this.#session?.close()
  }

  async #run<T>(
    kind: 'read' | 'write' | 'once',
    attempt: (session: MetadataStore, again: Error | null) => Promise<T>,
  ): Promise<T> {
    const sequence = this.#sequence++
    let again: Error | null = null
    for (;;) {
      if (!this.#isOpen) await this.#turn(sequence)
      const session = this.#session
      if (this.#ended !== null || session === null) throw this.#ended ?? again ?? new ClosedError()
      this.#underWay += 1
      try {
        const result = await attempt(session, again)
        if (kind !== 'read' || sequence < this.#brokenAt) return result
      } catch (error) {
        if (kind === 'once') throw error
        if (isUnknown(error)) {
          again = error
          this.#brokenAt = Math.min(this.#brokenAt, sequence)
        } else if (sequence < this.#brokenAt) throw error
      } finally {
        this.#underWay -= 1
        this.#mendSoon()
      }
    }
  }

  get #isOpen(): boolean {
    return this.#session !== null && this.#connected && this.#brokenAt === Infinity
  }

  #turn(sequence: number): Promise<void> {
    if (this.#ended !== null) return Promise.resolve()
    return new Promise((goOn) => {
      this.#waiting.push({ sequence, goOn })
      this.#mendSoon()
    })
  }

  /** Goes on with what waits when all that was under way has come back, and there is a connection to go on with. */
  #mendSoon(): void {
    if (this.#mending || this.#waiting.length === 0) return
    this.#mending = true
    this.#clock.after(RETRY_MS, () => {
      this.#mending = false
      if (this.#session === null || !this.#connected || this.#underWay > 0) return
      this.#brokenAt = Infinity
      this.#releaseAll()
    })
  }

  #releaseAll(): void {
    const waiting = this.#waiting.toSorted((a, b) => a.sequence - b.sequence)
    this.#waiting = []
    for (const { goOn } of waiting) goOn()
  }
}

/** Nothing is asked there any more. */
export class ClosedError extends Error {
  readonly code = 'SESSION_EXPIRED'

  constructor() {
    super('nothing is asked of the metadata store in this session any more')
  }
}

function isUnknown(error: unknown): error is Error {
  return hasStoreCode(error, 'CONNECTION_LOSS') || hasStoreCode(error, 'SESSION_EXPIRED')
}
