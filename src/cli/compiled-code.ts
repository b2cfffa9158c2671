import type { EventEmitter } from 'node:events'
import process from 'node:process'

/** A broker has started: what V8 has compiled by the end of this process is worth keeping. `samsa.cts` listens. */
export function keepCompiledCode(): void {
  const executable: EventEmitter = process
  executable.emit('samsa:started')
}
