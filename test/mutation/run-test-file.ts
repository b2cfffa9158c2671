import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { adopt } from '../support/processes.ts'

const PRELOAD = new URL('preload.js', import.meta.url).href

export interface TestRun {
  readonly passed: boolean
  readonly ms: number
  /** What failed first, or how it ended. */
  readonly why: string
}

/** Runs one compiled test file in a process of its own, to its end or to the first test that fails. */
export function runTestFile(
  testFile: string,
  env: Readonly<Record<string, string>>,
  timeoutMs: number,
): Promise<TestRun> {
  const startedMs = performance.now()
  const child = adopt(
    spawn(
      process.execPath,
      ['--max-old-space-size=1024', `--import=${PRELOAD}`, '--test-reporter=tap', testFile],
      {
        cwd: fileURLToPath(new URL('../../..', import.meta.url)),
        env: { ...process.env, NODE_TEST_CONTEXT: undefined, ...env },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    ),
  )
  return new Promise((resolve, reject) => {
    let report = ''
    let why: string | null = null
    const stop = (reason: string): void => {
      why ??= reason
      child.kill('SIGKILL')
    }
    const deadline = setTimeout(() => stop('did not end'), timeoutMs)
    child.stdout?.on('data', (chunk: Buffer) => {
      report += chunk.toString()
      const failed = /^\s*not ok \d+ - ([^#\n]*)$/m.exec(report)
      if (failed !== null) stop(failed[1]!.trim())
    })
    child.stderr?.resume()
    child.once('error', reject)
    child.once('close', (code, signal) => {
      clearTimeout(deadline)
      if (code !== 0) why ??= `ended with ${code ?? signal}`
      resolve({ passed: why === null, ms: performance.now() - startedMs, why: why ?? '' })
    })
  })
}
