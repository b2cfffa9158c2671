import type { FaultDice } from './fault-dice.ts'
import { SimDiskError } from './sim-disk-image.ts'

export type FaultyOperation =
  | 'open'
  | 'read'
  | 'write'
  | 'reserve'
  | 'sync'
  | 'truncate'
  | 'remove'
  | 'syncDirectory'
  | 'rename'
  /** A write that reports success and lands somewhere else; its `code` says nothing. */
  | 'misdirect'

export interface DiskFault {
  readonly operation: FaultyOperation
  readonly code: string
  /** Which paths; all when absent. */
  readonly path?: RegExp
  /** Matching operations that still succeed before it begins. */
  readonly after?: number
  /** How many fail then; all when absent. */
  readonly count?: number
}

/** Rules for failing operations. Shared by the processes that use one image, one after the other. */
export class SimDiskFaults {
  /** Operations that failed so far. */
  hits = 0
  /** The last write that was misdirected. */
  misdirected: { readonly from: string; readonly to: string } | null = null
  /** Faults by chance, beside those by rule. */
  dice: FaultDice | null = null
  private rules: { fault: DiskFault; seen: number; failed: number }[] = []

  add(fault: DiskFault): void {
    this.rules.push({ fault, seen: 0, failed: 0 })
  }

  clear(): void {
    this.rules = []
  }

  check(operation: FaultyOperation, path: string): SimDiskError | null {
    for (const rule of this.rules) {
      if (rule.fault.operation !== operation || rule.fault.path?.test(path) === false) continue
      if (rule.seen++ < (rule.fault.after ?? 0) || rule.failed >= (rule.fault.count ?? Infinity)) continue
      rule.failed += 1
      this.hits += 1
      return new SimDiskError(rule.fault.code, operation, path)
    }
    const error = this.dice?.check(operation, path) ?? null
    if (error !== null) this.hits += 1
    return error
  }
}
