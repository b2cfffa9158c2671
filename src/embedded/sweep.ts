import { removeLeftovers } from '../system/temporary-directory.ts'

let swept = false

/** What test processes that were killed left behind goes beside the work of this one. */
export function sweepOnce(): void {
  if (!swept) void removeLeftovers()
  swept = true
}
