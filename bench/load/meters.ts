import { readFileSync } from 'node:fs'
import { type Histogram, build, encodeIntoCompressedBase64 } from 'hdr-histogram-js'
import { parseBlockStat } from '../device.ts'
import type { BlockIo, CpuTime, LatencySummary } from './spec.ts'

const HIGHEST_US = 60_000_000

/** 1 us to 60 s, three digits. */
export class LatencyMeter {
  readonly #histogram: Histogram = build({
    bitBucketSize: 32,
    lowestDiscernibleValue: 1,
    highestTrackableValue: HIGHEST_US,
    numberOfSignificantValueDigits: 3,
  })

  record(us: number): void {
    this.#histogram.recordValue(us < 1 ? 1 : us > HIGHEST_US ? HIGHEST_US : Math.round(us))
  }

  summary(): LatencySummary {
    const histogram = this.#histogram
    return {
      count: histogram.totalCount,
      p50: histogram.getValueAtPercentile(50),
      p99: histogram.getValueAtPercentile(99),
      p999: histogram.getValueAtPercentile(99.9),
      max: histogram.maxValue,
      histogram: encodeIntoCompressedBase64(histogram),
    }
  }
}

/** Linux counts process time in hundredths of a second. */
const TICK_US = 10_000

/** CPU time of a process with all its threads; null where /proc is missing or the process is gone. */
export function processCpu(pid: number): CpuTime | null {
  if (pid === 0) return null
  let stat: string
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  } catch {
    return null
  }
  // The command name in parentheses may hold spaces; fields are counted from behind it (utime is the 14th of all).
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return { user: Number(fields[11]) * TICK_US, system: Number(fields[12]) * TICK_US }
}

/** Of several, as one; null when nothing is known of one of them. */
function cpuOf(pids: readonly number[]): CpuTime | null {
  const sum = { user: 0, system: 0 }
  for (const pid of pids) {
    const cpu = processCpu(pid)
    if (cpu === null) return null
    sum.user += cpu.user
    sum.system += cpu.system
  }
  return sum
}

export function blockIo(statPath: string): BlockIo | null {
  if (statPath === '') return null
  try {
    return parseBlockStat(readFileSync(statPath, 'latin1'))
  } catch {
    return null
  }
}

/** What broker (all of its processes), generator and device used between two moments. */
export class UsageMeter {
  readonly #brokerPids: readonly number[]
  readonly #blockStatPath: string
  readonly #broker: CpuTime | null
  readonly #generator: NodeJS.CpuUsage
  readonly #block: BlockIo | null

  constructor(brokerPids: readonly number[], blockStatPath: string) {
    this.#brokerPids = brokerPids
    this.#blockStatPath = blockStatPath
    this.#broker = cpuOf(brokerPids)
    this.#block = blockIo(blockStatPath)
    this.#generator = process.cpuUsage()
  }

  stop(): { brokerCpu: CpuTime | null; generatorCpu: CpuTime; block: BlockIo | null } {
    const generator = process.cpuUsage(this.#generator)
    const broker = cpuOf(this.#brokerPids)
    const block = blockIo(this.#blockStatPath)
    return {
      brokerCpu:
        this.#broker === null || broker === null
          ? null
          : { user: broker.user - this.#broker.user, system: broker.system - this.#broker.system },
      generatorCpu: { user: generator.user, system: generator.system },
      block:
        this.#block === null || block === null
          ? null
          : {
              writes: block.writes - this.#block.writes,
              flushes: block.flushes - this.#block.flushes,
              writtenBytes: block.writtenBytes - this.#block.writtenBytes,
              readBytes: block.readBytes - this.#block.readBytes,
            },
    }
  }
}
