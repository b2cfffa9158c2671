import { fork } from 'node:child_process'
import { adopt } from '../../test/support/processes.ts'
import { removeScratch, removeScratchAtExit, scratchDirectory } from '../scratch.ts'
import type {
  FilesProbe,
  FilesResult,
  FlushProbe,
  FlushResult,
  Probe,
  ProbeReply,
  ReadProbe,
  ReadResult,
  RingProbe,
  RingResult,
} from './probe-spec.ts'

/** What the machine lacks for a probe. */
export class ProbeUnavailable extends Error {}

type Unplaced<P extends Probe> = Omit<P, 'directory'>

export function probe(parent: string, spec: Unplaced<FlushProbe>): Promise<FlushResult>
export function probe(parent: string, spec: Unplaced<RingProbe>): Promise<RingResult>
export function probe(parent: string, spec: Unplaced<FilesProbe>): Promise<FilesResult>
export function probe(parent: string, spec: Unplaced<ReadProbe>): Promise<ReadResult>
/** Measures in a process and a directory of its own. Rejects with ProbeUnavailable where the machine cannot. */
export async function probe(
  parent: string,
  spec: Unplaced<FlushProbe> | Unplaced<RingProbe> | Unplaced<FilesProbe> | Unplaced<ReadProbe>,
): Promise<unknown> {
  const directory = await scratchDirectory(parent, 'bench-probe-')
  try {
    return await ask({ ...spec, directory })
  } finally {
    await removeScratch(directory)
  }
}

const DEADLINE_MS = 180_000

function ask(spec: Probe): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const child = adopt(
      fork(new URL('./probe-process.js', import.meta.url), {
        serialization: 'advanced',
        // As many threads as the broker's executable gives itself.
        env: { ...process.env, UV_THREADPOOL_SIZE: '16' },
      }),
    )
    removeScratchAtExit()
    const deadline = setTimeout(() => child.kill('SIGKILL'), DEADLINE_MS)
    let reply: ProbeReply | null = null
    child.once('message', (message) => {
      reply = message as ProbeReply
    })
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      clearTimeout(deadline)
      if (reply === null) reject(new Error(`the probe of the disk ended with ${String(code ?? signal)}`))
      else if (reply.kind === 'unavailable') reject(new ProbeUnavailable(reply.message))
      else if (reply.kind === 'failed') reject(new Error(reply.message))
      else resolve(reply.result)
    })
    child.send(spec)
  })
}
