import type {
  CreateMode,
  MetadataStore,
  NodeStat,
  SessionEvent,
  StoredNode,
  Watch,
  World,
} from '../../ports.ts'
import { isError } from '../../core/is-error.ts'
import { encodeOperation } from './embedded-store-codec.ts'
import type { Operation } from './embedded-store-codec.ts'
import { StoreFiles } from './embedded-store-files.ts'
import { checkPath, hasChildren, parentOf, StoreError, Tree } from './embedded-store-tree.ts'
import type { TreeNode } from './embedded-store-tree.ts'

export interface EmbeddedStoreOptions {
  /** Bytes the log grows to before a snapshot replaces it. */
  readonly snapshotAfterBytes?: number
}

/** As in ZooKeeper, whose servers refuse larger nodes. */
const MAX_NODE_BYTES = 1_048_576

/** Changes that become durable together, and what is told to whom once they are. */
interface Batch {
  readonly operations: Buffer[]
  readonly settle: ((error: StoreError | null) => void)[]
}

/**
 * The metadata store of a broker that needs no other: a tree in memory, its changes in a log on the Disk port.
 *
 * A change takes effect in memory at once and is answered when it is durable. Everything asked after it is
 * answered after it, so nothing is ever seen that a power cut could take back. What is asked in one turn, and
 * while the device is busy, becomes durable together.
 */
export class EmbeddedStore {
  private readonly clock: World['clock']
  private readonly logger: World['logger']
  private readonly tree: Tree
  private readonly files: StoreFiles
  private readonly sessions = new Set<EmbeddedSession>()
  private collecting: Batch | null = null
  private writing: Batch | null = null
  private failure: StoreError | null = null
  private readonly idle: (() => void)[] = []

  private constructor(world: Pick<World, 'clock' | 'logger'>, tree: Tree, files: StoreFiles) {
    this.clock = world.clock
    this.logger = world.logger
    this.tree = tree
    this.files = files
  }

  /** `directory` is absolute. Rejects with SAMSA_METADATA_STORE when the files are damaged or unreadable. */
  static async open(
    world: Pick<World, 'clock' | 'disk' | 'logger'>,
    directory: string,
    options: EmbeddedStoreOptions = {},
  ): Promise<EmbeddedStore> {
    const tree = new Tree()
    const after = options.snapshotAfterBytes ?? 1_048_576
    const files = await StoreFiles.open(world.disk, directory, world.logger, tree, after)
    return new EmbeddedStore(world, tree, files)
  }

  connect(): MetadataStore & { expire(): Promise<void> } {
    const session = new EmbeddedSession(this, this.tree)
    this.sessions.add(session)
    return session
  }

  /** Ends all sessions, waits for what is under way and closes the files. */
  async close(): Promise<void> {
    await Promise.allSettled([...this.sessions].map((session) => session.close()))
    if (this.collecting !== null || this.writing !== null)
      await new Promise<void>((resolve) => this.idle.push(resolve))
    await this.files.close()
  }

