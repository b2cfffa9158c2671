import { strict as assert } from 'node:assert'
import { ErrorCode } from '../../../protocol/errors.ts'
import type { PartitionLedger } from './partition-ledger.ts'
import type { Seen } from './seen.ts'
import type { FaultyOperation } from '../sim-disk-faults.ts'
import { UNBOUNDED_BYTES } from '../sim-disk-image.ts'
import type { LogLine } from '../sim-logger.ts'
import type { SimProcess } from '../sim-machine.ts'
import type { SimWorld } from '../sim-world.ts'

/**
 * Faults of the device while a broker runs on it, and what is promised then.
 *
 * - `eio`: one log directory fails for good with the first error of a write or a sync. Whoever waits for an answer
 *   gets one (KAFKA_STORAGE_ERROR, or a closed connection), partitions in the other directory are served on, the
 *   failed one gets no clean marker, and after a restart nothing acknowledged is lost. Where a sync failed, the kernel
 *   counts the lost pages as clean and goes on to show them: a restart on the same kernel must not believe them, so it
 *   promises what a restart after a power loss does, and what it serves survives the next one.
 * - `enospc`: produce is refused, by the floor of free space or because a write failed; reads go on as long as the
 *   directory lives; nothing acknowledged is lost once there is room again.
 * - `flip` (a bit at rest) and `misdirect` (a write lands in another block of some log and reports success): with one
 *   copy of the data nobody can bring back what is gone, and the broker, like Kafka, looks at no checksum when it
 *   answers a fetch. Promised is that nobody takes damage for data: what a consumer that checks checksums and offsets
 *   can read is right, and where something known is missing, either that consumer or the broker's log said so.
 *   Two cases escape everybody: a misdirected write at the end of a log is a log that ends before it, and one that
 *   lands where a batch of another partition begins is a batch of that partition, for nothing in a batch says whose
 *   it is.
 *   A flip in the leader epoch of a batch, which no checksum covers, changes nothing a consumer sees.
 */
export type Fault = 'none' | 'eio' | 'enospc' | 'flip' | 'misdirect'

/** What a coordinator says whose log is gone. */
const COORDINATOR_ERRORS = new Set<number>([
  ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
  ErrorCode.COORDINATOR_NOT_AVAILABLE,
  ErrorCode.NOT_COORDINATOR,
  ErrorCode.KAFKA_STORAGE_ERROR,
  ErrorCode.UNKNOWN_SERVER_ERROR,
])
const PARTITION_LOG = /\/((?:orders|rolling)-\d+)\/\d{20}\.log$/

export class Trouble {
  readonly fault: Fault
  readonly logDirs: readonly string[]
  /** The floor of free space; 0: the disk runs full before anybody refuses. */
  readonly minFreeBytes: number
  /** A directory is dead: what was not durable then never will be, unless the page cache lives on. */
  flushesFailed = false
  /** A sync failed: the page cache shows what is not on the device. */
  pagesForgotten = false
  readonly #sim: SimWorld
  readonly #seen: Seen
  #active = false
  /** Answers of the last life still arrive after its end. */
  #tolerant = false
  #hitsBefore = 0
  #operation: FaultyOperation = 'write'
  #acknowledgedAtDeath = -1
  readonly #damaged = new Set<string>()
  /** Partitions whose last write went elsewhere: their end may be gone without a trace. */
  readonly #endLost = new Set<string>()

  constructor(sim: SimWorld, seen: Seen, fault: Fault) {
    this.#sim = sim
    this.#seen = seen
    this.fault = fault
    this.logDirs = fault === 'eio' ? ['/data/a', '/data/b'] : ['/data/logs']
    this.minFreeBytes = fault === 'enospc' ? sim.random.pick([0, 6000]) : 0
  }

  /** How a life with a fault has to end; null: anyhow. */
  get forcedEnd(): 'kill' | null {
    return this.#active && this.fault === 'enospc' ? 'kill' : null
  }

  /** Every request of this life must be answered before its end. */
  get mustAnswer(): boolean {
    return this.#active && this.#hit
  }

  get anyDamage(): boolean {
    return this.#damaged.size > 0
  }

  /** In this life, that is. */
  get active(): boolean {
    return this.#active
  }

  isDamaged(name: string): boolean {
    return this.#damaged.has(name)
  }

  get mayReadDamage(): boolean {
    return this.#tolerant && this.fault === 'misdirect'
  }

  /** Is a value that was seen at `place` one that the device put into another partition? */
  isFromElsewhere(name: string, place: string | null): boolean {
    const [home = name] = place?.split(' at ') ?? []
    return home !== name && this.#endLost.has(home) && this.#damaged.has(name)
  }

