import type { Logger, Metrics, World } from '../ports.ts'
import { DiskThreads } from './disk-threads.ts'
import { NetSockets } from './net-sockets.ts'
import { SystemClock } from './system-clock.ts'
import { SystemRandom } from './system-random.ts'
import { Turn } from './turn.ts'

/** The real World: one turn of the event loop shared by its clock, its disk and its network. */
export function createSystemWorld(logger: Logger, metrics: Metrics): World {
  const turn = new Turn()
  return {
    clock: new SystemClock(turn),
    random: new SystemRandom(),
    network: new NetSockets(turn),
    disk: new DiskThreads(turn),
    logger,
    metrics,
  }
}
