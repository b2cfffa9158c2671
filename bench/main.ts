import { mkdir } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { Command } from 'commander'
import { repositoryRoot } from '../test/support/processes.ts'
import type { ClusterTarget } from './cluster/cluster.ts'
import { kafkaCluster } from './cluster/kafka-cluster.ts'
import { CLUSTER_ROWS } from './cluster/rows.ts'
import { type ClusterPlan, estimateClusterMs, runCluster } from './cluster/run.ts'
import { samsaCluster } from './cluster/samsa-cluster.ts'
import { dataDirectory, positive, save } from './command-line.ts'
import { type Machine, describeMachine } from './machine.ts'
import { probe } from './fsync/probe.ts'
import { makeProgress } from './progress.ts'
import { describeProfiles } from './profile.ts'
import { compare, failureLines, figuresTable, formatFigure, loadTable, missedRows } from './report.ts'
import { ROWS, type Row, type RowBase, selectRows } from './rows.ts'
import { type RowResult, type RunPlan, estimateMs, measureCeiling, run } from './runner.ts'
import { apacheKafka } from './targets/apache-kafka.ts'
import { samsa, samsaOf } from './targets/samsa.ts'
import type { Target } from './targets/target.ts'

interface Options {
  readonly target: string
  readonly peer?: string
  readonly quick?: boolean
  readonly rows?: string
  readonly repeats?: number
  readonly seconds?: number
  readonly json?: string
  readonly dir?: string
  readonly profile?: string
  readonly list?: boolean
  readonly strict?: boolean
  readonly cluster?: boolean
}

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
  the leaders, and send again what could not be acknowledged, as Kafka's clients do.

Rows (--rows takes ids, or prefixes with *)
${rowLines(ROWS)}

