/**
 * Runs a client program (Java, Python, Go, a newer Node.js) against the broker under test.
 *
 * The program prints one JSON object per line: `{"ok":STEP}`, `{"fail":STEP,"why":TEXT}`, `{"done":true}` at its
 * end, and `{"restart":"stop"}` or `{"restart":"kill"}` when it wants the broker to go down and come back while
 * its connections are open; it is told `restarted` on its standard input. `{"stuck":TEXT}` is its last line when it
 * waits for itself, for which the broker can do nothing. Every step becomes a test.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'

import type { ServerUnderTest } from '../support/broker-process.ts'
import { adopt, end } from '../support/processes.ts'

/** What every client has to show. A program may do more. */
export const commonSteps = [
  'create topic',
  'produce with acks 0, 1 and all',
  'produce with every codec',
  'keys, headers, null values, timestamps',
  'batches of 1 and of 1000',
  'consume by assign',
  'group of two, one joins later, one leaves',
  'commit, restart, resume',
  'idempotent producer over a restart',
] as const

export interface ClientProgram {
  readonly command: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Steps beyond the common ones that must have run. */
  readonly steps?: readonly string[]
  readonly timeoutMs?: number
}

/** Resolves to whether the program came to its end: false when it is stuck in itself. */
export async function runClientProgram(
  t: TestContext,
  server: ServerUnderTest,
  program: ClientProgram,
): Promise<boolean> {
  const child = adopt(
    spawn(program.command, [...program.args], {
      env: { ...process.env, ...program.env },
      stdio: ['pipe', 'pipe', 'pipe'],
    }),
  )
  assert(child.stdout !== null && child.stdin !== null && child.stderr !== null)
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve(code))
  })
  const printed: string[] = []
  child.stderr.on('data', (chunk: Buffer) => printed.push(chunk.toString()))
  child.stdin.on('error', () => undefined)
  const deadline = setTimeout(() => child.kill('SIGKILL'), program.timeoutMs ?? 150_000)
  const seen = new Set<string>()
  let failures = 0
  let since = Date.now()
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const message = parseLine(line)
      if (message === null) {
        printed.push(`${line}\n`)
      } else if (message['restart'] !== undefined) {
        await (message['restart'] === 'kill' ? server.kill() : server.stop())
        await server.start()
        child.stdin.write('restarted\n')
      } else if (typeof message['stuck'] === 'string') {
        t.diagnostic(`the client is stuck in itself: ${message['stuck']}`)
        return false
      } else if (message['done'] === undefined) {
        const name = String(message['ok'] ?? message['fail'])
        const why = message['fail'] === undefined ? null : String(message['why'])
        if (why !== null) failures++
        if (process.env['SAMSA_VERBOSE'] === '1') t.diagnostic(`${name}: ${Date.now() - since} ms`)
        since = Date.now()
        seen.add(name)
        await t.test(name, () => {
          if (why !== null) throw new Error(why)
        })
      }
    }
    const code = await exited
    const missing = [...commonSteps, ...(program.steps ?? [])].filter((step) => !seen.has(step))
    const context = async (): Promise<string> =>
      `the client printed:\n${tail(printed.join(''))}\nthe broker printed:\n${tail(await server.log())}`
    if (failures > 0) t.diagnostic(await context())
    assert(code === 0 && missing.length === 0, await story(code, missing, context))
    return true
  } finally {
    clearTimeout(deadline)
    await end(child, 'SIGKILL')
  }
}

async function story(
  code: number | null,
  missing: readonly string[],
  context: () => Promise<string>,
): Promise<string> {
  if (code === 0 && missing.length === 0) return ''
  return `exit code ${String(code)}, steps that did not run: ${missing.join('; ') || 'none'}\n${await context()}`
}

function parseLine(line: string): Record<string, unknown> | null {
  if (!line.startsWith('{')) return null
  try {
    const parsed: unknown = JSON.parse(line)
    return typeof parsed === 'object' && parsed !== null ? { ...parsed } : null
  } catch {
    return null
  }
}

function tail(text: string): string {
  return text.slice(-6_000)
}