  /** @internal Runs `act` on the tree now and answers with its result when everything before it is durable. */
  perform<T>(
    act: (record: (operation: Operation) => void, fire: (watches: readonly Watch[]) => void) => T,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.failure !== null) {
        reject(this.failure)
        return
      }
      let fired: readonly Watch[] | null = null
      let answer: () => void
      try {
        const result = act(
          (operation) => this.record(operation),
          (watches) => {
            fired = fired === null ? watches : [...fired, ...watches]
          },
        )
        answer = () => {
          if (fired !== null) for (const watch of fired) watch()
          resolve(result)
        }
      } catch (error) {
        answer = () => reject(isError(error) ? error : new Error(String(error)))
      }
      this.whenDurable((error) => (error === null ? answer() : reject(error)))
    })
  }

  /** @internal */
  forget(session: EmbeddedSession): void {
    this.sessions.delete(session)
  }

  private whenDurable(settle: (error: StoreError | null) => void): void {
    const batch = this.collecting ?? this.writing
    if (batch === null) settle(null)
    else batch.settle.push(settle)
  }

  private record(operation: Operation): void {
    if (this.collecting === null) {
      this.collecting = { operations: [], settle: [] }
      if (this.writing === null) this.clock.atEndOfTurn('append', () => this.flush())
    }
    this.collecting.operations.push(encodeOperation(operation))
  }

  private flush(): void {
    const batch = this.collecting
    if (batch === null || this.writing !== null) return
    this.collecting = null
    this.writing = batch
    // A snapshot holds the tree as it is now, this batch included, so it stands for the batch's frame.
    const written = this.files.snapshotIsDue
      ? this.files.snapshot(this.tree)
      : this.files.append(batch.operations)
    written.then(
      () => this.settled(batch, null),
      (cause: unknown) =>
        this.settled(batch, new StoreError('STORAGE', 'the metadata cannot be written', cause)),
    )
  }

  private settled(batch: Batch, error: StoreError | null): void {
    this.writing = null
    if (error !== null) {
      // The tree is ahead of the device for good: nothing it says may be believed any more.
      this.failure = error
      this.logger.error({ error: error.cause }, error.message)
    }
    for (const settle of batch.settle) settle(error)
    if (error !== null && this.collecting !== null) {
      const waiting = this.collecting
      this.collecting = null
      for (const settle of waiting.settle) settle(error)
    }
    // Those who were just answered may have more to say in this turn.
    if (this.collecting !== null) this.clock.atEndOfTurn('append', () => this.flush())
    else for (const resolve of this.idle.splice(0)) resolve()
  }
}

function statOf(node: TreeNode, session: EmbeddedSession): NodeStat {
  return {
    createdTransaction: node.createdTransaction,
    removedChildren: node.removedChildren,
    version: node.version,
    ephemeral: node.owner !== null,
    ownedByThisSession: node.owner === session,
  }
}

class EmbeddedSession implements MetadataStore {
  readonly sessionTimeoutMs = 0
  private readonly store: EmbeddedStore
  private readonly tree: Tree
  private readonly listeners: ((event: SessionEvent) => void)[] = []
  private ended: Promise<void> | null = null

  constructor(store: EmbeddedStore, tree: Tree) {
    this.store = store
    this.tree = tree
  }

  create(path: string, data: Buffer, mode: CreateMode = 'persistent'): Promise<string> {
    const copy = Buffer.from(data)
    return this.perform((record, fire) => {
      const ephemeral = mode === 'ephemeral' || mode === 'ephemeral-sequential'
      const sequential = mode === 'sequential' || mode === 'ephemeral-sequential'
      checkPath(path)
      checkSize(path, copy)
      const parentPath = parentOf(path)
      const parent = this.tree.get(parentPath)
      if (parent === undefined) throw new StoreError('NO_NODE', `${parentPath} does not exist`)
      const created = sequential ? path + String(parent.nextSequence).padStart(10, '0') : path
      if (this.tree.get(created) !== undefined) throw new StoreError('NODE_EXISTS', `${created} exists`)
      if (parent.owner !== null)
        throw new StoreError('NO_CHILDREN_FOR_EPHEMERALS', `${parentPath} is ephemeral`)
      if (sequential) {
        parent.nextSequence += 1
        record({ kind: 'sequence', path: parentPath })
      }
      const transaction = this.tree.transaction + 1
      record(
        ephemeral
          ? { kind: 'tick', transaction }
          : { kind: 'create', transaction, path: created, data: copy },
      )
      fire(this.tree.create(created, copy, ephemeral ? this : null, transaction))
      return created
    })
  }

  get(path: string, watch?: Watch): Promise<StoredNode | null> {
    return this.perform(() => {
      checkPath(path)
      if (watch !== undefined) this.tree.watchData(path, this, watch)
      const node = this.tree.get(path)
      return node === undefined ? null : { data: Buffer.from(node.data), stat: statOf(node, this) }
    })
  }