  tolerates(errorCode: number): boolean {
    if (!this.#tolerant) return false
    return this.fault === 'misdirect'
      ? errorCode === ErrorCode.CORRUPT_MESSAGE
      : COORDINATOR_ERRORS.has(errorCode)
  }

  /** Before the clients of a life begin. */
  async begin(process: SimProcess, lastLife: boolean): Promise<void> {
    const { random, faults, image } = this.#sim
    this.#hitsBefore = faults.hits
    this.flushesFailed = false
    this.#active = this.fault !== 'none' && (lastLife || random.chance(0.5))
    this.#tolerant = this.#active
    if (!this.#active) return
    if (this.fault === 'eio') {
      this.#operation = random.pick(['write', 'write', 'sync', 'reserve', 'truncate'] as const)
      const count = random.pick([1, 1, Infinity])
      const path = /^\/data\/b\/.*\.log$/
      const after = random.below(15)
      faults.add({ operation: this.#operation, code: 'EIO', path, after, count })
      this.#watchDeath(process)
    } else if (this.fault === 'enospc') {
      image.capacityBytes = image.usedBytes() + 3000 + random.below(20_000)
      // Until somebody looked at the free space.
      if (this.minFreeBytes > 0) await this.#sim.sleep(1100)
    } else if (this.fault === 'misdirect' && lastLife) {
      faults.add({ operation: 'misdirect', code: '', path: PARTITION_LOG, after: random.below(20), count: 1 })
    }
  }

  /** The life is over. */
  ended(process: SimProcess): void {
    const { faults, image } = this.#sim
    const dead = process.logger.messages('error').some((message) => /failed and is offline/.test(message))
    this.flushesFailed = dead
    this.pagesForgotten = this.#active && this.fault === 'eio' && this.#hit && this.#operation === 'sync'
    if (this.#active && this.fault === 'eio' && this.#hit) {
      if (this.#operation !== 'reserve') {
        assert(dead, `a ${this.#operation} failed, and the log directory lives on`)
        assert(
          image.find('/data/b/.kafka_cleanshutdown') === null,
          'a clean marker after an error of the disk',
        )
      }
      this.#seen.count(`EIO: ${this.#operation}`)
      if (this.#acknowledgedAtDeath >= 0 && this.#seen.acknowledged > this.#acknowledgedAtDeath)
        this.#seen.count('served on beside a dead directory')
    }
    if (this.#active && this.fault === 'enospc') {
      if (image.usedBytes() + this.minFreeBytes >= image.capacityBytes - 1500) this.#seen.count('disk full')
      image.capacityBytes = UNBOUNDED_BYTES
    }
    if (this.#active && this.fault === 'misdirect') this.#noteMisdirected()
    faults.clear()
    this.#active = false
  }

  /** Nothing runs. */
  async damage(): Promise<void> {
    if (this.fault !== 'flip') return
    await this.#sim.sleep(1)
    const { random, image } = this.#sim
    const logs = [...image.walk('/data')].filter(
      ([path, file]) => PARTITION_LOG.test(path) && file.cached.size > 0,
    )
    if (logs.length === 0) return
    const [path, file] = random.pick(logs)
    image.flipBit(path, random.below(file.cached.size), random.below(8))
    this.#damaged.add(PARTITION_LOG.exec(path)?.[1] ?? '')
    this.#seen.count('bit flipped')
  }

  verdict(
    ledger: PartitionLedger,
    endOffset: number,
    problem: string | null,
    lines: readonly LogLine[],
    when: string,
  ): void {
    if (problem !== null) return this.#seen.count('damage found by a consumer')
    if (endOffset >= ledger.floor) return this.#seen.count('damage without effect')
    const said = lines.some(({ level, fields, message }) => {
      const about = JSON.stringify(fields)
      return (level === 'warn' || level === 'error') && about.includes(ledger.topic) && message !== ''
    })
    if (said) return this.#seen.count('damage found by the broker')
    assert(
      this.#endLost.has(ledger.name),
      `${when}: ${ledger.name} was damaged, ends at ${endOffset} instead of ${ledger.floor}, and nobody said so`,
    )
    this.#seen.count('misdirected write at the end of a log')
  }

  get #hit(): boolean {
    return this.#sim.faults.hits > this.#hitsBefore
  }

  #watchDeath(process: SimProcess): void {
    const look = (): void => {
      if (!process.alive || this.#acknowledgedAtDeath >= 0) return
      if (this.#hit) this.#acknowledgedAtDeath = this.#seen.acknowledged
      else this.#sim.scheduler.schedule(1, 'watch', process, look)
    }
    this.#acknowledgedAtDeath = -1
    look()
  }

  #noteMisdirected(): void {
    const { misdirected } = this.#sim.faults
    if (misdirected === null) return
    for (const path of [misdirected.from, misdirected.to]) {
      const name = PARTITION_LOG.exec(path)?.[1]
      this.#damaged.add(name ?? '__consumer_offsets')
    }
    this.#endLost.add(PARTITION_LOG.exec(misdirected.from)?.[1] ?? '')
    this.#seen.count('write misdirected')
  }
}
