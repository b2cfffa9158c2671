/** What a leader knows of one follower, by its fetches. */
export class FollowerProgress {
  readonly id: number
  /** It has written everything below it. -1: it has not said yet. */
  endOffset = -1
  logStartOffset = -1
  /** The incarnation that fetched last. */
  brokerEpoch = -1
  /** Since the leader epoch began. */
  fetchedInTerm = false
  /** When it last had all that the leader had by then. */
  caughtUpMs = -Infinity
  /** Its last fetch began where the leader's log ended at the fetch before, or further. */
  keepsPace = false
  /** Since when each of its fetches did. */
  #paceSinceMs = Infinity
  #fetchMs = -Infinity
  /** Of the leader, at the last fetch. */
  #leaderEndOffset = Infinity
  /** It left the ISR because it lagged, in this term and in this incarnation. */
  #hasLagged = false

  constructor(id: number) {
    this.id = id
  }

  /**
   * A member of the ISR gets the time that every one has. All say again where they are: others may have led in between, and
   * had a log cut that was longer.
   */
  beginTerm(inIsr: boolean, nowMs: number): void {
    this.fetchedInTerm = false
    this.keepsPace = false
    this.#paceSinceMs = Infinity
    this.#leaderEndOffset = Infinity
    this.#fetchMs = -Infinity
    this.#hasLagged = false
    this.caughtUpMs = inIsr ? nowMs : -Infinity
    this.endOffset = -1
  }

  fetched(
    brokerEpoch: number,
    fetchOffset: number,
    logStartOffset: number,
    leaderEndOffset: number,
    nowMs: number,
  ): void {
    const hasAll = fetchOffset >= leaderEndOffset
    this.keepsPace = hasAll || fetchOffset >= this.#leaderEndOffset
    if (hasAll) this.caughtUpMs = Math.max(this.caughtUpMs, nowMs)
    else if (this.keepsPace) this.caughtUpMs = Math.max(this.caughtUpMs, this.#fetchMs)
    if (!this.keepsPace) this.#paceSinceMs = Infinity
    else if (this.#paceSinceMs === Infinity) this.#paceSinceMs = nowMs
    if (brokerEpoch !== this.brokerEpoch) this.#hasLagged = false
    this.endOffset = fetchOffset
    this.logStartOffset = logStartOffset
    this.brokerEpoch = brokerEpoch
    this.fetchedInTerm = true
    this.#leaderEndOffset = leaderEndOffset
    this.#fetchMs = nowMs
  }

  /** What it did before is no reason to take it back. */
  lagged(leaderEndOffset: number): void {
    this.#hasLagged = true
    this.keepsPace = false
    this.#paceSinceMs = Infinity
    this.#leaderEndOffset = leaderEndOffset
  }

  /** Who left for being slow comes back when it has kept pace for a while, or it would leave and come back for ever. */
  mayReturn(nowMs: number, probationMs: number): boolean {
    return !this.#hasLagged || nowMs - this.#paceSinceMs >= probationMs
  }
}
