import fs from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { BrokerConfig } from '../core/config/broker-config.ts'
import type { ZooKeeperAddress } from '../core/config/zookeeper-connect.ts'
import { EMBEDDED_FILES, METADATA_ELSEWHERE } from '../core/metadata-files.ts'
import { SamsaError } from '../core/samsa-error.ts'
import type { MetadataStore, World } from '../ports.ts'
import { openEmbeddedStore } from './store/embedded-store.ts'
import { checkPath, StoreError } from './store/embedded-store-tree.ts'
import type * as ZooKeeperBundle from './store/zookeeper/zookeeper-stores.ts'

/** Opens a session on what keeps the metadata: the ensemble of `zookeeper.connect`, else files in `directory`. */
export type OpenSession = (directory: string) => Promise<MetadataStore>

export function metadataStores(world: World, config: BrokerConfig): OpenSession {
  const { zookeeper } = config
  if (zookeeper === null)
    return (directory) => {
      refuseElsewhere(world, directory)
      return openEmbeddedStore(world, directory)
    }
  const open = zookeeperStores(world, config, zookeeper)
  return async (directory) => {
    refuseHere(world, directory, config['zookeeper.connect']!)
    return open(directory)
  }
}

/** A session with the ensemble, wherever the metadata of these directories is. `zookeeper.connect` must be set. */
export function openEnsemble(world: World, config: BrokerConfig): Promise<MetadataStore> {
  return zookeeperStores(world, config, config.zookeeper!)(config['log.dirs'][0]!)
}

/** Topics would be taken over without their configurations, and served under two of them. */
function refuseElsewhere(world: World, directory: string): void {
  const marker = `${directory}/${METADATA_ELSEWHERE}`
  if (!world.disk.exists(marker)) return
  const where = world.disk.readFile(marker).toString('utf8').trim()
  throw new SamsaError(
    'SAMSA_CONFIG',
    `log.dirs=${directory}: its topics and configurations are in ZooKeeper: set zookeeper.connect=${where}. Without ${METADATA_ELSEWHERE} topics are taken over as they lie there, without their configurations`,
  )
}

function refuseHere(world: World, directory: string, connect: string): void {
  const file = EMBEDDED_FILES.find((name) => world.disk.exists(`${directory}/${name}`))
  if (file === undefined) return
  throw new SamsaError(
    'SAMSA_CONFIG',
    `zookeeper.connect=${connect}: ${directory} has its topics and configurations in ${EMBEDDED_FILES.join(' and ')}, which samsa move-metadata brings to ZooKeeper. Without these files topics are not known, and set aside`,
  )
}

/** Code for ZooKeeper is loaded here, and nowhere else. */
function zookeeperStores(world: World, config: BrokerConfig, address: ZooKeeperAddress): OpenSession {
  const load = createRequire(import.meta.url)
  const { ZooKeeperStores } = load(bundle('zookeeper-stores.cjs')) as typeof ZooKeeperBundle
  const sessionTimeoutMs = config['zookeeper.session.timeout.ms']
  const stores = new ZooKeeperStores(
    {
      shown: config['zookeeper.connect']!,
      ...address,
      sessionTimeoutMs,
      connectionTimeoutMs: config['zookeeper.connection.timeout.ms'] ?? sessionTimeoutMs,
      module: config['samsa.zookeeper.module'],
      credentials: config['samsa.zookeeper.credentials'],
      secure: config['zookeeper.set.acl'],
    },
    {
      sidecarFile: bundle('zookeeper-sidecar.cjs'),
      logger: world.logger,
      metrics: world.metrics,
      errors: { make: (code, message) => new StoreError(code, message), checkPath },
      refusal: (code, message) => new SamsaError(code, message),
    },
  )
  return () => stores.open()
}

/** From a bundle, and from dist/src/system. */
function bundle(name: string): string {
  const places = [`../${name}`, `../../lib/${name}`].map((place) =>
    fileURLToPath(new URL(place, import.meta.url)),
  )
  return places.find((place) => fs.existsSync(place)) ?? places[0]!
}
