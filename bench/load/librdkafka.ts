import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { pythonPackages } from '../../test/support/installs.ts'
import { adopt, end, exitOf, repositoryRoot } from '../../test/support/processes.ts'

export interface LibrdkafkaOptions {
  /** host:port, after commas. */
  readonly bootstrap: string
  readonly topic: string
  readonly partitions: number
  /** Records of 1 KB in a second, one after the other to all partitions. */
  readonly perSecond: number
  /** Of a group that reads the topic and commits ten times a second. */
  readonly members: number
}

/** What a client that ships with its own settings saw in the measured time. */
export interface LibrdkafkaResult {
  /** Of librdkafka. */
  readonly version: string
  readonly acknowledged: number
  /** Records that were given up, and why. */
  readonly failed: number
  readonly why: Readonly<Record<string, number>>
  /** The longest time in which one of the partitions acknowledged nothing. */
  readonly longestGapMs: number
  /** The longest time in which the group read nothing of one of the partitions. */
  readonly recordsGapMs: number
  /** The longest time in which no commit of one of the members was acknowledged. */
  readonly commitsGapMs: number
}

const READY_MS = 60_000
const END_MS = 90_000

/** librdkafka at work in a process of its own, as its Python package has it. */
export class Librdkafka {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>

  private constructor(child: ChildProcess) {
    this.#child = child
    this.#lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]()
  }

  /** Resolves when everything that is to be measured has happened once. */
  static async start(options: LibrdkafkaOptions): Promise<Librdkafka> {
    const packages = await pythonPackages()
    if (packages === null)
      throw new Error('librdkafka needs python3 and pip: SAMSA_DOWNLOAD=1 fetches it once')
    const { bootstrap, topic, partitions, perSecond, members } = options
    const numbers = [partitions, perSecond, members].map(String)
    const program = join(repositoryRoot, 'bench/load/librdkafka.py')
    const child = adopt(
      spawn('python3', [program, bootstrap, topic, ...numbers], {
        env: { ...process.env, PYTHONPATH: packages, PYTHONDONTWRITEBYTECODE: '1' },
        stdio: ['pipe', 'pipe', 'inherit'],
      }),
    )
    child.stdin?.on('error', () => undefined)
    const client = new Librdkafka(child)
    await client.#line(READY_MS, 'every partition has acknowledged')
    return client
  }

  /** The measured time begins. */
  begin(): void {
    this.#child.stdin?.write('begin\n')
  }

  /** It ends; the process too. */
  async end(): Promise<LibrdkafkaResult> {
    this.#child.stdin?.write('end\n')
    const said = await this.#line(END_MS, 'all records have answers')
    await exitOf(this.#child)
    return JSON.parse(said) as LibrdkafkaResult
  }

  async kill(): Promise<void> {
    await end(this.#child, 'SIGKILL')
  }

  async #line(timeoutMs: number, what: string): Promise<string> {
    const deadline = setTimeout(() => this.#child.kill('SIGKILL'), timeoutMs)
    const { value, done } = await this.#lines.next()
    clearTimeout(deadline)
    if (done === true) throw new Error(`librdkafka ended before ${what}, or took more than ${timeoutMs} ms`)
    return value
  }
}
