import { repositoryRoot } from '../../test/support/processes.ts'
import { deviceUnder, mountUnder } from '../device.ts'
import { applyLoad } from '../load/apply-load.ts'
import { describeMachine } from '../machine.ts'
import { type Progress, makeProgress } from '../progress.ts'
import { startNullServerProcess } from '../targets/null.ts'
import { BATCH_SHAPES, type Cell, type CellGroup, IN_FLIGHT, type Repeats, sameLoads } from './cells.ts'
import { type LossMeter, lossMeter } from './loss.ts'
import type { Mode } from './modes.ts'
import { ProbeUnavailable, probe } from './probe.ts'
import type { FilesMethod, FilesResult, FlushResult, RingResult } from './probe-spec.ts'
import type { CellReport, FsyncReport, ModeReport } from './results.ts'
import {
  GroupSession,
  type Runner,
  type Timing,
  measurementMs,
  measurements,
  startRunner,
  targetOf,
  warmUp,
} from './session.ts'
import { SLOW_RATES, measureSlow } from './slow.ts'

export interface FsyncPlan {
  readonly quick: boolean
  readonly command: string
  readonly directory: string
  readonly modes: readonly Mode[]
  readonly groups: readonly CellGroup[]
  readonly repeats: Repeats
  readonly timing: Timing
  readonly warmupMs: Readonly<Record<Mode['broker'], number>>
  readonly cuts: boolean
  /** Whether the disk and the addon are measured by themselves, and brokers on a slow disk. */
  readonly disk: boolean
}

const START_MS = 3_000
const CEILING_MS = 1_300
const PROBE_MS = 3_000
const FILES_APPENDS = { quick: 5_000, full: 20_000 }
const FILES_METHODS: readonly FilesMethod[] = ['fsync', 'threads', 'ring-1', 'ring-256']
const FILES_COUNTS: readonly number[] = [1, 5_000]

function slowRates({ quick }: FsyncPlan): readonly number[] {
  return quick ? SLOW_RATES.slice(-1) : SLOW_RATES
}

/** How long fresh partitions take until each has been touched; Apache Kafka is the slow one. */
function touchMs({ broker }: Mode, partitions: number): number {
  return 600 + partitions * (broker === 'kafka' ? 5 : 0.7)
}

function estimateMs(plan: FsyncPlan, loss: LossMeter): number {
  const { modes, groups, repeats, timing, quick } = plan
  let total = ceilingCells(groups).length * CEILING_MS
  for (const { broker } of modes) total += START_MS + plan.warmupMs[broker]
  for (const group of groups) {
    total += modes.length * measurements(group, repeats) * measurementMs(timing)
    for (const mode of modes) total += touchMs(mode, group.partitions)
  }
  if (plan.disk) {
    total += PROBE_MS * (1 + ringShapes(groups).length) + filesMs(quick)
    total += modes.filter(({ durable }) => durable).length * slowRates(plan).length * measurementMs(timing)
  }
  for (const mode of modes) total += loss.estimateMs(mode)
  return total
}

function filesMs(quick: boolean): number {
  return FILES_METHODS.length * FILES_COUNTS.length * (quick ? 2_000 : 7_000)
}