Rows with --cluster
${rowLines(CLUSTER_ROWS)}
`

function rowLines(rows: readonly RowBase[]): string {
  return rows
    .map((row) => `  ${row.id.padEnd(24)}${row.quick ? 'quick  ' : '       '}${row.title}`)
    .join('\n')
}

function commandLine(): Options {
  return new Command('npm run bench --')
    .description('Measures the broker, alone or beside Apache Kafka.')
    .option('--target <name>', 'samsa or kafka', 'samsa')
    .option(
      '--peer <name>',
      'compare with: kafka (fetched through Maven once, needs java and mvn), or the folder of another checkout that was built, such as the commit before; the target itself is a control',
    )
    .option('--cluster', 'three brokers with three replicas of everything, acks=all; the peer likewise')
    .option('--quick', 'fewer rows, shorter, one repeat: under three minutes without a peer')
    .option('--rows <ids>', 'only these rows, comma separated')
    .option('--repeats <n>', 'repeats of every row (default: 3, quick: 1)', positive)
    .option('--seconds <n>', 'measured time of a load (default: 4, quick: 1.5)', positive)
    .option('--json <file>', 'write everything, every repeat and histogram, to a file')
    .option('--dir <directory>', 'where the brokers keep their data: a real disk (default: /var/tmp)')
    .option(
      '--profile <directory>',
      'run samsa with --cpu-prof, leave the profile there and print its busiest functions',
    )
    .option('--strict', 'exit with 1 when a row with something to reach missed it')
    .option('--list', 'print the rows and exit')
    .addHelpText('after', ABOUT)
    .parse()
    .opts<Options>()
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
async function chooseTargets(options: Options, directory: string): Promise<Target[]> {
  const ours = await targetCalled(options.target, directory, options.profile)
  if (options.peer === undefined) return [ours]
  const peer = await targetCalled(options.peer, directory, options.profile)
  return [ours, peer.name === ours.name ? { ...peer, name: `${peer.name} again` } : peer]
}

function report(
  ceiling: readonly RowResult[],
  results: readonly RowResult[],
  targets: readonly string[],
): string {
  const parts: string[] = []
  if (ceiling.length > 0) {
    parts.push(`Load generator against a server that only acknowledges\n${loadTable(ceiling, ['null'])}`)
  }
  parts.push(`Figures (medians)\n${figuresTable(results, targets)}`)
  const loads = loadTable(results, targets)
  if (loads !== '') parts.push(`Loads (medians)\n${loads}`)
  const failures = failureLines(results)
  if (failures.length > 0) parts.push(`Failed\n${failures.join('\n')}`)
  return parts.join('\n\n')
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

function machineLine(machine: Machine): string {
  const memory = `${Math.round(machine.memoryBytes / 2 ** 30)} GiB`
  return [
    `${machine.cores} x ${machine.cpu}, ${memory}, ${machine.kernel}, Node.js ${machine.node}`,
    `${machine.fileSystem} at ${machine.directory}, commit ${machine.commit}, load average ${machine.loadAverage}`,
  ].join('\n')
}

async function clusterTargetCalled(
  name: string,
  directory: string,
  profile: string | undefined,
): Promise<ClusterTarget> {
  const profileDirectory = profile === undefined ? null : resolve(profile)
  if (name === 'samsa') return samsaCluster({ directory, profileDirectory })
  if (name === 'kafka') return kafkaCluster(directory)
  if (!name.includes('/'))
    throw new Error(`no target is called '${name}': samsa, kafka or the folder of a checkout`)
  const checkout = resolve(name)
  return samsaCluster({ directory, profileDirectory: null, name: `samsa in ${basename(checkout)}`, checkout })
}

async function clusterMain(options: Options): Promise<void> {
  const quick = options.quick ?? false
  const rows = selectRows(CLUSTER_ROWS, options.rows?.split(',') ?? null, quick)
  if (options.list === true) {
    for (const row of rows) console.log(`${row.id.padEnd(24)}${row.title}`)
    return
  }
  const directory = dataDirectory(options.dir)
  await mkdir(directory, { recursive: true })
  const targets = [await clusterTargetCalled(options.target, directory, options.profile)]
  if (options.peer !== undefined) targets.push(await clusterTargetCalled(options.peer, directory, undefined))
  const names = targets.map(({ name }) => name)
  const plan: ClusterPlan = {
    rows: options.peer?.includes('/') === true ? rows.map((row) => ({ ...row, reach: null })) : rows,
    targets,
    repeats: Math.ceil(options.repeats ?? (quick ? 1 : 3)),
    timing: { warmupMs: 1_500, measureMs: (options.seconds ?? (quick ? 2 : 4)) * 1_000 },
    warmupMs: [options.target, options.peer].includes('kafka') ? (quick ? 10_000 : 30_000) : 3_000,
  }
  const machine = describeMachine(directory, repositoryRoot)
  console.log(machineLine(machine))
  for (const target of targets) console.log(`${target.name}: ${target.description}`)
  const progress = makeProgress(estimateClusterMs(plan), process.stderr)
  const startedAt = new Date().toISOString()
  const results = await runCluster(plan, progress)
  progress.end()
  console.log(`\n${report([], results, names)}`)
  if (options.profile !== undefined)
    console.log(`\n${describeProfiles(resolve(options.profile), repositoryRoot, 40)}`)
  if (options.json !== undefined) {
    const { repeats, timing } = plan
    const described = {
      startedAt,
      endedAt: new Date().toISOString(),
      machine,
      settings: { quick, repeats, timing },
    }
    await save(options.json, `${JSON.stringify({ ...described, rows: results }, null, 1)}\n`)
  }
  process.exitCode = exitCode(options, results, names)
}

async function main(): Promise<void> {
  const options = commandLine()
  if (options.cluster === true) return clusterMain(options)
  const quick = options.quick ?? false
  const chosen = selectRows(ROWS, options.rows?.split(',') ?? null, quick)
  // What is to be reached is said of Apache Kafka: beside an earlier version of ours only the ratio counts.
  const rows = options.peer?.includes('/') === true ? chosen.map((row) => ({ ...row, reach: null })) : chosen
  if (options.list === true) {
    for (const row of rows) console.log(`${row.id.padEnd(24)}${row.title}`)
    return
  }
  const directory = dataDirectory(options.dir)
  await mkdir(directory, { recursive: true })
  const targets = await chooseTargets(options, directory)
  const names = targets.map(({ name }) => name)
  const plan: RunPlan = {
    rows,
    targets,
    repeats: Math.ceil(options.repeats ?? (quick ? 1 : 3)),
    timing: {
      warmupMs: quick ? 500 : 1_000,
      measureMs: (options.seconds ?? (quick ? 1.5 : 4)) * 1_000,
    },
    brokerWarmupMs: [options.target, options.peer].includes('kafka') ? (quick ? 8_000 : 30_000) : 2_000,
  }
  const machine = describeMachine(directory, repositoryRoot)
  console.log(machineLine(machine))
  for (const target of targets) console.log(`${target.name}: ${target.description}`)
  const progress = makeProgress(estimateMs(plan), process.stderr)
  const startedAt = new Date().toISOString()
  const ceiling = await measureCeiling(plan, progress)
  const reads = await diskReads(rows, directory)
  const results = await run(plan, progress)
  progress.end()
  console.log(`\n${report(ceiling, results, names)}`)
  if (reads !== '') console.log(`\n${reads}`)
  if (options.profile !== undefined) {
    console.log(`\n${describeProfiles(resolve(options.profile), repositoryRoot, 40)}`)
  }
  if (options.json !== undefined) {
    const { repeats, timing, brokerWarmupMs } = plan
    await save(
      options.json,
      `${JSON.stringify(
        {
          startedAt,
          endedAt: new Date().toISOString(),
          machine,
          settings: { quick, repeats, timing, brokerWarmupMs },
          targets: targets.map(({ name, description }) => ({ name, description })),
          ceiling,
          diskReads: reads,
          rows: results.map((result) => ({ ...result, ...comparison(result, names) })),
        },
        null,
        1,
      )}\n`,
    )
  }
  process.exitCode = exitCode(options, results, names)
}

function comparison(result: RowResult, names: readonly string[]): object {
  const [ours, peer] = names
  return ours === undefined || peer === undefined ? {} : compare(result, ours, peer)
}

function exitCode(options: Options, results: readonly RowResult[], names: readonly string[]): number {
  const [ours, peer] = names
  if (failureLines(results).length > 0) return 1
  if (options.strict !== true || ours === undefined || peer === undefined) return 0
  return missedRows(results, ours, peer).length > 0 ? 1 : 0
}

// Brokers die with this process, but only an orderly exit lets it see to that.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))

await main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error)
  process.exit(2)
})
