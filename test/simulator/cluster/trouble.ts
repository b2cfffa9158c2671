import { crc32 } from 'node:zlib'
import { SimRandom } from '../sim-random.ts'
import { checkHolders } from './cluster-checks.ts'
import type { ClusterRun } from './cluster-run.ts'
import type { ClusterBroker, Death } from './sim-cluster.ts'

type Fault = readonly [name: string, weight: number, strike: (trouble: Trouble) => Promise<void>]

/** Each kind rolls dice of its own: one more kind, or one more roll of another, leaves the rolls of this one what they were. */
const UNCLEAN: readonly Fault[] = [
  ['kill', 5, (trouble) => trouble.death('kill')],
  ['kill with its helper', 2, (trouble) => trouble.death('kill with its helper')],
  ['power loss', 4, (trouble) => trouble.death('power loss')],
  ['disk error', 2, (trouble) => trouble.diskError()],
]
const CLEAN: readonly Fault[] = [
  ['stop', 4, (trouble) => trouble.stop()],
  ['isolate', 3, (trouble) => trouble.isolate()],
  ['cut one way', 2, (trouble) => trouble.cutOneWay()],
  ['session', 3, (trouble) => trouble.session()],
  ['cut from store', 2, (trouble) => trouble.cutFromStore()],
  ['store away', 1, (trouble) => trouble.storeAway()],
  ['resets', 1, (trouble) => trouble.resets()],
]

/**
 * Faults, one after the other, of which each may last while the next ones strike. With a minimum of two, one broker at a time
 * may stop uncleanly: until the controller has accepted it again, and of every partition another one is in sync or eligible.
 * With a minimum of one, none may (KIP-966).
 */
export class Trouble {
  readonly #run: ClusterRun
  readonly #seed: number
  readonly #dice = new Map<string, SimRandom>()
  readonly #choice: SimRandom
  /** What goes on, and must be over when the cluster is healed. */
  #underWay: Promise<unknown>[] = []
  /** Stopped uncleanly, until the controller has accepted the next process that lives: its logs may lack something. */
  readonly #doubtful = new Set<number>()
  #healing = false
  /** A disk of theirs does not work. */
  readonly #failing = new Set<ClusterBroker>()

  constructor(run: ClusterRun, random: SimRandom) {
    this.#run = run
    this.#seed = random.uint32()
    this.#choice = random
  }

  async strike(): Promise<void> {
    const faults = this.#run.unclean ? [...UNCLEAN, ...CLEAN] : CLEAN
    const total = faults.reduce((sum, [, weight]) => sum + weight, 0)
    let at = this.#choice.below(total)
    const [name, , strike] = faults.find(([, weight]) => (at -= weight) < 0)!
    this.#rolling = name
    await strike(this)
  }

