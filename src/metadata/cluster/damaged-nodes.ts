import type { Logger, MetadataStore, NodeStat } from '../../ports.ts'
import { paths } from '../layout/znodes.ts'
import type { Damage } from '../layout/znodes.ts'

/** What follows from a node that makes no sense, as long as it does not. */
const FOLLOWS = {
  state:
    'of a partition nothing is certain: nobody leads it, and nothing is written of it, until its node is repaired (its leader_epoch must not go back)',
  topic:
    'of a topic nothing is certain: nobody leads its partitions, and what brokers have of them stays, until its node is repaired or removed',
  config:
    'a stored configuration cannot be read: nothing that it may have kept is deleted or compacted, until its node is repaired or removed',
  accepted:
    'what was last accepted of a broker cannot be read: it is taken for one that may have lost the end of its logs, and accepted anew',
  broker: 'a registration of a broker cannot be read: nobody learns from it where the broker is',
  epoch: 'the epoch of the controllers is not what it should be: it goes on from what brokers know',
} as const

type Kind = keyof typeof FOLLOWS

/** What there is before somebody repairs it; the others are written anew, or told by their owner. */
const REPAIRED_BY_HAND: ReadonlySet<Kind> = new Set<Kind>(['state', 'topic', 'config'])

interface Found {
  readonly damage: Damage
  readonly kind: Kind
  /** Null: it is gone. */
  readonly stat: NodeStat | null
}

/**
 * Nodes that a controller found, and could make no sense of. Each is told of once, and watched: what an operator makes of it is
 * read by the controller after this one, as all that others write.
 */
export class DamagedNodes {
  readonly #logger: Logger
  readonly #found = new Map<string, Found>()

  constructor(logger: Logger) {
    this.#logger = logger
  }

  found(kind: Kind, damage: Damage, stat: NodeStat | null): void {
    const { path, reason } = damage
    if (this.#found.has(path)) return
    this.#found.set(path, { damage, kind, stat })
    this.#logger.error({ path, reason }, FOLLOWS[kind])
  }

  /** Undefined: it is as it should be. */
  of(path: string): Damage | undefined {
    return this.#found.get(path)?.damage
  }

  /** The topic is removed: that its nodes go is no news. */
  forgetTopic(name: string): void {
    for (const path of this.#found.keys())
      if (path === paths.topicConfig(name) || path.startsWith(`${paths.topic(name)}/`))
        this.#found.delete(path)
  }

  /** `changed` is called when one of them was repaired, or just written anew. */
  watch(store: MetadataStore, changed: (path: string) => void): void {
    for (const [path, { kind, stat }] of this.#found)
      if (REPAIRED_BY_HAND.has(kind)) void this.#look(store, path, kind, stat, changed)
  }

  async #look(
    store: MetadataStore,
    path: string,
    kind: Kind,
    before: NodeStat | null,
    changed: (path: string) => void,
  ): Promise<void> {
    if (!this.#found.has(path)) return
    try {
      const node = await store.get(path, () => void this.#look(store, path, kind, before, changed))
      const stat = node?.stat ?? null
      const isSame =
        stat?.version === before?.version && stat?.createdTransaction === before?.createdTransaction
      // Of a partition whose state is gone nobody knows more than before.
      if (isSame || (stat === null && kind === 'state') || !this.#found.has(path)) return
      changed(path)
    } catch {
      // The session is over, and so is the term.
    }
  }
}
