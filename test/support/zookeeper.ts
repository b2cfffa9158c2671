/**
 * Apache ZooKeeper for tests: its servers from Maven Central, and the npm package that speaks to them, compiled once for
 * each Node.js.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { type JarOptions, type Jars, mavenJars } from './apache-kafka.ts'
import { cached, mayDownload } from './cache.ts'
import { adopt, end, freePort, runOrThrow, works } from './processes.ts'

export const zookeeperVersions = ['3.9.5', '3.8.6'] as const
export type ZooKeeperVersion = (typeof zookeeperVersions)[number]

const clientVersion = '7.3.0'

/** Null when java is missing, or the jars are and cannot be fetched. */
export function zookeeperJars(version: ZooKeeperVersion, options: JarOptions = {}): Promise<Jars | null> {
  return mavenJars(
    `zookeeper-${version}`,
    [
      `org.apache.zookeeper:zookeeper:${version}`,
      // The server does not start without them, and its artifact does not name them.
      'io.dropwizard.metrics:metrics-core:4.1.12.1',
      'org.xerial.snappy:snappy-java:1.1.10.5',
    ],
    options,
  )
}

/**
 * The npm package for a Node.js, this one by default: what `samsa.zookeeper.module` must be. Null when it is missing and
 * may not be installed, or cannot be compiled.
 */
export async function zookeeperClient(
  node: string = process.execPath,
  options: JarOptions = {},
): Promise<string | null> {
  const abi = (await runOrThrow(node, ['-p', 'process.versions.modules'])).trim()
  const compiles =
    (options.download ?? mayDownload) &&
    (await works('make', ['--version'])) &&
    (await works('c++', ['--version']))
  const directory = await cached(`npm-zookeeper-${clientVersion}-abi${abi}`, compiles, async (work) => {
    await writeFile(join(work, 'package.json'), '{ "private": true }\n')
    const root = dirname(dirname(node))
    // Left to itself npm takes the headers that it was configured for, which may be those of another Node.js.
    const headers = existsSync(join(root, 'include/node/node.h')) ? [`--nodedir=${root}`] : []
    const flags = ['--ignore-scripts=false', '--no-audit', '--no-fund', '--loglevel=error', ...headers]
    await runOrThrow('npm', ['install', ...flags, `zookeeper@${clientVersion}`], {
      cwd: work,
      env: { PATH: `${dirname(node)}${delimiter}${process.env['PATH'] ?? ''}` },
      timeoutMs: 600_000,
    })
  })
  return directory === null ? null : join(directory, 'node_modules/zookeeper')
}

/** What a server keeps a session for at least: two ticks. */
const TICK_MS = 250
const LOCAL = '127.0.0.1'

export interface ZooKeeperServer extends AsyncDisposable {
  /** `HOST:PORT`, the same over restarts. */
  readonly address: string
  readonly pid: number
  /** SIGKILL; its files stay. */
  kill(): Promise<void>
  start(): Promise<void>
}

/** One server of its own, with files in memory where the system has a place for that. */
export function startZooKeeper(jars: Jars, host = LOCAL): Promise<ZooKeeperServer> {
  return startServer(jars, null, host)
}

/** One whose files stay. What the terminal sends to its programs does not reach it. */
export function startZooKeeperIn(directory: string, port: number, jars: Jars): Promise<ChildProcess> {
  return spawnServer(jars, { directory, host: LOCAL, port, member: null, detached: true })
}

async function startServer(jars: Jars, member: Member | null, host = LOCAL): Promise<ZooKeeperServer> {
  const memory = '/dev/shm'
  const directory = await mkdtemp(join(existsSync(memory) ? memory : tmpdir(), 'samsa-zookeeper-'))
  const port = await freePort()
  const server = { directory, host, port, member, detached: false }
  let child = await spawnServer(jars, server)
  return {
    address: `${host}:${port}`,
    get pid() {
      return child.pid ?? 0
    },
    kill: async () => {
      await end(child, 'SIGKILL')
    },
    start: async () => {
      child = await spawnServer(jars, server)
    },
    [Symbol.asyncDispose]: async () => {
      await end(child, 'SIGKILL')
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** Three servers that elect a leader. Each can be killed and started by itself. */
export async function startEnsemble(jars: Jars): Promise<readonly ZooKeeperServer[]> {
  const members = await Promise.all([1, 2, 3].map(async () => [await freePort(), await freePort()] as const))
  const lines = members.map(
    ([quorum, election], index) => `server.${index + 1}=127.0.0.1:${quorum}:${election}`,
  )
  return Promise.all(members.map((_, index) => startServer(jars, { id: index + 1, lines })))
}

/** Whether it leads; null when it does not answer. */
export async function isLeader(server: ZooKeeperServer): Promise<boolean | null> {
  const answer = await fourLetters(Number(server.address.split(':')[1]), 'srvr')
  return answer === null ? null : /Mode: leader/.test(answer)
}

/** How many transactions, which are its writes, a server has seen. */
export async function zooKeeperTransactions(port: number): Promise<number> {
  const match = /Zxid: 0x([0-9a-f]+)/.exec((await fourLetters(port, 'srvr')) ?? '')
  if (match === null) throw new Error('ZooKeeper does not say how many transactions it has seen')
  return Number.parseInt(match[1]!, 16)
}

/** What a server of an ensemble has to know of it. */
interface Member {
  readonly id: number
  readonly lines: readonly string[]
}

interface Server {
  readonly directory: string
  readonly host: string
  readonly port: number
  readonly member: Member | null
  /** What the terminal sends to its programs does not reach it. */
  readonly detached: boolean
}

async function spawnServer(jars: Jars, server: Server): Promise<ChildProcess> {
  const { directory, host, port, member, detached } = server
  const config = join(directory, 'zoo.cfg')
  const data = join(directory, 'data')
  await mkdir(data, { recursive: true })
  if (member !== null) await writeFile(join(data, 'myid'), `${member.id}\n`)
  const lines = [
    `tickTime=${TICK_MS}`,
    'maxSessionTimeout=60000',
    `dataDir=${data}`,
    `clientPort=${port}`,
    `clientPortAddress=${host}`,
    'admin.enableServer=false',
    '4lw.commands.whitelist=*',
    'maxClientCnxns=0',
    ...(member === null ? [] : ['initLimit=40', 'syncLimit=20', ...member.lines]),
  ]
  await writeFile(config, `${lines.join('\n')}\n`)
  const log = await open(join(directory, 'log'), 'a')
  const jvm = ['-Xmx128m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto']
  const main = 'org.apache.zookeeper.server.quorum.QuorumPeerMain'
  const child = adopt(
    spawn('java', [...jvm, '-cp', jars.classPath, main, config], {
      stdio: ['ignore', log.fd, log.fd],
      detached,
    }),
  )
  await log.close()
  const until = Date.now() + 60_000
  // One of an ensemble serves when there is a leader.
  while (!/Mode: /.test((await fourLetters(port, 'srvr', host)) ?? '')) {
    if (child.exitCode !== null || Date.now() > until)
      throw new Error(`ZooKeeper did not start:\n${await readFile(join(directory, 'log'), 'utf8')}`)
    await sleep(20)
  }
  return child
}

/** One of the server's commands; null when it does not answer. */
function fourLetters(port: number, command: string, host = LOCAL): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = connect(port, host, () => socket.write(command))
    let answer = ''
    socket.setTimeout(2_000, () => socket.destroy())
    socket.on('data', (chunk) => (answer += chunk.toString()))
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(answer === '' ? null : answer))
  })
}