  /** All faults end; all brokers are started again. */
  async heal(): Promise<void> {
    this.#healing = true
    const { cluster } = this.#run
    cluster.healAll()
    cluster.sim.fabric.resetChance = 0
    await Promise.all(this.#underWay)
    cluster.healAll()
    await Promise.all(cluster.brokers.map((broker) => this.#restart(broker, 0)))
  }

  // ------------------------------------------------------------------------------------------------ ends of processes

  async death(death: Death): Promise<void> {
    const broker = await this.#pickDoomed()
    if (broker === null) return
    this.#tell(`${death}: ${broker.id}${broker.isUp ? '' : ', which starts'}`)
    this.#doubtful.add(broker.id)
    await broker.die(death)
    await checkHolders(this.#run)
    this.#goesOn(this.#restart(broker, this.#upTo(3_000)))
  }

  /** One of two log directories fails, until somebody has mended it and starts the broker again. */
  async diskError(): Promise<void> {
    const broker = await this.#pickDoomed()
    if (broker === null || this.#failing.has(broker)) return
    this.#doubtful.add(broker.id)
    this.#failing.add(broker)
    const operation = this.#random.pick(['write', 'sync'] as const)
    const path = this.#random.pick([/^\/data\/.*\.log$/, /^\/more\/.*\.log$/])
    this.#tell(`disk error: ${broker.id}, ${operation} ${path.source}`)
    const { faults } = broker.machine
    faults.add({ operation, code: 'EIO', path })
    const mended = async (): Promise<void> => {
      await this.#run.sim.sleep(this.#upTo(4_000))
      faults.clear()
      this.#run.tell(`mended: ${broker.id}`)
      await broker.die('kill')
      this.#failing.delete(broker)
      await this.#restart(broker, 0)
    }
    this.#goesOn(mended())
  }

  async stop(): Promise<void> {
    const broker = this.#pick((each) => each.isUp)
    if (broker === null) return
    this.#tell(`stop: ${broker.id}`)
    const { process } = broker
    const stopped = broker.stop().then((isClean) => this.#run.tell(`${broker.id} stopped: ${isClean}`))
    this.#goesOn(stopped)
    await Promise.race([stopped, this.#run.sim.sleep(10_000)])
    if (broker.process !== null && broker.process === process) {
      // As an operator does who has no patience left; but for what only this one has.
      this.#tell(`${broker.id} does not stop`)
      await stopped
    }
    this.#goesOn(this.#restart(broker, this.#upTo(2_000)))
  }

  async #restart(broker: ClusterBroker, afterMs: number): Promise<void> {
    await this.#run.sim.sleep(afterMs)
    while (broker.process === null && broker.failure === null) {
      this.#run.tell(`start: ${broker.id}`)
      try {
        await broker.start()
        if (broker.isUp) this.#run.tell(`${broker.id} serves`)
        return
      } catch (error) {
        // As whoever supervises it: it is started again until it runs.
        this.#run.met('a start failed')
        this.#run.tell(`${broker.id} does not start: ${String(error)}`)
        if (this.#healing && broker.processes.length > 100) throw error
        await this.#run.sim.sleep(500)
      }
    }
  }

  // ---------------------------------------------------------------------------------------------------------- network

  isolate(): Promise<void> {
    const broker = this.#pick()!
    const { cluster } = this.#run
    const forMs = this.#upTo(5_000)
    const [fromClients, fromStore] = [this.#chance(0.5), this.#chance(0.6)]
    this.#tell(
      `isolate ${broker.id} for ${forMs.toFixed(0)} ms, clients: ${fromClients}, store: ${fromStore}`,
    )
    cluster.isolate(broker, fromClients)
    if (fromStore) broker.cutFromStore(forMs)
    this.#goesOn(this.#after(forMs, () => cluster.healAll()))
    return Promise.resolve()
  }

  cutOneWay(): Promise<void> {
    const from = this.#pick()!
    const to = this.#pick((each) => each !== from)
    if (to === null) return Promise.resolve()
    const { cluster } = this.#run
    const forMs = this.#upTo(5_000)
    this.#tell(`cut ${from.id} > ${to.id} for ${forMs.toFixed(0)} ms`)
    cluster.cut(from, to, true)
    this.#goesOn(this.#after(forMs, () => cluster.heal(from, to)))
    return Promise.resolve()
  }

  resets(): Promise<void> {
    const { fabric } = this.#run.sim
    this.#tell('connections are reset')
    fabric.resetChance = 0.005
    this.#goesOn(this.#after(this.#upTo(1_000), () => void (fabric.resetChance = 0)))
    return Promise.resolve()
  }

  // ------------------------------------------------------------------------------------------------------------ store

  session(): Promise<void> {
    const broker = this.#pick()!
    const seenAfterMs = this.#chance(0.5) ? 0 : this.#upTo(1_500)
    this.#tell(`session of ${broker.id} ends, it hears of it after ${seenAfterMs.toFixed(0)} ms`)
    broker.expireSession(seenAfterMs)
    this.#goesOn(this.#run.sim.sleep(seenAfterMs))
    return Promise.resolve()
  }

  cutFromStore(): Promise<void> {
    const broker = this.#pick()!
    const forMs = this.#upTo(5_000)
    this.#tell(`cut ${broker.id} from the store for ${forMs.toFixed(0)} ms`)
    broker.cutFromStore(forMs)
    this.#goesOn(this.#run.sim.sleep(forMs))
    return Promise.resolve()
  }

  storeAway(): Promise<void> {
    const forMs = this.#upTo(5_000)
    this.#tell(`the store is away for ${forMs.toFixed(0)} ms`)
    this.#run.cluster.store.away(forMs)
    this.#goesOn(this.#run.sim.sleep(forMs))
    return Promise.resolve()
  }

  // ------------------------------------------------------------------------------------------------------------- dice

  #rolling = ''

  get #random(): SimRandom {
    const known = this.#dice.get(this.#rolling) ?? new SimRandom(this.#seed ^ crc32(this.#rolling))
    this.#dice.set(this.#rolling, known)
    return known
  }

  #chance(probability: number): boolean {
    return this.#random.chance(probability)
  }

  /** Short times and long ones. */
  #upTo(mostMs: number): number {
    return this.#random.fraction() * (this.#random.chance(0.5) ? mostMs : mostMs / 10)
  }

  #pick(fits: (broker: ClusterBroker) => boolean = () => true): ClusterBroker | null {
    const fitting = this.#run.cluster.brokers.filter(fits)
    return fitting.length === 0 ? null : this.#random.pick(fitting)
  }

  #tell(line: string): void {
    this.#run.met(this.#rolling)
    this.#run.tell(line)
  }

  #goesOn(until: Promise<unknown>): void {
    this.#underWay.push(until)
  }

  async #after(ms: number, run: () => void): Promise<void> {
    await this.#run.sim.sleep(ms)
    run()
  }

  // ---------------------------------------------------------------------------------------- who may stop uncleanly

  /** The controller or a leader more often than chance has it. */
  async #pickDoomed(): Promise<ClusterBroker | null> {
    const { cluster } = this.#run
    const controller = await cluster.controllerId()
    const first = this.#chance(0.3) && controller > 0 ? cluster.broker(controller) : this.#pick()!
    for (const broker of [first, ...cluster.brokers])
      if (broker.process !== null && (await this.#isSpare(broker.id))) return broker
    return null
  }

  /** Nobody else is doubtful, and of every partition somebody else has all. */
  async #isSpare(doomed: number): Promise<boolean> {
    for (const id of this.#doubtful) {
      const broker = this.#run.cluster.broker(id)
      const { running } = broker
      // What lies on a disk that fails may be lost, however long the broker is accepted.
      const isAccepted =
        !this.#failing.has(broker) && running?.broker.metadata.brokerEpoch === (await this.#acceptedEpoch(id))
      if (isAccepted) this.#doubtful.delete(id)
      else if (id !== doomed) return false
    }
    const states = await this.#run.cluster.states()
    return states.every(({ state }) => [...state.isr, ...state.elr].some((id) => id !== doomed))
  }

  async #acceptedEpoch(id: number): Promise<number> {
    const registration = await this.#run.cluster.store.json(`/brokers/registrations/${id}`)
    return Number(registration?.['epoch'] ?? -1)
  }
}
