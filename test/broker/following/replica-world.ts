import assert from 'node:assert/strict'
import { ErrorCode } from '../../../protocol/errors.ts'
import { Broker } from '../../../src/broker/broker.ts'
import { GroupCoordinator } from '../../../src/broker/groups/group-coordinator.ts'
import { IsrProposer } from '../../../src/broker/isr-proposer.ts'
import { OffsetsLog } from '../../../src/broker/groups/offsets-log.ts'
import type { Partition } from '../../../src/broker/partition.ts'
import { Partitions } from '../../../src/broker/partitions.ts'
import { ReplicaFetchers } from '../../../src/broker/following/replica-fetchers.ts'
import { TopicHost } from '../../../src/broker/topic-host.ts'
import { TopicMetrics } from '../../../src/broker/topic-metrics.ts'
import { parseBrokerConfig } from '../../../src/core/config/broker-config.ts'
import type { BrokerConfig } from '../../../src/core/config/broker-config.ts'
import { resolveTopicConfig } from '../../../src/core/config/topic-config.ts'
import type { Proposal } from '../../../src/core/controller/controller-types.ts'
import type { Log } from '../../../src/log/log.ts'
import { LogManager } from '../../../src/log/manager/log-manager.ts'
import type { ClusterDuties } from '../../../src/metadata/cluster-duties.ts'
import { MetadataImage } from '../../../src/metadata/image/metadata-image.ts'
import type { PartitionImage, TopicImage } from '../../../src/metadata/image/metadata-image.ts'
import type { Metadata } from '../../../src/metadata/metadata.ts'
import { toLogConfig } from '../../../src/metadata/topic-log-config.ts'
import { Server } from '../../../src/server/server.ts'
import type { SimMachine, SimMachineOptions, SimProcess } from '../../simulator/sim-machine.ts'
import { SimWorld } from '../../simulator/sim-world.ts'

const PORT = 9092
const CLUSTER_ID = 'replicaWorldReplicaWor'

const PROPERTIES = {
  'log.dirs': '/data',
  'replica.fetch.backoff.ms': '200',
  'replica.socket.timeout.ms': '3000',
  'replica.lag.time.max.ms': '2000',
  'min.insync.replicas': '1',
}

/** Nothing takes longer than it must. */
const QUICK: SimMachineOptions = { disk: { maxDelayMs: 1, slowChance: 0, slowReadChance: 0 } }

const never = (): never => {
  throw new Error('not in this world')
}

/** Brokers as far as records go: logs, partitions, what they follow, and their servers. What they know is told by the test. */
export class ReplicaWorld {
  readonly sim: SimWorld
  readonly brokers: readonly ReplicaBroker[]
  readonly topics = new Map<string, TopicImage>()
  #nextEpoch = 100
  #topicsMade = 0

  private constructor(
    sim: SimWorld,
    brokers: number,
    properties: Record<string, string>,
    machine: SimMachineOptions,
  ) {
    this.sim = sim
    this.brokers = Array.from(
      { length: brokers },
      (_, i) => new ReplicaBroker(this, i + 1, sim.addMachine(machine), { ...PROPERTIES, ...properties }),
    )
  }

  static run(
    seed: number,
    body: (world: ReplicaWorld) => Promise<void>,
    options: {
      readonly brokers?: number
      readonly properties?: Record<string, string>
      readonly machine?: SimMachineOptions
    } = {},
  ): Promise<void> {
    const { brokers = 3, properties = {}, machine = QUICK } = options
    const sim = new SimWorld(seed)
    return sim.run(
      async () => {
        const world = new ReplicaWorld(sim, brokers, properties, machine)
        for (const broker of world.brokers) await broker.start()
        await body(world)
        for (const broker of world.brokers) await broker.stop()
      },
      { withinMs: 300_000 },
    )
  }

  nextEpoch(): number {
    return this.#nextEpoch++
  }

  broker(id: number): ReplicaBroker {
    return this.brokers[id - 1]!
  }

