import { fork } from 'node:child_process'
import type { Endpoint } from '../load/spec.ts'

export interface NullServer {
  readonly endpoint: Endpoint
  readonly pid: number
  stop(): void
}

export function startNullServerProcess(): Promise<NullServer> {
  return new Promise((resolve, reject) => {
    const child = fork(new URL('../null-server-process.js', import.meta.url))
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`the null server ended with ${String(code)}`)))
    child.once('message', (port) => {
      resolve({
        endpoint: { host: '127.0.0.1', port: Number(port) },
        pid: child.pid ?? 0,
        stop: () => child.disconnect(),
      })
    })
  })
}
