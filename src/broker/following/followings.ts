import type { Partition } from '../partition.ts'

/** Who fetches for the partitions that other brokers lead. */
export interface Followings {
  /** It follows the leader that it names now, from its present end on. One that is assigned already begins anew. */
  assign(partition: Partition): void
  /** Resolves when nothing is appended to it any more and none of it cut. Nothing when it is not assigned. */
  withdraw(partition: Partition): Promise<void>
  /** Resolves when nothing is fetched any more. */
  close(): Promise<void>
}

/** Where one broker is all there is. */
export const NO_FOLLOWINGS: Followings = {
  assign: () => undefined,
  withdraw: () => Promise.resolve(),
  close: () => Promise.resolve(),
}
