import { SamsaError } from '../../core/samsa-error.ts'
import type { BrokerConfig } from '../../core/config/broker-config.ts'
import type { MetadataStore, World } from '../../ports.ts'
import { hasStoreCode } from '../layout/outcome.ts'
import { createIfMissing } from '../layout/store-steps.ts'
import { randomUuid } from '../layout/uuid.ts'
import {
  decodeClusterId,
  decodeControllerEpoch,
  encodeBroker,
  encodeClusterId,
  encodeController,
  paths,
  PERSISTENT_DIRECTORIES,
} from '../layout/znodes.ts'

export interface Membership {
  readonly clusterId: string
  readonly brokerEpoch: number
  readonly controllerEpoch: number
}

async function createEphemeral(
  store: MetadataStore,
  path: string,
  data: Buffer,
  what: string,
): Promise<void> {
  try {
    await store.create(path, data, 'ephemeral')
  } catch (error) {
    if (hasStoreCode(error, 'NODE_EXISTS'))
      throw new SamsaError('SAMSA_METADATA_STORE', `another broker is ${what} in this metadata store`, error)
    throw error
  }
}

function registration(world: Pick<World, 'clock' | 'random'>, config: BrokerConfig): Buffer {
  return encodeBroker({
    endpoints: config.endpoints.map(({ name, host, port, advertised }) => {
      const address = advertised ?? { host, port }
      const shown = address.host.includes(':') ? `[${address.host}]` : address.host
      return `${name}://${shown}:${address.port}`
    }),
    protocols: new Map(config.endpoints.map(({ name, protocol }) => [name, protocol])),
    rack: config['broker.rack'],
    incarnation: randomUuid(world.random),
    timestampMs: world.clock.nowMs(),
  })
}

/**
 * Makes the store ready, registers this broker and makes it the controller. Everything leaves in one go. Rejects
 * with SAMSA_METADATA_STORE when another broker holds this one's place or the disk belongs to another cluster.
 */
export async function joinCluster(
  store: MetadataStore,
  world: Pick<World, 'clock' | 'random'>,
  config: BrokerConfig,
  knownClusterId: string | null,
): Promise<Membership> {
  const id = config['broker.id']
  const candidate = knownClusterId ?? config['cluster.id'] ?? randomUuid(world.random)
  const broker = registration(world, config)
  const directories = PERSISTENT_DIRECTORIES.map((path) => createIfMissing(store, path))
  const cluster = createIfMissing(store, paths.clusterId, encodeClusterId(candidate))
  const registered = createEphemeral(store, paths.brokerId(id), broker, `registered as ${id}`)
  const controller = createEphemeral(
    store,
    paths.controller,
    encodeController(id, world.clock.nowMs()),
    'controller',
  )
  const [clusterNode, brokerNode, epochNode] = await Promise.all([
    store.get(paths.clusterId),
    store.get(paths.brokerId(id)),
    store.get(paths.controllerEpoch),
    cluster,
    registered,
    controller,
    ...directories,
  ])
  const clusterId = decodeClusterId(clusterNode!.data)
  if (knownClusterId !== null && knownClusterId !== clusterId)
    throw new SamsaError(
      'SAMSA_METADATA_STORE',
      `the log directories belong to cluster ${knownClusterId}, the metadata to cluster ${clusterId}`,
    )
  const controllerEpoch = epochNode === null ? 1 : decodeControllerEpoch(epochNode.data) + 1
  const epochData = Buffer.from(String(controllerEpoch))
  if (epochNode === null) await store.create(paths.controllerEpoch, epochData)
  else await store.set(paths.controllerEpoch, epochData, epochNode.stat.version)
  return { clusterId, brokerEpoch: brokerNode!.stat.createdTransaction, controllerEpoch }
}
