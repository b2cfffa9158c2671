/** Brokers in network namespaces of their own: between them is a router that drops what it is told to, in one direction. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import { run, runOrThrow } from '../support/processes.ts'

/** Where a process is: what it listens on, and what its command begins with. */
export interface Place {
  readonly host: string
  readonly prefix: readonly string[]
}

/** 198.18.0.0/15 is kept for tests (RFC 2544); each network has 32 of its addresses. */
const NETWORKS = 4_096
/** In the network: of clients, of ZooKeeper, of the router towards both. Brokers follow, each with a wire of four. */
const [CLIENTS, ZOOKEEPER, ROUTER, FIRST_WIRE] = [1, 2, 3, 8]

let made = 0

export class Wires implements AsyncDisposable {
  readonly zooKeeper: string
  readonly brokers: readonly Place[]
  readonly #names: { readonly router: string; readonly brokers: readonly string[] }
  readonly #network: number
  readonly #cuts: string[] = []
  readonly #removeAtExit = (): void => {
    for (const name of this.#namespaces) spawnSync('ip', ['netns', 'del', name])
  }

  private constructor(brokers: number) {
    const prefix = `samsa${process.pid}x${made++}`
    this.#network = (process.pid + made * 1_021) % NETWORKS
    const names = Array.from({ length: brokers }, (_, at) => `${prefix}b${at + 1}`)
    this.#names = { router: `${prefix}r`, brokers: names }
    this.zooKeeper = this.#address(ZOOKEEPER)
    this.brokers = names.map((name, at) => ({
      host: this.#address(FIRST_WIRE + 4 * at + 1),
      prefix: ['ip', 'netns', 'exec', name],
    }))
  }

  static async create(brokers: number): Promise<Wires> {
    await removeAbandoned()
    const wires = new Wires(brokers)
    process.once('exit', wires.#removeAtExit)
    try {
      await wires.#lay()
    } catch (error) {
      await wires[Symbol.asyncDispose]()
      throw error
    }
    return wires
  }

  /** Nothing from `from` arrives at `to` any more, and neither of them is told. */
  async cut(from: string, to: string): Promise<void> {
    const what = `from ${from} to ${to} blackhole`
    await ip([`rule add ${what}`], this.#names.router)
    this.#cuts.push(what)
  }

  async heal(): Promise<void> {
    const cuts = this.#cuts.splice(0)
    await ip(
      cuts.map((what) => `rule del ${what}`),
      this.#names.router,
    )
  }

  /** Where clients are. */
  get clients(): string {
    return this.#address(CLIENTS)
  }

  /** What was in them has to have ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    process.removeListener('exit', this.#removeAtExit)
    for (const name of this.#namespaces) await run('ip', ['netns', 'del', name])
  }

  get #namespaces(): readonly string[] {
    return [this.#names.router, ...this.#names.brokers]
  }

  #address(at: number): string {
    const address = this.#network * 32 + at
    return `198.${18 + (address >> 16)}.${(address >> 8) & 255}.${address & 255}`
  }

  /** The ends of wires go with their namespaces. */
  async #lay(): Promise<void> {
    const { router, brokers } = this.#names
    // Names of interfaces are short.
    const outside = `s${process.pid}x${made}`
    const [clients, here] = [this.#address(CLIENTS), this.#address(ROUTER)]
    await ip([
      ...this.#namespaces.map((name) => `netns add ${name}`),
      `link add ${outside} type veth peer name outside netns ${router}`,
      `addr add ${clients}/29 dev ${outside}`,
      `addr add ${this.zooKeeper}/29 dev ${outside}`,
      `link set ${outside} up`,
      `route add ${this.#address(0)}/27 via ${here} dev ${outside} src ${clients}`,
      ...brokers.map(
        (name, at) => `link add wire${at} netns ${router} type veth peer name wire netns ${name}`,
      ),
    ])
    const up = ['link set lo up', 'link set outside up', `addr add ${here}/29 dev outside`]
    const gateway = (at: number): string => this.#address(FIRST_WIRE + 4 * at + 2)
    const wire = (_: string, at: number): string[] => [
      `addr add ${gateway(at)}/30 dev wire${at}`,
      `link set wire${at} up`,
    ]
    await ip([...up, ...brokers.flatMap(wire)], router)
    for (const [at, name] of brokers.entries())
      await ip(
        [
          'link set lo up',
          `addr add ${this.brokers[at]!.host}/30 dev wire`,
          'link set wire up',
          `route add default via ${gateway(at)}`,
        ],
        name,
      )
    const forward = 'echo 1 > /proc/sys/net/ipv4/ip_forward'
    await runOrThrow('ip', ['netns', 'exec', router, 'sh', '-c', forward])
  }
}

async function ip(commands: readonly string[], namespace?: string): Promise<void> {
  const where = namespace === undefined ? [] : ['-n', namespace]
  await runOrThrow('ip', [...where, '-batch', '-'], { input: `${commands.join('\n')}\n` })
}

/** What processes left behind that were killed. */
async function removeAbandoned(): Promise<void> {
  const names = (await runOrThrow('ip', ['netns', 'list'])).matchAll(/^samsa(\d+)x\S+/gm)
  for (const [name, pid] of names) if (!existsSync(`/proc/${pid}`)) await run('ip', ['netns', 'del', name])
}

/** Why brokers cannot be cut off here, in a line; null when they can. */
export async function wiresProblem(): Promise<string | null> {
  if (process.platform !== 'linux') return 'brokers that are cut off need Linux'
  if (process.getuid?.() !== 0)
    return 'brokers that are cut off need root: they get network namespaces of their own'
  try {
    await using wires = await Wires.create(2)
    const [near, far] = wires.brokers.map(({ host }) => host)
    const before = await answers(near!)
    await wires.cut(near!, wires.clients)
    const after = [await answers(near!), await answers(far!)]
    await wires.heal()
    const last = await answers(near!)
    return before && !after[0] && after[1] && last
      ? null
      : 'blackhole rules between network namespaces change nothing here'
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return `brokers that are cut off need iproute2, network namespaces and veth: ${reason.trim().split('\n').at(-1)}`
  }
}

/** Whether a host is there, where nobody listens: it refuses. */
function answers(host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port: 9 })
    socket.setTimeout(300, () => socket.destroy())
    let isRefused = false
    socket.on('error', (error: NodeJS.ErrnoException) => (isRefused = error.code === 'ECONNREFUSED'))
    socket.on('close', () => resolve(isRefused))
  })
}