  /** Led by broker 1; its replicas are all brokers. */
  async createTopic(name: string, partitions = 1, overrides: Record<string, string> = {}): Promise<void> {
    const ids = this.brokers.map(({ id }) => id)
    const topicId = `${name}AAAAAAAAAAAAAAAAAAAAAA`.slice(0, 20) + `A${'AQgw'[++this.#topicsMade % 4]}`
    const topic: TopicImage = {
      name,
      topicId,
      internal: false,
      config: resolveTopicConfig(new Map(Object.entries(overrides)), this.brokers[0]!.config),
      partitions: Array.from({ length: partitions }, (_, index) => ({
        topic: name,
        index,
        replicas: ids,
        adding: [],
        removing: [],
        leader: 1,
        leaderEpoch: 0,
        leaderBrokerEpoch: this.broker(1).epoch,
        controllerEpoch: 1,
        partitionEpoch: 0,
        isr: ids,
        elr: [],
        lastKnownElr: [],
        leaderRecoveryState: 0 as const,
        minIsr: 1,
      })),
    }
    this.topics.set(name, topic)
    await Promise.all(
      this.brokers.map((broker) =>
        broker.learn(async ({ host, metadata }) => {
          await host.onTopicCreated(topic)
          metadata.image.put(topic)
        }),
      ),
    )
  }

  image(topic: string, index = 0): PartitionImage {
    return this.topics.get(topic)!.partitions[index]!
  }

  /** Resolves when all that are there know. */
  async change(topic: string, index: number, change: Partial<PartitionImage>): Promise<void> {
    const before = this.image(topic, index)
    const changed = { ...before, ...change, partitionEpoch: before.partitionEpoch + 1 }
    const known = this.topics.get(topic)!
    const next = { ...known, partitions: known.partitions.with(index, changed) }
    this.topics.set(topic, next)
    await Promise.all(
      this.brokers.map((broker) =>
        broker.learn(async ({ host, metadata }) => {
          await host.onPartitionsChanged(next, [changed])
          metadata.image.put(next)
        }),
      ),
    )
  }

  /** `isr`: all that are up. */
  elect(topic: string, leader: number, index = 0, isr = this.up): Promise<void> {
    const { leaderEpoch } = this.image(topic, index)
    const leaderBrokerEpoch = leader === -1 ? -1 : this.broker(leader).epoch
    return this.change(topic, index, { leader, leaderEpoch: leaderEpoch + 1, leaderBrokerEpoch, isr })
  }

  get up(): number[] {
    return this.brokers.filter(({ parts }) => parts !== null).map(({ id }) => id)
  }

  propose({ topicId, index, isr, leaderEpoch, partitionEpoch }: Proposal): ErrorCode {
    const topic = [...this.topics.values()].find((each) => each.topicId === topicId)!
    const image = this.image(topic.name, index)
    if (image.leaderEpoch !== leaderEpoch) return ErrorCode.FENCED_LEADER_EPOCH
    if (image.partitionEpoch !== partitionEpoch) return ErrorCode.INVALID_UPDATE_VERSION
    void this.change(topic.name, index, { isr: isr.map(({ id }) => id) })
    return ErrorCode.NONE
  }

  partition(id: number, topic: string, index = 0): Partition {
    const found = this.broker(id).parts?.partitions.get(topic, index)
    assert(found !== undefined, `broker ${id} does not have ${topic}-${index}`)
    return found
  }

  /** To the leader; an error code, when all of the ISR have it. */
  append(topic: string, batch: Buffer, index = 0): Promise<number> {
    const partition = this.partition(this.image(topic, index).leader, topic, index)
    return new Promise((resolve) => {
      const { errorCode, lastOffset } = partition.append(batch)
      if (errorCode !== ErrorCode.NONE) resolve(errorCode)
      else partition.awaitAppended(lastOffset + 1, { appendSettled: (_tag, code) => resolve(code) }, 0)
    })
  }

  async until(what: string | (() => string), holds: () => boolean): Promise<void> {
    for (const deadlineMs = this.sim.scheduler.nowMs + 30_000; !holds(); await this.sim.sleep(5)) {
      if (this.sim.scheduler.nowMs < deadlineMs) continue
      assert.fail(`never: ${typeof what === 'string' ? what : what()}`)
    }
  }

