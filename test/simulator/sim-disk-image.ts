import type { DiskError } from '../../src/ports.ts'
import type { SimRandom } from './sim-random.ts'

/**
 * What lies on a simulated disk: two pictures of one tree. The *cached* picture is what a running system sees; the
 * *durable* one is what a power loss is sure to leave. Between them lie, in the order they were issued, the writes
 * of each file that were not synced and the changes of names that were not synced.
 *
 * Fault model of a power loss, per seed and independently for every file and every name:
 * - An unsynced write is kept, lost, cut short, or torn: each 512-byte sector of it is kept, left as it was, zeroed
 *   or filled with garbage. Later writes may survive where earlier ones do not; the file may have grown over a gap.
 *   One that went to the device directly is torn between whole sectors only: each is the old one or the new one, for
 *   the device writes a sector or does not. Bytes acknowledged before that lie in the same sector are in both.
 *   A file that was a segment before is cut short between sectors too: no page is copied, and none written, byte by byte.
 * - An unsynced truncation is kept or undone.
 * - An unsynced create, rename or remove is kept or undone. Only changes of the same name keep their order (a file
 *   system may forget the newest, never just the middle): stricter than any journal. With `journalled` names the
 *   changes of one directory keep their order, as ext4, XFS and NTFS see to it.
 * - A file whose name was lost is gone, however well its bytes were synced.
 * A process kill keeps the cached picture as it is, with what a failed sync left off the device, until the next
 * process has the page cache dropped.
 */

export const SECTOR_BYTES = 512

/** A disk that never runs full. */
export const UNBOUNDED_BYTES = 2 ** 40

export class SimDiskError extends Error implements DiskError {
  readonly code: string

  constructor(code: string, operation: string, path: string) {
    super(`${code}: ${operation} ${path}`)
    this.name = 'SimDiskError'
    this.code = code
  }
}

/** Bytes that grow; what was never written reads as zeros. */
export class SimBytes {
  size = 0
  private data: Buffer = Buffer.alloc(0)

  write(position: number, bytes: Buffer): void {
    const end = position + bytes.length
    if (end > this.data.length) {
      const grown = Buffer.alloc(Math.max(end, this.data.length * 2))
      this.data.copy(grown, 0, 0, this.size)
      this.data = grown
    }
    bytes.copy(this.data, position)
    if (end > this.size) this.size = end
  }

  truncate(size: number): void {
    if (size < this.data.length) this.data.fill(0, size)
    this.size = size
  }

  read(position: number, into: Buffer): number {
    const length = Math.max(0, Math.min(into.length, this.size - position))
    into.fill(0, 0, length)
    // A file that was extended without being written holds fewer bytes than its size.
    if (position < this.data.length)
      this.data.copy(into, 0, position, Math.min(position + length, this.data.length))
    return length
  }

  all(): Buffer {
    const bytes = Buffer.alloc(this.size)
    this.read(0, bytes)
    return bytes
  }

  clone(): SimBytes {
    const copy = new SimBytes()
    copy.data = Buffer.from(this.data)
    copy.size = this.size
    return copy
  }
}

/** How bytes got to the file. `direct`: past the page cache, so that whole sectors are written or not. */
export interface SimWriteWay {
  durable: boolean
  readonly direct: boolean
}

type Change =
  | { readonly kind: 'write'; readonly position: number; readonly bytes: Buffer; readonly way: SimWriteWay }
  | { readonly kind: 'truncate'; readonly size: number }

export class SimFileNode {
  readonly kind = 'file'
  cached = new SimBytes()
  durable = new SimBytes()
  /** In the order they completed. */
  unsynced: Change[] = []
  /** Changes that ever left `unsynced`, so that a sync can name those it covers. */
  settled = 0
  /** The cached picture holds bytes that count as clean and are not on the device. */
  private forgotten = false
  /** It was a segment before, and holds its bytes. */
  recycled = false

  write(position: number, bytes: Buffer, durable: boolean, direct = false): void {
    this.writeBy(position, bytes, { durable, direct })
  }

  /** Several writes of one `way` become durable together, when it says so and `settleDurable` is called. */
  writeBy(position: number, bytes: Buffer, way: SimWriteWay): void {
    this.cached.write(position, bytes)
    this.unsynced.push({ kind: 'write', position, bytes, way })
    if (way.durable) this.settleDurable()
  }

