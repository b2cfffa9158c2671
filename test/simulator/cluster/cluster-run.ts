import { strict as assert } from 'node:assert'
import { addTo } from '../seed-shares.ts'
import { SimRandom } from '../sim-random.ts'
import { SimWorld } from '../sim-world.ts'
import { checkCluster, everyReplicaHasAll, isCalm } from './cluster-checks.ts'
import type { Checked } from './cluster-checks.ts'
import { ClusterWatch } from './cluster-watch.ts'
import { Ledger } from './ledger.ts'
import { RunCommitter, RunConsumer, RunProducer } from './run-clients.ts'
import type { RunContext } from './run-clients.ts'
import { SimCluster } from './sim-cluster.ts'
import { Trouble } from './trouble.ts'

/**
 * Three brokers, two topics, clients that read and write all the time, and trouble. Then the trouble ends, and what was
 * promised must hold: see `ledger.ts` for records, `store-checks.ts` for what the store was told, `cluster-checks.ts` for
 * what the brokers make of it.
 */

const TOPICS = ['first', 'second'] as const
const PARTITIONS = 3

/** How long a healed cluster may take until every replica is in sync again. */
const CALM_WITHIN_MS = 30_000

export interface RunOptions {
  /** How many faults come one after the other. */
  readonly faults: number
  readonly brokers?: number
  readonly properties?: Readonly<Record<string, string>>
}

export class ClusterRun implements Checked {
  readonly sim: SimWorld
  readonly ledger = new Ledger()
  /** What it met. */
  readonly situations: Record<string, number> = {}
  readonly counts: Record<string, number> = {}
  /** What happened, for whoever looks at a failure. */
  readonly story: string[] = []
  missing = ''
  cluster!: SimCluster
  /** Brokers may be killed: otherwise one topic has a minimum of one. */
  readonly unclean: boolean
  readonly #options: RunOptions
  readonly #random: SimRandom
  #failure: { readonly error: unknown } | null = null