  /** In the end each replica has what the leader has, byte by byte. */
  async converges(topic: string, index = 0, looksAt: 'epochs too' | 'records' = 'epochs too'): Promise<void> {
    const { leader } = this.image(topic, index)
    const led = this.partition(leader, topic, index)
    const ends = (): string =>
      this.up
        .map((id) => this.partition(id, topic, index))
        .map(({ log, highWatermark }) => `${log.logStartOffset} ${highWatermark} ${log.writtenEndOffset}`)
        .join()
    await this.until(
      () => `all have all of ${topic}-${index}: ${ends()}`,
      () =>
        this.up.every((id) => {
          const { log, highWatermark } = this.partition(id, topic, index)
          const { logEndOffset, logStartOffset } = led.log
          return (
            log.writtenEndOffset === logEndOffset &&
            log.logStartOffset === logStartOffset &&
            highWatermark === led.highWatermark &&
            // As long, and not cut yet.
            (looksAt === 'records' ||
              log.epochs.epochAt(logEndOffset - 1) === led.log.epochs.epochAt(logEndOffset - 1))
          )
        }),
    )
    const expected = await bytesOf(led.log)
    for (const id of this.up) {
      const { log } = this.partition(id, topic, index)
      assert.deepEqual(await bytesOf(log), expected, `${topic}-${index} of broker ${id}`)
      if (looksAt === 'records') continue
      // Who led and appended nothing knows of an epoch more.
      const epochsOf = ({ epochs, logEndOffset }: Log) =>
        epochs.entries().filter(({ startOffset }) => startOffset < logEndOffset)
      assert.deepEqual(epochsOf(log), epochsOf(led.log), `epochs of ${topic}-${index} of broker ${id}`)
    }
  }
}

interface Running {
  readonly process: SimProcess
  readonly metadata: ToldMetadata
  readonly logs: LogManager
  readonly partitions: Partitions
  readonly host: TopicHost
  readonly isrs: IsrProposer
  readonly fetchers: ReplicaFetchers
}

export class ReplicaBroker {
  readonly id: number
  readonly machine: SimMachine
  readonly config: BrokerConfig
  readonly damaged: string[] = []
  epoch = -1
  parts: Running | null = null
  readonly #world: ReplicaWorld
  #learning: Promise<void> = Promise.resolve()

  constructor(world: ReplicaWorld, id: number, machine: SimMachine, properties: Record<string, string>) {
    this.#world = world
    this.id = id
    this.machine = machine
    const values = new Map(Object.entries(properties))
    values.set('listeners', `PLAINTEXT://${machine.host}:${PORT}`).set('broker.id', String(id))
    this.config = parseBrokerConfig([{ source: 'STATIC_BROKER_CONFIG', origin: 'test', values }]).config
  }

  /** It hears of one thing after the other, and of nothing while it is not there. */
  learn(what: (parts: Running) => Promise<void>): Promise<void> {
    const { parts } = this
    if (parts === null) return Promise.resolve()
    this.#learning = this.#learning.then(async () => {
      await this.#world.sim.sleep(this.#world.sim.random.below(3))
      if (this.parts === parts) await Promise.race([what(parts), this.#gone])
    })
    return this.#learning
  }

  #goes: () => void = () => {}
  #gone: Promise<void> = Promise.resolve()