  /** Takes durable writes out of the unsynced ones, as far as nothing unsynced comes before them. */
  settleDurable(): void {
    for (;;) {
      const first = this.unsynced[0]
      if (first?.kind !== 'write' || !first.way.durable) return
      this.harden(this.settled + 1)
    }
  }

  truncate(size: number): void {
    this.cached.truncate(size)
    this.unsynced.push({ kind: 'truncate', size })
  }

  /** Number of changes made so far: what a sync issued now covers. */
  get changes(): number {
    return this.settled + this.unsynced.length
  }

  /** Makes the first `changes` changes durable. */
  harden(changes: number): void {
    while (this.settled < changes && this.unsynced.length > 0) {
      apply(this.durable, this.unsynced.shift() as Change)
      this.settled += 1
    }
  }

  /**
   * A failed sync: the pages count as clean from now on, and no later sync writes them. A new size is no page: it is
   * still to be made durable, by the next sync that succeeds.
   */
  forget(changes: number): void {
    const sizes: Change[] = []
    while (this.settled < changes && this.unsynced.length > 0) {
      const change = this.unsynced.shift() as Change
      if (change.kind === 'truncate') sizes.push(change)
      else if (change.way.durable) apply(this.durable, change)
      else this.forgotten = true
      this.settled += 1
    }
    this.unsynced.unshift(...sizes)
    this.settled -= sizes.length
  }

  /** What counts as clean is read from the device from now on. What is still to be written stays, and so does the size. */
  dropCached(): void {
    if (!this.forgotten) return
    const { size } = this.cached
    this.cached = this.durable.clone()
    for (const change of this.unsynced) apply(this.cached, change)
    this.cached.truncate(size)
    this.forgotten = false
  }

  powerLoss(random: SimRandom): void {
    const style = random.pick(['lost', 'kept', 'each', 'each', 'prefix'] as const)
    let prefix = style === 'prefix' ? random.below(this.unsynced.length + 1) : this.unsynced.length
    for (const change of this.unsynced) {
      const hardened = change.kind === 'write' && change.way.durable
      if (hardened || style === 'kept' || (style === 'prefix' && prefix > 0)) apply(this.durable, change)
      else if (style === 'each' || (style === 'prefix' && prefix === 0))
        survive(this.durable, change, random, this.recycled)
      prefix -= 1
    }
    this.settled += this.unsynced.length
    this.unsynced = []
    this.cached = this.durable.clone()
    this.forgotten = false
  }
}

export class SimDirectoryNode {
  readonly kind = 'directory'
  readonly id: number
  cached = new Map<string, SimNode>()
  durable = new Map<string, SimNode>()

  constructor(id: number) {
    this.id = id
  }
}

export type SimNode = SimFileNode | SimDirectoryNode

interface EntryChange {
  readonly directory: SimDirectoryNode
  readonly name: string
  /** What the name stands for afterwards. */
  readonly node: SimNode | null
}

/** The changes of one operation survive together or not at all. */
interface NameChange {
  readonly sequence: number
  readonly entries: readonly EntryChange[]
}

export class SimDiskImage {
  /** May change: somebody else's files come and go. */
  capacityBytes: number
  private readonly root = new SimDirectoryNode(0)
  private directories = 1
  private unsyncedNames: NameChange[] = []
  private issuedNames = 0
  /** Changes with a key in common survive in their order. */
  readonly #keyOf: (entry: EntryChange) => string | number

  constructor(capacityBytes = UNBOUNDED_BYTES, journalledNames = false) {
    this.capacityBytes = capacityBytes
    this.#keyOf = journalledNames ? (entry) => entry.directory.id : keyOf
  }

  find(path: string): SimNode | null {
    let node: SimNode = this.root
    for (const part of partsOf(path)) {
      if (node.kind !== 'directory') return null
      const next = node.cached.get(part)
      if (next === undefined) return null
      node = next
    }
    return node
  }

  file(path: string, operation: string): SimFileNode {
    const node = this.find(path)
    if (node === null) throw new SimDiskError('ENOENT', operation, path)
    if (node.kind !== 'file') throw new SimDiskError('EISDIR', operation, path)
    return node
  }

