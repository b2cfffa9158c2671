import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const EVERY_MS = 50

/**
 * How slow the machine is while a test runs: the longest that a flush of a few bytes took, with the wait for a processor
 * before it. The file lies beside the file systems that are cut and not in them: there, its flushes would take along
 * what the broker forgot to flush.
 */
export class Slowness {
  readonly #directory = fs.mkdtempSync(path.join(os.tmpdir(), 'samsa-slowness-'))
  readonly #file = fs.openSync(path.join(this.#directory, 'probe'), 'w')
  #worstMs = 0
  #stopped = false
  #beganMs = performance.now()

  constructor() {
    void this.#watch()
  }

  /** The longest so far, one that is under way included. */
  stop(): number {
    this.#stopped = true
    return Math.max(this.#worstMs, performance.now() - this.#beganMs - EVERY_MS)
  }

  async #watch(): Promise<void> {
    while (!this.#stopped) {
      this.#beganMs = performance.now()
      await sleep(EVERY_MS)
      fs.writeSync(this.#file, 'x', 0)
      await new Promise((resolve) => fs.fdatasync(this.#file, resolve))
      this.#worstMs = Math.max(this.#worstMs, performance.now() - this.#beganMs - EVERY_MS)
    }
    fs.closeSync(this.#file)
    fs.rmSync(this.#directory, { recursive: true })
  }
}
