import { Contender } from '../arena.ts'
import { applyLoad } from '../load/apply-load.ts'
import type { ClosedLoop, OpenLoop, ProduceLoad } from '../load/spec.ts'
import type { Progress } from '../progress.ts'
import { inTurn } from '../runner.ts'
import { apacheKafka } from '../targets/apache-kafka.ts'
import { samsa } from '../targets/samsa.ts'
import type { RunningBroker, Target } from '../targets/target.ts'
import { BATCH_SHAPES, type Cell, type CellGroup, IN_FLIGHT, type Repeats, describeCell } from './cells.ts'
import type { Mode } from './modes.ts'
import { type CellReport, type Pace, type Sample, bestCell } from './results.ts'

/** Brokers, one per mode, measured in turn on the cells of a group. */

export interface Timing {
  readonly warmupMs: number
  readonly measureMs: number
  /** A measurement ends when it has moved this much. */
  readonly stopAfterBytes: number
}

/** A mode whose broker runs. */
export interface Runner {
  readonly mode: Mode
  readonly contender: Contender
  readonly broker: RunningBroker
}

export function targetOf(mode: Mode, directory: string): Promise<Target> {
  const { id, settings } = mode
  return mode.broker === 'kafka'
    ? apacheKafka(directory, id, settings)
    : Promise.resolve(samsa({ directory, profileDirectory: null, name: id, settings }))
}

export async function startRunner(mode: Mode, target: Target): Promise<Runner> {
  const broker = await target.start()
  return { mode, broker, contender: new Contender(target, broker) }
}

/** One broker runs, the others stand still. */
export async function awaken(runners: readonly Runner[], chosen: Runner): Promise<void> {
  for (const { contender } of runners) if (contender !== chosen.contender) contender.pause()
  await chosen.contender.resume()
}

/** What a topic may hold before a fresh one takes its place. */
const TOPIC_ROUNDS = 2

interface OpenTopic {
  readonly name: string
  bytes: number
}

let topics = 0

export class GroupSession {
  readonly #runners: readonly Runner[]
  readonly #group: CellGroup
  readonly #timing: Timing
  readonly #progress: Progress
  readonly #topics = new Map<Runner, OpenTopic>()
  readonly #failures = new Map<Runner, string>()
  readonly cells: CellReport[] = []

  constructor(runners: readonly Runner[], group: CellGroup, timing: Timing, progress: Progress) {
    this.#runners = runners
    this.#group = group
    this.#timing = timing
    this.#progress = progress
  }

