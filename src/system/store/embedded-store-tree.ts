import type { MetadataStoreError, MetadataStoreErrorCode, Watch } from '../../ports.ts'
import type { Operation, Snapshot, StoredRecord } from './embedded-store-codec.ts'

/** Whoever owns ephemeral nodes and watches. Only its identity matters here. */
export type Owner = object

export interface TreeNode {
  data: Buffer
  version: number
  readonly createdTransaction: number
  /** The session an ephemeral node lives with; null for a persistent node. */
  readonly owner: Owner | null
  /** Names; null for none, as for most nodes. */
  children: Set<string> | null
  /** Number of the next sequential child. Never goes back. */
  nextSequence: number
  /** Since the store was opened: nobody else removes any. */
  removedChildren: number
}

const NO_WATCHES: readonly Watch[] = []

export function hasChildren(node: TreeNode): boolean {
  return node.children !== null && node.children.size > 0
}

interface Registration {
  readonly owner: Owner
  readonly watch: Watch
}

export class StoreError extends Error implements MetadataStoreError {
  readonly code: MetadataStoreErrorCode

  constructor(code: MetadataStoreErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'StoreError'
    this.code = code
  }
}

export function parentOf(path: string): string {
  const slash = path.lastIndexOf('/')
  return slash <= 0 ? '/' : path.slice(0, slash)
}

const MAX_PATH_LENGTH = 4096
const SLASH = 47

/** Begins with a slash, and none of its names is empty, `.` or `..` or holds a NUL. */
function hasFineNames(path: string): boolean {
  if (path.charCodeAt(0) !== SLASH || path.includes('\0')) return false
  let start = 1
  for (let end = path.indexOf('/', start); ; end = path.indexOf('/', start)) {
    const length = (end === -1 ? path.length : end) - start
    if (length === 0) return false
    if (length <= 2 && /^\.\.?$/.test(path.slice(start, start + length))) return false
    if (end === -1) return true
    start = end + 1
  }
}

/** ZooKeeper's rules for paths; the bound on the length is ours. */
export function checkPath(path: string): void {
  const fine = path === '/' || (path.length <= MAX_PATH_LENGTH && hasFineNames(path))
  if (!fine) throw new StoreError('INVALID_PATH', `${path} is not a path of the metadata store`)
}

/** The nodes in memory and the watches on them. Every change returns the watches it sets off, already taken out. */
export class Tree {
  /** The last transaction that happened. */
  transaction = 0
  private readonly nodes = new Map<string, TreeNode>()
  private readonly dataWatches = new Map<string, Registration[]>()
  private readonly childWatches = new Map<string, Registration[]>()

  constructor() {
    this.nodes.set('/', {
      data: Buffer.alloc(0),
      version: 0,
      createdTransaction: 0,
      owner: null,
      children: null,
      nextSequence: 0,
      removedChildren: 0,
    })
  }

  get(path: string): TreeNode | undefined {
    return this.nodes.get(path)
  }

  create(path: string, data: Buffer, owner: Owner | null, transaction: number): readonly Watch[] {
    const parentPath = parentOf(path)
    const parent = this.nodes.get(parentPath)
    if (parent === undefined || this.nodes.has(path)) throw new Error(`${path} cannot be created`)
    this.transaction = transaction
    this.nodes.set(path, {
      data,
      version: 0,
      createdTransaction: transaction,
      owner,
      children: null,
      nextSequence: 0,
      removedChildren: 0,
    })
    parent.children ??= new Set()
    parent.children.add(path.slice(parentPath.length === 1 ? 1 : parentPath.length + 1))
    return this.fired(path, parentPath)
  }

  set(path: string, data: Buffer, transaction: number): readonly Watch[] {
    const node = this.nodes.get(path)
    if (node === undefined) throw new Error(`${path} does not exist`)
    this.transaction = transaction
    node.data = data
    node.version += 1
    return take(this.dataWatches, path)
  }

  delete(path: string, transaction: number): readonly Watch[] {
    const parentPath = parentOf(path)
    const node = this.nodes.get(path)
    if (node === undefined || hasChildren(node)) throw new Error(`${path} cannot be deleted`)
    this.transaction = transaction
    this.nodes.delete(path)
    const parent = this.nodes.get(parentPath)
    parent?.children?.delete(path.slice(parentPath.length === 1 ? 1 : parentPath.length + 1))
    if (parent !== undefined) parent.removedChildren += 1
    return this.fired(path, parentPath)
  }

  /** The node came or went. Nobody watches the children of one that was not there. */
  private fired(path: string, parentPath: string): readonly Watch[] {
    if (this.dataWatches.size === 0 && this.childWatches.size === 0) return NO_WATCHES
    return [
      ...take(this.dataWatches, path),
      ...take(this.childWatches, path),
      ...take(this.childWatches, parentPath),
    ]
  }

  watchData(path: string, owner: Owner, watch: Watch): void {
    register(this.dataWatches, path, { owner, watch })
  }

  watchChildren(path: string, owner: Owner, watch: Watch): void {
    register(this.childWatches, path, { owner, watch })
  }

  dropWatches(owner: Owner): void {
    for (const watches of [this.dataWatches, this.childWatches]) {
      for (const [path, registrations] of watches) {
        const kept = registrations.filter((registration) => registration.owner !== owner)
        if (kept.length === 0) watches.delete(path)
        else watches.set(path, kept)
      }
    }
  }

  ephemeralsOf(owner: Owner): string[] {
    return [...this.nodes].filter(([, node]) => node.owner === owner).map(([path]) => path)
  }

  /** Repeats an operation of the log. */
  apply(operation: Operation): void {
    switch (operation.kind) {
      case 'create':
        this.create(operation.path, operation.data, null, operation.transaction)
        return
      case 'set':
        this.set(operation.path, operation.data, operation.transaction)
        return
      case 'delete':
        this.delete(operation.path, operation.transaction)
        return
      case 'tick':
        this.transaction = operation.transaction
        return
      case 'sequence':
        this.nodes.get(operation.path)!.nextSequence += 1
    }
  }

  load(snapshot: Snapshot): void {
    for (const { path, data, version, createdTransaction, nextSequence } of snapshot.nodes) {
      if (path !== '/') this.create(path, data, null, createdTransaction)
      const node = this.nodes.get(path)!
      node.data = data
      node.version = version
      node.nextSequence = nextSequence
    }
    this.transaction = snapshot.transaction
  }

  /** Persistent nodes, parents before children. */
  *records(): Generator<StoredRecord> {
    // A parent is created before its children and a map keeps the order of insertion.
    for (const [path, node] of this.nodes) {
      if (node.owner !== null) continue
      const { data, version, createdTransaction, nextSequence } = node
      yield { path, data, version, createdTransaction, nextSequence }
    }
  }
}

function register(watches: Map<string, Registration[]>, path: string, registration: Registration): void {
  const registrations = watches.get(path)
  if (registrations === undefined) watches.set(path, [registration])
  else registrations.push(registration)
}

function take(watches: Map<string, Registration[]>, path: string): readonly Watch[] {
  const registrations = watches.get(path)
  if (registrations === undefined) return NO_WATCHES
  watches.delete(path)
  return registrations.map(({ watch }) => watch)
}
