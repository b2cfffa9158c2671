/**
 * `npm run cluster`: a ZooKeeper server and three brokers on this machine, as they would run on four. Each broker is a
 * process of its own with a configuration file that can be read and changed; all of it stays in `./samsa-cluster`.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { Command, InvalidArgumentError, Option } from 'commander'
import { whoListensOn } from '../src/cli/port-owner.ts'
import { parseProperties } from '../src/core/config/config-input.ts'
import { adopt, end, repositoryRoot, waitUntilServing, works } from '../test/support/processes.ts'
import { startZooKeeperIn, zookeeperClient, zookeeperJars } from '../test/support/zookeeper.ts'

const IDS = [1, 2, 3]
const FIRST_PORT = 9092
const FIRST_ADMIN_PORT = 9644
const ZOOKEEPER_PORT = 2181
const RUN = 'npm run cluster --'

const HELP = `  kill 2    ends broker 2 as kill -9 does
  stop 2    stops it as SIGTERM does
  start 2   starts it again
  exit      stops everything, as Ctrl-C does`

interface Options {
  readonly directory: string
  readonly port?: number
  readonly adminPort?: number
  readonly zookeeper?: string
  readonly zookeeperPort?: number
}

/** Something is missing on this machine; the message says what to do. */
class Missing extends Error {}

/** One broker as a process; what it says is shown with its number. */
class BrokerProcess {
  readonly id: number
  readonly #file: string
  readonly #port: number
  #child: ChildProcess | null = null
  #isWanted = false

  constructor({ id, file, listener }: Planned) {
    this.id = id
    this.#file = file
    this.#port = portIn(listener)
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
    await waitUntilServing(this.#port, { alive: () => this.runs }).catch((error: unknown) => {
      throw new Missing(`broker ${this.id} does not serve, see its lines above: ${String(error)}`)
    })
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    this.#isWanted = false
    if (this.#child !== null) await end(this.#child, signal)
  }
}

/** One broker, as its file says or will say. */
interface Planned {
  readonly id: number
  readonly file: string
  readonly listener: string
  readonly admin: string
}

/** What is to run. The files of an earlier run count: what was chosen then need not be said again. */
interface Plan {
  readonly directory: string
  readonly connect: string
  /** Null: servers that run already. */
  readonly zookeeperPort: number | null
  readonly brokers: readonly Planned[]
}

function planOf(options: Options): Plan {
  const directory = resolve(options.directory)
  const { zookeeper, zookeeperPort, port, adminPort } = options
  const own = zookeeperPort === undefined ? undefined : `127.0.0.1:${zookeeperPort}`
  const isOwn =
    zookeeper === undefined && (existsSync(zooCfg(directory)) || !existsSync(fileOf(directory, 1)))
  const chosen = zookeeper ?? own
  const plans = IDS.map((id) => {
    const file = fileOf(directory, id)
    const written = existsSync(file) ? parseProperties(readFileSync(file, 'utf8')) : null
    const value = (key: string, option: string, wanted: string | undefined, otherwise: string): string => {
      const found = written?.get(key)
      if (wanted !== undefined && found !== undefined && found !== wanted)
        throw new Missing(
          `${file} has ${key}=${found}, and ${option} means ${wanted}: change the file, or take another --directory`,
        )
      return found ?? wanted ?? otherwise
    }
    const listener = (first: number): string => `PLAINTEXT://127.0.0.1:${first + id - 1}`
    const admin = (first: number): string => `127.0.0.1:${first + id - 1}`
    return {
      id,
      file,
      listener: value(
        'listeners',
        '--port',
        port === undefined ? undefined : listener(port),
        listener(FIRST_PORT),
      ),
      admin: value(
        'samsa.admin.listener',
        '--admin-port',
        adminPort === undefined ? undefined : admin(adminPort),
        admin(FIRST_ADMIN_PORT),
      ),
      connect: value(
        'zookeeper.connect',
        zookeeper === undefined ? '--zookeeper-port' : '--zookeeper',
        chosen,
        `127.0.0.1:${ZOOKEEPER_PORT}`,
      ),
    }
  })
  const { connect } = plans[0]!
  return { directory, connect, zookeeperPort: isOwn ? portIn(connect) : null, brokers: plans }
}

const fileOf = (directory: string, id: number): string => join(directory, `broker-${id}.properties`)
const zooCfg = (directory: string): string => join(directory, 'zookeeper/zoo.cfg')

/** `NAME://host:port`, `host:port`, with or without a path behind it. */
function portIn(address: string): number {
  return Number(/:(\d+)(?:[/,]|$)/.exec(address)?.[1])
}

function elsewhere(port: number): number {
  return port < 50_000 ? port + 10_000 : port - 10_000
}

/** Before anything is fetched, written or begun. */
async function refuseTaken({ zookeeperPort, brokers }: Plan): Promise<void> {
  const [first] = brokers
  const ports: [port: number, forWhom: string, option: string, first: number][] = brokers.flatMap(
    ({ id, listener, admin }) => [
      [portIn(listener), `broker ${id}`, '--port', portIn(first!.listener)],
      [portIn(admin), `the figures of broker ${id}`, '--admin-port', portIn(first!.admin)],
    ],
  )
  if (zookeeperPort !== null) ports.unshift([zookeeperPort, 'ZooKeeper', '--zookeeper-port', zookeeperPort])
  const taken: string[] = []
  const options = new Set<string>()
  for (const [port, forWhom, option, from] of ports) {
    if (await isFree(port)) continue
    const owner = whoListensOn(port)
    taken.push(`${port}, for ${forWhom}${owner === null ? '' : `: process ${owner.pid}, ${owner.command}`}`)
    options.add(`${option} ${elsewhere(from)}`)
  }
  if (taken.length === 0) return
  throw new Missing(`ports of 127.0.0.1 that are taken:
  ${taken.join('\n  ')}
Stop what listens there, or choose others: ${RUN} ${[...options].join(' ')}
A ZooKeeper that runs already is used with ${RUN} --zookeeper 127.0.0.1:${ZOOKEEPER_PORT}`)
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  const opens = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => resolve(true))
  })
  await new Promise((resolve) => server.close(resolve))
  return opens
}

