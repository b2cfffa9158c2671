import { strict as assert } from 'node:assert'
import { parseBrokerConfig } from '../../../src/core/config/broker-config.ts'
import type { Partition } from '../../../src/broker/partition.ts'
import { startBroker } from '../../../src/server/start-broker.ts'
import type { RunningBroker } from '../../../src/server/start-broker.ts'
import type { SimMachine, SimProcess } from '../sim-machine.ts'
import { SimWorld } from '../sim-world.ts'
import { ClusterClient } from './cluster-client.ts'
import { ClusterStore } from './cluster-store.ts'

const PORT = 9092

/** Shorter than users have them, so that much happens in a run. */
const PROPERTIES: Readonly<Record<string, string>> = {
  'log.dirs': '/data',
  'offsets.topic.num.partitions': '2',

  'min.insync.replicas': '2',
  'replica.lag.time.max.ms': '1500',
  'replica.fetch.backoff.ms': '100',
  'replica.socket.timeout.ms': '3000',
  // Cuts last longer, at times.
  'zookeeper.session.timeout.ms': '3000',
  'group.initial.rebalance.delay.ms': '0',
}

export interface SimClusterOptions {
  readonly brokers?: number
  readonly properties?: Readonly<Record<string, string>>
  readonly sessionTimeoutMs?: number
  /** Starts before the others, so it is controller; 0: any. */
  readonly controller?: number
  /** How far servers of the ensemble may be behind each other. */
  readonly maxLagMs?: number
  /** How far the wall clocks of the machines are apart. */
  readonly clocksApartMs?: number
  /** Chances of slow operations of the disks. */
  readonly slowChance?: number
}

function inOrder(ids: readonly number[]): string {
  return [...ids].sort((a, b) => a - b).join()
}

/** What a broker's process met its end by. */
export type Death = 'kill' | 'kill with its helper' | 'power loss'

/**
 * Brokers, each a machine of its own, their ensemble and their clients, in one world. The brokers are all production code:
 * what is simulated is what lies below `src/ports.ts`.
 */
export class SimCluster {
  readonly sim: SimWorld
  readonly store: ClusterStore
  /** By id minus one: ids begin with 1. */
  readonly brokers: readonly ClusterBroker[]
  readonly #clients: ClusterClient[] = []

  private constructor(sim: SimWorld, store: ClusterStore, options: SimClusterOptions) {
    this.sim = sim
    this.store = store
    const { brokers = 3, clocksApartMs = 0, slowChance = 0.002 } = options
    this.brokers = Array.from({ length: brokers }, (_, index) => {
      const machine = sim.addMachine({
        clockOffsetMs: index * clocksApartMs,
        disk: { maxDelayMs: 1, slowChance, slowReadChance: slowChance, slowSyncMs: 50, slowMs: 50 },
        journalledNames: true,
      })
      const replicas = { 'offsets.topic.replication.factor': String(Math.min(3, brokers)) }
      return new ClusterBroker(index + 1, this, machine, {
        ...PROPERTIES,
        ...replicas,
        ...options.properties,
      })
    })
  }

  /** To be called inside `sim.run`. The brokers are not started. */
  static async make(sim: SimWorld, options: SimClusterOptions = {}): Promise<SimCluster> {
    const store = await ClusterStore.start(sim, options.sessionTimeoutMs ?? 2_000, options.maxLagMs ?? 0)
    return new SimCluster(sim, store, options)
  }

  /** A cluster whose brokers all serve, in a run of its own. */
  static run(
    seed: number,
    body: (cluster: SimCluster) => Promise<void>,
    options: SimClusterOptions = {},
  ): Promise<void> {
    const sim = new SimWorld(seed, { disk: { maxDelayMs: 0.5, slowChance: 0, slowReadChance: 0 } })
    return sim.run(
      async () => {
        const cluster = await SimCluster.make(sim, options)
        if ((options.controller ?? 0) > 0) await cluster.broker(options.controller!).start()
        await cluster.startAll()
        await body(cluster)
        cluster.checkAlive()
      },
      { withinMs: 600_000 },
    )
  }

  async startAll(): Promise<void> {
    const down = this.brokers.filter(({ process }) => process === null)
    await Promise.all(down.map((broker) => broker.start()))
  }

  broker(id: number): ClusterBroker {
    const broker = this.brokers[id - 1]
    assert(broker !== undefined, `there is no broker ${id}`)
    return broker
  }

