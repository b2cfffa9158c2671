import assert from 'node:assert/strict'
import { parseBrokerConfig } from '../../../src/core/config/broker-config.ts'
import { ClusterMetadata } from '../../../src/metadata/cluster/cluster-metadata.ts'
import type { MetadataStore } from '../../../src/ports.ts'
import { EmbeddedStore } from '../../../src/system/store/embedded-store.ts'
import type { LogLine } from '../../simulator/sim-logger.ts'
import { SimRandom } from '../../simulator/sim-random.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import { SimZooKeeper } from '../../simulator/sim-zookeeper.ts'
import type { SimSession } from '../../simulator/sim-zookeeper.ts'

export const SESSION_MS = 2_000
const ADDRESSES = new Map([['PLAINTEXT', { host: 'machine', port: 9092 }]])

export interface Alone {
  readonly metadata: ClusterMetadata
  readonly sessions: readonly SimSession[]
  /** Another client of the ensemble, as `zkCli` is. */
  readonly witness: MetadataStore
  readonly sim: SimWorld
  readonly lines: readonly LogLine[]
}

/** A broker that is alone in its ensemble, so that it is the controller, as far as its metadata goes. */
export function alone(body: (parts: Alone) => Promise<void>): Promise<void> {
  const sim = new SimWorld(1)
  return sim.run(async () => {
    const { world, logger } = sim.start()
    const zookeeper = new SimZooKeeper(
      await EmbeddedStore.open(world, '/zookeeper'),
      world.clock,
      new SimRandom(1),
    )
    const values = new Map([
      ['broker.id', '3'],
      ['log.dirs', '/data'],
      ['listeners', 'PLAINTEXT://machine:9092'],
      ['zookeeper.connect', 'z:2181'],
    ])
    const { config } = parseBrokerConfig([{ source: 'STATIC_BROKER_CONFIG', origin: 'test', values }])
    const sessions: SimSession[] = []
    const metadata = new ClusterMetadata(world, {
      config,
      openStore: () => {
        sessions.push(zookeeper.connect(SESSION_MS))
        return Promise.resolve(sessions.at(-1)!)
      },
      clusterId: null,
      cleanShutdownEpoch: -1,
      canCompress: () => true,
      registeredAs: () => {},
      lost: (error) => assert.ifError(error),
    })
    await metadata.join(ADDRESSES)
    await body({ metadata, sessions, witness: zookeeper.connect(SESSION_MS), sim, lines: logger.lines })
    await metadata.close()
  })
}
