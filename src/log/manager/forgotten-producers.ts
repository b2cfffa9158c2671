import type { Counter, World } from '../../ports.ts'

const MS_BETWEEN_LINES = 60_000

/** Tells of producers that had to be forgotten before their time, in figures and now and then in the log. */
export class ForgottenProducers {
  readonly #world: Pick<World, 'clock' | 'logger'>
  readonly #total: Counter
  #untold = 0
  #toldMs = -Infinity

  constructor(world: Pick<World, 'clock' | 'logger' | 'metrics'>) {
    this.#world = world
    this.#total = world.metrics.counter(
      'samsa_log_forgotten_producers_total',
      'Idempotent producers forgotten before producer.id.expiration.ms because samsa.max.producers was reached',
    )
  }

  tell(partition: string, producers: number): void {
    this.#total.add(producers)
    this.#untold += producers
    const nowMs = this.#world.clock.monotonicMs()
    if (nowMs - this.#toldMs < MS_BETWEEN_LINES) return
    this.#world.logger.warn(
      { partition, producers: this.#untold },
      'samsa.max.producers is reached: the idempotent producers silent for longest are forgotten, and what they send again would be appended again',
    )
    this.#untold = 0
    this.#toldMs = nowMs
  }
}
