import { basename, resolve } from 'node:path'
import { repositoryRoot } from '../../test/support/processes.ts'
import type { Settings } from '../command-line.ts'
import { describeMachine } from '../machine.ts'
import { type Outcome, machineLines } from '../outcome.ts'
import { clock, makeProgress } from '../progress.ts'
import { selectRows } from '../rows.ts'
import type { ClusterTarget } from './cluster.ts'
import { deviceAlone } from './device-alone.ts'
import { kafkaCluster } from './kafka-cluster.ts'
import { CLUSTER_ROWS, type ClusterRow } from './rows.ts'
import { type ClusterPlan, estimateClusterMs, runCluster } from './run.ts'
import { samsaCluster } from './samsa-cluster.ts'

/** Three brokers with three replicas of everything, beside as many of the peer. */
export async function measureCluster(options: Settings, directory: string): Promise<Outcome> {
  const targets = [await targetCalled(options.target, directory, options.profile)]
  if (options.peer !== undefined) targets.push(await targetCalled(options.peer, directory, undefined))
  const plan = planOf(options, targets)
  const machine = describeMachine(directory, repositoryRoot)
  console.log(machineLines(machine).join('\n'))
  for (const target of targets) console.log(`${target.name}: ${target.description}`)
  const { repeats, timing, warmupMs, watchMs, refillBytes, kills } = plan
  const seconds = (ms: number): string => `${ms / 1_000} s`
  console.log(
    `${repeats} repeats; clusters work for ${seconds(warmupMs)} before anything counts, each load for ${seconds(timing.measureMs)} after ${seconds(timing.warmupMs)}, ` +
      `ZooKeeper is watched for ${seconds(watchMs)}, a follower from empty fetches ${refillBytes / 1e9} GB, and what happens to a broker happens ${kills} times or more`,
  )
  console.log(`This takes about ${clock(estimateClusterMs(plan))} (minutes:seconds).`)
  const progress = makeProgress(estimateClusterMs(plan), process.stderr)
  const startedAt = new Date().toISOString()
  const device = await deviceAlone(plan.rows, directory)
  const results = await runCluster(plan, progress)
  progress.end()
  const settings = { quick: options.quick ?? false, repeats, timing, warmupMs, watchMs, refillBytes, kills }
  return {
    startedAt,
    machine,
    settings,
    targets: targets.map(({ name, description }) => ({ name, description })),
    ceiling: [],
    device,
    results,
  }
}

export function clusterRows({ rows, quick, peer }: Settings): readonly ClusterRow[] {
  const chosen = selectRows(CLUSTER_ROWS, rows?.split(',') ?? null, quick ?? false)
  return peer?.includes('/') === true ? chosen.map((row) => ({ ...row, reach: null })) : chosen
}

function planOf(options: Settings, targets: readonly ClusterTarget[]): ClusterPlan {
  const quick = options.quick ?? false
  const measureMs = (options.seconds ?? (quick ? 2 : 30)) * 1_000
  return {
    rows: clusterRows(options),
    targets,
    repeats: Math.ceil(options.repeats ?? (quick ? 1 : 3)),
    timing: { warmupMs: quick ? 1_500 : measureMs, measureMs },
    warmupMs: targets.some(({ name }) => name === 'kafka') ? (quick ? 10_000 : 30_000) : 3_000,
    watchMs: quick ? measureMs : 60_000,
    refillBytes: quick ? 1e9 : 10e9,
    kills: options.kills ?? 5,
  }
}

async function targetCalled(
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
