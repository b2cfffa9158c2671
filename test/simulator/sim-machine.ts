import { CompressionError } from '../../protocol/compression-error.ts'
import { Codec, compress, decompress } from '../../protocol/compression.ts'
import { summarizeRecords } from '../../protocol/records/records-summary.ts'
import type { RecordsSummary } from '../../protocol/records/records-summary.ts'
import type { Clock, Codecs, Disk, Logger, World } from '../../src/ports.ts'
import { SimClock } from './sim-clock.ts'
import { SimNetwork } from './sim-connection.ts'
import { SimDisk } from './sim-disk.ts'
import type { SimDiskOptions } from './sim-disk.ts'
import { SimDiskFaults } from './sim-disk-faults.ts'
import { SimDiskImage } from './sim-disk-image.ts'
import { SimLogger } from './sim-logger.ts'
import { SimMetrics } from './sim-metrics.ts'
import type { SimFabric, SimHost } from './sim-network.ts'
import type { SimRandom } from './sim-random.ts'
import type { SimOwner, SimScheduler } from './sim-scheduler.ts'

/** More than this takes turns, in pieces of this size. */
const MOMENT_BYTES = 512

/** Takes turns of the simulated clock, as the thread pool does. */
function simCodecs(scheduler: SimScheduler, owner: SimOwner): Codecs {
  const turn = () => new Promise<void>((resolve) => scheduler.schedule(0, 'codecs', owner, resolve))
  const most = 256 << 20
  const summarize = (codec: number, data: Buffer, recordCount: number): RecordsSummary | null => {
    try {
      return summarizeRecords([decompress(codec, data, most)], recordCount)
    } catch (error) {
      if (error instanceof CompressionError) return null
      throw error
    }
  }
  return {
    summarizeNow: (codec, data, recordCount) =>
      data.length > MOMENT_BYTES ? null : summarize(codec, data, recordCount),
    // Every other one: the rest is looked at in pieces.
    summarizeBeside(codec, data, recordCount, done) {
      if (data.length <= MOMENT_BYTES || data.length % 2 !== 0) return false
      scheduler.schedule(0, 'codecs', owner, () => done(summarize(codec, data, recordCount)))
      return true
    },
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

export interface SimMachineOptions {
  readonly disk?: Partial<SimDiskOptions>
  readonly capacityBytes?: number
  /** Names of one directory survive a power loss in their order; see `sim-disk-image.ts`. */
  readonly journalledNames?: boolean
  /** Puts something around the disk of every process that is started. */
  readonly wrapDisk?: (disk: Disk, scheduler: SimScheduler) => Disk
  readonly wrapClock?: (clock: Clock) => Clock
  /** How far the wall clock is ahead of that of the world. */
  readonly clockOffsetMs?: number
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

export interface SimMachineParts {
  /** By this name others reach it. */
  readonly host: string
  readonly scheduler: SimScheduler
  readonly fabric: SimFabric
  /** What happens to its processes. */
  readonly random: SimRandom
  /** What a crash leaves. */
  readonly crashRandom: SimRandom
}

/**
 * A machine: a disk, an address, and processes that are started, killed and started again. Its dice are its own: what happens
 * on one machine does not depend on how many others there are.
 *
 * Faults of a process: `kill` (as kill -9: memory gone, sockets reset, disk caches kept) and `powerLoss` (the same,
 * and the disk forgets what was not durable; see `sim-disk-image.ts`). Both strike between two events, with whatever
 * was under way.
 */
export class SimMachine implements SimHost {
  readonly host: string
  readonly image: SimDiskImage
  readonly faults = new SimDiskFaults()
  private readonly locks = new Map<string, SimOwner>()
  private readonly parts: SimMachineParts
  private readonly options: SimMachineOptions
  private started = 0

  constructor(parts: SimMachineParts, options: SimMachineOptions) {
    this.host = parts.host
    this.parts = parts
    this.options = options
    this.image = new SimDiskImage(options.capacityBytes, options.journalledNames)
    parts.fabric.addHost(this)
  }

  /** A new process on the machine, with nothing in memory. */
  start(): SimProcess {
    this.started += 1
    const { scheduler, fabric, random } = this.parts
    return new SimProcess(`${this.host}-process-${this.started}`, (owner) => {
      const clock = new SimClock(scheduler, owner)
      clock.wallClockOffsetMs = this.options.clockOffsetMs ?? 0
      const disk = new SimDisk({
        image: this.image,
        faults: this.faults,
        locks: this.locks,
        scheduler,
        owner,
        random: random.fork(),
        options: this.options.disk,
      })
      const logger = new SimLogger(() => scheduler.nowMs)
      const metrics = new SimMetrics()
      const world: World = {
        clock: this.options.wrapClock?.(clock) ?? clock,
        codecs: simCodecs(scheduler, owner),
        random: random.fork(),
        network: new SimNetwork(fabric, owner, this),
        disk: this.options.wrapDisk?.(disk, scheduler) ?? disk,
        logger: logger as Logger,
        metrics,
      }
      return { world, clock, disk, logger, metrics }
    })
  }

  /** Kills the process between two events. Await it inside `run`. */
  async kill(process: SimProcess): Promise<void> {
    await this.parts.scheduler.sleep(0)
    this.end(process)
  }

  /** Cuts the power: the process is gone, and what was not durable is lost, kept or torn. */
  async powerLoss(process: SimProcess): Promise<void> {
    await this.parts.scheduler.sleep(0)
    this.end(process)
    this.image.powerLoss(this.parts.crashRandom)
    this.parts.scheduler.trace('power loss', this.parts.crashRandom.uint32())
  }

  private end(process: SimProcess): void {
    if (!process.alive) return
    process.alive = false
    process.disk.abandon(this.parts.crashRandom)
    this.parts.fabric.abandon(process)
  }
}
