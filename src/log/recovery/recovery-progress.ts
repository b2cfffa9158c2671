import type { Clock, Logger, Timer } from '../../ports.ts'
import type { RecoveryProgress } from '../log-types.ts'

const INTERVAL_MS = 5000

/** Says now and then how far the opening of one directory's logs is. */
export class OpeningProgress implements RecoveryProgress {
  #opened = 0
  #foundBytes = 0
  #scannedBytes = 0
  #timer: Timer | null = null
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #logDir: string
  readonly #logs: number
  readonly #startedMs: number

  constructor(clock: Clock, logger: Logger, logDir: string, logs: number) {
    this.#clock = clock
    this.#logger = logger
    this.#logDir = logDir
    this.#logs = logs
    this.#startedMs = clock.monotonicMs()
    this.#arm()
  }

  get scannedBytes(): number {
    return this.#scannedBytes
  }

  get tookMs(): number {
    return Math.round(this.#clock.monotonicMs() - this.#startedMs)
  }

  found(bytes: number): void {
    this.#foundBytes += bytes
  }

  advanced(bytes: number): void {
    this.#scannedBytes += bytes
  }

  opened(): void {
    this.#opened += 1
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = null
  }

  #arm(): void {
    this.#timer = this.#clock.after(INTERVAL_MS, () => {
      this.#say()
      this.#arm()
    })
  }

  #say(): void {
    const left = this.#logs - this.#opened
    // Those not looked at yet count as as large as the others.
    const share = this.#foundBytes === 0 ? 0 : this.#scannedBytes / this.#foundBytes
    const percent = Math.floor((100 * this.#opened) / this.#logs)
    const megabytes = Math.round(this.#scannedBytes / 1e6)
    this.#logger.info(
      {
        logDir: this.#logDir,
        percent: this.#logs === 1 ? Math.floor(100 * share) : percent,
        logsLeft: left,
        scannedMegabytes: megabytes,
        ofMegabytesFound: Math.round(this.#foundBytes / 1e6),
        megabytesPerSecond: Math.round(megabytes / Math.max(0.001, this.tookMs / 1000)),
      },
      'recovering logs',
    )
  }
}