export async function runPlan(plan: FsyncPlan): Promise<FsyncReport> {
  const startedAt = new Date().toISOString()
  const { directory, timing, quick, repeats } = plan
  const machine = describeMachine(directory, repositoryRoot)
  const device = deviceUnder(directory)
  const blockStatPath = device?.statPath ?? ''
  const loss = await lossMeter(plan)
  const progress = makeProgress(estimateMs(plan, loss), process.stderr)
  const ceilings = await measureCeilings(plan, progress)
  const alone = plan.disk ? await measureDisk(plan, blockStatPath, progress) : NO_DISK
  const brokers = new Brokers(plan, progress)
  let cells: CellReport[]
  let slow: FsyncReport['slow']
  try {
    await brokers.start()
    cells = await measureCells(plan, brokers.runners, progress)
    slow = plan.disk
      ? await measureSlow(brokers.runners, device, slowRates(plan), timing, progress)
      : NOT_ASKED
  } finally {
    await brokers.stop()
  }
  const modes: ModeReport[] = []
  for (const part of brokers.reports) {
    const { mode, unavailable } = part
    progress.step(`cutting the power: ${mode.title}`)
    modes.push({ ...part, loss: unavailable === null ? await loss.measure(mode) : 'not measured' })
    progress.advance(loss.estimateMs(mode))
  }
  progress.end()
  return {
    startedAt,
    endedAt: new Date().toISOString(),
    command: plan.command,
    machine,
    device,
    mountOptions: mountUnder(directory)?.options ?? '',
    settings: { quick, repeats, ...timing },
    modes,
    ceilings,
    ...alone,
    cells,
    slow,
  }
}

type StartedMode = Omit<ModeReport, 'loss'>

/** A broker per mode. A mode whose broker does not start, for want of io_uring or java, is left out and says why. */
class Brokers {
  readonly #plan: FsyncPlan
  readonly #progress: Progress
  readonly runners: Runner[] = []
  readonly reports: StartedMode[] = []

  constructor(plan: FsyncPlan, progress: Progress) {
    this.#plan = plan
    this.#progress = progress
  }