  directory(path: string, operation: string): SimDirectoryNode {
    const node = this.find(path)
    if (node === null) throw new SimDiskError('ENOENT', operation, path)
    if (node.kind !== 'directory') throw new SimDiskError('ENOTDIR', operation, path)
    return node
  }

  createFile(path: string): SimFileNode {
    const [parent, name] = this.place(path, 'open')
    const node = new SimFileNode()
    this.change([{ directory: parent, name, node }])
    return node
  }

  makeDirectory(path: string): void {
    let node = this.root
    for (const part of partsOf(path)) {
      const next = node.cached.get(part)
      if (next?.kind === 'file') throw new SimDiskError('ENOTDIR', 'mkdir', path)
      if (next !== undefined) {
        node = next
        continue
      }
      const made = new SimDirectoryNode(this.directories++)
      this.change([{ directory: node, name: part, node: made }])
      node = made
    }
  }

  /** A directory that was there before. */
  makeDurableDirectory(path: string): void {
    this.makeDirectory(path)
    for (const change of this.unsyncedNames.splice(0)) applyNames(change)
  }

  rename(from: string, to: string): void {
    const [fromParent, fromName] = this.place(from, 'rename')
    const [toParent, toName] = this.place(to, 'rename')
    const node = fromParent.cached.get(fromName)
    if (node === undefined) throw new SimDiskError('ENOENT', 'rename', from)
    if (fromParent === toParent && fromName === toName) return
    const target = toParent.cached.get(toName)
    if (target?.kind === 'directory' && (node.kind === 'file' || target.cached.size > 0)) {
      throw new SimDiskError('ENOTEMPTY', 'rename', to)
    }
    this.change([
      { directory: fromParent, name: fromName, node: null },
      { directory: toParent, name: toName, node },
    ])
  }

  /** Removes the path and all below it, children first. `steps` bounds how far it gets (a crash in the middle). */
  remove(path: string, steps = Infinity): void {
    const node = this.find(path)
    if (node === null) return
    const [parent, name] = this.place(path, 'remove')
    let left = steps
    const take = (directory: SimDirectoryNode, entry: string, victim: SimNode): void => {
      if (victim.kind === 'directory') for (const [child, below] of victim.cached) take(victim, child, below)
      if (left-- > 0) this.change([{ directory, name: entry, node: null }])
    }
    take(parent, name, node)
  }

  /** Number of name changes so far: what a directory sync issued now covers. */
  get nameChanges(): number {
    return this.issuedNames
  }

  /** Makes those of the first `changes` name changes durable that touch `directory`, and what they build on. */
  hardenNames(directory: SimDirectoryNode, changes: number): void {
    const needed = new Set<string>()
    const harden: NameChange[] = []
    for (let index = this.unsyncedNames.length - 1; index >= 0; index--) {
      const change = this.unsyncedNames[index] as NameChange
      if (change.sequence >= changes) continue
      if (!change.entries.some((entry) => entry.directory === directory || needed.has(keyOf(entry)))) continue
      for (const entry of change.entries) needed.add(keyOf(entry))
      harden.push(change)
    }
    if (harden.length === 0) return
    for (const change of harden.reverse()) applyNames(change)
    const hardened = new Set(harden)
    this.unsyncedNames = this.unsyncedNames.filter((change) => !hardened.has(change))
  }

  usedBytes(): number {
    let used = 0
    for (const file of this.files()) used += file.cached.size
    return used
  }

