import { messageOf } from '../../core/is-error.ts'
import type { MetadataStore, StoredNode, World } from '../../ports.ts'
import { hasStoreCode } from '../layout/outcome.ts'
import { Damage, decodeController, encodeController, paths } from '../layout/znodes.ts'

/** Before a broker that resigned, or could not begin, tries again: others should have their chance. */
const REST_MS = 1_000

export interface ElectionEvents {
  /** This broker holds the office. Resolves when it gave it up, rejects when it could not begin. */
  elected(): Promise<void>
  /** The office is not this broker's any more, whatever it believes. */
  deposed(): void
  /** Somebody else holds it. */
  controllerIs(brokerId: number): void
}

/** One session's part in deciding who is controller: whoever has the node `/controller`. */
export class ControllerElection {
  readonly #store: MetadataStore
  readonly #world: Pick<World, 'clock' | 'logger'>
  readonly #brokerId: number
  readonly #events: ElectionEvents
  #closed = false
  #inOffice = false
  #wake: () => void = () => undefined

  constructor(
    store: MetadataStore,
    world: Pick<World, 'clock' | 'logger'>,
    brokerId: number,
    events: ElectionEvents,
  ) {
    this.#store = store
    this.#world = world
    this.#brokerId = brokerId
    this.#events = events
    void this.#run()
  }

  /** The broker stops: it stands no more, and whoever comes next need not wait for its session to end. */
  async retire(): Promise<void> {
    this.close()
    // Be it that it takes the office just now: calls keep their order.
    await this.#giveBack()
  }

  /** The session is over. */
  close(): void {
    this.#closed = true
    this.#wake()
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      try {
        await this.#look()
      } catch (error) {
        if (this.#closed) return
        this.#world.logger.warn({ reason: messageOf(error) }, 'controller election will be tried again')
        await this.#rest()
      }
    }
  }

  async #look(): Promise<void> {
    const changed = new Promise<void>((resolve) => (this.#wake = resolve))
    const node = await this.#store.get(paths.controller, () => this.#wake())
    if (this.#closed) return
    if (node === null && !this.#inOffice) return this.#stand()
    const id = node === null ? null : decodeController(node.data)
    if (node?.stat.ownedByThisSession === true) {
      if (!this.#inOffice) void this.#govern()
      else if (id !== this.#brokerId) await this.#writeAgain(id, node)
      return changed
    }
    // Somebody took the node away, or this broker gave it back, and rests.
    if (this.#inOffice) this.#events.deposed()
    if (node?.stat.ephemeral === false)
      this.#tell(
        new Damage(paths.controller, 'no session holds it: nobody can be elected until it is removed'),
      )
    else if (id instanceof Damage) this.#tell(id)
    else if (id !== null) this.#events.controllerIs(id)
    return changed
  }

  /** Others must know who holds the office. */
  async #writeAgain(found: number | Damage | null, { stat }: StoredNode): Promise<void> {
    if (found instanceof Damage) this.#tell(found)
    const data = encodeController(this.#brokerId, this.#world.clock.nowMs())
    await this.#store.set(paths.controller, data, stat.version)
  }

  #tell({ path, reason }: Damage): void {
    this.#world.logger.error({ path, reason }, 'who is controller cannot be read')
  }

  /** Whoever makes the node has it. Who lost the race sees who won. */
  async #stand(): Promise<void> {
    const data = encodeController(this.#brokerId, this.#world.clock.nowMs())
    try {
      await this.#store.create(paths.controller, data, 'ephemeral')
    } catch (error) {
      if (!hasStoreCode(error, 'NODE_EXISTS')) throw error
    }
  }

  async #govern(): Promise<void> {
    this.#inOffice = true
    try {
      await this.#events.elected()
    } catch (error) {
      if (!this.#closed)
        this.#world.logger.error(
          { error },
          'this broker could not become controller, and leaves it to others',
        )
    }
    if (this.#closed) return
    await this.#giveBack()
    await this.#rest()
    this.#inOffice = false
    this.#wake()
  }

  async #giveBack(): Promise<void> {
    try {
      const node: StoredNode | null = await this.#store.get(paths.controller)
      if (node?.stat.ownedByThisSession === true)
        await this.#store.delete(paths.controller, node.stat.version)
    } catch {
      // Without a session the node is gone, too.
    }
  }

  #rest(): Promise<void> {
    return new Promise((resolve) => this.#world.clock.after(REST_MS, resolve))
  }
}
