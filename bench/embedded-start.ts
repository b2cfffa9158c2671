import { fork } from 'node:child_process'

/** Milliseconds of `Broker.start()` in a process that has done so before, one figure per start. */
export function embeddedStart(): Promise<number[]> {
  return new Promise((resolve, reject) => {
    const child = fork(new URL('./embedded-start-process.js', import.meta.url), { silent: true })
    let printed = ''
    let figures: number[] | null = null
    child.stderr?.on('data', (chunk: Buffer) => (printed += chunk.toString()))
    child.once('message', (message) => (figures = message as number[]))
    child.once('error', reject)
    child.once('exit', (code) => {
      if (figures !== null) resolve(figures)
      else reject(new Error(`the embedding process ended with ${String(code)}: ${printed.slice(-1_000)}`))
    })
  })
}
