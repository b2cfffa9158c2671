/**
 * Cuts the power of a broker under load, again and again, and counts what was acknowledged and is gone.
 *
 * One cut: the broker is stopped (it can acknowledge nothing any more), its file system is shut down without its
 * journal, the broker is killed, the file system is mounted again and the broker started on it. What that claims is a
 * crash of the kernel or a loss of power with a drive that honours flushes.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { type FlushMode, flushProperties } from '../durability/cells.ts'
import type { Promised } from '../durability/history.ts'
import { briskProperties, Ledger } from '../durability/ledger.ts'
import { type ServerUnderTest, startPeer, startSamsa } from '../support/broker-process.ts'
import { Seeded } from '../support/seed.ts'
import { holdWriteback } from './mounts.ts'
import { PowerDisk } from './power-disk.ts'
import { Slowness } from './slowness.ts'
import { until } from '../support/until.ts'

export interface LossOptions {
  /** Default `samsa`. */
  readonly target?: 'samsa' | 'kafka'
  readonly mode: FlushMode
  /** The value of `samsa.io`. Default: the broker's own choice. */
  readonly engine?: string
  readonly rounds: number
  /** Of the mode `interval`; default 100. */
  readonly flushMs?: number
  readonly seed?: number
  readonly onProgress?: (done: Loss) => void
}

export interface Loss {
  readonly seed: number
  /** Cuts. */
  readonly rounds: number
  /** Records whose answer had arrived before a cut, and how many of these were gone after it. */
  readonly acked: number
  readonly lost: number
  /** The longest time between the answer to a lost record and the cut. */
  readonly maxLostMs: number
  /** Incomplete ends of logs that recovery cut off (Samsa only). */
  readonly tornTails: number
  /** Recoveries that could not tell an interrupted write from damage, and said so (Samsa only). */
  readonly unclean: number
  /** Broken promises. Samsa has none, or `measureLoss` throws. */
  readonly problems: readonly string[]
}

const DISK_MB = 192
const MOST_ROUNDS_PER_DISK = 4
/** A device that keeps every write, and one with a volatile cache: half of the rounds each. */
const CACHES = ['none', 'volatile'] as const
const MOST_LOAD_MS = 700
const MOST_START_MS = 600
const DEFAULT_FLUSH_MS = 100
/** A flush by time begins at its time, a few files at once; on an idle machine it is over after this. */
const FLUSH_ALLOWANCE_MS = 400
/** And on a busy one after as many flushes as were slow here meanwhile. */
const SLOW_FLUSHES = 5

/** `rounds` cuts of one broker in one mode. Throws when Samsa breaks a promise; the message has the seed. */
export async function measureLoss(options: LossOptions): Promise<Loss> {
  using _writeback = holdWriteback()
  const random = options.seed === undefined ? new Seeded() : new Seeded(options.seed)
  const count: Counted = {
    rounds: 0,
    acked: 0,
    lost: 0,
    maxLostMs: 0,
    tornTails: 0,
    unclean: 0,
    problems: [],
  }
  const loss = (): Loss => ({ seed: random.seed, ...count, problems: [...count.problems] })
  const perDisk = Math.min(MOST_ROUNDS_PER_DISK, Math.ceil(options.rounds / CACHES.length))
  for (let disks = random.between(0, 1); count.rounds < options.rounds; disks++) {
    const until = Math.min(options.rounds, count.rounds + perDisk)
    const cache = CACHES[disks % CACHES.length]!
    await using disk = await PowerDisk.make({ sizeMb: DISK_MB, cache })
    await using broker = await startBroker(options, disk)
    const experiment = new Experiment(options, disk, broker, random, count)
    try {
      await experiment.prepare()
      while (count.rounds < until) {
        await experiment.round()
        options.onProgress?.(loss())
      }
      await experiment.finish()
    } catch (error) {
      const where = `SAMSA_SEED=${random.seed}, ${options.mode}, io ${options.engine ?? 'auto'}, ${cache} cache, round ${count.rounds + 1}`
      throw new Error(
        `${where}: ${error instanceof Error ? error.message : String(error)}\n${await tail(broker)}`,
        {
          cause: error,
        },
      )
    }
  }
  return loss()
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }
type Counted = Mutable<Omit<Loss, 'seed' | 'problems'>> & { problems: string[] }

