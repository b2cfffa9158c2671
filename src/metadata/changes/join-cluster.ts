import { SamsaError } from '../../core/samsa-error.ts'
import type { BrokerConfig } from '../../core/config/broker-config.ts'
import type { MetadataStore, StoredNode, World } from '../../ports.ts'
import { claim, claimBrokerId } from './claim.ts'
import { checkClusterId } from './cluster-id.ts'
import { createIfMissing } from '../layout/store-steps.ts'
import { randomUuid } from '../layout/uuid.ts'
import {
  decodeClusterId,
  decodeController,
  decodeControllerEpoch,
  encodeClusterId,
  encodeController,
  paths,
  PERSISTENT_DIRECTORIES,
  whole,
} from '../layout/znodes.ts'
import type { Registration } from './registration.ts'

export interface Membership {
  readonly clusterId: string
  readonly brokerEpoch: number
  readonly controllerEpoch: number
}

/** The broker's own node, when it is registered and the controller. Nobody else can be: both leave in one go. */
async function claimBoth(
  store: MetadataStore,
  world: Pick<World, 'clock' | 'random' | 'logger'>,
  config: BrokerConfig,
  registration: Registration,
): Promise<StoredNode> {
  const id = config['broker.id']
  const registered = claimBrokerId(store, world, id, registration.encoded())
  const isController = claim(store, world, {
    path: paths.controller,
    data: encodeController(id, world.clock.nowMs()),
    refusal: (holder) =>
      new SamsaError(
        'SAMSA_METADATA_STORE',
        `broker ${whole(decodeController(holder))} has this metadata store already`,
      ),
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
  const clusterId = whole(decodeClusterId(clusterNode!.data))
  checkClusterId(config, knownClusterId, clusterId)
  const controllerEpoch = epochNode === null ? 1 : whole(decodeControllerEpoch(epochNode.data)) + 1
  const epochData = Buffer.from(String(controllerEpoch))
  if (epochNode === null) await store.create(paths.controllerEpoch, epochData)
  else await store.set(paths.controllerEpoch, epochData, epochNode.stat.version)
  return { clusterId, brokerEpoch: brokerNode.stat.createdTransaction, controllerEpoch }
}
