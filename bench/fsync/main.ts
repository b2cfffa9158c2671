import { statfsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { Command, InvalidArgumentError } from 'commander'
import { dataDirectory, positive, save } from '../command-line.ts'
import { BATCHES, type BatchSize, type InFlight, chooseCells, groupCells } from './cells.ts'
import { failures, markdown, oneInFlight } from './markdown.ts'
import { type Mode, MODES, defaultModes, modeCalled } from './modes.ts'
import { page } from './page.ts'
import { type FsyncPlan, runPlan } from './run.ts'

interface Options {
  readonly peer?: string
  readonly quick?: boolean
  readonly modes?: readonly string[]
  readonly partitions?: readonly number[]
  readonly batches?: readonly BatchSize[]
  readonly inFlight?: readonly InFlight[]
  readonly repeats?: number
  readonly seconds?: number
  readonly dir?: string
  readonly json?: string
  readonly html: string
  readonly cuts: boolean
  readonly disk: boolean
}

const ABOUT = `
Modes
${MODES.map((mode) => `  ${mode.id.padEnd(18)}${mode.title}: acknowledged = ${mode.acknowledged}`).join('\n')}

A part of it
  --modes, --partitions, --batches and --in-flight choose along their axis of the matrix; with --quick the axes that
  are not named are all partitions, 16k and all in flight. What is measured beside the matrix is left out by
  --no-cuts and --no-disk. One row of it, beside Apache Kafka:
    --peer kafka --modes durable-uring,kafka-flush --partitions 1 --batches 16k --in-flight 1 --no-cuts --no-disk

How it measures
  One broker process per mode; the repeats run A B C, C B A, and the brokers that are not measured stand still
  (SIGSTOP). Every partition is touched before anything counts. The load generator is a process of its own with
  batches encoded beforehand; what it reaches against a server that only acknowledges is shown.
  Closed loop: a request leaves when another is answered. Open loop: requests leave by a schedule (Poisson) at half
  of the mode's own best rate, and at half of the slowest mode's; latency counts from the intended time of sending.
  Write I/Os and flushes are the block device's own counters, so of everything that uses the device.
  Lost records are counted after the power of a file system was cut under a broker at work (root needed).

Exit status
  0  measured; 1  something failed on the way, the report says what; 2  wrong usage or nothing could be measured;
  130  interrupted; processes and data are gone.
`

const list = (text: string): string[] => text.split(',').map((each) => each.trim())

function numbers(text: string): number[] {
  return list(text).map((each) => {
    const value = Number(each)
    if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('not positive whole numbers')
    return value
  })
}

function batches(text: string): BatchSize[] {
  return list(text).map((each) => {
    const size = BATCHES.find((candidate) => candidate === each)
    if (size === undefined) throw new InvalidArgumentError(`one or more of ${BATCHES.join(', ')}`)
    return size
  })
}

function flights(text: string): InFlight[] {
  return numbers(text).map((each) => {
    if (each === 1 || each === 80 || each === 256) return each
    throw new InvalidArgumentError('one or more of 1, 80, 256')
  })
}

function commandLine(): Options {
  return new Command('npm run bench:fsync --')
    .description(
      'Measures what each way to promise durability costs, and what it loses when the power fails.',
    )
    .option('--peer <name>', 'measure beside it: kafka (fetched through Maven once, needs java and mvn)')
    .option('--quick', 'few cells, short: under five minutes')
    .option('--modes <ids>', 'only these modes, comma separated', list)
    .option('--partitions <numbers>', 'only so many partitions, comma separated (1,100,1000,5000)', numbers)
    .option('--batches <sizes>', 'only these batch sizes (1k,16k,128k)', batches)
    .option('--in-flight <numbers>', 'only so many requests in flight (1,80,256)', flights)
    .option('--repeats <n>', 'repeats of every cell (default: 3, quick: 2, its open loops 1)', positive)
    .option('--seconds <n>', 'measured time (default: 3, quick: 1)', positive)
    .option('--dir <directory>', 'where the data lies: on the disk in question (default: /var/tmp)')
    .option('--json <file>', 'write everything, every repeat and histogram, to a file')
    .option('--html <file>', 'the page with the plots', 'samsa-fsync.html')
    .option('--no-cuts', 'do not cut the power')
    .option('--no-disk', 'measure only brokers: neither the disk and the addon alone, nor on a slow disk')
    .addHelpText('after', ABOUT)
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
    .parse()
    .opts<Options>()
}

function chooseModes({ modes, peer, quick }: Options): readonly Mode[] {
  if (peer !== undefined && peer !== 'kafka') throw new Error(`no peer is called '${peer}': kafka`)
  return modes?.map(modeCalled) ?? defaultModes(peer !== undefined, quick ?? false)
}

/** Most that one measurement may write: brokers keep their topics until the end of a row. */
function stopAfterBytes(directory: string, modes: number, quick: boolean): number {
  const { bavail, bsize } = statfsSync(directory)
  const share = (bavail * bsize) / (modes * 8)
  if (share < 100e6)
    throw new Error(`too little space in ${directory}: ${Math.round((bavail * bsize) / 1e9)} GB`)
  return Math.min(quick ? 800e6 : 2e9, share)
}

async function makePlan(options: Options): Promise<FsyncPlan> {
  const quick = options.quick ?? false
  const modes = chooseModes(options)
  const directory = dataDirectory(options.dir)
  await mkdir(directory, { recursive: true })
  const { partitions = null, batches: sizes = null, inFlight = null } = options
  return {
    quick,
    command: [
      'npm run bench:fsync',
      ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : []),
    ].join(' '),
    directory,
    modes,
    groups: groupCells(chooseCells(quick, { partitions, batches: sizes, inFlight }), quick),
    repeats: {
      closed: Math.ceil(options.repeats ?? (quick ? 2 : 3)),
      open: Math.ceil(options.repeats ?? (quick ? 1 : 3)),
    },
    timing: {
      warmupMs: quick ? 300 : 700,
      measureMs: (options.seconds ?? (quick ? 1 : 3)) * 1_000,
      stopAfterBytes: stopAfterBytes(directory, modes.length, quick),
    },
    warmupMs: quick ? { samsa: 1_000, kafka: 6_000 } : { samsa: 5_000, kafka: 30_000 },
    cuts: options.cuts,
    disk: options.disk,
  }
}

async function main(): Promise<void> {
  const options = commandLine()
  const plan = await makePlan(options)
  const report = await runPlan(plan)
  console.log(`\n${markdown(report)}`)
  if (options.json !== undefined) {
    const all = { ...report, oneInFlight: oneInFlight(report) }
    await save(options.json, `${JSON.stringify(all, null, 1)}\n`)
  }
  await save(options.html, page(report))
  const measured = report.cells.some(({ samples }) => samples.length > 0)
  process.exitCode = !measured ? 2 : failures(report).length > 0 ? 1 : 0
}

// Brokers die with this process and their data with them, but only an orderly exit lets it see to that.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))

await main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error)
  process.exit(2)
})
