import path from 'node:path'
import type { BrokerConfig } from '../core/config/broker-config.ts'
import { SamsaError } from '../core/samsa-error.ts'
import { OFFSETS_TOPIC } from '../metadata/layout/topic-names.ts'
import type { Logger } from '../ports.ts'
import { clientAddresses } from '../server/client-addresses.ts'
import type { RunningBroker } from '../server/start-broker.ts'
import { noMetrics } from '../system/figures/no-metrics.ts'
import { keptAlive } from '../system/kept-alive.ts'
import { EmbeddedStore } from '../system/store/embedded-store.ts'
import { startSystemWorld } from '../system/system-world.ts'
import { ClusterMember } from './cluster-member.ts'
import { QuietEnd } from './quiet-end.ts'

/** Where one of the brokers lives. */
export interface Place {
  readonly id: number
  /** On the host of the cluster; 0 picks one. */
  readonly port: number
  readonly dataDir: string
}

export interface ClusterPlan {
  readonly brokers: number
  /** For all they write; removed by whoever made it. */
  readonly directory: string
  readonly logger: Logger
  readonly configOf: (place: Place) => BrokerConfig
}

/** Brokers with ids from 1 on, and the metadata store that they share, in this process. */
export class ClusterMembers {
  readonly all: readonly ClusterMember[]
  readonly #store: EmbeddedStore
  readonly #closeWorld: () => void
  readonly #quietEnd: QuietEnd

  private constructor(
    all: readonly ClusterMember[],
    store: EmbeddedStore,
    closeWorld: () => void,
    quietEnd: QuietEnd,
  ) {
    this.all = all
    this.#store = store
    this.#closeWorld = closeWorld
    this.#quietEnd = quietEnd
  }

  /** Resolves when all of them serve; rejects with a SamsaError, everything closed again, when one does not start. */
  static async start({ brokers, directory, configOf, ...plan }: ClusterPlan): Promise<ClusterMembers> {
    const quietEnd = new QuietEnd()
    const logger = quietEnd.logger(plan.logger)
    checkReplicas(configOf({ id: 1, port: 0, dataDir: directory }), brokers)
    const storeDir = path.join(directory, 'metadata')
    const engine = { mode: 'threads', directories: [storeDir], stagingBytes: 0 } as const
    const { world, close } = await startSystemWorld({ logger, metrics: noMetrics }, engine)
    try {
      world.disk.makeDirectory(storeDir)
      const store = await keptAlive(EmbeddedStore.open(world, storeDir))
      const all = Array.from({ length: brokers }, (_, index) => {
        const id = index + 1
        const dataDir = path.join(directory, `broker-${id}`)
        const configAt = (port: number): BrokerConfig => configOf({ id, port, dataDir })
        return new ClusterMember({ id, store, logger: logger.child({ node: id }), configAt })
      })
      const members = new ClusterMembers(all, store, close, quietEnd)
      await members.#startAll()
      // While all are there to have a replica: groups work, too, when the first thing that happens is that one dies.
      await members.reachable[0]!.broker.metadata.autoCreateTopic(OFFSETS_TOPIC)
      return members
    } catch (error) {
      close()
      throw error
    }
  }

  async #startAll(): Promise<void> {
    const started = await Promise.allSettled(this.all.map((member) => member.start()))
    const failed = started.find(({ status }) => status === 'rejected')
    if (failed === undefined) return
    await this.end()
    throw (failed as PromiseRejectedResult).reason
  }

  /** Of all, whether they are there or not. */
  get addresses(): string[] {
    return this.all.flatMap(({ addresses }) => clientAddresses(addresses))
  }

  get reachable(): RunningBroker[] {
    return this.all.flatMap(({ reachable }) => reachable ?? [])
  }

  /** At once: nobody needs what they keep any more. */
  async end(): Promise<void> {
    this.#quietEnd.end()
    await Promise.allSettled(this.all.map((member) => member.kill()))
    await keptAlive(this.#store.close())
    this.#closeWorld()
  }
}

/** Topics that nobody can have would be refused one by one, and groups without a word. */
function checkReplicas(config: BrokerConfig, brokers: number): void {
  for (const key of ['offsets.topic.replication.factor', 'default.replication.factor'] as const)
    if (config[key] > brokers)
      throw new SamsaError(
        'SAMSA_CONFIG',
        `${key}=${config[key]}: must not be above the number of brokers, which is ${brokers}`,
      )
}