async function ownZooKeeper(directory: string, port: number): Promise<ChildProcess> {
  const others = `or use a server that runs: ${RUN} --zookeeper 127.0.0.1:2181`
  if (!(await works('java', ['-version'])))
    throw new Missing(`ZooKeeper needs Java: apt-get install default-jre-headless maven, ${others}`)
  console.log('ZooKeeper: its jars from Maven Central, unless they are in ~/.cache/samsa')
  const jars = await zookeeperJars('3.9.5', { download: true })
  if (jars === null) throw new Missing(`Maven fetches ZooKeeper: apt-get install maven, ${others}`)
  return startZooKeeperIn(join(directory, 'zookeeper'), port, jars)
}

function properties({ id, listener, admin }: Planned, { directory, connect }: Plan, client: string): string {
  return `# Written once by npm run cluster, and read by it: change what you like.
broker.id=${id}
listeners=${listener}
log.dirs=${join(directory, `broker-${id}`)}
zookeeper.connect=${connect}
samsa.zookeeper.module=${client}
samsa.admin.listener=${admin}
default.replication.factor=3
min.insync.replicas=2
`
}

async function brokersOf(plan: Plan): Promise<BrokerProcess[]> {
  console.log(
    'the npm package zookeeper: compiled once, which takes a minute, unless it is in ~/.cache/samsa',
  )
  const client = await zookeeperClient(process.execPath, { download: true })
  if (client === null)
    throw new Missing('the npm package zookeeper is compiled: apt-get install make g++ python3')
  for (const broker of plan.brokers)
    if (!existsSync(broker.file)) await writeFile(broker.file, properties(broker, plan, client))
  return plan.brokers.map((broker) => new BrokerProcess(broker))
}

/** Ctrl-C, or whatever else ends programs. From the beginning on: those that were begun do not end by themselves. */
function signalled(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => resolve())
  })
}

/** What is typed, until it is `exit`. */
function obey(brokers: readonly BrokerProcess[]): Promise<void> {
  return new Promise((resolve) => {
    createInterface(process.stdin).on('line', (line) => {
      const [word, id] = line.trim().split(/\s+/)
      const broker = brokers.find((each) => String(each.id) === id)
      if (word === 'exit') resolve()
      else if (broker === undefined || !['kill', 'stop', 'start'].includes(word ?? '')) console.log(HELP)
      else void carryOut(word!, broker)
    })
  })
}

async function carryOut(word: string, broker: BrokerProcess): Promise<void> {
  try {
    if (word === 'start') await broker.start()
    else await broker.end(word === 'kill' ? 'SIGKILL' : 'SIGTERM')
    console.log(`broker ${broker.id}: ${word} is done`)
  } catch (error) {
    console.log(error instanceof Missing ? error.message : String(error))
  }
}

/** What was begun, and has to be ended. */
interface Begun {
  zookeeper: ChildProcess | null
  brokers: readonly BrokerProcess[]
}

async function main(options: Options): Promise<void> {
  const begun: Begun = { zookeeper: null, brokers: [] }
  try {
    await Promise.race([serve(planOf(options), begun), signalled()])
  } finally {
    await Promise.all(begun.brokers.map((broker) => broker.end('SIGTERM')))
    if (begun.zookeeper !== null) await end(begun.zookeeper, 'SIGTERM')
  }
}

async function serve(plan: Plan, begun: Begun): Promise<void> {
  const { directory, zookeeperPort, brokers } = plan
  await refuseTaken(plan)
  for (const name of ['zookeeper', ...IDS.map((id) => `broker-${id}`)])
    await mkdir(join(directory, name), { recursive: true, mode: 0o700 })
  if (zookeeperPort !== null) begun.zookeeper = await ownZooKeeper(directory, zookeeperPort)
  const processes = await brokersOf(plan)
  begun.brokers = processes
  await Promise.all(processes.map((broker) => broker.start()))
  console.log(`\nThree brokers serve: ${brokers.map(({ listener }) => listener.replace(/^.*\/\//, '')).join(',')}
Their files: ${directory}. Figures: ${brokers.map(({ admin }) => `http://${admin}/metrics`).join(' ')}
${HELP}\n`)
  await obey(processes)
}

function portNumber(text: string): number {
  if (!/^[1-9]\d{0,4}$/.test(text) || Number(text) > 65_533)
    throw new InvalidArgumentError('It must be a whole number from 1 to 65533.')
  return Number(text)
}

const program = new Command(RUN)
  .description('a ZooKeeper server and three brokers on this machine, until Ctrl-C')
  .option('--directory <path>', 'where all their files lie', 'samsa-cluster')
  .option(
    '--port <number>',
    `of the first broker, the others have the next ones; default: ${FIRST_PORT}`,
    portNumber,
  )
  .option('--admin-port <number>', `the same for their figures; default: ${FIRST_ADMIN_PORT}`, portNumber)
  .addOption(
    new Option('--zookeeper-port <number>', `of the ZooKeeper server; default: ${ZOOKEEPER_PORT}`)
      .argParser(portNumber)
      .conflicts('zookeeper'),
  )
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
