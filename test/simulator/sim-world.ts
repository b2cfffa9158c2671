import type { SimDiskFaults } from './sim-disk-faults.ts'
import type { SimDiskImage } from './sim-disk-image.ts'
import { SimMachine } from './sim-machine.ts'
import type { SimMachineOptions, SimProcess } from './sim-machine.ts'
import { SimFabric } from './sim-network.ts'
import type { SimNetworkOptions, SimSocket } from './sim-network.ts'
import { SimRandom } from './sim-random.ts'
import { SimScheduler } from './sim-scheduler.ts'
import type { RunLimits, SimOwner } from './sim-scheduler.ts'

/**
 * A world in which production code runs under a seed: a network and machines. One is there from the beginning, and what a
 * test of one broker needs of it is here too; others join by `addMachine`.
 *
 * Not modelled: a disk that lies about a completed sync. A test can put a lying disk around the real one with
 * `wrapDisk`: that is how seeded bugs prove that a checker sees.
 */

/** The first machine, on which its users are too. */
const FIRST_HOST = '127.0.0.1'
const USER_HOST = '127.0.0.2'

export interface SimWorldOptions extends SimMachineOptions {
  readonly network?: Partial<SimNetworkOptions>
}

export class SimWorld {
  readonly seed: number
  readonly scheduler: SimScheduler
  readonly random: SimRandom
  readonly fabric: SimFabric
  readonly machine: SimMachine
  private readonly user: SimOwner = { name: 'user', alive: true }
  private machines = 1

  constructor(seed: number, options: SimWorldOptions = {}) {
    this.seed = seed
    this.random = new SimRandom(seed)
    this.scheduler = new SimScheduler(this.random.fork())
    const crashRandom = this.random.fork()
    this.fabric = new SimFabric(this.scheduler, this.random.fork(), options.network)
    const { scheduler, fabric, random } = this
    this.machine = new SimMachine({ host: FIRST_HOST, scheduler, fabric, random, crashRandom }, options)
  }

  /** One more machine, at 10.0.0.2 and so on, with dice of its own. */
  addMachine(options: SimMachineOptions = {}): SimMachine {
    this.machines += 1
    const { scheduler, fabric } = this
    const random = new SimRandom(Math.imul(this.seed, 31) + this.machines)
    const host = `10.0.0.${this.machines}`
    return new SimMachine({ host, scheduler, fabric, random, crashRandom: random.fork() }, options)
  }

  /** Of the first machine, as all that follows. */
  get image(): SimDiskImage {
    return this.machine.image
  }

  get faults(): SimDiskFaults {
    return this.machine.faults
  }

  start(): SimProcess {
    return this.machine.start()
  }

  kill(process: SimProcess): Promise<void> {
    return this.machine.kill(process)
  }

  powerLoss(process: SimProcess): Promise<void> {
    return this.machine.powerLoss(process)
  }

  /** Null when nobody listens on the port of the machine. */
  connect(port: number, host: string = FIRST_HOST): SimSocket | null {
    return this.fabric.connect(this.user, USER_HOST, { host, port })
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
}
