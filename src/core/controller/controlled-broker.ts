import { ErrorCode } from '../../../protocol/errors.ts'
import type { BrokerView } from '../replication/partition-state.ts'
import type { ControlledPartition } from './controlled-partition.ts'
import type { LiveBroker } from './controller-types.ts'

/**
 * `gone`: no process is registered. `arriving`: one is, and its partitions do not count on it any more, or not yet. `accepting`:
 * that is being written. `catching up`: it must learn what the cluster is like before it serves. `unfencing`: that it serves is
 * being written. `serving`; `leaving`: on its own wish.
 */
export type BrokerPhase =
  | 'gone'
  | 'arriving'
  | 'accepting'
  | 'catching up'
  | 'unfencing'
  | 'serving'
  | 'leaving'

/** A broker as the controller knows it, over all of its processes. */
export class ControlledBroker {
  readonly id: number
  phase: BrokerPhase = 'gone'
  live: LiveBroker | null = null
  /** The incarnation accepted last, and its node's version; -1: none ever was. */
  acceptedEpoch = -1
  version = -1
  /** The news with which it knows that it was accepted. */
  acceptedAt = Infinity
  /** What the process that arrives has, may be less than what the one before had. */
  isDoubtful = false
  /** Of the controller that last accepted such a one. A state that an earlier one wrote says nothing of what is left of it. */
  doubtEpoch = -1
  /** The node is being written: the next write must know its version. */
  isWriting = false
  /** Partitions that count on it, as far as is known, while it waits for none to do so. */
  readonly countedOnBy = new Set<ControlledPartition>()
  /** Called when no partition does, or when it asks again. */
  whenLeft: ((errorCode: ErrorCode) => void) | null = null

  constructor(id: number) {
    this.id = id
  }

  /** As it is to all others. Undefined: it was never accepted. */
  get view(): BrokerView | undefined {
    if (this.acceptedEpoch === -1) return undefined
    const isServing = this.phase === 'serving' || this.phase === 'leaving'
    return {
      id: this.id,
      epoch: this.acceptedEpoch,
      fenced: !isServing,
      shuttingDown: this.phase === 'leaving',
    }
  }

  /** Another process than the one that was accepted, or none. */
  ends(): void {
    this.live = null
    this.phase = 'gone'
    this.acceptedAt = Infinity
    this.whenLeft?.(ErrorCode.NONE)
    this.whenLeft = null
  }

  /** One that has no part of the lineage of what was accepted last may have lost the end of its logs. */
  arrives(live: LiveBroker): void {
    this.live = live
    this.phase = 'arriving'
    this.isDoubtful = this.acceptedEpoch !== -1 && !live.lineage.includes(this.acceptedEpoch)
  }
}
