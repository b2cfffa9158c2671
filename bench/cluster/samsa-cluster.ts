import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { adopt, end, freePort } from '../../test/support/processes.ts'
import { startZooKeeper, zookeeperClient, zookeeperJars } from '../../test/support/zookeeper.ts'
import { removeScratch, removeScratchAtExit, scratchDirectory } from '../scratch.ts'
import { commandLineOf } from '../targets/samsa.ts'
import {
  CLUSTER_SETTINGS,
  type Cluster,
  type ClusterSettings,
  type ClusterTarget,
  type Member,
} from './cluster.ts'

export interface SamsaClusterOptions {
  readonly directory: string
  /** Where `--cpu-prof` leaves its profiles, or null. */
  readonly profileDirectory: string | null
  readonly name?: string
  /** The folder of another checkout that was built. Without it, this one. */
  readonly checkout?: string
}

/** Three brokers as a user starts them, and one ZooKeeper server. */
export function samsaCluster(options: SamsaClusterOptions): ClusterTarget {
  return {
    name: options.name ?? 'samsa',
    description: `three times samsa start, one ZooKeeper 3.9.5, Node.js ${process.version}`,
    patienceMs: 8_000,
    start: (settings) => start(options, settings),
  }
}

async function start(options: SamsaClusterOptions, settings: ClusterSettings): Promise<Cluster> {
  const jars = await zookeeperJars('3.9.5')
  const module = await zookeeperClient()
  if (jars === null || module === null)
    throw new Error('a cluster needs java and the npm package zookeeper: SAMSA_DOWNLOAD=1 fetches them once')
  const base = await scratchDirectory(options.directory, 'bench-samsa-cluster-')
  const zooKeeper = await startZooKeeper(jars)
  removeScratchAtExit()
  const shared = {
    ...CLUSTER_SETTINGS,
    ...settings,
    'zookeeper.connect': zooKeeper.address,
    'samsa.zookeeper.module': module,
  }
  const members = await Promise.all([1, 2, 3].map((id) => startMember(options, base, id, shared)))
  return {
    members,
    zooKeeper: { port: Number(zooKeeper.address.split(':')[1]), pid: zooKeeper.pid },
    controllerId: async (seen) => seen,
    stop: async () => {
      await Promise.allSettled(members.map((member) => member.terminate()))
      await zooKeeper[Symbol.asyncDispose]()
      await removeScratch(base)
    },
  }
}

async function startMember(
  options: SamsaClusterOptions,
  base: string,
  id: number,
  shared: Readonly<Record<string, string>>,
): Promise<Member> {
  const port = await freePort()
  const dataDirectory = join(base, `data-${id}`)
  const logFile = join(base, `samsa-${id}.log`)
  const settings = {
    'broker.id': String(id),
    listeners: `PLAINTEXT://127.0.0.1:${port}`,
    'log.dirs': dataDirectory,
    ...shared,
  }
  const launch = (): Promise<ChildProcess> => launchProcess(options, base, logFile, settings)
  let child = await launch()
  return {
    id,
    endpoint: { host: '127.0.0.1', port },
    dataDirectory,
    pids: () => [child.pid ?? 0, ...childrenOf(child.pid ?? 0)],
    kill: async (withChildren) => {
      // The child first: one that sees its broker end tells ZooKeeper.
      if (withChildren) for (const pid of childrenOf(child.pid ?? 0)) kill(pid)
      await end(child, 'SIGKILL')
    },
    freeze: () => child.kill('SIGSTOP'),
    thaw: () => child.kill('SIGCONT'),
    terminate: async () => {
      child.kill('SIGCONT')
      await end(child, 'SIGTERM', 60_000)
    },
    start: async () => {
      child = await launch()
    },
    printed: () => readFile(logFile, 'utf8'),
  }
}

async function launchProcess(
  { profileDirectory, checkout }: SamsaClusterOptions,
  base: string,
  logFile: string,
  settings: Readonly<Record<string, string>>,
): Promise<ChildProcess> {
  const log = await open(logFile, 'a')
  const profiling = profileDirectory === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileDirectory}`]
  const sets = Object.entries(settings).flatMap(([key, value]) => ['--set', `${key}=${value}`])
  const child = adopt(
    spawn(process.execPath, [...profiling, commandLineOf(checkout), 'start', ...sets], {
      stdio: ['ignore', log.fd, log.fd],
      cwd: base,
    }),
  )
  await log.close()
  return child
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended with its parent.
  }
}

/** None where /proc is missing. */
function childrenOf(pid: number): readonly number[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim()
    return children === '' ? [] : children.split(' ').map(Number)
  } catch {
    return []
  }
}
