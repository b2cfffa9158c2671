/** Differences that nobody wants, until they are mended: a line here whose difference is gone fails the test. */
import type { Explanation, Where } from './explanations.ts'

export interface KnownFault extends Explanation {
  readonly fault: string
}

function fault(what: string, ...where: readonly (readonly [scenario: RegExp, path: RegExp])[]): KnownFault {
  return { fault: what, where: where.map(([scenario, path]): Where => ({ scenario, path })) }
}

export const knownFaults: readonly KnownFault[] = [
  // answers
  fault('Produce: log start of refused partitions', [/^(produce|producers): /, /logStartOffset$/]),
  fault('Produce: timestamp of what was sent before', [/^producers: sequences/, /logAppendTimeMs$/]),
  fault('Produce: a transactional batch', [/^produce: a batch: a transactional batch/, /errorCode$/]),
  fault('Produce: a negative producer epoch', [/^producers: sequences with a negative epoch/, /errorCode$/]),
  fault('DescribeProducers: what is not there', [
    /^producers: producers of what is not there/,
    /topics\[(none)?\]/,
  ]),
  fault('Fetch: epochs that were fetched before', [/^fetch: epochs that were fetched before/, /^5 Fetch/]),
  fault('Fetch: sessions with wrong epochs', [/^fetch: a session with wrong epochs/, /./]),
  fault('Fetch: sessions without partitions', [/^fetch: a session without partitions/, /./]),
  fault('leader epochs below -1', [/^offsets: leader epochs/, /^\d+ ListOffsets/]),
  fault('OffsetForLeaderEpoch: epochs below -1', [
    /^offsets: ends of epochs/,
    /(endOffset|leaderEpoch|errorCode)$/,
  ]),
  fault('DescribeClientQuotas: wrong requests', [
    /^security: quotas are described/,
    /(errorCode|entries|errorMessage)$/,
  ]),
]