  async run({ closed, open }: Repeats): Promise<void> {
    try {
      for (const cell of this.#group.cells) await this.#measure(cell, 'closed', closed, () => CLOSED)
      const { partitions, batch, half, equal } = this.#group
      const best = (runner: Runner): number =>
        bestCell(this, runner.mode.id, partitions, batch)?.summary.rate.median ?? 0
      const widest = this.#group.cells.reduce((a, b) => (b.inFlight > a.inFlight ? b : a))
      const cell: Cell = widest.inFlight < 80 ? { ...widest, inFlight: 80 } : widest
      if (half) await this.#measure(cell, 'half', open, (runner) => openLoop(best(runner) / 2))
      if (equal) {
        const rates = this.#runners.map(best).filter((rate) => rate > 0)
        const least = rates.length === 0 ? 0 : Math.min(...rates)
        await this.#measure(cell, 'equal', open, () => openLoop(least / 2))
      }
    } finally {
      for (const [runner, topic] of this.#topics) {
        await awaken(this.#runners, runner)
        await runner.contender.deleteTopic(topic.name).catch(() => undefined)
      }
    }
  }

  /** A B C, C B A: what drifts meets all alike. */
  async #measure(
    cell: Cell,
    pace: Pace,
    repeats: number,
    paceOf: (runner: Runner) => ClosedLoop | OpenLoop | null,
  ): Promise<void> {
    const samples = new Map<Runner, Sample[]>(this.#runners.map((runner) => [runner, []]))
    for (let repeat = 0; repeat < repeats; repeat++) {
      for (const runner of inTurn(this.#runners, repeat)) {
        this.#progress.step(
          `${describeCell(cell)}${pace === 'closed' ? '' : ', open loop'}: ${runner.mode.title}`,
        )
        const loop = paceOf(runner)
        if (!this.#failures.has(runner) && loop !== null) {
          await this.#attempt(runner, async () => {
            await awaken(this.#runners, runner)
            samples.get(runner)!.push(await this.#once(runner, cell, loop))
            await runner.contender.settle()
          })
        }
        this.#progress.advance(measurementMs(this.#timing))
      }
    }
    for (const [runner, taken] of samples) {
      const loop = paceOf(runner)
      this.cells.push({
        cell,
        pace,
        mode: runner.mode.id,
        perSecond: loop?.kind === 'open' ? loop.perSecond : null,
        samples: taken,
        failure: this.#failures.get(runner) ?? null,
      })
    }
  }

  async #attempt(runner: Runner, what: () => Promise<void>): Promise<void> {
    try {
      await what()
    } catch (error) {
      this.#failures.set(runner, error instanceof Error ? error.message : String(error))
    }
  }

  async #once(runner: Runner, cell: Cell, pace: ClosedLoop | OpenLoop): Promise<Sample> {
    const topic = await this.#topicOf(runner)
    const load = await applyLoad(produceSpec(runner, cell, topic.name, pace, this.#timing))
    topic.bytes += load.payloadBytes
    return { load, residentMegabytes: runner.contender.residentMegabytes() }
  }

  async #topicOf(runner: Runner): Promise<OpenTopic> {
    const open = this.#topics.get(runner)
    if (open !== undefined) {
      if (open.bytes < TOPIC_ROUNDS * this.#timing.stopAfterBytes) {
        await runner.contender.ready(open.name, this.#group.partitions)
        return open
      }
      this.#topics.delete(runner)
      await runner.contender.deleteTopic(open.name)
    }
    const made = { name: topicName(), bytes: 0 }
    this.#topics.set(runner, made)
    await runner.contender.createTopic(made.name, this.#group.partitions, false)
    await runner.contender.touch(made.name, this.#group.partitions)
    await runner.contender.settle()
    return made
  }
}

/** All names have the same length. */
export function topicName(): string {
  topics++
  return `fsync-${String(topics).padStart(5, '0')}`
}

const CLOSED: ClosedLoop = { kind: 'closed' }

function openLoop(perSecond: number): OpenLoop | null {
  return perSecond > 0
    ? { kind: 'open', perSecond: Math.max(1, Math.round(perSecond)), arrivals: 'poisson' }
    : null
}

export function produceSpec(
  runner: Runner,
  cell: Cell,
  topic: string,
  pace: ClosedLoop | OpenLoop,
  timing: Timing,
): ProduceLoad {
  return {
    ...runner.contender.place,
    ...IN_FLIGHT[cell.inFlight],
    ...timing,
    kind: 'produce',
    topic,
    partitions: cell.partitions,
    batch: BATCH_SHAPES[cell.batch],
    acks: -1,
    pace,
    seed: 1,
  }
}

/** What one measurement takes with everything around it. */
export function measurementMs(timing: Timing): number {
  return timing.warmupMs + timing.measureMs + 500
}

/** Measurements of a group per mode. */
export function measurements({ cells, half, equal }: CellGroup, { closed, open }: Repeats): number {
  return cells.length * closed + (Number(half) + Number(equal)) * open
}

/** Half the time with batches, half with single records: a JVM needs both before its figures are its own. */
export async function warmUp(runner: Runner, ms: number): Promise<void> {
  const { contender } = runner
  const topic = topicName()
  await contender.createTopic(topic, 16, false)
  await contender.touch(topic, 16)
  const timing = { warmupMs: 0, measureMs: ms / 2, stopAfterBytes: 2e9 }
  await applyLoad(produceSpec(runner, { partitions: 16, batch: '16k', inFlight: 80 }, topic, CLOSED, timing))
  await applyLoad(produceSpec(runner, { partitions: 16, batch: '1k', inFlight: 80 }, topic, CLOSED, timing))
  await contender.deleteTopic(topic)
  await contender.settle()
}