  async start(): Promise<void> {
    this.epoch = this.#world.nextEpoch()
    this.#gone = new Promise((resolve) => (this.#goes = resolve))
    const process = this.machine.start()
    const { world } = process
    const { config } = this
    const metadata = new ToldMetadata(this.#world, this)
    const logs = await LogManager.open(world, {
      logDirs: config['log.dirs'],
      nodeId: this.id,
      recoveryThreadsPerDirectory: 1,
      retentionCheckIntervalMs: 60_000_000,
      checkpointIntervalMs: 5_000,
      cleaner: { enabled: true, backoffMs: 60_000_000, maxMapBytes: 1 << 20, maxBytesPerSecond: Infinity },
      onAllDirectoriesFailed: () => {},
    })
    const { topics } = this.#world
    await logs.load(CLUSTER_ID, this.epoch, (name) => toLogConfig(topics.get(name)!.config, config))
    const partitions = new Partitions(metadata)
    const topicMetrics = new TopicMetrics(world.metrics)
    const isrs = new IsrProposer(world, metadata, partitions)
    const followings = new ReplicaFetchers(world, metadata, (directory) => logs.refusesRecords(directory))
    const host = new TopicHost({
      clock: world.clock,
      metadata,
      logs,
      partitions,
      topicMetrics,
      isrs,
      followings,
      outOfReach: () => null,
    })
    const offsetsLog = new OffsetsLog(metadata, partitions, () => false)
    const groups = new GroupCoordinator(world, offsetsLog, config)
    const broker = new Broker({ world, logs, metadata, groups, partitions, topicMetrics })
    host.attach(groups)
    const server = new Server(world, broker)
    await server.start()
    this.parts = { process, metadata, logs, partitions, host, isrs, fetchers: followings }
    await this.learn(async () => {
      for (const topic of topics.values()) {
        await host.open(topic)
        metadata.image.put(topic)
      }
    })
  }

  async stop(): Promise<void> {
    if (this.parts === null) return
    const { fetchers, isrs, logs, process } = this.parts
    isrs.close()
    await fetchers.close()
    await logs.close(true)
    await this.machine.kill(process)
    this.#ended()
  }

  async kill(): Promise<void> {
    await this.machine.kill(this.parts!.process)
    this.#ended()
  }

  /** Lines of its log. */
  said(message: string): boolean {
    return this.parts!.process.logger.lines.some((line) => line.message.includes(message))
  }

  #ended(): void {
    this.parts = null
    this.#goes()
  }
}

/** What a broker was told. */
class ToldMetadata implements Metadata {
  readonly image = new MetadataImage()
  readonly clusterId = CLUSTER_ID
  readonly nodeId: number
  readonly config: BrokerConfig
  readonly controllerId = 1
  readonly clusterDefaults = new Map<string, string>()
  readonly brokerValues = new Map<string, string>()
  readonly cluster: ClusterDuties
  readonly #world: ReplicaWorld
  readonly #broker: ReplicaBroker
  readonly createTopics = never
  readonly autoCreateTopic = never
  readonly createPartitions = never
  readonly deleteTopic = never
  readonly incrementalAlterConfigs = never
  readonly replaceConfigs = never
  readonly nextProducerId = never
  readonly close = never

  constructor(world: ReplicaWorld, broker: ReplicaBroker) {
    this.#world = world
    this.#broker = broker
    this.nodeId = broker.id
    this.config = broker.config
    this.cluster = {
      proposeIsrs: (proposals) => Promise.resolve(proposals.map((each) => world.propose(each))),
      reportDamaged: (partitions) =>
        void broker.damaged.push(...partitions.map(({ topicId, index }) => `${topicId}-${index}`)),
      addressOf: (id) => {
        const { machine, parts } = world.broker(id)
        return parts === null ? null : { host: machine.host, port: PORT }
      },
      isRegistered: (id, epoch) => Promise.resolve(world.broker(id).epoch === epoch),
      isOwnEpoch: (epoch) => epoch === broker.epoch,
      whenServing: never,
      leave: never,
      replicasReported: never,
      poll: never,
      alterPartitions: never,
      controlledShutdown: never,
      electLeaders: never,
    }
  }

  get brokerEpoch(): number {
    return this.#broker.epoch
  }

  get topics(): ReadonlyMap<string, TopicImage> {
    return this.image.topics
  }

  get brokers(): Metadata['brokers'] {
    return new Map(
      this.#world.brokers.map(({ id, epoch, parts }) => [
        id,
        { id, epoch, fenced: parts === null, shuttingDown: false, rack: null, endpoints: new Map() },
      ]),
    )
  }

  get partitionCount(): number {
    return this.image.partitionCount
  }

  topicById(topicId: string): TopicImage | undefined {
    return this.image.topicById(topicId)
  }
}

/** All that the log holds. */
async function bytesOf(log: Log): Promise<string> {
  const pieces: Buffer[] = []
  for (let next = log.logStartOffset; next < log.writtenEndOffset;) {
    const read = await new Promise<{ readonly buffers: readonly Buffer[]; readonly nextOffset: number }>(
      (resolve) => log.read(next, 1 << 20, Infinity, true, resolve),
    )
    assert(read.nextOffset > next, `nothing at ${next}`)
    pieces.push(...read.buffers)
    next = read.nextOffset
  }
  return Buffer.concat(pieces).toString('hex')
}
