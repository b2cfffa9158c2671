import { Codec, compress, decompress } from '../../protocol/compression.ts'
import type { Clock, Codecs, Disk, Logger, World } from '../../src/ports.ts'
import { SimClock } from './sim-clock.ts'
import { SimDisk } from './sim-disk.ts'
import { SimDiskFaults } from './sim-disk-faults.ts'
import type { SimDiskOptions } from './sim-disk.ts'
import { SimDiskImage } from './sim-disk-image.ts'
import { SimLogger } from './sim-logger.ts'
import { SimMetrics } from './sim-metrics.ts'
import { SimFabric, SimNetwork } from './sim-network.ts'
import type { SimNetworkOptions, SimSocket } from './sim-network.ts'
import { SimRandom } from './sim-random.ts'
import { SimScheduler } from './sim-scheduler.ts'
import type { RunLimits, SimOwner } from './sim-scheduler.ts'

/**
 * A world in which production code runs under a seed: one machine with a disk, a network, and processes that are
 * started, killed and started again.
 *
 * Faults of a process: `kill` (as kill -9: memory gone, sockets reset, disk caches kept) and `powerLoss` (the same,
 * and the disk forgets what was not durable; see `sim-disk-image.ts`). Both strike between two events, with whatever
 * was under way.
 * Not modelled: a disk that lies about a completed sync, several machines. A test can put a
 * lying disk around the real one with `wrapDisk`: that is how seeded bugs prove that a checker sees.
 */

/** More than this takes turns, in pieces of this size. */
const MOMENT_BYTES = 512

/** Takes turns of the simulated clock, as the thread pool does. */
function simCodecs(scheduler: SimScheduler, owner: SimOwner): Codecs {
  const turn = () => new Promise<void>((resolve) => scheduler.schedule(0, 'codecs', owner, resolve))
  const most = 256 << 20
  return {
    decompressNow(codec, data) {
      if (data.length > MOMENT_BYTES) return null
      const body = decompress(codec, data, most)
      return body.length > MOMENT_BYTES ? null : [body]
    },
    canCompress: (codec) => codec <= Codec.SNAPPY,
    async compress(codec, _level, data) {
      await turn()
      return compress(codec, data)!
    },
    async decompress(codec, data, piece) {
      await turn()
      const body = decompress(codec, data, most)
      for (let at = 0; at < body.length; at += MOMENT_BYTES) {
        if (!piece(body.subarray(at, at + MOMENT_BYTES))) return
        await turn()
      }
    },
  }
}

export interface SimWorldOptions {
  readonly disk?: Partial<SimDiskOptions>
  readonly network?: Partial<SimNetworkOptions>
  readonly capacityBytes?: number
  /** Names of one directory survive a power loss in their order; see `sim-disk-image.ts`. */
  readonly journalledNames?: boolean
  /** Puts something around the disk of every process that is started. */
  readonly wrapDisk?: (disk: Disk, scheduler: SimScheduler) => Disk
  readonly wrapClock?: (clock: Clock) => Clock
}

export class SimProcess implements SimOwner {
  readonly name: string
  alive = true
  readonly world: World
  readonly clock: SimClock
  readonly disk: SimDisk
  readonly logger: SimLogger
  readonly metrics: SimMetrics

  constructor(
    name: string,
    make: (owner: SimOwner) => {
      world: World
      clock: SimClock
      disk: SimDisk
      logger: SimLogger
      metrics: SimMetrics
    },
  ) {
    this.name = name
    const made = make(this)
    this.world = made.world
    this.clock = made.clock
    this.disk = made.disk
    this.logger = made.logger
    this.metrics = made.metrics
  }
}

export class SimWorld {
  readonly seed: number
  readonly scheduler: SimScheduler
  readonly random: SimRandom
  readonly image: SimDiskImage
  readonly faults = new SimDiskFaults()
  readonly fabric: SimFabric
  private readonly locks = new Map<string, SimOwner>()
  private readonly options: SimWorldOptions
  private readonly crashRandom: SimRandom
  private readonly user: SimOwner = { name: 'user', alive: true }
  private started = 0

  constructor(seed: number, options: SimWorldOptions = {}) {
    this.seed = seed
    this.options = options
    this.random = new SimRandom(seed)
    this.scheduler = new SimScheduler(this.random.fork())
    this.crashRandom = this.random.fork()
    this.image = new SimDiskImage(options.capacityBytes, options.journalledNames)
    this.fabric = new SimFabric(this.scheduler, this.random.fork(), options.network)
  }

  /** A new process on the machine, with nothing in memory. */
  start(): SimProcess {
    this.started += 1
    return new SimProcess(`process-${this.started}`, (owner) => {
      const clock = new SimClock(this.scheduler, owner)
      const disk = new SimDisk({
        image: this.image,
        faults: this.faults,
        locks: this.locks,
        scheduler: this.scheduler,
        owner,
        random: this.random.fork(),
        options: this.options.disk,
      })
      const logger = new SimLogger()
      const metrics = new SimMetrics()
      const world: World = {
        clock: this.options.wrapClock?.(clock) ?? clock,
        codecs: simCodecs(this.scheduler, owner),
        random: this.random.fork(),
        network: new SimNetwork(this.fabric, owner),
        disk: this.options.wrapDisk?.(disk, this.scheduler) ?? disk,
        logger: logger as Logger,
        metrics,
      }
      return { world, clock, disk, logger, metrics }
    })
  }

  /** Kills the process between two events. Await it inside `run`. */
  async kill(process: SimProcess): Promise<void> {
    await this.scheduler.sleep(0)
    this.end(process)
  }

  /** Cuts the power: the process is gone, and what was not durable is lost, kept or torn. */
  async powerLoss(process: SimProcess): Promise<void> {
    await this.scheduler.sleep(0)
    this.end(process)
    this.image.powerLoss(this.crashRandom)
    this.scheduler.trace('power loss', this.crashRandom.uint32())
  }

  /** Null when nobody listens on the port. */
  connect(port: number): SimSocket | null {
    return this.fabric.connect(this.user, port)
  }

  sleep(delayMs: number): Promise<void> {
    return this.scheduler.sleep(delayMs)
  }

  /** Runs the world until `body` is done; see `SimScheduler.run`. Errors name the seed. */
  async run<T>(body: () => Promise<T>, limits?: RunLimits): Promise<T> {
    try {
      return await this.scheduler.run(body, limits)
    } catch (error) {
      if (error instanceof Error) error.message = `${error.message}\n(replay with SAMSA_SEED=${this.seed})`
      throw error
    }
  }

  get traceHash(): string {
    return this.scheduler.traceHash
  }

  private end(process: SimProcess): void {
    if (!process.alive) return
    process.alive = false
    process.disk.abandon(this.crashRandom)
    this.fabric.abandon(process)
  }
}
