import type { Logger, Metrics, World } from '../ports.ts'
import { NetSockets } from './net-sockets.ts'
import { createLogger } from './pino-logger.ts'
import type { LogLevel } from './pino-logger.ts'
import { PromMetrics } from './prom-metrics.ts'
import { SystemClock } from './system-clock.ts'
import { SystemDisk } from './system-disk.ts'
import { SystemRandom } from './system-random.ts'
import { Turn } from './turn.ts'

export interface SystemWorldOptions {
  /** For JSON lines on standard output. Default: silent. */
  readonly logLevel?: LogLevel
  /** In place of one made from `logLevel`. */
  readonly logger?: Logger
  /** Default: figures of a registry of their own. */
  readonly metrics?: Metrics
}

/** The real World: one turn of the event loop shared by its clock, its disk and its network. */
export function createSystemWorld(options: SystemWorldOptions = {}): World {
  const turn = new Turn()
  return {
    clock: new SystemClock(turn),
    random: new SystemRandom(),
    network: new NetSockets(turn),
    disk: new SystemDisk(turn),
    logger: options.logger ?? createLogger({ level: options.logLevel ?? 'silent' }),
    metrics: options.metrics ?? new PromMetrics(),
  }
}
