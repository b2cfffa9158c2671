/** The process beside a broker that holds its ZooKeeper session. It speaks through descriptor 3: the libraries may print. */
import { Socket } from 'node:net'
import process from 'node:process'
import { encodeFrame, FrameReader } from './messages.ts'
import type { ToSidecar } from './messages.ts'
import { Sidecar } from './sidecar.ts'

const PIPE_DESCRIPTOR = 3
/** For the last words to be read. A broker whose loop stands still reads them when it goes on. */
const LAST_WORDS_MS = 60_000

/** Those that a terminal or a supervisor sends to all processes of a broker: it says itself when it needs no session. */
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined)

const pipe = new Socket({ fd: PIPE_DESCRIPTOR, readable: true, writable: true })
let generation = 0
let frames: Buffer[] = []

function flush(): void {
  const batch = frames
  frames = []
  if (batch.length > 0) pipe.write(batch.length === 1 ? batch[0]! : Buffer.concat(batch))
}

const sidecar = new Sidecar({
  tell(message, data) {
    if (frames.length === 0) setImmediate(flush)
    frames.push(encodeFrame(generation, message, data ?? undefined))
  },
  ended() {
    flush()
    // Open for what the broker writes until it has read: its write would fail, and what it has not read be lost.
    pipe.end()
    setTimeout(() => process.exit(0), LAST_WORDS_MS)
  },
})

const reader = new FrameReader<ToSidecar>(null, (message, data, itsGeneration) => {
  if (message.kind === 'open') generation = itsGeneration
  if (itsGeneration === generation) sidecar.handle(message, data)
})
pipe.on('data', (chunk) => reader.read(chunk))
pipe.on('error', () => undefined)
pipe.on('end', () => sidecar.end('closed'))
pipe.on('close', () => {
  sidecar.end('closed')
  process.exit(0)
})
