import type { MetadataStore, StoredNode } from '../../src/ports.ts'

/** What a path was after a change; null where there was no node. */
export interface Version {
  readonly transaction: number
  readonly atMs: number
  readonly node: StoredNode | null
  readonly children: readonly string[] | null
  /** The session that an ephemeral node belongs to. */
  readonly owner: object | null
}

/** What every node was after every change, for servers that have not seen all of them yet. */
export class TreeHistory {
  /** The last change. */
  transaction = 0
  /** Hears of every version. */
  listener: ((path: string, version: Version) => void) | null = null
  readonly #witness: MetadataStore
  readonly #versions = new Map<string, Version[]>()
  readonly #times: number[] = [0]

  /** `witness`: a session that sees every change at once. */
  constructor(witness: MetadataStore) {
    this.#witness = witness
  }

  /** To be called when a change of this path was just carried out. Resolves when it is written down. */
  async changed(path: string, atMs: number, owner: object | null): Promise<void> {
    const transaction = ++this.transaction
    this.#times[transaction] = atMs
    const parent = path.slice(0, path.lastIndexOf('/')) || '/'
    // What is asked in one go is answered as it is now.
    await Promise.all([
      this.#write(path, transaction, atMs, owner),
      this.#write(parent, transaction, atMs, null),
    ])
  }

  async #write(path: string, transaction: number, atMs: number, owner: object | null): Promise<void> {
    const [node, children] = await Promise.all([this.#witness.get(path), this.#witness.children(path)])
    const versions = this.#versions.get(path) ?? []
    this.#versions.set(path, versions)
    const before = versions.at(-1)
    // Who was refused to make it does not own it.
    const isSame =
      before?.node !== undefined && before.node?.stat.createdTransaction === node?.stat.createdTransaction
    const owned = isSame ? before.owner : owner
    const version = { transaction, atMs, node, children, owner: node === null ? null : owned }
    versions.push(version)
    this.listener?.(path, version)
  }

  /** All that ever changed. */
  paths(): Iterable<string> {
    return this.#versions.keys()
  }

  /** What the path was after each change of it, or of one of its children. */
  versionsOf(path: string): readonly Version[] {
    return this.#versions.get(path) ?? []
  }

  /** The last change that a server knows of which is so far behind. */
  knownAt(atMs: number): number {
    let transaction = this.transaction
    while (transaction > 0 && this.#times[transaction]! > atMs) transaction -= 1
    return transaction
  }

  /** What the path was after this change; undefined where it has not changed since. */
  at(path: string, transaction: number): Version | null | undefined {
    const versions = this.#versions.get(path)
    if (versions === undefined || versions.at(-1)!.transaction <= transaction) return undefined
    // Before its first change here it was not there: trees of simulations begin empty.
    return versions.findLast((version) => version.transaction <= transaction) ?? null
  }
}
