import { crc32 } from 'node:zlib'
import type { FaultyOperation } from './sim-disk-faults.ts'
import { SimDiskError } from './sim-disk-image.ts'
import { SimRandom } from './sim-random.ts'

/** A kind of fault that strikes by chance. */
export interface FaultKind {
  /** Names its stream of dice. */
  readonly name: string
  readonly operation: FaultyOperation
  readonly code: 'EIO' | 'EMFILE'
  /** Which paths; all when absent. */
  readonly path?: RegExp
  readonly chance: number
}

/**
 * Faults by chance. Every kind rolls dice of its own, so that one more kind, or one more roll of another, leaves a seed
 * what it was.
 */
export class FaultDice {
  readonly hits = new Map<string, number>()
  readonly #seed: number
  readonly #streams = new Map<string, SimRandom>()
  #kinds: readonly FaultKind[] = []

  constructor(seed: number) {
    this.#seed = seed
  }

  /** From here on these strike, and no others. */
  rollFor(kinds: readonly FaultKind[]): void {
    this.#kinds = kinds
  }

  check(operation: FaultyOperation, path: string): SimDiskError | null {
    for (const kind of this.#kinds) {
      if (kind.operation !== operation || kind.path?.test(path) === false) continue
      if (!this.#streamOf(kind.name).chance(kind.chance)) continue
      this.hits.set(kind.name, (this.hits.get(kind.name) ?? 0) + 1)
      return new SimDiskError(kind.code, operation, path)
    }
    return null
  }

  #streamOf(name: string): SimRandom {
    let stream = this.#streams.get(name)
    if (stream === undefined) {
      stream = new SimRandom(this.#seed ^ crc32(name))
      this.#streams.set(name, stream)
    }
    return stream
  }
}
