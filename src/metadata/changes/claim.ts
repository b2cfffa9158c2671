import { SamsaError } from '../../core/samsa-error.ts'
import type { Clock, MetadataStore, StoredNode, World } from '../../ports.ts'
import { hasStoreCode } from '../layout/outcome.ts'
import { describeBroker, paths } from '../layout/znodes.ts'

/** A place that only one session can have. */
export interface Place {
  readonly path: string
  readonly data: Buffer
  /** Why this broker will not get it from whoever has it; `stays`: who was waited for in vain. Null: it may. */
  readonly refusal: (holder: Buffer, stays: boolean) => SamsaError | null
}

/** How much longer than its session a broker that died may seem to be there. */
const GRACE = 2

/**
 * Takes a place for this session. Whoever has it may be this broker in an earlier life: its session is waited for to
 * end, and never taken over.
 */
export async function claim(
  store: MetadataStore,
  world: Pick<World, 'clock' | 'logger'>,
  { path, data, refusal }: Place,
): Promise<StoredNode> {
  const upToMs = store.sessionTimeoutMs * GRACE
  const deadlineMs = world.clock.monotonicMs() + upToMs
  for (let isFirst = true; ; isFirst = false) {
    const created = store.create(path, data, 'ephemeral').then(
      () => true,
      (error: unknown) => {
        if (!hasStoreCode(error, 'NODE_EXISTS')) throw error
        return false
      },
    )
    const [isOurs, node] = await Promise.all([created, store.get(path)])
    if (node === null) continue
    if (isOurs || node.stat.ownedByThisSession) return node
    const leftMs = deadlineMs - world.clock.monotonicMs()
    const refused = refusal(node.data, leftMs <= 0 || !node.stat.ephemeral)
    if (refused !== null) throw refused
    if (isFirst) world.logger.info({ path, upToMs }, 'waiting for an earlier session of this broker to end')
    await goneOrLate(store, world.clock, path, leftMs)
  }
}

function goneOrLate(store: MetadataStore, clock: Clock, path: string, leftMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(leftMs, resolve)
    const changed = (): void => {
      timer.cancel()
      resolve()
    }
    store.get(path, changed).then((node) => node === null && changed(), reject)
  })
}

/** The node of a broker, as it is registered. Rejects with SAMSA_METADATA_STORE when another one has its id. */
export function claimBrokerId(
  store: MetadataStore,
  world: Pick<World, 'clock' | 'logger'>,
  id: number,
  data: Buffer,
): Promise<StoredNode> {
  return claim(store, world, {
    path: paths.brokerId(id),
    data,
    refusal: (holder, stays) =>
      stays
        ? new SamsaError(
            'SAMSA_METADATA_STORE',
            `broker.id=${id}: another broker is registered as ${id} in this metadata store (${describeBroker(holder)}): each needs a broker.id of its own`,
          )
        : null,
  })
}
