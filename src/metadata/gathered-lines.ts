import type { Clock, LogFields, Logger } from '../ports.ts'

/** What a broker that comes or goes does to its partitions is under way for longer than a turn. */
const TOGETHER_MS = 100
/** With thousands of them it takes seconds. */
const AGAIN_MS = 1_000
/** As many partitions are named in a line. */
const MAX_NAMED = 10

type Level = 'info' | 'warn'

interface Line {
  readonly level: Level
  readonly message: string
  readonly fields: LogFields
  readonly partitions: string[]
  count: number
}

/** What happens to many partitions for one reason comes in one line with their number, and not in one for each. */
export class GatheredLines {
  readonly #clock: Pick<Clock, 'after' | 'monotonicMs'>
  readonly #logger: Logger
  readonly #lines = new Map<string, Line>()
  #toldMs = -Infinity

  constructor(clock: Pick<Clock, 'after' | 'monotonicMs'>, logger: Logger) {
    this.#clock = clock
    this.#logger = logger
  }

  /** `partition` is asked for what stands in the line, as long as there is room in it. */
  add(level: Level, message: string, fields: LogFields, partition: () => string): void {
    const key = [message, ...Object.values(fields)].join('\n')
    let line = this.#lines.get(key)
    if (line === undefined) {
      line = { level, message, fields, partitions: [], count: 0 }
      this.#lines.set(key, line)
      if (this.#lines.size === 1) this.#tellLater()
    }
    line.count += 1
    if (line.partitions.length < MAX_NAMED) line.partitions.push(partition())
  }

  #tellLater(): void {
    const restMs = this.#toldMs + AGAIN_MS - this.#clock.monotonicMs()
    this.#clock.after(Math.max(TOGETHER_MS, restMs), () => this.#tell())
  }

  #tell(): void {
    this.#toldMs = this.#clock.monotonicMs()
    const lines = [...this.#lines.values()]
    this.#lines.clear()
    for (const { level, message, fields, count, partitions } of lines)
      this.#logger[level]({ ...fields, count, partitions }, message)
  }
}