  constructor(seed: number, options: RunOptions) {
    this.#options = options
    // A stream of its own: what the run is like does not depend on what happens in it.
    this.#random = new SimRandom(seed ^ 0xc1a5)
    this.unclean = this.#random.chance(0.7)
    this.sim = new SimWorld(seed, {
      disk: { maxDelayMs: 0.5, slowChance: 0, slowReadChance: 0 },
      network: { windowBytes: this.#random.pick([2_000, 64 * 1024]) },
    })
  }

  /** Rejects with an assertion when a promise was broken. */
  async run(): Promise<void> {
    await this.sim.run(() => this.#live(), { withinMs: 600_000 })
  }

  tell(line: string): void {
    this.story.push(`${this.sim.scheduler.nowMs.toFixed(1).padStart(9)} ${line}`)
  }

  met(situation: string): void {
    addTo(this.situations, situation, 1)
  }

  async #live(): Promise<void> {
    const random = this.#random
    const durable = random.chance(0.3)
    const properties = {
      'internal.segment.bytes': String(random.pick([4_000, 100_000])),
      'log.flush.offset.checkpoint.interval.ms': '300',
      'log.dirs': '/data,/more',
      ...(durable ? { 'log.flush.interval.messages': '1' } : {}),
      ...this.#options.properties,
    }
    this.cluster = await SimCluster.make(this.sim, {
      maxLagMs: random.pick([0, 0, 100]),
      clocksApartMs: random.pick([0, 5_000]),
      slowChance: random.pick([0.001, 0.02]),
      properties,
      ...(this.#options.brokers === undefined ? {} : { brokers: this.#options.brokers }),
    })
    const { cluster } = this
    const watch = new ClusterWatch(cluster, this.ledger)
    watch.begin()
    await cluster.startAll()
    this.tell('all serve')
    const client = cluster.client()
    for (const [at, name] of TOPICS.entries()) {
      const minIsr = at === 0 || this.unclean ? 2 : 1
      const errorCode = await client.createTopic(name, PARTITIONS, cluster.brokers.length, {
        'min.insync.replicas': String(minIsr),
      })
      assert.equal(errorCode, 0, `create ${name}`)
    }
    const context: RunContext = {
      cluster,
      ledger: this.ledger,
      failed: (error) => (this.#failure ??= { error }),
    }
    const { producers, consumers, committer } = this.#clients(context)
    const clients = [...producers, ...consumers, committer]
    for (const each of clients) each.begin()
    await this.#pause(300)
    const trouble = new Trouble(this, random.fork())
    for (let fault = 0; fault < this.#options.faults; fault++) {
      await trouble.strike()
      await this.#pause(random.fraction() * random.pick([50, 200, 1_500]))
    }
    await trouble.heal()
    this.tell('healed')
    await this.#until('every replica is in sync', () => isCalm(this), CALM_WITHIN_MS)
    this.tell('calm')
    await this.#within('producers are answered', 15_000, Promise.all(producers.map((each) => each.finish())))
    await this.#until('consumers have all', () => consumers.every(({ isThrough }) => isThrough), 15_000)
    await Promise.all([...consumers, committer].map((each) => each.finish()))
    await this.#until('a coordinator answers', () => committer.lookAgain(), 15_000)
    this.#throwFailure()
    await this.#until('every replica has all', () => everyReplicaHasAll(this), 5_000)
    await checkCluster(this)
    this.#tally(watch, committer)
  }

  #clients(context: RunContext) {
    const pauseMs = this.#random.pick([60, 250])
    const producers = TOPICS.flatMap((topic) =>
      Array.from({ length: PARTITIONS }, (_, index) => index).flatMap((index) => [
        new RunProducer(context, {
          name: `idem-${topic}-${index}`,
          topic,
          index,
          acks: -1,
          idempotent: true,
          pauseMs,
        }),
        ...(index === 0
          ? [
              new RunProducer(context, {
                name: `plain-${topic}`,
                topic,
                index,
                acks: this.#random.pick([1, -1]),
                idempotent: false,
                pauseMs,
              }),
            ]
          : []),
      ]),
    )
    const consumers = TOPICS.map(
      (topic) =>
        new RunConsumer(context, {
          partitions: Array.from({ length: PARTITIONS }, (_, index) => ({ topic, index })),
          pauseMs: 60,
        }),
    )
    return {
      producers,
      consumers,
      committer: new RunCommitter(context, { groupId: 'g', topic: 'first', pauseMs: 100 }),
    }
  }

  async #pause(ms: number): Promise<void> {
    const endMs = this.sim.scheduler.nowMs + ms
    do {
      await this.sim.sleep(Math.min(50, Math.max(0, endMs - this.sim.scheduler.nowMs)))
      this.#throwFailure()
    } while (this.sim.scheduler.nowMs < endMs)
  }

  async #until(what: string, holds: () => boolean | Promise<boolean>, withinMs: number): Promise<void> {
    const deadlineMs = this.sim.scheduler.nowMs + withinMs
    while (!(await holds())) {
      this.#throwFailure()
      assert(this.sim.scheduler.nowMs < deadlineMs, `not within ${withinMs} ms: ${what}: ${this.missing}`)
      await this.sim.sleep(50)
    }
  }

  async #within(what: string, ms: number, done: Promise<unknown>): Promise<void> {
    let isDone = false
    void done.then(() => (isDone = true))
    await this.#until(what, () => isDone, ms)
  }

  #throwFailure(): void {
    if (this.#failure !== null) throw this.#failure.error
    this.cluster.checkAlive()
  }

  #tally(watch: ClusterWatch, committer: RunCommitter): void {
    for (const [key, number] of Object.entries(watch.tally)) addTo(this.counts, key, number)
    addTo(this.counts, 'acknowledged', this.ledger.acknowledged)
    addTo(this.counts, 'read', this.ledger.read)
    addTo(this.counts, 'commits', committer.offsets.commits)
    addTo(this.counts, 'simulated seconds', Math.round(this.sim.scheduler.nowMs / 1000))
  }
}
