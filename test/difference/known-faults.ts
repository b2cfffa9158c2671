/** Differences that nobody wants, until they are mended: a line here whose difference is gone fails the test. */
import type { Explanation } from './explanations.ts'

export interface KnownFault extends Explanation {
  readonly fault: string
}

export const knownFaults: readonly KnownFault[] = []
