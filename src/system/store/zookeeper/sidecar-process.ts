import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import type { Duplex } from 'node:stream'
import process from 'node:process'
import { encodeFrame, FrameReader } from './messages.ts'
import type { FromSidecar, SessionSettings, ToSidecar } from './messages.ts'

/** It holds some requests and answers, and no more; the rest of its memory is Node.js itself. */
const NODE_FLAGS = ['--max-old-space-size=64', '--max-semi-space-size=1', '--v8-pool-size=0']
/** How long it may take to say goodbye to ZooKeeper. */
const FAREWELL_MS = 5_000
const MAX_PRINTED = 4_096

let generations = 0

/** The process that holds a session, and the pipe to it. Neither keeps this process alive. */
export class SidecarProcess {
  onMessage: (message: FromSidecar, data: Buffer) => void = () => undefined
  onExit: () => void = () => undefined
  /** The end of what it, or its libraries, printed on standard error. */
  printed = ''
  readonly #generation: number
  readonly #child: ChildProcess
  readonly #pipe: Duplex
  readonly #exited: Promise<void>
  #beat: NodeJS.Timeout
  #frames: Buffer[] = []
  #gone = false

  constructor(file: string, settings: SessionSettings) {
    this.#generation = ++generations
    // What is meant for the broker's process (an inspector's port, preloaded modules) is not meant for this one.
    const env = { ...process.env }
    delete env['NODE_OPTIONS']
    this.#child = spawn(process.execPath, [...NODE_FLAGS, file], {
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
      env,
      windowsHide: true,
    })
    this.#pipe = this.#child.stdio[3] as Duplex
    this.#exited = new Promise((resolve) => {
      this.#child.once('exit', () => resolve())
      this.#child.once('error', (error) => {
        // It could not be started.
        this.printed += error.message
        this.#exit()
        resolve()
      })
    })
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.printed = (this.printed + text).slice(-MAX_PRINTED)
    })
    const reader = new FrameReader<FromSidecar>(this.#generation, (message, data) =>
      this.onMessage(message, data),
    )
    this.#pipe.on('data', (chunk: Buffer) => reader.read(chunk))
    this.#pipe.on('error', () => undefined)
    // After its last words, which may come later than the news that it has ended.
    this.#pipe.on('close', () => this.#exit())
    for (const each of [this.#child, this.#child.stderr, this.#pipe]) unref(each)
    this.#beat = this.#beatEvery(settings.sessionTimeoutMs)
    this.send({ kind: 'open', settings })
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** From now on it hears that this process's loop turns, often enough for such a session. */
  keepAlive(sessionTimeoutMs: number): void {
    clearInterval(this.#beat)
    if (!this.#gone) this.#beat = this.#beatEvery(sessionTimeoutMs)
  }

  /** What is sent in one turn leaves as one write. */
  send(message: ToSidecar, data?: Buffer): void {
    if (this.#gone) return
    if (this.#frames.length === 0) process.nextTick(() => this.#flush())
    this.#frames.push(encodeFrame(this.#generation, message, data))
  }

  /** Waits until it has ended, and ends it when it takes too long. */
  async exited(): Promise<void> {
    const timer = setTimeout(() => this.kill(), FAREWELL_MS)
    await this.#exited
    clearTimeout(timer)
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  #beatEvery(sessionTimeoutMs: number): NodeJS.Timeout {
    return setInterval(() => this.send({ kind: 'beat' }), Math.max(5, sessionTimeoutMs / 12)).unref()
  }

  #flush(): void {
    const frames = this.#frames
    this.#frames = []
    if (!this.#gone) this.#pipe.write(frames.length === 1 ? frames[0]! : Buffer.concat(frames))
  }

  #exit(): void {
    if (this.#gone) return
    this.#gone = true
    clearInterval(this.#beat)
    this.#pipe.destroy()
    this.onExit()
  }
}

function unref(each: unknown): void {
  if (typeof each === 'object' && each !== null && 'unref' in each && typeof each.unref === 'function')
    Reflect.apply(each.unref, each, [])
}