  get up(): ClusterBroker[] {
    return this.brokers.filter((broker) => broker.running !== null)
  }

  client(): ClusterClient {
    const client = new ClusterClient(this, `10.1.0.${this.#clients.length + 1}`)
    this.#clients.push(client)
    return client
  }

  /** Both directions, or only what the one sends to the other. */
  cut(from: ClusterBroker, to: ClusterBroker, oneWay = false): void {
    this.sim.fabric.cut(from.machine, to.machine)
    if (!oneWay) this.sim.fabric.cut(to.machine, from.machine)
  }

  heal(from: ClusterBroker, to: ClusterBroker): void {
    this.sim.fabric.heal(from.machine, to.machine)
    this.sim.fabric.heal(to.machine, from.machine)
  }

  /** From all other brokers, and from clients if so asked. */
  isolate(broker: ClusterBroker, fromClients = false): void {
    for (const other of this.brokers) if (other !== broker) this.cut(broker, other)
    if (!fromClients) return
    for (const { host } of this.#clients) {
      this.sim.fabric.cut(broker.machine, { host })
      this.sim.fabric.cut({ host }, broker.machine)
    }
  }

  healAll(): void {
    const hosts = [
      ...this.brokers.map(({ machine }) => machine.host),
      ...this.#clients.map(({ host }) => host),
    ]
    for (const from of hosts) for (const to of hosts) this.sim.fabric.heal({ host: from }, { host: to })
  }

  sleep(ms: number): Promise<void> {
    return this.sim.sleep(ms)
  }

  /** Waits until it holds, looking again and again; `what` names it when it never does. */
  async until(what: string, holds: () => boolean | Promise<boolean>, withinMs = 30_000): Promise<void> {
    const deadlineMs = this.sim.scheduler.nowMs + withinMs
    while (!(await holds())) {
      this.checkAlive()
      assert(this.sim.scheduler.nowMs < deadlineMs, `not within ${withinMs} ms: ${what}`)
      await this.sleep(20)
    }
  }

  /** No process ended by itself. */
  checkAlive(): void {
    for (const { id, failure } of this.brokers)
      if (failure !== null) throw new Error(`broker ${id} ended by itself`, { cause: failure })
  }

  // ---------------------------------------------------------------------------------------------- what the store says

  /** As the node says; null when there is none. */
  async state(topic: string, index: number): Promise<StoredPartitionState | null> {
    const json = await this.store.json(`/brokers/topics/${topic}/partitions/${index}/state`)
    return json as unknown as StoredPartitionState | null
  }

  async states(): Promise<PlacedState[]> {
    const found: PlacedState[] = []
    for (const topic of ((await this.store.witness.children('/brokers/topics')) ?? []).sort()) {
      const assigned = (await this.store.json(`/brokers/topics/${topic}`))?.['partitions']
      const indexes = (await this.store.witness.children(`/brokers/topics/${topic}/partitions`)) ?? []
      for (const index of indexes.map(Number).sort((a, b) => a - b)) {
        const state = await this.state(topic, index)
        const replicas = (assigned as Record<string, number[]> | undefined)?.[index] ?? []
        if (state !== null) found.push({ topic, index, state, replicas })
      }
    }
    return found
  }

  async controllerId(): Promise<number> {
    const json = await this.store.json('/controller')
    return json === null ? -1 : Number(json['brokerid'])
  }

  async leaderOf(topic: string, index: number): Promise<number> {
    return (await this.state(topic, index))?.leader ?? -1
  }

  /** A broker believes in leaders of a topic that are none any more. */
  async isBehind(id: number, topic: string): Promise<boolean> {
    const known = this.broker(id).running?.broker.metadata.topics.get(topic)
    for (const { index, leaderEpoch } of known?.partitions ?? [])
      if ((await this.state(topic, index))?.leader_epoch !== leaderEpoch) return true
    return false
  }

  untilIsr(topic: string, index: number, isr: readonly number[], withinMs?: number): Promise<void> {
    const wanted = inOrder(isr)
    return this.until(
      `the ISR of ${topic}-${index} is ${wanted}`,
      async () => inOrder((await this.state(topic, index))?.isr ?? []) === wanted,
      withinMs,
    )
  }

  untilLeader(topic: string, index: number, leader: number, withinMs?: number): Promise<void> {
    return this.until(
      `${leader} leads ${topic}-${index}`,
      async () => (await this.leaderOf(topic, index)) === leader,
      withinMs,
    )
  }
}

