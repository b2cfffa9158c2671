import { fork } from 'node:child_process'
import { END_OF_LOAD, type GeneratorReply, type LoadResult, type LoadSpec } from './spec.ts'

export interface LoadEvents {
  /** Of a cluster's load: called when its measured time begins. */
  readonly measuring?: () => void
  /** Of a cluster's load: when it resolves the measured time ends. */
  readonly until?: Promise<unknown>
}

/** Applies a load from a generator process of its own. Rejects when the load could not be applied as asked. */
export function applyLoad(load: LoadSpec, { measuring, until }: LoadEvents = {}): Promise<LoadResult> {
  return new Promise((resolve, reject) => {
    const child = fork(new URL('./generator.js', import.meta.url), { serialization: 'advanced' })
    let reply: GeneratorReply | null = null
    child.on('message', (message) => {
      const said = message as GeneratorReply
      if (said.kind === 'measuring') measuring?.()
      else reply = said
    })
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      if (reply?.kind === 'result') resolve(reply.result)
      else if (reply?.kind === 'failed') reject(new Error(reply.message))
      else reject(new Error(`the load generator ended with ${String(code ?? signal)}`))
    })
    child.send(load)
    void until?.then(() => child.connected && child.send(END_OF_LOAD))
  })
}
