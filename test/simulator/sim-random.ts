import type { Random } from '../../src/ports.ts'

/**
 * Chance under a seed: sfc32, four words of state. Every part of the world draws from its own stream (`fork`), so
 * that one more draw in the disk does not shift what the network does.
 */
export class SimRandom implements Random {
  private a: number
  private b: number
  private c: number
  private counter = 1

  constructor(seed: number) {
    this.a = seed >>> 0
    this.b = Math.imul(seed, 0x9e3779b1) >>> 0
    this.c = 0x2545f491
    for (let i = 0; i < 12; i++) this.uint32()
  }

  uint32(): number {
    const sum = (this.a + this.b + this.counter) >>> 0
    this.counter = (this.counter + 1) >>> 0
    this.a = this.b ^ (this.b >>> 9)
    this.b = (this.c + (this.c << 3)) >>> 0
    this.c = (((this.c << 21) | (this.c >>> 11)) + sum) >>> 0
    return sum
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.alloc(length)
    for (let i = 0; i < length; i++) bytes[i] = this.uint32() & 0xff
    return bytes
  }

  /** A stream of its own. */
  fork(): SimRandom {
    return new SimRandom(this.uint32())
  }

  /** Uniform in [0, 1). */
  fraction(): number {
    return this.uint32() / 2 ** 32
  }

  /** A whole number in [0, bound). */
  below(bound: number): number {
    return Math.floor(this.fraction() * bound)
  }

  chance(probability: number): boolean {
    return this.fraction() < probability
  }

  /** One of `values`, which must not be empty. */
  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)] as T
  }
}

/** `count` seeds from `first` on, or the single one that `SAMSA_SEED` names. */
export function seedsFromEnvironment(first: number, count: number): number[] {
  const text = process.env['SAMSA_SEED']
  if (text !== undefined && text !== '') return [Number(text)]
  return Array.from({ length: count }, (_, index) => first + index)
}
