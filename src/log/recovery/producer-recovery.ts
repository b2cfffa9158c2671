import type { ProducerState } from '../../core/transaction/producer-state.ts'
import * as batch from '../../../protocol/records/record-batch.ts'
import type { Clock, Logger, World } from '../../ports.ts'
import { BatchScanner } from '../files/batch-scanner.ts'
import { readSmall, removePath, replaceWhole } from '../files/disk-calls.ts'
import { segmentFile, SNAPSHOT_SUFFIX } from '../files/log-files.ts'
import { recordProducer } from './producer-replay.ts'
import type { Segment } from '../segment/segment.ts'
import { TransactionIndex } from '../segment/transaction-index.ts'

/** The `.snapshot` files of one log, and producer state made from them. */
export class ProducerSnapshots {
  /** Ascending. */
  #offsets: number[]
  readonly #world: Pick<World, 'clock' | 'disk'>
  readonly #directory: string
  readonly #logger: Logger

  constructor(
    world: Pick<World, 'clock' | 'disk'>,
    directory: string,
    logger: Logger,
    offsets: readonly number[],
  ) {
    this.#world = world
    this.#directory = directory
    this.#logger = logger
    this.#offsets = [...offsets]
  }

  get count(): number {
    return this.#offsets.length
  }

  get offsets(): readonly number[] {
    return this.#offsets
  }

  async write(offset: number, snapshot: Buffer): Promise<void> {
    await replaceWhole(this.#world.disk, this.#path(offset), snapshot, true)
    if (this.#offsets.includes(offset)) return
    this.#offsets.push(offset)
    this.#offsets.sort((a, b) => a - b)
  }

  async remove(offset: number): Promise<void> {
    if (!this.#offsets.includes(offset)) return
    this.#offsets = this.#offsets.filter((kept) => kept !== offset)
    await removePath(this.#world.disk, this.#path(offset))
  }

  async removeAbove(offset: number): Promise<void> {
    for (const candidate of this.#offsets.filter((other) => other > offset)) await this.remove(candidate)
  }

  /** Keeps those where a segment starts, and the newest one when it lies inside the log. */
  async removeStray(segments: readonly Segment[], logEndOffset: number): Promise<void> {
    await this.removeAbove(logEndOffset)
    const bases = new Set(segments.map((segment) => segment.baseOffset))
    for (const offset of this.#offsets.slice(0, -1)) {
      if (!bases.has(offset)) await this.remove(offset)
    }
  }

  /**
   * Loads the newest good snapshot at or below `offset` into `producers`. Resolves to its offset, or -1 when there
   * is none; then `producers` is empty.
   */
  async load(producers: ProducerState, offset: number): Promise<number> {
    for (const candidate of this.#offsets.filter((other) => other <= offset).reverse()) {
      const bytes = readSmall(this.#world.disk, this.#path(candidate))
      if (bytes !== null && producers.loadSnapshot(bytes, this.#world.clock.nowMs())) {
        return candidate
      }
      this.#logger.warn({ snapshot: candidate }, 'producer snapshot damaged, taking an older one')
      await this.remove(candidate)
    }
    producers.clear()
    return -1
  }

  #path(offset: number): string {
    return segmentFile(this.#directory, offset, SNAPSHOT_SUFFIX)
  }
}

/** Makes `producers` what it was when the log ended at `offset`, from the newest snapshot and what comes after it. */
export async function loadProducers(
  snapshots: ProducerSnapshots,
  segments: readonly Segment[],
  producers: ProducerState,
  offset: number,
  clock: Clock,
): Promise<void> {
  const from = Math.max(await snapshots.load(producers, offset), segments[0]?.baseOffset ?? 0)
  if (from < offset) await replayProducers(segments, producers, from, offset, clock.nowMs())
}

/** Lets `producers` know of the batches in [fromOffset, toOffset). The segments' transaction indexes stay as they are. */
export async function replayProducers(
  segments: readonly Segment[],
  producers: ProducerState,
  fromOffset: number,
  toOffset: number,
  nowMs: number,
): Promise<void> {
  const ignored = new TransactionIndex()
  for (const [i, segment] of segments.entries()) {
    if (segment.baseOffset >= toOffset) return
    if ((segments[i + 1]?.baseOffset ?? Infinity) <= fromOffset) continue
    await segment.whileHeld(async (file) => {
      const scanner = new BatchScanner(file, 0, file.sizeBytes)
      while (await scanner.fill()) {
        while (scanner.step()) {
          const { buffer, at } = scanner
          const base = batch.baseOffset(buffer, at)
          if (base < fromOffset || base >= toOffset) continue
          recordProducer(buffer, at, producers, ignored, nowMs)
        }
      }
    })
  }
}
