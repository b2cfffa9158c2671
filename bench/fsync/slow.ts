import { applyLoad } from '../load/apply-load.ts'
import type { Device } from '../device.ts'
import type { Progress } from '../progress.ts'
import type { Cell } from './cells.ts'
import type { SlowReport } from './results.ts'
import { type Runner, type Timing, awaken, measurementMs, produceSpec, topicName } from './session.ts'
import { openThrottle } from './throttle.ts'

/** The durable modes on a disk that is held to so many writes per second. */

export const SLOW_RATES: readonly number[] = [500, 2_000]

const CELL: Cell = { partitions: 100, batch: '16k', inFlight: 256 }

type SlowRow = SlowReport['rows'][number]

export async function measureSlow(
  runners: readonly Runner[],
  device: Device | null,
  rates: readonly number[],
  timing: Timing,
  progress: Progress,
): Promise<SlowReport | string> {
  const durable = runners.filter(({ mode }) => mode.durable)
  if (durable.length === 0) return 'not measured: no durable mode'
  const throttle = openThrottle(device)
  if (typeof throttle === 'string') return throttle
  const rows: SlowRow[] = []
  try {
    for (const runner of durable) {
      await awaken(runners, runner)
      const { contender, broker, mode } = runner
      const topic = topicName()
      await contender.createTopic(topic, CELL.partitions, false)
      await contender.touch(topic, CELL.partitions)
      for (const writesPerSecond of rates) {
        progress.step(`${writesPerSecond} writes per second: ${mode.title}`)
        throttle.limit(broker.pid, writesPerSecond)
        try {
          const load = await applyLoad(produceSpec(runner, CELL, topic, { kind: 'closed' }, timing))
          rows.push({ mode: mode.id, writesPerSecond, load, failure: null })
        } catch (error) {
          const failure = error instanceof Error ? error.message : String(error)
          rows.push({ mode: mode.id, writesPerSecond, load: null, failure })
        } finally {
          throttle.release(broker.pid)
        }
        progress.advance(measurementMs(timing))
      }
      await contender.settle()
      await contender.deleteTopic(topic)
    }
  } finally {
    throttle.remove()
  }
  return { method: throttle.method, cell: CELL, rows }
}
