import { messageOf } from '../../core/is-error.ts'
import type { World } from '../../ports.ts'
import type { ManagedLog } from '../directory/managed-log.ts'

/** Between two lines about the same log. */
const SAY_AGAIN_MS = 600_000
/** After a pass that ended in the middle for want of room: it would read everything again. */
const WAIT_MS = 60_000
/** What the indexes of a segment take beside it. */
const INDEX_SHARE = 0.01

interface Refusal {
  sayMs: number
  notBeforeMs: number
}

/**
 * The room that compaction needs beside what it replaces. It has to be there, above what the volume must keep free,
 * before anything is written, and a volume that fills up meanwhile ends the pass: a log is none the worse for being
 * compacted later.
 */
export class CleaningRoom {
  readonly #world: Pick<World, 'clock' | 'logger'>
  readonly #minFreeBytes: number
  readonly #refusals = new WeakMap<ManagedLog, Refusal>()

  constructor(world: Pick<World, 'clock' | 'logger'>, minFreeBytes: number) {
    this.#world = world
    this.#minFreeBytes = minFreeBytes
  }

  /** It is too early to try again. */
  mustWait(managed: ManagedLog): boolean {
    return this.#world.clock.monotonicMs() < (this.#refusals.get(managed)?.notBeforeMs ?? -Infinity)
  }

  /** Whether segments of so many bytes may be written again. */
  isFor(managed: ManagedLog, sizeBytes: number): boolean {
    const freeBytes = managed.directory.freeBytes()
    const neededBytes = Math.ceil(sizeBytes * (1 + INDEX_SHARE)) + this.#minFreeBytes
    if (freeBytes === null || freeBytes >= neededBytes) return true
    this.#say(managed, { freeBytes, neededBytes })
    return false
  }

  /** The volume filled up meanwhile. */
  isGone(managed: ManagedLog): boolean {
    if (!managed.directory.lacksSpace) return false
    this.#wait(managed)
    this.#say(managed, { freeBytes: managed.directory.freeBytes() })
    return true
  }

  /** A write found none. */
  refused(managed: ManagedLog, error: unknown): void {
    this.#wait(managed)
    this.#say(managed, { freeBytes: managed.directory.freeBytes(), error: messageOf(error) })
  }

  #wait(managed: ManagedLog): void {
    this.#refusalOf(managed).notBeforeMs = this.#world.clock.monotonicMs() + WAIT_MS
  }

  #say(managed: ManagedLog, fields: object): void {
    const refusal = this.#refusalOf(managed)
    const nowMs = this.#world.clock.monotonicMs()
    if (nowMs < refusal.sayMs) return
    refusal.sayMs = nowMs + SAY_AGAIN_MS
    this.#world.logger.warn(
      { log: managed.name, ...fields, minFreeBytes: this.#minFreeBytes },
      'log is not compacted: there is no room for it on its volume. It is tried again',
    )
  }

  #refusalOf(managed: ManagedLog): Refusal {
    const refusal = this.#refusals.get(managed) ?? { sayMs: -Infinity, notBeforeMs: -Infinity }
    this.#refusals.set(managed, refusal)
    return refusal
  }
}
