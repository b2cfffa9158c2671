/**
 * Child processes of the tests: started with a deadline, never left behind.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createServer, Socket } from 'node:net'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

export interface RunOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string
  readonly timeoutMs?: number
}

export interface RunResult {
  /** The exit code; null when a signal (or the deadline) ended the process. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  readonly timedOut: boolean
}

const children = new Set<ChildProcess>()
let watchingExit = false

/** Remembers a child so that it dies with this process, whatever ends the test. */
export function adopt(child: ChildProcess): ChildProcess {
  if (!watchingExit) process.once('exit', killAll)
  watchingExit = true
  children.add(child)
  child.once('exit', () => children.delete(child))
  return child
}

function killAll(): void {
  for (const child of children) child.kill('SIGKILL')
}

/** Runs a program to its end. A program that cannot be started rejects; a failing one does not. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const child = adopt(
      spawn(command, [...args], {
        cwd: options.cwd,
        env: { ...process.env, ...options.env },
        stdio: ['pipe', 'pipe', 'pipe'],
      }),
    )
    let timedOut = false
    const deadline = setTimeout(() => {
      timedOut = true
      child.kill('SIGKILL')
    }, options.timeoutMs ?? 60_000)
    const stdout: Buffer[] = []
    const stderr: Buffer[] = []
    child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk))
    child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk))
    // A program may end before it has read everything; its exit code tells the story then.
    child.stdin?.on('error', () => undefined)
    child.stdin?.end(options.input ?? '')
    child.once('error', (error) => {
      clearTimeout(deadline)
      reject(error)
    })
    child.once('close', (code) => {
      clearTimeout(deadline)
      resolve({
        code,
        stdout: Buffer.concat(stdout).toString(),
        stderr: Buffer.concat(stderr).toString(),
        timedOut,
      })
    })
  })
}

/** Runs a program and returns its standard output; any failure throws with everything it printed. */
export async function runOrThrow(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const result = await run(command, args, options)
  if (result.code !== 0) {
    const why = result.timedOut ? 'did not end in time' : `ended with ${String(result.code)}`
    throw new Error(`${command} ${args.join(' ')} ${why}\n${result.stdout}\n${result.stderr}`)
  }
  return result.stdout
}

/** Whether `command ARGS` can be started and ends with 0. */
export async function works(command: string, args: readonly string[]): Promise<boolean> {
  try {
    return (await run(command, args, { timeoutMs: 20_000 })).code === 0
  } catch {
    return false
  }
}

/** Asks a child to end by a signal and waits; after `timeoutMs` it is killed. The exit code, null after a signal. */
export async function end(
  child: ChildProcess,
  signal: NodeJS.Signals,
  timeoutMs = 30_000,
): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
  return new Promise((resolve) => {
    const deadline = setTimeout(() => child.kill('SIGKILL'), timeoutMs)
    child.once('exit', (code) => {
      clearTimeout(deadline)
      resolve(code)
    })
    child.kill(signal)
  })
}

/** Waits until a child ends by itself. The exit code, null after a signal. */
export async function exitOf(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null)
    await new Promise((resolve) => child.once('exit', resolve))
  return child.exitCode
}

const givenPorts = new Set<number>()

/** A port of 127.0.0.1 that nobody listened on a moment ago. Another one each time: two may be asked for before either is used. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = await portOfSystem()
    if (givenPorts.has(port)) continue
    givenPorts.add(port)
    return port
  }
}

function portOfSystem(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => {
        if (address === null || typeof address === 'string') reject(new Error('no port'))
        else resolve(address.port)
      })
    })
  })
}

/** Waits until a broker answers Metadata v1 with at least one broker in it, which is when clients can work. */
export async function waitUntilServing(
  port: number,
  options: { readonly timeoutMs?: number; readonly alive?: () => boolean } = {},
): Promise<void> {
  const timeoutMs = options.timeoutMs ?? 60_000
  const until = Date.now() + timeoutMs
  for (;;) {
    if ((await brokerCount(port)) > 0) return
    if (options.alive?.() === false) throw new Error(`the broker on port ${port} ended before it served`)
    if (Date.now() > until) throw new Error(`no broker served on port ${port} within ${timeoutMs} ms`)
    await sleep(20)
  }
}

function brokerCount(port: number): Promise<number> {
  return new Promise((resolve) => {
    const socket = new Socket()
    let answer = Buffer.alloc(0)
    const finish = (count: number): void => {
      socket.destroy()
      resolve(count)
    }
    socket.setTimeout(2_000, () => finish(0))
    socket.on('error', () => finish(0))
    socket.on('close', () => finish(0))
    socket.on('data', (chunk) => {
      answer = Buffer.concat([answer, chunk])
      // int32 size, int32 correlation id, int32 count of brokers
      if (answer.length >= 12) finish(answer.readInt32BE(8))
    })
    socket.connect(port, '127.0.0.1', () => {
      // size 14, Metadata (3) v1, correlation 1, null client id, no topics
      socket.write(Buffer.from('0000000e0003000100000001ffff00000000', 'hex'))
    })
  })
}

/** The root of the checkout, from wherever the compiler put this file. */
export const repositoryRoot: string = findRoot()

function findRoot(): string {
  for (const start of [dirname(fileURLToPath(import.meta.url)), process.cwd()]) {
    for (let at = start; at !== dirname(at); at = dirname(at)) {
      const manifest = join(at, 'package.json')
      if (!existsSync(manifest)) continue
      const parsed: unknown = JSON.parse(readFileSync(manifest, 'utf8'))
      if (typeof parsed === 'object' && parsed !== null && 'name' in parsed && parsed.name === 'samsa')
        return at
    }
  }
  throw new Error('the checkout of samsa was not found')
}
