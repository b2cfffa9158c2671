import { mkdir } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Command } from 'commander'
import { repositoryRoot } from '../test/support/processes.ts'
import { clusterRows, measureCluster } from './cluster/main.ts'
import { CLUSTER_ROWS } from './cluster/rows.ts'
import { type Settings, dataDirectory, positive } from './command-line.ts'
import { describeMachine } from './machine.ts'
import { probe } from './fsync/probe.ts'
import { type Outcome, exitCodeOf, machineLines, publish } from './outcome.ts'
import { makeProgress } from './progress.ts'
import { describeProfiles } from './profile.ts'
import { formatFigure } from './report.ts'
import { ROWS, type Row, type RowBase, selectRows } from './rows.ts'
import { type RunPlan, estimateMs, measureCeiling, run } from './runner.ts'
import { apacheKafka } from './targets/apache-kafka.ts'
import { samsa, samsaOf } from './targets/samsa.ts'
import type { Target } from './targets/target.ts'

const ID_WIDTH = 31

const ABOUT = `
How it measures
  The load generator is a process of its own and speaks the raw protocol with batches encoded beforehand. Its
  ceiling, against a server that only acknowledges, is the first table: figures near it say more about the
  generator than about the broker.
  Closed loop: connections x requests in flight. Open loop (end to end): latency counts from the intended time of
  sending; slots that had to wait are sent and counted as missed, never skipped.
  With --peer the repeats run A B B A A B; the broker that is not measured stands still (SIGSTOP). Partitions are
  touched once before a row is timed, because a partition's first batch costs Apache Kafka about 20 ms; the row
  of fresh partitions shows that cost. Figures are medians of the repeats, ratios the median of the pairs.
  writes/req and flushes/req are those of the whole block device.

  A cluster (--cluster) is one of its own for each repeat. Its producers have a connection to every broker, send to
  the leaders, and send again what could not be acknowledged, as Kafka's clients do. Longest gaps are what librdkafka
  sees with the settings it ships with; where a broker stands still, producers that ask all the time who leads.
  Rows that have nothing to be compared with are measured without the peer.

Rows (--rows takes ids, or prefixes with *)
${rowLines(ROWS)}

Rows with --cluster
${rowLines(CLUSTER_ROWS)}
`

function rowLines(rows: readonly RowBase[]): string {
  return rows
    .map((row) => `  ${row.id.padEnd(ID_WIDTH)}${row.quick ? 'quick  ' : '       '}${row.title}`)
    .join('\n')
}

function commandLine(): Settings {
  return new Command('npm run bench --')
    .description('Measures the broker, alone or beside Apache Kafka.')
    .option('--target <name>', 'samsa or kafka', 'samsa')
    .option(
      '--peer <name>',
      'compare with: kafka (fetched through Maven once, needs java and mvn), or the folder of another checkout that was built, such as the commit before; the target itself is a control',
    )
    .option('--cluster', 'three brokers with three replicas of everything, acks=all; the peer likewise')
    .option(
      '--kills <n>',
      'how often a broker of a cluster is killed, stopped or frozen, over all repeats (default: 5)',
      positive,
    )
    .option('--quick', 'fewer rows, shorter, one repeat: under three minutes without a peer')
    .option('--rows <ids>', 'only these rows, comma separated')
    .option('--repeats <n>', 'repeats of every row (default: 3, quick: 1)', positive)
    .option(
      '--seconds <n>',
      'measured time of a load (default: 4, quick: 1.5; of a cluster: 30 after as long a warm-up, quick: 2)',
      positive,
    )
    .option('--json <file>', 'write everything, every repeat and histogram, to a file')
    .option('--markdown <file>', 'write the table as a README has it to a file')
    .option('--dir <directory>', 'where the brokers keep their data: a real disk (default: /var/tmp)')
    .option(
      '--profile <directory>',
      'run samsa with --cpu-prof, leave the profile there and print its busiest functions',
    )
    .option('--strict', 'exit with 1 when a row with something to reach missed it')
    .option('--list', 'print the rows and exit')
    .addHelpText('after', ABOUT)
    .parse()
    .opts<Settings>()
}