  set(path: string, data: Buffer, version: number): Promise<NodeStat> {
    const copy = Buffer.from(data)
    return this.perform((record, fire) => {
      checkSize(path, copy)
      const node = this.existing(path, version)
      const transaction = this.tree.transaction + 1
      record(
        node.owner === null ? { kind: 'set', transaction, path, data: copy } : { kind: 'tick', transaction },
      )
      fire(this.tree.set(path, copy, transaction))
      return statOf(node, this)
    })
  }

  delete(path: string, version: number): Promise<void> {
    return this.perform((record, fire) => {
      if (path === '/') throw new StoreError('INVALID_PATH', 'the root cannot be deleted')
      const node = this.existing(path, version)
      if (hasChildren(node)) throw new StoreError('NOT_EMPTY', `${path} has children`)
      const transaction = this.tree.transaction + 1
      record(node.owner === null ? { kind: 'delete', transaction, path } : { kind: 'tick', transaction })
      fire(this.tree.delete(path, transaction))
    })
  }

  children(path: string, watch?: Watch): Promise<string[] | null> {
    return this.perform(() => {
      checkPath(path)
      const node = this.tree.get(path)
      if (node === undefined) return null
      if (watch !== undefined) this.tree.watchChildren(path, this, watch)
      return [...(node.children ?? [])]
    })
  }

  onSession(listener: (event: SessionEvent) => void): void {
    this.listeners.push(listener)
  }

  close(): Promise<void> {
    this.ended ??= this.end()
    return this.ended
  }

  /** Ends the session as a ZooKeeper server does when it hears nothing from a client for too long. */
  async expire(): Promise<void> {
    if (this.ended !== null) return this.ended
    this.ended = this.end()
    await this.ended
    for (const listener of this.listeners) listener('expired')
  }

  private async end(): Promise<void> {
    try {
      await this.store.perform((record, fire) => {
        this.tree.dropWatches(this)
        for (const path of this.tree.ephemeralsOf(this)) {
          const transaction = this.tree.transaction + 1
          record({ kind: 'tick', transaction })
          fire(this.tree.delete(path, transaction))
        }
      })
    } finally {
      this.store.forget(this)
    }
  }

  private existing(path: string, version: number): TreeNode {
    checkPath(path)
    const node = this.tree.get(path)
    if (node === undefined) throw new StoreError('NO_NODE', `${path} does not exist`)
    if (version !== -1 && version !== node.version)
      throw new StoreError('BAD_VERSION', `${path} has version ${node.version}, not ${version}`)
    return node
  }

  private perform<T>(
    act: (record: (operation: Operation) => void, fire: (watches: readonly Watch[]) => void) => T,
  ): Promise<T> {
    if (this.ended !== null) return Promise.reject(new StoreError('SESSION_EXPIRED', 'the session has ended'))
    return this.store.perform(act)
  }
}

function checkSize(path: string, data: Buffer): void {
  if (data.length > MAX_NODE_BYTES)
    throw new StoreError('STORAGE', `${path} is ${data.length} bytes; a node holds at most ${MAX_NODE_BYTES}`)
}

/**
 * One session on a store of its own, as a broker uses it: closing it closes the files. `directory` is absolute.
 * Rejects with SAMSA_METADATA_STORE.
 */
export async function openEmbeddedStore(
  world: Pick<World, 'clock' | 'disk' | 'logger'>,
  directory: string,
  options: EmbeddedStoreOptions = {},
): Promise<MetadataStore> {
  const store = await EmbeddedStore.open(world, directory, options)
  const session = store.connect()
  return {
    sessionTimeoutMs: session.sessionTimeoutMs,
    create: (path, data, mode) => session.create(path, data, mode),
    get: (path, watch) => session.get(path, watch),
    set: (path, data, version) => session.set(path, data, version),
    delete: (path, version) => session.delete(path, version),
    children: (path, watch) => session.children(path, watch),
    onSession: (listener) => session.onSession(listener),
    close: () => store.close(),
  }
}
