/**
 * `npm run cluster`: a ZooKeeper server and three brokers on this machine, as they would run on four. Each broker is a
 * process of its own with a configuration file that can be read and changed; all of it stays in `./samsa-cluster`.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { Command } from 'commander'
import { adopt, end, repositoryRoot, waitUntilServing, works } from '../test/support/processes.ts'
import { startZooKeeperIn, zookeeperClient, zookeeperJars } from '../test/support/zookeeper.ts'

const IDS = [1, 2, 3]
const FIRST_PORT = 9092
const FIRST_ADMIN_PORT = 9644
const ZOOKEEPER_PORT = 2181

const portOf = (id: number): number => FIRST_PORT + id - 1

const HELP = `  kill 2    ends broker 2 as kill -9 does
  stop 2    stops it as SIGTERM does
  start 2   starts it again
  exit      stops everything, as Ctrl-C does`

interface Options {
  readonly directory: string
  readonly zookeeper?: string
}

/** Something is missing on this machine; the message says what to do. */
class Missing extends Error {}

/** One broker as a process; what it says is shown with its number. */
class BrokerProcess {
  readonly id: number
  readonly #file: string
  #child: ChildProcess | null = null
  #isWanted = false

  constructor(id: number, file: string) {
    this.id = id
    this.#file = file
  }

  get runs(): boolean {
    return this.#child !== null
  }

  async start(): Promise<void> {
    if (this.runs) return
    const program = join(repositoryRoot, 'dist/src/cli/samsa.cjs')
    const args = [program, 'start', '--config', this.#file, '--log-format', 'human']
    // Ctrl-C is for this process, which stops the others in their order.
    const child = adopt(spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true }))
    this.#child = child
    this.#isWanted = true
    for (const stream of [child.stdout!, child.stderr!])
      createInterface(stream).on('line', (line) => console.log(`[${this.id}] ${line}`))
    child.once('exit', (code, signal) => {
      this.#child = null
      if (this.#isWanted)
        console.log(`broker ${this.id} ended (${signal ?? code}); start ${this.id} starts it again`)
    })
    await waitUntilServing(portOf(this.id), { alive: () => this.runs })
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    this.#isWanted = false
    if (this.#child !== null) await end(this.#child, signal)
  }
}

async function refuseTaken(port: number, advice: string): Promise<void> {
  const server = createServer()
  const isFree = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => resolve(true))
  })
  server.close()
  if (!isFree) throw new Missing(`port ${port} of 127.0.0.1 is taken: ${advice}`)
}

async function ownZooKeeper(directory: string): Promise<ChildProcess> {
  const others = 'or use a server that runs: npm run cluster -- --zookeeper 127.0.0.1:2181'
  if (!(await works('java', ['-version'])))
    throw new Missing(`ZooKeeper needs Java: apt-get install default-jre-headless maven, ${others}`)
  console.log('ZooKeeper: its jars from Maven Central, unless they are in ~/.cache/samsa')
  const jars = await zookeeperJars('3.9.5', { download: true })
  if (jars === null) throw new Missing(`Maven fetches ZooKeeper: apt-get install maven, ${others}`)
  await refuseTaken(ZOOKEEPER_PORT, 'stop what listens there, ' + others)
  return startZooKeeperIn(join(directory, 'zookeeper'), ZOOKEEPER_PORT, jars)
}

function properties(id: number, directory: string, connect: string, client: string): string {
  return `# Written once by npm run cluster, and read by it: change what you like.
broker.id=${id}
listeners=PLAINTEXT://127.0.0.1:${portOf(id)}
log.dirs=${join(directory, `broker-${id}`)}
zookeeper.connect=${connect}
samsa.zookeeper.module=${client}
samsa.admin.listener=127.0.0.1:${FIRST_ADMIN_PORT + id - 1}
default.replication.factor=3
min.insync.replicas=2
`
}

async function brokersIn(directory: string, connect: string): Promise<BrokerProcess[]> {
  console.log(
    'the npm package zookeeper: compiled once, which takes a minute, unless it is in ~/.cache/samsa',
  )
  const client = await zookeeperClient(process.execPath, { download: true })
  if (client === null)
    throw new Missing('the npm package zookeeper is compiled: apt-get install make g++ python3')
  const brokers = IDS.map((id) => new BrokerProcess(id, join(directory, `broker-${id}.properties`)))
  for (const { id } of brokers) {
    await refuseTaken(portOf(id), 'stop what listens there')
    const file = join(directory, `broker-${id}.properties`)
    if (!existsSync(file)) await writeFile(file, properties(id, directory, connect, client))
  }
  return brokers
}

/** What is typed, until it is `exit`, the end of the input, or a signal. */
async function obey(brokers: readonly BrokerProcess[]): Promise<void> {
  const lines = createInterface(process.stdin)
  const stopped = new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => resolve())
    lines.on('line', (line) => {
      const [word, id] = line.trim().split(/\s+/)
      const broker = brokers.find((each) => String(each.id) === id)
      if (word === 'exit') resolve()
      else if (broker === undefined || !['kill', 'stop', 'start'].includes(word ?? '')) console.log(HELP)
      else void carryOut(word!, broker)
    })
  })
  await stopped
  lines.close()
}

async function carryOut(word: string, broker: BrokerProcess): Promise<void> {
  try {
    if (word === 'start') await broker.start()
    else await broker.end(word === 'kill' ? 'SIGKILL' : 'SIGTERM')
    console.log(`broker ${broker.id}: ${word} is done`)
  } catch (error) {
    console.log(String(error))
  }
}

async function main(options: Options): Promise<void> {
  const directory = resolve(options.directory)
  for (const name of ['zookeeper', ...IDS.map((id) => `broker-${id}`)])
    await mkdir(join(directory, name), { recursive: true, mode: 0o700 })
  const zookeeper = options.zookeeper === undefined ? await ownZooKeeper(directory) : null
  const connect = options.zookeeper ?? `127.0.0.1:${ZOOKEEPER_PORT}`
  const brokers = await brokersIn(directory, connect)
  try {
    await Promise.all(brokers.map((broker) => broker.start()))
    console.log(`\nThree brokers serve: ${IDS.map((id) => `127.0.0.1:${portOf(id)}`).join(',')}
Their files: ${directory}. Figures: http://127.0.0.1:${FIRST_ADMIN_PORT}/metrics and the two ports behind it.
${HELP}\n`)
    await obey(brokers)
  } finally {
    await Promise.all(brokers.map((broker) => broker.end('SIGTERM')))
    if (zookeeper !== null) await end(zookeeper, 'SIGTERM')
  }
}

const program = new Command('npm run cluster --')
  .description('a ZooKeeper server and three brokers on this machine, until Ctrl-C')
  .option('--directory <path>', 'where all their files lie', 'samsa-cluster')
  .option('--zookeeper <host:port>', 'a server, or several after commas, that runs already')
  .action(main)

try {
  await program.parseAsync()
  process.exit(0)
} catch (error) {
  if (!(error instanceof Missing)) throw error
  console.error(error.message)
  process.exit(1)
}
