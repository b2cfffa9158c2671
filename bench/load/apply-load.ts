import { fork } from 'node:child_process'
import { END_OF_LOAD, type GeneratorReply, type LoadResult, type LoadSpec } from './spec.ts'

/**
 * Applies a load from a generator process of its own. Rejects when the load could not be applied as asked. `until`: of a
 * cluster's load, when it resolves, the measured time ends.
 */
export function applyLoad(load: LoadSpec, until?: Promise<unknown>): Promise<LoadResult> {
  return new Promise((resolve, reject) => {
    const child = fork(new URL('./generator.js', import.meta.url), { serialization: 'advanced' })
    let reply: GeneratorReply | null = null
    child.once('message', (message) => {
      reply = message as GeneratorReply
    })
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      if (reply === null) reject(new Error(`the load generator ended with ${String(code ?? signal)}`))
      else if (reply.kind === 'failed') reject(new Error(reply.message))
      else resolve(reply.result)
    })
    child.send(load)
    void until?.then(() => child.connected && child.send(END_OF_LOAD))
  })
}