  async start(): Promise<void> {
    for (const mode of this.#plan.modes) {
      this.#progress.step(`starting ${mode.title}`)
      this.reports.push(await this.#startMode(mode))
      this.#progress.advance(START_MS + this.#plan.warmupMs[mode.broker])
    }
  }

  async #startMode(mode: Mode): Promise<StartedMode> {
    let description = ''
    try {
      const target = await targetOf(mode, this.#plan.directory)
      description = target.description
      const runner = await startRunner(mode, target)
      this.runners.push(runner)
      await warmUp(runner, this.#plan.warmupMs[mode.broker])
      runner.contender.pause()
      return { mode, description, engine: engineLine(await runner.broker.printed()), unavailable: null }
    } catch (error) {
      const unavailable = error instanceof Error ? error.message : String(error)
      return { mode, description, engine: '', unavailable }
    }
  }

  async stop(): Promise<void> {
    for (const { contender } of this.runners) await contender.stop()
  }
}

/** The lines in which Samsa says how it writes and what it promises; nothing for a broker that has none. */
export function engineLine(printed: string): string {
  const said: string[] = []
  for (const line of printed.split('\n')) {
    if (!line.startsWith('{')) continue
    try {
      const entry = JSON.parse(line) as {
        readonly io?: unknown
        readonly flush?: unknown
        readonly msg?: unknown
      }
      const wanted = entry.io !== undefined || entry.flush !== undefined
      if (wanted && typeof entry.msg === 'string') said.push(entry.msg)
    } catch {
      // A line that is still being written.
    }
  }
  return said.join('; ')
}

async function measureCells(
  { groups, repeats, timing }: FsyncPlan,
  runners: readonly Runner[],
  progress: Progress,
): Promise<CellReport[]> {
  const cells: CellReport[] = []
  for (const group of groups) {
    const session = new GroupSession(runners, group, timing, progress)
    await session.run(repeats)
    cells.push(...session.cells)
    for (const { mode } of runners) progress.advance(touchMs(mode, group.partitions))
  }
  return cells
}

/** The number of partitions does not matter to a server that only acknowledges. */
function ceilingCells(groups: readonly CellGroup[]): Cell[] {
  const cells: Cell[] = []
  for (const cell of groups.flatMap((group) => group.cells)) {
    if (!cells.some((known) => sameLoads(known, cell))) cells.push(cell)
  }
  return cells
}

async function measureCeilings({ groups }: FsyncPlan, progress: Progress): Promise<FsyncReport['ceilings']> {
  const server = await startNullServerProcess()
  const ceilings: { cell: Cell; load: FsyncReport['ceilings'][number]['load'] }[] = []
  try {
    for (const cell of ceilingCells(groups)) {
      progress.step("the load generator's ceiling")
      const load = await applyLoad({
        ...IN_FLIGHT[cell.inFlight],
        kind: 'produce',
        endpoint: server.endpoint,
        brokerPid: server.pid,
        blockStatPath: '',
        topic: 'fsync-00000',
        partitions: cell.partitions,
        batch: BATCH_SHAPES[cell.batch],
        acks: -1,
        pace: { kind: 'closed' },
        seed: 1,
        warmupMs: 300,
        measureMs: 800,
      })
      ceilings.push({ cell, load })
      progress.advance(CEILING_MS)
    }
  } finally {
    server.stop()
  }
  return ceilings
}

type DiskReport = Pick<FsyncReport, 'flush' | 'ring' | 'files'>

const NOT_ASKED = 'not measured (not asked for)'
const NO_DISK: DiskReport = { flush: null, ring: NOT_ASKED, files: [] }

async function measureDisk(plan: FsyncPlan, blockStatPath: string, progress: Progress): Promise<DiskReport> {
  return {
    flush: await measureFlush(plan, blockStatPath, progress),
    ring: await measureRing(plan, blockStatPath, progress),
    files: await measureFiles(plan, blockStatPath, progress),
  }
}

async function measureFlush(
  { directory }: FsyncPlan,
  blockStatPath: string,
  progress: Progress,
): Promise<FlushResult | null> {
  progress.step('the disk alone: flush latency')
  try {
    return await probe(directory, { kind: 'flush', measureMs: 1_000, blockStatPath })
  } catch {
    return null
  } finally {
    progress.advance(PROBE_MS)
  }
}

interface RingShape {
  readonly files: number
  readonly inFlight: number
}

function ringShapes(groups: readonly CellGroup[]): RingShape[] {
  const shapes: RingShape[] = [{ files: 1, inFlight: 1 }]
  for (const { partitions, batch } of groups) {
    if (batch === '16k') shapes.push({ files: partitions, inFlight: 256 })
  }
  return shapes
}

/** What the addon does without a broker around it. */
async function measureRing(
  { groups, directory, quick }: FsyncPlan,
  blockStatPath: string,
  progress: Progress,
): Promise<readonly RingResult[] | string> {
  const results: RingResult[] = []
  for (const shape of ringShapes(groups)) {
    progress.step(`the addon alone: ${shape.files} files, ${shape.inFlight} in flight`)
    try {
      const measureMs = quick ? 1_000 : 3_000
      const spec = { kind: 'ring', ...shape, writeBytes: 16_384, measureMs, blockStatPath } as const
      results.push(await probe(directory, spec))
    } catch (error) {
      if (error instanceof ProbeUnavailable) return `not available: ${error.message}`
      return `failed: ${error instanceof Error ? error.message : String(error)}`
    } finally {
      progress.advance(PROBE_MS)
    }
  }
  return results
}

/** Is sequential I/O dead: the same appends to one file, and round robin to thousands. */
async function measureFiles(
  { directory, quick }: FsyncPlan,
  blockStatPath: string,
  progress: Progress,
): Promise<FilesResult[]> {
  const results: FilesResult[] = []
  const appends = quick ? FILES_APPENDS.quick : FILES_APPENDS.full
  for (const method of FILES_METHODS) {
    for (const files of FILES_COUNTS) {
      progress.step(`appends to ${files} files: ${method}`)
      try {
        const spec = { kind: 'files', method, files, appends, writeBytes: 16_384, blockStatPath } as const
        results.push(await probe(directory, spec))
      } catch (error) {
        if (!(error instanceof ProbeUnavailable)) throw error
      } finally {
        progress.advance(filesMs(quick) / FILES_METHODS.length / FILES_COUNTS.length)
      }
    }
  }
  return results
}
