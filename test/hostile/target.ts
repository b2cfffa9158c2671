/**
 * The broker under attack: the command line in a process of its own, with what is asked of it afterwards. It must be
 * alive, must not have met anything it did not expect, must have kept to its memory, and must have answered others all
 * the while.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import {
  findCoordinatorRequest,
  findCoordinatorResponse,
} from '../../protocol/messages/10-find-coordinator.ts'
import { apiVersionsRequest, apiVersionsResponse } from '../../protocol/messages/18-api-versions.ts'
import { metadataRequest, metadataResponse } from '../../protocol/messages/03-metadata.ts'
import { startSamsa } from '../support/broker-process.ts'
import type { ServerUnderTest } from '../support/broker-process.ts'
import { RawClient } from '../support/raw-client.ts'

const MIB = 1024 * 1024

/**
 * `queued.max.request.bytes` of the target; what it may grow by is this, what the first use of its code takes, and what
 * V8 leaves uncollected: some 40 MiB more on Node.js 24 than on 20.
 */
const REQUEST_BUDGET_BYTES = 64 * MIB
const MAX_GROWTH_BYTES = REQUEST_BUDGET_BYTES + 192 * MIB

const ANSWER_WITHIN_MS = 20_000
const ASK_EVERY_MS = 10
/** For others while one request of very many elements is worked on, on a machine that has much else to do. */
const PROMPT_MS = 3_000

export const metadata = { request: metadataRequest, response: metadataResponse, version: 12 } as const
export const apiVersions = { request: apiVersionsRequest, response: apiVersionsResponse, version: 4 } as const

const findCoordinator = {
  request: findCoordinatorRequest,
  response: findCoordinatorResponse,
  version: 2,
} as const

/** Somebody asks who coordinates groups, so that from now on they are coordinated here. */
export async function withCoordinator(port: number): Promise<void> {
  const client = await RawClient.connect(port)
  await client.send(findCoordinator, { key: 'g', keyType: 0 })
  client.close()
}

export interface Target extends AsyncDisposable {
  readonly server: ServerUnderTest
  readonly port: number
  /** Runs an attack while a well-behaved client asks on; then looks whether the broker is as it should be. */
  survives(attack: () => Promise<void>): Promise<void>
  log(): Promise<string>
}

