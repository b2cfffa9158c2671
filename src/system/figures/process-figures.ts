import { readdir } from 'node:fs/promises'
import prom from 'prom-client'

const OPEN_FILES = 'process_open_fds'

/** Figures of the process itself in Prometheus' text form: CPU, memory, loop lag, open files. */
export function createProcessFigures(): () => Promise<string> {
  const registry = new prom.Registry()
  prom.collectDefaultMetrics({ register: registry })
  // The library lists the open files on the loop, where twenty thousand of them take their time.
  const openFiles = registry.getSingleMetric(OPEN_FILES)
  if (openFiles !== undefined) {
    registry.removeSingleMetric(OPEN_FILES)
    registry.registerMetric(
      new prom.Gauge({
        name: OPEN_FILES,
        help: 'Number of open file descriptors.',
        registers: [],
        async collect() {
          this.set((await readdir('/proc/self/fd')).length)
        },
      }),
    )
  }
  return () => registry.metrics()
}
