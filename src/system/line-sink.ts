import fs from 'node:fs'
import process from 'node:process'
import { isatty } from 'node:tty'
import { codeOf } from '../core/is-error.ts'

/** What is kept for a reader that is slow. */
const MAX_QUEUED_BYTES = 1024 * 1024
const RETRY_MS = 10
/** How long the end of the process waits for a reader. */
const EXIT_FLUSH_MS = 500

/**
 * Lines on their way to a descriptor that somebody else reads: a terminal, a pipe, a socket, a file. A line is written
 * when it comes, so that the last ones before the process dies are out. When the reader does not keep up, lines wait
 * here, and beyond a bound they are dropped and counted: nobody who stops reading a log stops the broker.
 */
export class LineSink {
  readonly #fd: number
  readonly #maxQueuedBytes: number
  /** Not empty: the descriptor takes no more for now. The first may be the rest of a line. */
  readonly #queue: Buffer[] = []
  #queuedBytes = 0
  /** Lines do not fit; none is kept until half of the room is free again, so that gaps are few and long. */
  #full = false
  /** The last write failed: to say so would fail as well. */
  #failing = false
  #untoldLines = 0
  #droppedLines = 0
  #retry: NodeJS.Timeout | null = null
  /** Told how many lines were dropped, in the place where they are missing. */
  onDropped: (lines: number) => void = () => {}

  constructor(fd: number, maxQueuedBytes = MAX_QUEUED_BYTES) {
    this.#fd = withoutWaiting(fd)
    this.#maxQueuedBytes = maxQueuedBytes
  }

  get droppedLines(): number {
    return this.#droppedLines
  }

  get queuedBytes(): number {
    return this.#queuedBytes
  }

  /** `line` ends with a line feed. */
  write(line: string): void {
    const bytes = Buffer.from(line)
    const queuedBytes = this.#queuedBytes + bytes.length
    const maxQueuedBytes = this.#full ? this.#maxQueuedBytes / 2 : this.#maxQueuedBytes
    this.#full = this.#queue.length > 0 && queuedBytes > maxQueuedBytes
    if (this.#full) {
      this.#drop()
      return
    }
    this.#tell()
    this.#queue.push(bytes)
    this.#queuedBytes += bytes.length
    if (this.#queue.length === 1) this.#drain()
  }

  /** Waits for the reader, but no longer than `limitMs`. */
  flushSync(limitMs: number): void {
    const deadlineMs = performance.now() + limitMs
    this.#drain()
    while (this.#queue.length > 0 && performance.now() < deadlineMs) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS)
      this.#drain()
    }
  }

  #drain(): void {
    for (let bytes = this.#queue[0]; bytes !== undefined; bytes = this.#queue[0]) {
      const written = this.#writeSome(bytes)
      if (written === 0 && bytes.length > 0) {
        this.#tryLater()
        return
      }
      this.#queuedBytes -= written
      if (written === bytes.length) this.#queue.shift()
      else this.#queue[0] = bytes.subarray(written)
    }
    this.#full = false
    this.#tell()
  }

  #tell(): void {
    if (this.#untoldLines === 0 || this.#failing) return
    const lines = this.#untoldLines
    this.#untoldLines = 0
    this.onDropped(lines)
  }

  /** Bytes that the descriptor took; 0 when it takes none for now. */
  #writeSome(bytes: Buffer): number {
    try {
      const written = fs.writeSync(this.#fd, bytes)
      this.#failing = false
      return written
    } catch (error) {
      if (codeOf(error) === 'EAGAIN') return 0
      // Nobody is left to read (EPIPE), or there is no room for it (ENOSPC): a log is no reason to end.
      this.#failing = true
      this.#drop()
      return bytes.length
    }
  }

  #tryLater(): void {
    if (this.#retry !== null) return
    this.#retry = setTimeout(() => {
      this.#retry = null
      this.#drain()
    }, RETRY_MS).unref()
  }

  #drop(): void {
    this.#droppedLines += 1
    this.#untoldLines += 1
  }
}

const standard = new Map<1 | 2, LineSink>()

/** Standard output (1) or standard error (2): one for all who write there. What waits is written when the process ends. */
export function standardSink(fd: 1 | 2): LineSink {
  let sink = standard.get(fd)
  if (sink === undefined) {
    const created = new LineSink(fd)
    process.once('exit', () => created.flushSync(EXIT_FLUSH_MS))
    standard.set(fd, created)
    sink = created
  }
  return sink
}

/**
 * A descriptor for the same thing on which a write never waits. Not waiting is a property of what other processes may
 * share with us, so terminals and pipes are opened anew. Sockets cannot be; for these Node.js does what it does for
 * everybody who looks at `process.stdout`. Writes to a file wait for memory at most.
 */
function withoutWaiting(fd: number): number {
  const stat = fs.fstatSync(fd)
  if (stat.isFIFO() || isatty(fd)) {
    try {
      const { O_WRONLY, O_NONBLOCK, O_NOCTTY, O_APPEND } = fs.constants
      return fs.openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_APPEND)
    } catch {
      // No /proc, or what we were given is not ours to open.
    }
  }
  if (stat.isFIFO() || stat.isSocket()) void (fd === 2 ? process.stderr : process.stdout)
  return fd
}
