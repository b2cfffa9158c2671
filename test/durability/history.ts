/** What a partition must hold after a crash, held against what it does hold. */
import { type AckedBatch, endOffset, type FoundLog, type Producer } from './workload.ts'

/** What is promised for a crash. */
export interface Promised {
  /** Of what was acknowledged since the last recovery or clean stop. `all`: none is lost. `prefix`: the end may be. */
  readonly acked: 'all' | 'prefix'
  /** Only this much need be kept (`retention.bytes`, less what may be under way). Default: everything. */
  readonly keptBytes?: number
}

export interface Verdict {
  /** Records acknowledged since the last check. */
  readonly acked: number
  readonly lost: number
  /** Monotonic milliseconds at which the oldest of the lost was acknowledged; Infinity when none is lost. */
  readonly oldestLostMs: number
  /** Broken promises, in words. Empty when all is well. */
  readonly problems: readonly string[]
}

type Sender = Pick<Producer, 'acked' | 'nextCounter' | 'resendFrom' | 'options'>

/** One partition over many crashes. */
export class PartitionHistory {
  readonly #producer: Sender
  /** As it was read after the last recovery or clean stop: all of it is durable, whatever the flush mode. */
  #stable: FoundLog = { startOffset: 0, counters: [], sizeBytes: 0 }
  /** Nothing below was under way since then. */
  #firstNew = 0

  constructor(producer: Sender) {
    this.#producer = producer
  }

  /** Afterwards `found` is what the next check expects, and the producer's answers are forgotten by the caller. */
  check(found: FoundLog, promised: Promised): Verdict {
    const problems: string[] = []
    const report = (problem: string): void => {
      const { topic, partition } = this.#producer.options
      if (problems.length < 5) problems.push(`${topic}-${partition}: ${problem}`)
    }
    this.#checkStart(found, promised, report)
    this.#checkStable(found, report)
    this.#checkOrder(found, report)
    const { acked, lost, oldestLostMs } = checkAcked(found, this.#producer.acked, report)
    if (promised.acked === 'all' && lost > 0)
      report(`${lost} of ${acked} acknowledged records are lost: the log ends at offset ${endOffset(found)}`)
    this.#stable = found
    this.#firstNew = this.#producer.resendFrom
    return { acked, lost, oldestLostMs, problems }
  }

  #checkStart(found: FoundLog, promised: Promised, report: (problem: string) => void): void {
    // Since the last check: a crash may have taken the end of a log whose beginning retention had taken before.
    if (found.startOffset <= this.#stable.startOffset || promised.acked !== 'all') return
    const { keptBytes } = promised
    if (keptBytes === undefined) report(`the log begins at offset ${found.startOffset}`)
    else if (found.sizeBytes < keptBytes)
      report(`${found.sizeBytes} bytes are left from offset ${found.startOffset}, not ${keptBytes}`)
  }

  #checkStable(found: FoundLog, report: (problem: string) => void): void {
    const stable = this.#stable
    if (endOffset(found) < endOffset(stable))
      report(
        `${endOffset(stable) - endOffset(found)} records are gone that were served after the last recovery`,
      )
    const last = Math.min(endOffset(found), endOffset(stable))
    for (let offset = Math.max(found.startOffset, stable.startOffset); offset < last; offset++) {
      const before = stable.counters[offset - stable.startOffset]
      const now = found.counters[offset - found.startOffset]
      if (before !== now) return report(`offset ${offset} held record ${before} and holds ${now}`)
    }
  }

  /** Records keep the order they were sent in: a step back is a duplicate, or something that was gone before. */
  #checkOrder(found: FoundLog, report: (problem: string) => void): void {
    let previous = -1
    for (const [i, counter] of found.counters.entries()) {
      const offset = found.startOffset + i
      if (counter <= previous) report(`record ${counter} at offset ${offset} follows record ${previous}`)
      if (counter >= this.#producer.nextCounter)
        report(`record ${counter} at offset ${offset} was never sent`)
      if (offset >= endOffset(this.#stable) && counter < this.#firstNew)
        report(`record ${counter} at offset ${offset} was gone and is back`)
      previous = counter
    }
  }
}

function checkAcked(found: FoundLog, batches: readonly AckedBatch[], report: (problem: string) => void) {
  let acked = 0
  let lost = 0
  let oldestLostMs = Infinity
  for (const { baseOffset, first, count, atMs } of batches) {
    acked += count
    for (let i = 0; i < count; i++) {
      const offset = baseOffset + i
      if (offset < found.startOffset) continue
      if (offset >= endOffset(found)) {
        lost += 1
        oldestLostMs = Math.min(oldestLostMs, atMs)
      } else if (found.counters[offset - found.startOffset] !== first + i) {
        report(`offset ${offset} was acknowledged to record ${first + i}`)
      }
    }
  }
  return { acked, lost, oldestLostMs }
}