function startBroker(options: LossOptions, disk: PowerDisk): Promise<ServerUnderTest> {
  const properties = {
    ...briskProperties,
    ...flushProperties(options.mode, options.flushMs ?? DEFAULT_FLUSH_MS),
  }
  const dataDir = disk.directory
  if (options.target === 'kafka')
    return startPeer({ dataDir, properties: { ...properties, 'log.initial.task.delay.ms': '0' } })
  return startSamsa({
    dataDir,
    properties: {
      ...properties,
      'samsa.min.free.bytes': '0',
      ...(options.engine === undefined ? {} : { 'samsa.io': options.engine }),
    },
  })
}

async function tail(broker: ServerUnderTest): Promise<string> {
  return (await broker.log()).slice(-3_000)
}

interface Cut {
  /** When the broker was stopped. */
  readonly cutMs: number
  /** The longest that a flush took before, on the device below. */
  readonly slowestMs: number
}

/** One broker on one disk. */
class Experiment {
  readonly #options: LossOptions
  readonly #disk: PowerDisk
  readonly #broker: ServerUnderTest
  readonly #random: Seeded
  readonly #count: Counted
  readonly #ledger: Ledger
  #logRead = 0

  constructor(
    options: LossOptions,
    disk: PowerDisk,
    broker: ServerUnderTest,
    random: Seeded,
    count: Counted,
  ) {
    this.#options = options
    this.#disk = disk
    this.#broker = broker
    this.#random = random
    this.#count = count
    this.#ledger = new Ledger({
      random,
      // A load that lasts long must not fill the disk.
      ...(options.mode === 'interval' ? { bytesPerSecond: 600_000 } : {}),
      // The smallest segment that Apache Kafka allows, and its broken promises are only noted.
      ...(options.target === 'kafka'
        ? { segmentBytes: 1 << 20, report: (problems) => count.problems.push(...problems) }
        : {}),
    })
  }

  get #isKafka(): boolean {
    return this.#options.target === 'kafka'
  }

  async prepare(): Promise<void> {
    await this.#ledger.createTopics(this.#broker.port)
    // Its first start is no part of the experiment; Samsa's is.
    if (this.#isKafka) this.#disk.sync()
  }

  async round(): Promise<void> {
    const before = this.#isKafka ? 'nothing' : this.#choose('nothing', 'nothing', 'kill', 'clean stop')
    if (before === 'kill') await this.#kill()
    if (before === 'clean stop') await this.#cleanStop()
    // Straight after a recovery: what it serves must be on the device already.
    const idle = before !== 'nothing' && this.#random.between(0, 1) === 0
    const slowness = new Slowness()
    const running = idle ? [] : await this.#load(this.#loadMs())
    const cutMs = await freeze(this.#broker.pid)
    const slowestMs = slowness.stop()
    await this.#disk.cut(this.#random)
    await this.#broker.kill()
    await Promise.all(running)
    await this.#disk.restore()
    if (!this.#isKafka && this.#choose(true, false, false)) await this.#cutWhileStarting()
    await this.#broker.start()
    await this.#check({ acked: this.#options.mode === 'durable' ? 'all' : 'prefix' }, { cutMs, slowestMs })
    this.#count.rounds += 1
    if (this.#options.mode !== 'durable') this.#ledger.renewProducers()
  }

  async finish(): Promise<void> {
    if (this.#options.mode === 'durable') await this.#ledger.settle(this.#broker.port)
  }

  /** Recovery that does not come to its end. */
  async #cutWhileStarting(): Promise<void> {
    const before = this.#broker.pid
    const starting = this.#broker.start().catch(() => undefined)
    await until(() => this.#broker.pid !== before)
    await sleep(this.#random.between(0, MOST_START_MS))
    await freeze(this.#broker.pid)
    await this.#disk.cut(this.#random)
    await this.#broker.kill()
    await starting
    await this.#disk.restore()
  }

  async #kill(): Promise<void> {
    const running = await this.#load(this.#random.between(20, 200))
    await this.#broker.kill()
    await Promise.all(running)
    await this.#broker.start()
    await this.#check({ acked: 'all' })
  }

  async #cleanStop(): Promise<void> {
    let stop = false
    const running = await this.#load(this.#random.between(20, 200), () => stop)
    stop = true
    await Promise.all(running)
    await this.#broker.stop()
    await this.#broker.start()
    await this.#check({ acked: 'all' })
  }

  #loadMs(): number {
    // Long enough that there is something a flush by time must have saved.
    const { mode, flushMs = DEFAULT_FLUSH_MS } = this.#options
    const least = mode === 'interval' ? flushMs + FLUSH_ALLOWANCE_MS + MOST_LOAD_MS : 0
    return least + this.#random.between(0, MOST_LOAD_MS)
  }

  #load(ms: number, stop?: () => boolean): Promise<Promise<void>[]> {
    const topics = !this.#isKafka
    return this.#ledger.load(this.#broker.port, ms, stop === undefined ? { topics } : { topics, stop })
  }

  async #check(promised: Promised, cut?: Cut): Promise<void> {
    await this.#readLog()
    const { acked, lost, oldestLostMs } = await this.#ledger.check(this.#broker.port, promised)
    if (cut === undefined) return
    this.#count.acked += acked
    this.#count.lost += lost
    if (lost > 0) this.#checkAge(Math.max(0, cut.cutMs - oldestLostMs), cut.slowestMs)
  }

  #checkAge(lostMs: number, slowestMs: number): void {
    this.#count.maxLostMs = Math.max(this.#count.maxLostMs, lostMs)
    const { mode, flushMs = DEFAULT_FLUSH_MS } = this.#options
    if (this.#isKafka || mode !== 'interval') return
    const mostMs = flushMs + FLUSH_ALLOWANCE_MS + SLOW_FLUSHES * slowestMs
    if (lostMs > mostMs)
      throw new Error(
        `a record was lost ${Math.round(lostMs)} ms after its answer, with flush.ms=${flushMs}, and ${Math.round(mostMs)} ms would be slow`,
      )
  }

  async #readLog(): Promise<void> {
    if (this.#isKafka) return
    const log = await this.#broker.log()
    for (const line of log.slice(this.#logRead).split('\n')) {
      if (/"truncatedBytes":[1-9]/.test(line)) this.#count.tornTails += 1
      if (/"unclean":[1-9]/.test(line)) this.#count.unclean += 1
      // What the recovery point covers was flushed in every mode; without a flush clients may have seen what is lost.
      const missing = this.#options.mode === 'durable' ? 'RECORDS ARE MISSING' : 'below its recovery point'
      if (line.includes(missing)) throw new Error(line)
    }
    this.#logRead = log.length
  }

  #choose<T>(...from: readonly T[]): T {
    return from[this.#random.between(0, from.length - 1)]!
  }
}

/** SIGSTOP, and waits until no thread runs; the time just before. What the broker answered until then is here after it. */
async function freeze(pid: number): Promise<number> {
  const stoppedMs = performance.now()
  process.kill(pid, 'SIGSTOP')
  const until = stoppedMs + 10_000
  while (!isFrozen(pid)) {
    if (performance.now() > until) throw new Error(`process ${pid} does not stop`)
    await sleep(1)
  }
  await sleep(5)
  return stoppedMs
}

/** A thread that waits for the device (D) stops before it returns from the kernel. */
function isFrozen(pid: number): boolean {
  return readdirSync(`/proc/${pid}/task`).every((thread) => {
    try {
      const status = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8')
      return 'TtD'.includes(status.charAt(status.lastIndexOf(')') + 2))
    } catch {
      return true
    }
  })
}