async function targetCalled(name: string, directory: string, profile: string | undefined): Promise<Target> {
  if (name === 'samsa') {
    return samsa({ directory, profileDirectory: profile === undefined ? null : resolve(profile) })
  }
  if (name === 'kafka') return apacheKafka(directory)
  if (name.includes('/')) return samsaOf(resolve(name), directory)
  throw new Error(`no target is called '${name}': samsa, kafka or the folder of a checkout`)
}

/** A target beside itself is a control: its ratios show how far chance alone goes on this machine. */
async function chooseTargets(options: Settings, directory: string): Promise<Target[]> {
  const ours = await targetCalled(options.target, directory, options.profile)
  if (options.peer === undefined) return [ours]
  const peer = await targetCalled(options.peer, directory, options.profile)
  return [ours, peer.name === ours.name ? { ...peer, name: `${peer.name} again` } : peer]
}

/** What the disk itself gives to reads like those of the cold rows; empty when there is no such row. */
async function diskReads(rows: readonly Row[], directory: string): Promise<string> {
  if (!rows.some((row) => row.kind === 'fetch' && row.cold)) return ''
  try {
    const spec = {
      kind: 'read',
      inFlight: 4,
      fileBytes: 2 ** 30,
      measureMs: 2_000,
      blockStatPath: '',
    } as const
    const { bytesPerSecond } = await probe(directory, spec)
    return `The disk alone gives ${formatFigure(bytesPerSecond / 1e6)} MB/s to reads of 1 MiB, 4 in flight`
  } catch (error) {
    return `What the disk gives to reads of 1 MiB: ${error instanceof Error ? error.message : String(error)}`
  }
}

async function measureNode(options: Settings, directory: string): Promise<Outcome> {
  const quick = options.quick ?? false
  const targets = await chooseTargets(options, directory)
  const plan: RunPlan = {
    rows: nodeRows(options),
    targets,
    repeats: Math.ceil(options.repeats ?? (quick ? 1 : 3)),
    timing: {
      warmupMs: quick ? 500 : 1_000,
      measureMs: (options.seconds ?? (quick ? 1.5 : 4)) * 1_000,
    },
    brokerWarmupMs: [options.target, options.peer].includes('kafka') ? (quick ? 8_000 : 30_000) : 2_000,
  }
  const machine = describeMachine(directory, repositoryRoot)
  console.log(machineLines(machine).join('\n'))
  for (const target of targets) console.log(`${target.name}: ${target.description}`)
  const progress = makeProgress(estimateMs(plan), process.stderr)
  const startedAt = new Date().toISOString()
  const ceiling = await measureCeiling(plan, progress)
  const reads = await diskReads(plan.rows, directory)
  const results = await run(plan, progress)
  progress.end()
  const { repeats, timing, brokerWarmupMs } = plan
  return {
    startedAt,
    machine,
    settings: { quick, repeats, timing, brokerWarmupMs },
    targets: targets.map(({ name, description }) => ({ name, description })),
    ceiling,
    device: reads === '' ? [] : [reads],
    results,
  }
}

/** What is to be reached is said of Apache Kafka: beside an earlier version of ours only the ratio counts. */
function nodeRows({ rows, quick, peer }: Settings): readonly Row[] {
  const chosen = selectRows(ROWS, rows?.split(',') ?? null, quick ?? false)
  return peer?.includes('/') === true ? chosen.map((row) => ({ ...row, reach: null })) : chosen
}

async function main(): Promise<void> {
  const options = commandLine()
  const isCluster = options.cluster === true
  const rows = isCluster ? clusterRows(options) : nodeRows(options)
  if (options.list === true) {
    for (const row of rows) console.log(`${row.id.padEnd(ID_WIDTH)}${row.title}`)
    return
  }
  const directory = dataDirectory(options.dir)
  await mkdir(directory, { recursive: true })
  const outcome = isCluster ? await measureCluster(options, directory) : await measureNode(options, directory)
  await publish(outcome, options)
  if (options.profile !== undefined)
    console.log(`\n${describeProfiles(resolve(options.profile), repositoryRoot, 40)}`)
  process.exitCode = exitCodeOf(outcome, options.strict ?? false)
}

// Brokers die with this process, but only an orderly exit lets it see to that.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))

await main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error)
  process.exit(2)
})