export async function startTarget(properties: Readonly<Record<string, string>> = {}): Promise<Target> {
  const server = await startSamsaWith(new URL('./poison.js', import.meta.url), {
    'queued.max.request.bytes': String(REQUEST_BUDGET_BYTES),
    ...properties,
  })
  return {
    server,
    port: server.port,
    survives: (attack) =>
      survives(server, attack, residentBytes(server.pid) + MAX_GROWTH_BYTES, ANSWER_WITHIN_MS),
    log: () => server.log(),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

/** A target with the configuration that users have, of which the length of each piece of its loop is known. */
export interface WatchedTarget extends Target {
  /** The longest piece in milliseconds since this was called before; none are told that are short. */
  longestPieceMs(): number
}

/** What a broker may grow by, in all, whatever is asked of it. */
const MAX_DEFAULT_GROWTH_BYTES = 256 * MIB

export async function startWatchedTarget(): Promise<WatchedTarget> {
  const directory = mkdtempSync(join(tmpdir(), 'samsa-loop-'))
  const pieces = join(directory, 'pieces')
  writeFileSync(pieces, '')
  process.env['SAMSA_LOOP_WATCH'] = pieces
  const server = await startSamsaWith(new URL('./loop-watch.js', import.meta.url), {}).finally(
    () => delete process.env['SAMSA_LOOP_WATCH'],
  )
  const startedWith = residentBytes(server.pid)
  let told = 0
  return {
    server,
    port: server.port,
    survives: (attack) => survives(server, attack, startedWith + MAX_DEFAULT_GROWTH_BYTES, PROMPT_MS),
    log: () => server.log(),
    longestPieceMs: () => {
      const lines = readFileSync(pieces, 'utf8').split('\n').slice(0, -1)
      const longest = Math.max(0, ...lines.slice(told).map(Number))
      told = lines.length
      return longest
    },
    [Symbol.asyncDispose]: async () => {
      await server[Symbol.asyncDispose]()
      rmSync(directory, { recursive: true })
    },
  }
}

/** `preloaded`: a module that runs in the broker's process before anything else. */
function startSamsaWith(
  preloaded: URL,
  properties: Readonly<Record<string, string>>,
): Promise<ServerUnderTest> {
  process.env['NODE_OPTIONS'] = `--import=${fileURLToPath(preloaded)}`
  return startSamsa({ properties }).finally(() => delete process.env['NODE_OPTIONS'])
}

async function survives(
  server: ServerUnderTest,
  attack: () => Promise<void>,
  maxResidentBytes: number,
  othersWithinMs: number,
): Promise<void> {
  const bystander = new Bystander(server)
  await bystander.start()
  let peak = 0
  const watch = setInterval(() => {
    peak = Math.max(peak, residentBytes(server.pid))
  }, 20)
  try {
    await attack()
  } finally {
    clearInterval(watch)
    await bystander.stop()
  }
  await assertUnharmed(server)
  const excess = Math.max(peak, residentBytes(server.pid)) - maxResidentBytes
  assert.ok(excess <= 0, `the broker grew by ${Math.round(excess / MIB)} MiB more than it may`)
  assert.ok(bystander.longestMs <= othersWithinMs, `somebody else waited for ${bystander.longestMs} ms`)
}

/** Alive, answers a new connection, and logged nothing as an error. */
async function assertUnharmed(server: ServerUnderTest): Promise<void> {
  process.kill(server.pid, 0)
  const client = await RawClient.connect(server.port)
  try {
    const { apiKeys } = await within(
      client.send(apiVersions, { clientSoftwareName: 'a', clientSoftwareVersion: '1' }),
    )
    assert.ok(apiKeys.length > 20)
  } finally {
    client.close()
  }
  const errors = (await server.log()).split('\n').filter((line) => isError(line))
  assert.deepEqual(errors.slice(0, 3), [], `${errors.length} lines of the log are errors`)
}

/** A line the broker logged as an error, or one that is not the logger's at all: an uncaught error, a warning of Node. */
function isError(line: string): boolean {
  if (line === '') return false
  if (!line.startsWith('{')) return /error|unhandled|warning/i.test(line)
  return /"level":"(error|fatal)"/.test(line)
}

/** Linux tells; elsewhere memory is not looked at. */
export function residentBytes(pid: number): number {
  try {
    const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
    return Number(kilobytes ?? 0) * 1024
  } catch {
    return 0
  }
}

export async function within<T>(answer: Promise<T>, ms = ANSWER_WITHIN_MS): Promise<T> {
  const late = sleep(ms, undefined, { ref: false }).then((): never => {
    throw new Error(`no answer within ${ms} ms`)
  })
  return await Promise.race([answer, late])
}

/** Somebody else's connection. Each of its requests must be answered, whatever goes on beside it. */
class Bystander {
  readonly #server: ServerUnderTest
  #client: RawClient | null = null
  #running: Promise<number> | null = null
  #stopped = false
  longestMs = 0

  constructor(server: ServerUnderTest) {
    this.#server = server
  }

  async start(): Promise<void> {
    this.#client = await RawClient.connect(this.#server.port)
    this.#running = this.#ask(this.#client)
    this.#running.catch(() => {})
  }

  async #ask(client: RawClient): Promise<number> {
    let answers = 0
    while (!this.#stopped || answers === 0) {
      const askedMs = performance.now()
      const { brokers } = await within(client.send(metadata, { topics: [] }))
      this.longestMs = Math.max(this.longestMs, performance.now() - askedMs)
      assert.equal(brokers.length, 1)
      answers += 1
      await sleep(ASK_EVERY_MS)
    }
    return answers
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
    this.#client?.close()
  }
}
