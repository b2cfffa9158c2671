import type { Address, Clock, Logger } from '../../ports.ts'

/** An election takes less, also when the one before died with its machine and the session has to run out. */
const FIRST_LINE_MS = 10_000
const NEXT_LINE_MS = 30_000

/** Says when the controller has not answered for long, and when it does again. */
export class ControllerSilence {
  readonly #clock: Clock
  readonly #logger: Logger
  #sinceMs: number | null = null
  #nextLineMs = 0

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock
    this.#logger = logger
  }

  /** `controller` -1: none is known. `address` null: nobody knows where it is. */
  goesOn(controller: number, address: Address | null, reason: string): void {
    const nowMs = this.#clock.monotonicMs()
    if (this.#sinceMs === null) {
      this.#sinceMs = nowMs
      this.#nextLineMs = nowMs + FIRST_LINE_MS
    }
    if (nowMs < this.#nextLineMs) return
    this.#nextLineMs = nowMs + NEXT_LINE_MS
    const forSeconds = Math.round((nowMs - this.#sinceMs) / 1_000)
    if (controller === -1)
      this.#logger.warn(
        { forSeconds },
        'no controller is known: leaders, topics and configurations stay as they are',
      )
    else
      this.#logger.warn(
        {
          controller,
          address: address === null ? null : `${address.host}:${address.port}`,
          reason,
          forSeconds,
        },
        'the controller does not answer: leaders, topics and configurations stay as they are. Other brokers must reach it where its listeners or advertised.listeners say',
      )
  }

  ends(): void {
    if (this.#sinceMs === null) return
    const nowMs = this.#clock.monotonicMs()
    const afterSeconds = Math.round((nowMs - this.#sinceMs) / 1_000)
    const wasTold = nowMs - this.#sinceMs >= FIRST_LINE_MS
    this.#sinceMs = null
    if (wasTold) this.#logger.info({ afterSeconds }, 'the controller answers')
  }
}
