const FIRST_PENALTY_MS = 50
const LONGEST_PENALTY_MS = 2000
/** A stall that follows another one this soon belongs to the same trouble. */
const SAME_TROUBLE_MS = 1000

/** What a file remembers of its stalls. */
export interface StallState {
  /** Of the file system the file lies on. */
  readonly device: number
  stalledUntilMs: number
  penaltyMs: number
}

export function newStallState(device: number): StallState {
  return { device, stalledUntilMs: 0, penaltyMs: 0 }
}

interface DeviceState extends StallState {
  lastSlow: StallState | null
  lastSlowMs: number
}

/**
 * Decides whether a page-cache write may run on the loop's thread.
 *
 * A file whose write was slow takes the thread pool for a while, longer each time it happens again. When a second
 * file of the same device is slow meanwhile, the device is behind, and all its files take the pool.
 */
export class StallGuard {
  readonly #bytesPerTurn: number
  readonly #slowMs: number
  readonly #nowMs: () => number
  readonly #devices = new Map<number, DeviceState>()
  #turnNumber = -1
  #turnBytes = 0
  #turnMs = 0
  /** Nothing was slow since the start: nobody has to look at the clock. */
  #quiet = true

  constructor(bytesPerTurn: number, slowMs: number, nowMs: () => number = () => performance.now()) {
    this.#bytesPerTurn = bytesPerTurn
    this.#slowMs = slowMs
    this.#nowMs = nowMs
  }

  allows(file: StallState, turnNumber: number, lengthBytes: number): boolean {
    if (turnNumber !== this.#turnNumber) {
      this.#turnNumber = turnNumber
      this.#turnBytes = 0
      this.#turnMs = 0
    }
    if (this.#turnBytes + lengthBytes > this.#bytesPerTurn || this.#turnMs > this.#slowMs) return false
    if (this.#quiet) return true
    const nowMs = this.#nowMs()
    if (nowMs < file.stalledUntilMs) return false
    const device = this.#devices.get(file.device)
    return device === undefined || nowMs >= device.stalledUntilMs
  }

  took(file: StallState, durationMs: number, lengthBytes: number): void {
    this.#turnBytes += lengthBytes
    this.#turnMs += durationMs
    if (durationMs <= this.#slowMs) return
    this.#quiet = false
    const nowMs = this.#nowMs()
    penalize(file, nowMs)
    let device = this.#devices.get(file.device)
    if (device === undefined) {
      device = { ...newStallState(file.device), lastSlow: null, lastSlowMs: 0 }
      this.#devices.set(file.device, device)
    }
    const { lastSlow, lastSlowMs } = device
    if (lastSlow !== null && lastSlow !== file && nowMs - lastSlowMs < SAME_TROUBLE_MS)
      penalize(device, nowMs)
    device.lastSlow = file
    device.lastSlowMs = nowMs
  }
}

function penalize(state: StallState, nowMs: number): void {
  // Slow again soon after the last penalty: still behind, stay away for longer.
  const again = state.stalledUntilMs > 0 && nowMs - state.stalledUntilMs < SAME_TROUBLE_MS
  state.penaltyMs = again ? Math.min(LONGEST_PENALTY_MS, state.penaltyMs * 2) : FIRST_PENALTY_MS
  state.stalledUntilMs = nowMs + state.penaltyMs
}