export interface PlacedState {
  readonly topic: string
  readonly index: number
  readonly state: StoredPartitionState
  readonly replicas: readonly number[]
}

/** As in the node. */
export interface StoredPartitionState {
  readonly leader: number
  readonly leader_epoch: number
  readonly controller_epoch: number
  readonly isr: readonly number[]
  readonly elr: readonly number[]
  readonly last_known_elr: readonly number[]
  readonly leader_recovery_state: number
  readonly leader_broker_epoch: number
  readonly min_isr: number
}

export class ClusterBroker {
  readonly id: number
  readonly machine: SimMachine
  process: SimProcess | null = null
  /** Null while it does not serve. */
  running: RunningBroker | null = null
  /** Why a process ended that nobody had killed. */
  failure: unknown = null
  /** All that it ever was. */
  readonly processes: SimProcess[] = []
  readonly #cluster: SimCluster
  readonly #properties: Readonly<Record<string, string>>

  constructor(
    id: number,
    cluster: SimCluster,
    machine: SimMachine,
    properties: Readonly<Record<string, string>>,
  ) {
    this.id = id
    this.#cluster = cluster
    this.machine = machine
    this.#properties = properties
  }

  get isUp(): boolean {
    return this.running !== null
  }

  get logDirectories(): readonly string[] {
    return this.#properties['log.dirs']!.split(',')
  }

  /** The partition as this broker has it. */
  partition(topic: string, index: number): Partition | undefined {
    return this.running?.broker.partitions.get(topic, index)
  }

  /** Resolves when it serves, or was killed before it did. Rejects when it cannot. */
  async start(properties: Readonly<Record<string, string>> = {}): Promise<void> {
    assert(this.process === null, `broker ${this.id} runs`)
    const process = this.machine.start()
    this.process = process
    this.processes.push(process)
    const values = new Map([
      ['broker.id', String(this.id)],
      ['zookeeper.connect', 'zookeeper:2181'],
      ['listeners', `PLAINTEXT://${this.machine.host}:${PORT}`],
      ...Object.entries({ ...this.#properties, ...properties }),
    ])
    const { config } = parseBrokerConfig([{ source: 'STATIC_BROKER_CONFIG', origin: 'test', values }])
    let died!: () => void
    this.#died = new Promise((resolve) => (died = resolve))
    this.#whenDead = died
    const starting = startBroker(process.world, config, () => this.#cluster.store.open(process, this.id))
    const started = starting.then(
      (running) => this.#serves(process, running),
      async (error: unknown) => {
        if (!process.alive) return
        // As the command line does.
        await this.#end(process, false)
        throw error
      },
    )
    await Promise.race([started, this.#died])
  }

  /** Not a word, as kill -9; or the machine loses power, and what was not durable. */
  async die(death: Death = 'kill'): Promise<void> {
    const { process } = this
    if (process === null) return
    if (death === 'power loss') await this.machine.powerLoss(process)
    await this.#end(process, death !== 'kill')
  }

  /** As by SIGTERM. Resolves when the process has ended. */
  async stop(): Promise<boolean> {
    const { process, running } = this
    if (process === null || running === null) return false
    this.running = null
    const isClean = await Promise.race([running.stop(), this.#died.then(() => false)])
    if (process.alive) await this.#end(process, false)
    return isClean
  }

  /** The session ends, and the process, which lives on, hears of it so much later. */
  expireSession(seenAfterMs = 0): void {
    if (this.process !== null) this.#cluster.store.expire(this.process, seenAfterMs)
  }

  cutFromStore(forMs: number): void {
    if (this.process !== null) this.#cluster.store.cutOff(this.process, this.id, forMs)
  }

  #died: Promise<void> = Promise.resolve()
  #whenDead: () => void = () => undefined

  #serves(process: SimProcess, running: RunningBroker): void {
    if (!process.alive) return
    this.running = running
    running.failed.catch(async (error: unknown) => {
      if (!process.alive) return
      this.failure = error
      await this.#end(process, false)
    })
  }

  async #end(process: SimProcess, withHelper: boolean): Promise<void> {
    await this.machine.kill(process)
    if (this.process === process) {
      this.process = null
      this.running = null
      this.#whenDead()
    }
    void this.#cluster.store.processDied(process, withHelper)
  }
}