  /** Loses what was not durable, as the fault model says. */
  powerLoss(random: SimRandom): void {
    const probability = random.pick([0, 0.5, 0.8, 1])
    const lost = new Set<string | number>()
    for (const change of this.unsyncedNames) {
      if (random.chance(probability) && !change.entries.some((entry) => lost.has(this.#keyOf(entry))))
        applyNames(change)
      else for (const entry of change.entries) lost.add(this.#keyOf(entry))
    }
    this.unsyncedNames = []
    const forget = (directory: SimDirectoryNode): void => {
      directory.cached = new Map(directory.durable)
      for (const node of directory.cached.values()) {
        if (node.kind === 'directory') forget(node)
        else node.powerLoss(random)
      }
    }
    forget(this.root)
  }

  /** Turns one bit of a file over, at rest. */
  flipBit(path: string, position: number, bit: number): void {
    const file = this.file(path, 'flip')
    for (const bytes of [file.cached, file.durable]) {
      const one = Buffer.alloc(1)
      if (bytes.read(position, one) === 1)
        bytes.write(position, Buffer.from([(one[0] as number) ^ (1 << bit)]))
    }
  }

  /** Paths and files below a directory. */
  *walk(path: string): Generator<[path: string, file: SimFileNode]> {
    for (const [name, node] of this.directory(path, 'walk').cached) {
      if (node.kind === 'file') yield [`${path}/${name}`, node]
      else yield* this.walk(`${path}/${name}`)
    }
  }

  private *files(directory: SimDirectoryNode = this.root): Generator<SimFileNode> {
    for (const node of directory.cached.values()) {
      if (node.kind === 'file') yield node
      else yield* this.files(node)
    }
  }

  private place(path: string, operation: string): [SimDirectoryNode, string] {
    const parts = partsOf(path)
    const name = parts.pop()
    if (name === undefined) throw new SimDiskError('EINVAL', operation, path)
    return [this.directory(`/${parts.join('/')}`, operation), name]
  }

  private change(entries: readonly EntryChange[]): void {
    for (const { directory, name, node } of entries) {
      if (node === null) directory.cached.delete(name)
      else directory.cached.set(name, node)
    }
    this.unsyncedNames.push({ sequence: this.issuedNames++, entries })
  }
}

function partsOf(path: string): string[] {
  if (!path.startsWith('/')) throw new SimDiskError('EINVAL', 'relative path', path)
  return path.split('/').filter((part) => part !== '' && part !== '.')
}

function keyOf(entry: EntryChange): string {
  return `${entry.directory.id}/${entry.name}`
}

function applyNames(change: NameChange): void {
  for (const { directory, name, node } of change.entries) {
    if (node === null) directory.durable.delete(name)
    else directory.durable.set(name, node)
  }
}

function apply(bytes: SimBytes, change: Change): void {
  if (change.kind === 'truncate') bytes.truncate(change.size)
  else bytes.write(change.position, change.bytes)
}

/** What a power loss leaves of one unsynced change. */
function survive(bytes: SimBytes, change: Change, random: SimRandom, isRecycled: boolean): void {
  const fate = random.pick(['kept', 'lost', 'short', 'torn'] as const)
  if (fate === 'lost') return
  if (fate === 'kept' || change.kind === 'truncate') return apply(bytes, change)
  const { direct } = change.way
  if (fate === 'short' && !direct)
    return bytes.write(change.position, startOf(change, random.below(change.bytes.length + 1), isRecycled))
  tear(bytes, change.position, change.bytes, random, direct ? WHOLE_SECTORS : ANY_SECTORS)
}

/** The first `length` bytes of a write; what is written over changes by sectors. */
export function startOf(
  { position, bytes }: { readonly position: number; readonly bytes: Buffer },
  length: number,
  isRecycled: boolean,
): Buffer {
  const whole = isRecycled && length < bytes.length ? length - ((position + length) % SECTOR_BYTES) : length
  return bytes.subarray(0, Math.max(0, whole))
}

const WHOLE_SECTORS = ['kept', 'old'] as const
const ANY_SECTORS = ['kept', 'kept', 'old', 'zero', 'garbage'] as const

function tear(
  bytes: SimBytes,
  position: number,
  written: Buffer,
  random: SimRandom,
  fates: readonly ('kept' | 'old' | 'zero' | 'garbage')[],
): void {
  const end = position + written.length
  for (let start = position; start < end;) {
    const next = Math.min(end, start - (start % SECTOR_BYTES) + SECTOR_BYTES)
    const sector = written.subarray(start - position, next - position)
    const fate = random.pick(fates)
    if (fate === 'kept') bytes.write(start, sector)
    else if (fate === 'zero') bytes.write(start, Buffer.alloc(sector.length))
    else if (fate === 'garbage') bytes.write(start, random.bytes(sector.length))
    start = next
  }
}
