import type { Connection } from '../ports.ts'

/** Why a connection is not read from: others have the memory, or what it sent before comes first. */
export const PAUSED_FOR_BUDGET = 1
export const PAUSED_FOR_ORDER = 2

/** Whether a connection is read from: as long as nothing speaks against it. */
export class Reading {
  readonly #connection: Connection
  #pausedFor = 0

  constructor(connection: Connection) {
    this.#connection = connection
  }

  isPausedFor(reason: number): boolean {
    return (this.#pausedFor & reason) !== 0
  }

  pause(reason: number): void {
    if (this.#pausedFor === 0) this.#connection.pause()
    this.#pausedFor |= reason
  }

  /** `closed`: it will never be read from again. */
  resume(reason: number, closed: boolean): void {
    if (this.#pausedFor === 0) return
    this.#pausedFor &= ~reason
    if (this.#pausedFor === 0 && !closed) this.#connection.resume()
  }
}
