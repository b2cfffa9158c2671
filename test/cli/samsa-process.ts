/** The command line as a process of its own, with what it says. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after } from 'node:test'

export const executable = new URL('../../src/cli/samsa.cjs', import.meta.url).pathname
const base = fs.mkdtempSync(path.join(os.tmpdir(), 'samsa-cli-'))
const running = new Set<ChildProcess>()
after(() => {
  for (const child of running) child.kill('SIGKILL')
  fs.rmSync(base, { recursive: true, force: true })
})

let names = 0
/** A path where nothing is yet. */
export const freshPath = (): string => path.join(base, `data-${names++}`)

/** The environment without anything that would configure a broker. */
export const plainEnvironment: NodeJS.ProcessEnv = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.startsWith('KAFKA_') && name !== 'CLUSTER_ID'),
)

export interface SamsaOptions {
  /** Added to the environment. */
  readonly env?: NodeJS.ProcessEnv
  /** Run in place of the executable, with the same arguments. */
  readonly command?: readonly [string, ...string[]]
  readonly cwd?: string
  readonly uid?: number
}

export class Samsa {
  stdout = ''
  stderr = ''
  readonly child: ChildProcess
  readonly exited: Promise<[number | null, NodeJS.Signals | null]>

  constructor(args: readonly string[], options: SamsaOptions = {}) {
    const [program, ...before] = options.command ?? [process.execPath, executable]
    this.child = spawn(program, [...before, ...args], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...plainEnvironment, ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.uid === undefined ? {} : { uid: options.uid }),
    })
    running.add(this.child)
    this.child.stdin?.on('error', () => undefined)
    this.child.stdout?.on('data', (chunk: Buffer) => (this.stdout += chunk.toString()))
    this.child.stderr?.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()))
    this.exited = once(this.child, 'close').then(([code, signal]) => {
      running.delete(this.child)
      return [code, signal]
    })
  }

  /** Waits for a text on standard output. */
  async says(text: string | RegExp): Promise<void> {
    const until = Date.now() + 60_000
    let ended = false
    void this.exited.then(() => (ended = true))
    while (typeof text === 'string' ? !this.stdout.includes(text) : !text.test(this.stdout)) {
      const said = `\n${this.stdout}\n${this.stderr}`
      assert.ok(!ended, `ended without saying ${String(text)}:${said}`)
      assert.ok(Date.now() < until, `does not say ${String(text)}:${said}`)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }

  get port(): number {
    return Number(
      /PLAINTEXT:\/\/127\.0\.0\.1:(\d+)/.exec(this.stdout.slice(this.stdout.indexOf('serving') - 200))?.[1],
    )
  }
}

/** A broker that is ready, on a free port. */
export async function startSamsa(dataDir: string, ...args: string[]): Promise<Samsa> {
  const samsa = new Samsa([
    'start',
    '--set',
    'listeners=PLAINTEXT://127.0.0.1:0',
    '--set',
    `log.dirs=${dataDir}`,
    ...args,
  ])
  await samsa.says('] started')
  return samsa
}
