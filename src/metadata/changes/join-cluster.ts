import { SamsaError } from '../../core/samsa-error.ts'
import type { BrokerConfig } from '../../core/config/broker-config.ts'
import type { Clock, MetadataStore, StoredNode, World } from '../../ports.ts'
import { hasStoreCode } from '../layout/outcome.ts'
import { createIfMissing } from '../layout/store-steps.ts'
import { randomUuid } from '../layout/uuid.ts'
import {
  decodeClusterId,
  decodeController,
  decodeControllerEpoch,
  describeBroker,
  encodeClusterId,
  encodeController,
  paths,
  PERSISTENT_DIRECTORIES,
} from '../layout/znodes.ts'
import type { Registration } from './registration.ts'

export interface Membership {
  readonly clusterId: string
  readonly brokerEpoch: number
  readonly controllerEpoch: number
}

/** A place that only one session can have. */
interface Place {
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
async function claim(
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

/** The broker's own node, when it is registered and the controller. */
async function claimBoth(
  store: MetadataStore,
  world: Pick<World, 'clock' | 'random' | 'logger'>,
  config: BrokerConfig,
  registration: Registration,
): Promise<StoredNode> {
  const id = config['broker.id']
  const ensemble = config['zookeeper.connect']
  const registered = claim(store, world, {
    path: paths.brokerId(id),
    data: registration.encoded(),
    refusal: (holder, stays) =>
      stays
        ? new SamsaError(
            'SAMSA_METADATA_STORE',
            `broker.id=${id}: another broker is registered as ${id} in this metadata store (${describeBroker(holder)})`,
          )
        : null,
  })
  // Two that wait for each other's place would wait in vain. Where nobody else can be, both leave in one go.
  if (store.sessionTimeoutMs > 0) await registered
  const isController = claim(store, world, {
    path: paths.controller,
    data: encodeController(id, world.clock.nowMs()),
    refusal: (holder, stays) => {
      const other = decodeController(holder)
      if (other === id && !stays) return null
      return new SamsaError(
        'SAMSA_METADATA_STORE',
        `zookeeper.connect=${ensemble}: broker ${other} is there already; in this version an ensemble (or a chroot of it) serves one broker`,
      )
    },
  })
  const [node] = await Promise.all([registered, isController])
  return node
}

/**
 * Makes the store ready, registers this broker and makes it the controller. Everything leaves in one go. Rejects
 * with SAMSA_METADATA_STORE when another broker holds this one's place or the disk belongs to another cluster.
 */
export async function joinCluster(
  store: MetadataStore,
  world: Pick<World, 'clock' | 'random' | 'logger'>,
  config: BrokerConfig,
  registration: Registration,
  knownClusterId: string | null,
): Promise<Membership> {
  const candidate = knownClusterId ?? config['cluster.id'] ?? randomUuid(world.random)
  const directories = PERSISTENT_DIRECTORIES.map((path) => createIfMissing(store, path))
  const cluster = createIfMissing(store, paths.clusterId, encodeClusterId(candidate))
  const places = claimBoth(store, world, config, registration)
  const [clusterNode, epochNode, brokerNode] = await Promise.all([
    store.get(paths.clusterId),
    store.get(paths.controllerEpoch),
    places,
    cluster,
    ...directories,
  ])
  const clusterId = decodeClusterId(clusterNode!.data)
  const configured = config['cluster.id']
  if (configured !== null && configured !== (knownClusterId ?? clusterId))
    throw new SamsaError(
      'SAMSA_CONFIG',
      `cluster.id=${configured}: invalid, what lies here belongs to cluster ${knownClusterId ?? clusterId}`,
    )
  if (knownClusterId !== null && knownClusterId !== clusterId)
    throw new SamsaError(
      'SAMSA_METADATA_STORE',
      `the log directories belong to cluster ${knownClusterId}, the metadata to cluster ${clusterId}`,
    )
  const controllerEpoch = epochNode === null ? 1 : decodeControllerEpoch(epochNode.data) + 1
  const epochData = Buffer.from(String(controllerEpoch))
  if (epochNode === null) await store.create(paths.controllerEpoch, epochData)
  else await store.set(paths.controllerEpoch, epochData, epochNode.stat.version)
  return { clusterId, brokerEpoch: brokerNode.stat.createdTransaction, controllerEpoch }
}

/**
 * Registers this broker in a new session. Its new epoch. Rejects with SAMSA_METADATA_STORE when the metadata is not what
 * it was: what this broker knows of it would be wrong.
 */
export async function rejoinCluster(
  store: MetadataStore,
  world: Pick<World, 'clock' | 'random' | 'logger'>,
  config: BrokerConfig,
  registration: Registration,
  before: Membership,
): Promise<number> {
  const broker = await claimBoth(store, world, config, registration)
  // Read when nobody can become controller any more. Whoever did began an epoch.
  const [cluster, epoch] = await Promise.all([store.get(paths.clusterId), store.get(paths.controllerEpoch)])
  if (cluster === null || decodeClusterId(cluster.data) !== before.clusterId)
    throw changedMeanwhile(`it is not that of cluster ${before.clusterId} any more`)
  if (epoch === null || decodeControllerEpoch(epoch.data) !== before.controllerEpoch)
    throw changedMeanwhile('another broker was its controller')
  return broker.stat.createdTransaction
}

/**
 * Tells what has become known of this broker since it registered. Without a node of this session the session is over, and
 * the next one begins with all that is known.
 */
export async function updateRegistration(
  store: MetadataStore,
  brokerId: number,
  registration: Registration,
): Promise<void> {
  const path = paths.brokerId(brokerId)
  const node = await store.get(path)
  if (node === null || !node.stat.ownedByThisSession) return
  try {
    await store.set(path, registration.encoded(), node.stat.version)
  } catch (error) {
    if (!hasStoreCode(error, 'NO_NODE')) throw error
  }
}

function changedMeanwhile(how: string): SamsaError {
  return new SamsaError(
    'SAMSA_METADATA_STORE',
    `the metadata store changed while this broker had no session with it: ${how}`,
  )
}
